"""In every state Linux has, whoever asks and whoever answers, the numbers are the kernel's."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import random
import sys
from collections.abc import Iterator, Mapping

import model
import pytest
import shares
from asking import SOURCES, USERS, WAYS, Asker, asker, one_by_one
from harness import Command, Done
from lab import oracles
from lab.names import LOWER, STATUSES, TYPES
from lab.states import StateLab
from model import Question


def questions() -> list[Question]:
    """Every type with every status, and sets of them: repeated, and in any order."""
    pairs = itertools.product((*TYPES, "all"), (*LOWER, "all"))
    asked = [Question(), *(Question((kind,), (status,)) for kind, status in pairs)]
    chance = random.Random(3)
    for _ in range(60):
        types = chance.choices(TYPES, k=chance.randint(0, 4))
        statuses = chance.choices(LOWER, k=chance.randint(0, 6))
        asked.append(Question(tuple(types), tuple(statuses)))
    return asked


QUESTIONS = questions()


@pytest.fixture(scope="module", params=USERS)
def someone(
    request: pytest.FixtureRequest, lab: StateLab, nobodys: Mapping[str, Command]
) -> Iterator[Asker]:
    with asker(lab.ns, request.param, nobodys) as made:
        yield made


@pytest.mark.parametrize("source", [*SOURCES, "auto", "counters"])
@shares.every(5)
def test_the_api_counts_what_the_oracles_show(
    lab: StateLab, someone: Asker, source: str, share: slice
) -> None:
    questions = [dataclasses.replace(asked, source=source) for asked in QUESTIONS[share]]

    def ask(asked: Question) -> dict[str, int]:
        (counts,) = someone.api([("count_connections", asked.keywords("count_connections"))])
        return dict(counts)

    for asked, sockets, counts in one_by_one(lab, someone.user, questions, ask):
        expected = model.answer(asked, sockets).counts
        assert list(counts.items()) == list(expected.items()), asked


@pytest.mark.parametrize("source", [*SOURCES, "counters"])
@pytest.mark.parametrize("way", WAYS)
@shares.every(11)
def test_the_command_counts_what_the_oracles_show(
    lab: StateLab, someone: Asker, way: str, source: str, share: slice
) -> None:
    questions = [dataclasses.replace(asked, source=source) for asked in QUESTIONS[share]]

    def ask(asked: Question) -> Done:
        return someone.run(way, *asked.arguments())

    for asked, sockets, done in one_by_one(lab, someone.user, questions, ask):
        expected = model.answer(asked, sockets).line
        assert (done.stdout, done.stderr, done.returncode) == (f"{expected}\n", "", 0), asked


@pytest.mark.skipif(importlib.util.find_spec("psutil") is None, reason="psutil is not installed")
@pytest.mark.parametrize("source", [*SOURCES, "counters"])
def test_the_api_counts_what_psutil_shows_root(
    lab: StateLab, nobodys: Mapping[str, Command], source: str
) -> None:
    questions = [dataclasses.replace(asked, source=source) for asked in QUESTIONS]
    with asker(lab.ns, "root", nobodys) as root:

        def ask(_: None) -> tuple[dict[str, int], list[dict[str, int]]]:
            calls = [
                ("count_connections", asked.keywords("count_connections")) for asked in questions
            ]
            return oracles.read_psutil(lab.ns, sys.executable), root.api(calls)

        ((_, _, (psutil, answers)),) = one_by_one(lab, "root", [None], ask)
    for asked, counts in zip(questions, answers):
        types = [word for word in asked.types if word != "all"] or TYPES
        statuses = [word for word in asked.statuses if word != "all"] or STATUSES
        wanted = {f"{kind}_{status.upper()}" for kind in types for status in statuses}
        assert counts == {group: psutil[group] for group in wanted & psutil.keys()}, asked


def test_the_answers_expected_are_what_the_lab_holds(lab: StateLab) -> None:
    ((_, sockets, _),) = one_by_one(lab, "root", [None], lambda _: None)
    assert model.answer(Question(), sockets).counts == lab.counts
    for (kind, status), number in lab.expected.items():
        asked = Question((kind,), (status,))
        assert model.answer(asked, sockets).total == number
