//! Several measures that are judged together: one walk through the network namespaces and one through
//! the processes serve all of them.

use std::collections::HashMap;

use crate::collect::NetnsFacts;
use crate::collect::apart::Apart;
use crate::collect::breakdown::Breakdowns;
use crate::collect::collector::Missing;
use crate::collect::limits::Limits;
use crate::collect::listeners::Attributed;
use crate::collect::stuck_counts::{Number, Pile, Place, StuckCounts, by_place};
use crate::collect::waits::Waits;
use crate::deadline::Deadline;
use crate::details::{self, Detail};
use crate::error::Error;
use crate::group::{Group, GroupBy};
use crate::judge::state::State;
use crate::judge::{GroupState, Thresholds};
use crate::measure::counted::{Counted, Scope};
use crate::measure::{
    Measure, accept_queue, ephemeral_ports, host_limits, open_files, receive_buffer, syn_queue,
};
use crate::name::Named;
use crate::named_group::NamedGroup;
use crate::open_files as tables;
use crate::open_files::tables::OfHost;
use crate::owner::{self, Names, Need};
use crate::plan::{Plan, PlanPart};
use crate::report::{Part, Report, StuckRow};
use crate::run::reported::{judge, or_without, report, scope};
use crate::selection::{Among, Choice, Selection, UnixListeners};
use crate::stuck::StuckKind;
use crate::survey::{Facts, Findings, Host};

/// The highest limit of open files with which a process locks itself in, as sshd does before a login: it wants
/// no further files.
const NO_FILES: u64 = 1;

/// The collector of stuck connections: their numbers, the longest time of each kind, and their owners.
type OfStuck = Attributed<(StuckCounts, Option<Breakdowns>)>;

/// The collectors of one walk, each for one measure.
type Walk = (
    (Option<Apart<accept_queue::Collected>>, Option<Apart<syn_queue::Collected>>),
    (
        (Option<Apart<receive_buffer::Collected>>, Option<Apart<ephemeral_ports::Collected>>),
        (Option<Apart<OfStuck>>, Apart<Limits>),
    ),
);

/// A measure with its thresholds.
struct Asked<'a> {
    part: &'a PlanPart,
    plan: &'a Plan,
    thresholds: Thresholds,
}

impl Asked<'_> {
    fn scope(&self) -> Scope<'_> {
        let asks = self.thresholds.ask_for_owners();
        let presentation = self.plan.presentation();
        Scope {
            lengthy: presentation.lengthy,
            every_holder: asks,
            every_name: asks || presentation.every_name,
            ..scope(self.plan)
        }
    }
}

/// Judges the measures of a plan.
pub fn check(plan: &Plan, deadline: &Deadline) -> Result<Report, Error> {
    let mut asked = Vec::new();
    for part in plan.parts() {
        if let Ok(plan) = &part.plan {
            let thresholds = plan.thresholds(&|name| owner::user_id(name, deadline))?;
            asked.push(Asked { part, plan, thresholds });
        }
    }
    let host = Host::find(plan.netns(), None, deadline)?;
    let mut parts = measured(plan, &asked, &host)?;
    for part in plan.parts() {
        if let Err(reason) = &part.plan {
            let (measure, is_demanded) = (part.measure, part.is_asked);
            let missing = Some(reason.clone());
            let (kinds, stuck) = (Vec::new(), Vec::new());
            parts.push(Part { measure, report: None, missing, is_demanded, kinds, stuck });
        }
    }
    let place = |part: &Part| plan.parts().iter().position(|known| known.measure == part.measure);
    parts.sort_by_key(place);
    let mut all = whole(plan.clone(), &parts, deadline);
    all.parts = parts;
    Ok(all)
}

/// The report of all parts, still without them.
fn whole(plan: Plan, parts: &[Part], deadline: &Deadline) -> Report {
    let counted = Counted::default();
    let empty = &Thresholds::default();
    let mut whole = judge(plan, empty, Vec::new(), &counted, deadline);
    let mut sources: Vec<&str> = Vec::new();
    for report in parts.iter().filter_map(|part| part.report.as_ref()) {
        for source in report.source.split(", ").filter(|source| !source.is_empty()) {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        // The open files are of no network namespace.
        if report.coverage.read > whole.coverage.read {
            whole.coverage = report.coverage.clone();
        }
    }
    whole.source = sources.join(", ");
    whole
}

/// Reads everything, and judges each measure.
fn measured(plan: &Plan, asked: &[Asked], host: &Host) -> Result<Vec<Part>, Error> {
    let find = |measure| asked.iter().find(|asked: &&Asked| asked.part.measure == measure);
    let (walk, mut findings, failure) = walk(plan, asked, host)?;
    let ((accept, syn), ((buffers, ephemeral), (stuck, limits))) = walk;
    let unseen_unix = findings.unseen_unix.take();
    let with = |missing: Option<Missing>| missing.or_else(|| failure.clone());
    let mut parts = Vec::new();
    if let Some((asked, collected)) = find(Measure::AcceptQueue).zip(accept) {
        let (found, missing) = collected.into_collected();
        let is_demanded = asked.plan.selection().unix == UnixListeners::Required;
        let is_demanded = is_demanded && unseen_unix.is_some();
        let mut findings = findings.shared();
        findings.unseen_unix = unseen_unix;
        let counted = accept_queue::finish(found, findings, host);
        let mut part = asked.part(Ok(counted), with(missing), host)?;
        part.is_demanded |= is_demanded;
        parts.push(part);
    }
    if let Some((asked, collected)) = find(Measure::SynQueue).zip(syn) {
        let (found, missing) = collected.into_collected();
        let counted = syn_queue::finish(found, findings.shared(), &asked.scope());
        parts.push(asked.part(Ok(counted), with(missing), host)?);
    }
    if let Some((asked, collected)) = find(Measure::ReceiveBuffer).zip(buffers) {
        let (found, missing) = collected.into_collected();
        let counted = receive_buffer::finish(found, findings.shared(), host);
        parts.push(asked.part(Ok(counted), with(missing), host)?);
    }
    if let Some((asked, collected)) = find(Measure::EphemeralPorts).zip(ephemeral) {
        let (found, missing) = collected.into_collected();
        let counted = ephemeral_ports::finish(found, findings.shared(), &asked.scope());
        parts.push(asked.part(Ok(counted), with(missing), host)?);
    }
    if let Some((asked, collected)) = find(Measure::Stuck).zip(stuck) {
        let (found, missing) = collected.into_collected();
        parts.push(of_stuck(asked, found.into_collected(), &findings, with(missing), host)?);
    }
    if let Some(asked) = find(Measure::HostLimits) {
        let (mut limits, missing) = limits.into_collected();
        let counted = host_limits::of_host(host).map(|of_host| {
            limits.add_limits(&of_host);
            host_limits::groups(limits, findings.shared())
        });
        parts.push(asked.part(counted, with(missing), host)?);
    }
    if let Some(asked) = find(Measure::OpenFiles) {
        parts.push(of_files(asked, host)?);
    }
    Ok(parts)
}

/// The one walk for all measures. An error that leaves time for others is returned beside empty
/// collectors.
fn walk(
    plan: &Plan,
    asked: &[Asked],
    host: &Host,
) -> Result<(Walk, Findings, Option<Missing>), Error> {
    let collectors = || {
        let find = |measure| asked.iter().find(|asked: &&Asked| asked.part.measure == measure);
        let never = |_: &NetnsFacts| None;
        let accept = find(Measure::AcceptQueue).map(|asked| {
            let scope = asked.scope();
            Apart::new(scope.selection.clone(), never, accept_queue::collector(&scope))
        });
        let syn = find(Measure::SynQueue).map(|asked| {
            let scope = asked.scope();
            Apart::new(syn_queue::selection(&scope), never, syn_queue::collector(&scope))
        });
        let buffers = find(Measure::ReceiveBuffer).map(|asked| {
            let scope = asked.scope();
            Apart::new(scope.selection.clone(), never, receive_buffer::collector(&scope))
        });
        let unread = |facts: &NetnsFacts| facts.no_ports.clone();
        let ports = find(Measure::EphemeralPorts).map(|asked| {
            let scope = asked.scope();
            Apart::new(scope.selection.clone(), unread, ephemeral_ports::collector(&scope))
        });
        let stuck = find(Measure::Stuck).map(|asked| {
            let scope = asked.scope();
            let any_time = Selection { stuck: Vec::new(), ..scope.selection.clone() };
            let waits = Waits::new(GroupBy::Kind, &any_time);
            let counts = StuckCounts::new(scope.selection.stuck.clone(), waits);
            let collector = Attributed::new((counts, scope.breakdowns()));
            let kinds = StuckKind::USUAL.iter();
            let states: Vec<_> = kinds.flat_map(|kind| kind.states().iter().copied()).collect();
            let selection = Selection { statuses: Choice::of(&states), ..any_time };
            let unread =
                |facts: &NetnsFacts| facts.no_ports.clone().filter(|_| facts.listeners.is_none());
            Apart::new(selection, unread, collector)
        });
        let unread = |facts: &NetnsFacts| facts.no_limits.clone();
        let limits = Apart::new(Selection::default(), unread, Limits::default());
        ((accept, syn), ((buffers, ports), (stuck, limits)))
    };
    let mut selection = plan.selection().clone();
    // A connection in SYN_RECV may have another local address than its listener.
    selection.local_addresses = Among::default();
    let reads_unix = |asked: &Asked| asked.plan.selection().unix != UnixListeners::Unread;
    if asked.iter().any(reads_unix) {
        selection.unix = UnixListeners::WherePossible;
    }
    match host.survey(&selection, Facts::EVERY, collectors()) {
        Ok((walk, findings)) => Ok((walk, findings, None)),
        Err(error) if error.is_of_a_part() => {
            Ok((collectors(), Findings::default(), Some(Missing::of(&error))))
        }
        Err(error) => Err(error),
    }
}

impl Asked<'_> {
    /// Judges the measure.
    fn part(
        &self,
        counted: Result<Counted, Error>,
        missing: Option<Missing>,
        host: &Host,
    ) -> Result<Part, Error> {
        let judged = counted.and_then(|mut counted| {
            let plan = self.plan.clone();
            report(plan, &self.thresholds, &mut counted, &host.namespaces, None, host.deadline)
        });
        self.with_report(judged, missing)
    }

    /// The measure with its report, or with the reason why there is none.
    fn with_report(
        &self,
        judged: Result<Report, Error>,
        missing: Option<Missing>,
    ) -> Result<Part, Error> {
        let (report, missing) = match judged {
            Ok(report) => (Some(report), missing),
            Err(error) if error.is_final() => return Err(error),
            Err(error) => (None, Some(Missing::of(&error))),
        };
        let is_something = |report: &Report| missing.is_none() || report.found().next().is_some();
        let is_failure = missing.as_ref().is_some_and(|missing| missing.is_failure);
        let PlanPart { measure, is_asked, all_are_asked, is_silent, .. } = *self.part;
        let report = report.filter(is_something);
        // A key of one group is judged with its group, where there is one.
        let is_demanded = all_are_asked || is_asked && missing.is_some();
        Ok(Part {
            measure,
            report,
            missing: missing.map(|missing| missing.reason),
            is_demanded: !is_silent && (is_failure || is_demanded || self.plan.is_strict()),
            kinds: Vec::new(),
            stuck: Vec::new(),
        })
    }
}

/// Judges the open files of processes. Those of the host are among its limits.
fn of_files(asked: &Asked, host: &Host) -> Result<Part, Error> {
    let scope = asked.scope();
    let counted = tables::read(host.deadline).and_then(|mut tables| {
        tables.host = OfHost::Unlimited;
        tables.of_processes.retain(|table| table.limit > NO_FILES);
        open_files::groups(tables, &scope, host.deadline)
    });
    let mut part = asked.part(counted, None, host)?;
    if !asked.part.all_are_asked
        && let Some(report) = &mut part.report
    {
        // The message ends with the number of processes that cannot be seen.
        let unseen = report.groups.iter_mut().filter(|judged| judged.key.is_none());
        for judged in unseen.filter(|judged| judged.state == State::Unknown) {
            judged.state = State::Ok;
        }
    }
    Ok(part)
}

/// Judges the numbers of stuck connections.
fn of_stuck(
    asked: &Asked,
    (counts, breakdowns): (StuckCounts, Option<Breakdowns>),
    findings: &Findings,
    missing: Option<Missing>,
    host: &Host,
) -> Result<Part, Error> {
    let mut kinds: Vec<_> = counts.waits.groups.iter().collect();
    kinds.sort_unstable_by_key(|(group, _)| **group);
    let kinds = kinds.into_iter().map(|(group, longest)| {
        let mut named = NamedGroup::without_sockets(Some(*group), group.to_string().into());
        (named.count, named.wait) = (longest.count, Some(longest.wait));
        named
    });
    let kinds = Thresholds::default().judge(kinds.collect(), false);
    let found = named(asked, counts.piles, findings, host);
    let judged = found.and_then(|found| {
        let report = judged_counts(asked, found, findings, host);
        with_details(report, breakdowns, host)
    });
    let mut part = asked.with_report(judged, missing)?;
    if let Some(report) = &part.report {
        part.stuck = rows(asked, report);
        part.kinds = kinds;
    }
    Ok(part)
}

/// The connections of one program or unit, with one kind and port.
struct Owned {
    label: String,
    hidden: bool,
    kind: StuckKind,
    place: Place,
    number: Number,
}

/// The connections by program, or by unit where the processes cannot be seen. Owners are not searched
/// where no port has several connections, and none can alert: the search may take longer than all the
/// rest.
fn named(
    asked: &Asked,
    piles: HashMap<Pile, Number>,
    findings: &Findings,
    host: &Host,
) -> Result<Vec<Owned>, Error> {
    let sums = by_place(&piles);
    let may_alert = |((kind, _), number): (&(StuckKind, Place), &Number)| {
        let group = group(*kind, String::new(), false, *number);
        asked.thresholds.may_alert(&group)
    };
    let are_several = sums.values().any(|number| number.count + number.doubtful > 1);
    let wants_names = asked.plan.presentation().every_name || are_several;
    if !wants_names && !sums.iter().any(may_alert) {
        let sums = sums.into_iter();
        return Ok(sums
            .map(|((kind, place), number)| {
                let (label, hidden) = (kind.name().to_owned(), false);
                Owned { label, hidden, kind, place, number }
            })
            .collect());
    }
    let program = |pile: &Pile| Group::Program(pile.process.unwrap_or(0));
    let unit = |pile: &Pile| Group::Cgroup(pile.cgroup);
    let groups = piles.keys().flat_map(|pile| [program(pile), unit(pile)]);
    let need = Need { units: false, every_holder: false };
    let known = Names::default().with_listeners(findings.listeners());
    let names = Names::look_up(groups, need, &known, &host.namespaces, host.deadline)?;
    let mut sums: HashMap<(String, bool, StuckKind, Place), Number> = HashMap::new();
    for (pile, number) in piles {
        let is_seen = |group| !names.is_hidden(group);
        let of_unit = unit(&pile);
        let unit_is_seen = pile.cgroup.is_some() && names.knows_units() && is_seen(of_unit);
        let (owner, hidden) = match program(&pile) {
            program if pile.process.is_some_and(|key| key > 0) && is_seen(program) => {
                (program, false)
            }
            _ if unit_is_seen => (of_unit, false),
            program => (program, true),
        };
        let label = format!("{} {}", names.name(owner).label, pile.kind.name());
        sums.entry((label, hidden, pile.kind, pile.place)).or_default().add(number);
    }
    let sums = sums.into_iter();
    Ok(sums
        .map(|((label, hidden, kind, place), number)| Owned { label, hidden, kind, place, number })
        .collect())
}

fn group(kind: StuckKind, label: String, hidden: bool, number: Number) -> NamedGroup {
    let mut group = NamedGroup::without_sockets(Some(Group::Kind(kind)), label.into());
    (group.count, group.doubtful, group.hidden) = (number.count, number.doubtful, hidden);
    group
}

/// The report of these connections, the most first.
fn judged_counts(asked: &Asked, mut found: Vec<Owned>, findings: &Findings, host: &Host) -> Report {
    found.sort_unstable_by(|a, b| {
        let number = |owned: &Owned| (owned.number.count, owned.number.doubtful);
        let order = |owned: &Owned| (owned.kind, owned.place);
        number(b).cmp(&number(a)).then_with(|| order(a).cmp(&order(b))).then(a.label.cmp(&b.label))
    });
    let groups = found
        .iter()
        .map(|owned| group(owned.kind, owned.label.clone(), owned.hidden, owned.number))
        .collect();
    let counted = Counted { findings: findings.shared(), ..Counted::default() };
    let mut report = judge(asked.plan.clone(), &asked.thresholds, groups, &counted, host.deadline);
    for (judged, owned) in report.groups.iter_mut().zip(&found) {
        judged.wait = Some(owned.number.wait);
        judged.place = Some(owned.place);
    }
    report
}

/// The report with tables of the kinds that alert, where they are wanted.
fn with_details(
    mut report: Report,
    breakdowns: Option<Breakdowns>,
    host: &Host,
) -> Result<Report, Error> {
    let Some(breakdowns) = breakdowns else { return Ok(report) };
    let mut kinds: Vec<Group> = Vec::new();
    for group in report.explained().into_iter().filter_map(|judged| judged.group) {
        if !kinds.contains(&group) {
            kinds.push(group);
        }
    }
    let sums = breakdowns.sums(kinds.len(), |group| kinds.iter().position(|kind| *kind == group));
    let groups = details::groups(&sums, host.namespaces.are_several());
    let need = Need { units: false, every_holder: false };
    let names = Names::look_up(groups, need, &Names::default(), &host.namespaces, host.deadline);
    let details = names.map(|names| {
        let details = kinds.iter().zip(sums);
        details.map(|(kind, sum)| Detail::new(kind.to_string(), sum, &names)).collect()
    });
    let details = details.map(|details| report.details = details);
    or_without(&mut report, details)?;
    Ok(report)
}

/// The most connections that one program and port has of each kind, with the ranges.
fn rows(asked: &Asked, report: &Report) -> Vec<StuckRow> {
    let row = |kind: &StuckKind| {
        let of_kind = |judged: &&GroupState| judged.group == Some(Group::Kind(*kind));
        let counts = report.groups.iter().filter(of_kind).map(|judged| judged.count);
        let empty = group(*kind, String::new(), false, Number::default());
        StuckRow {
            kind: *kind,
            count: counts.max().unwrap_or(0),
            ranges: asked.thresholds.of(&empty),
        }
    };
    StuckKind::USUAL.iter().map(row).collect()
}
