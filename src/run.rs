//! The way of a check, from top to bottom. Only here are sources and owners asked.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::time::{Duration, Instant};

use crate::check::{Check, Question};
use crate::collect::Collector;
use crate::collect::connections::{Connection, Connections};
use crate::collect::counts::{Grid, Map, PortTable, Recorded, Table};
use crate::collect::details::Details;
use crate::collect::ports::{LocalPorts, UsedPorts};
use crate::deadline::Deadline;
use crate::details::{self, Detail};
use crate::error::Error;
use crate::group::{Group, GroupBy, Kind};
use crate::judge::Limits;
use crate::judge::state::State;
use crate::judge::threshold::{Place, Thresholds};
use crate::labelled::{Labelled, labelled};
use crate::owner::{self, Names};
use crate::report::Report;
use crate::selection::{Choice, Network, Ports, Selection};
use crate::source;
use crate::vocabulary::{ConnectionStatus, ConnectionType, SourceName};

/// Counts this host's connections and judges them. `interrupted` says whether the caller wants to
/// stop.
pub fn check(check: Check, interrupted: &dyn Fn() -> bool) -> Result<Report, Error> {
    let start = Instant::now();
    let deadline = Deadline::new(check.question.timeout, interrupted);
    let limits = limits(&check, true, &deadline)?;
    let details = if check.presentation.lengthy {
        let listening = listening(check.question.source, &deadline)?;
        Some(Details::new(check.question.group_by, Some(listening)))
    } else {
        None
    };
    let counted = count(&check.question, details, &deadline)?;
    let mut report = report(check, &limits, counted, &deadline)?;
    if report.check.presentation.lengthy {
        fill_in_ports(&mut report.details, report.check.question.source, &deadline)?;
    }
    report.duration = start.elapsed();
    Ok(report)
}

/// Judges the connections of a fixture.
pub fn fixture(
    check: Check,
    text: impl Read,
    interrupted: &dyn Fn() -> bool,
) -> Result<Report, Error> {
    let start = Instant::now();
    let deadline = Deadline::new(check.question.timeout, interrupted);
    let limits = limits(&check, false, &deadline)?;
    let by = check.question.group_by;
    let details = check.presentation.lengthy.then(|| Details::new(by, None));
    let mut collected = (Recorded::new(by), details);
    source::fixture::read(text, &check.question.selection, &deadline, &mut collected)?;
    let (table, details) = collected;
    let source = "fixture".to_owned();
    let counted = Counted { groups: table.groups(), details, source };
    let mut report = report(check, &limits, counted, &deadline)?;
    report.duration = start.elapsed();
    Ok(report)
}

/// Counts this host's connections per group, the largest first.
pub fn counts(question: &Question, interrupted: &dyn Fn() -> bool) -> Result<Vec<Labelled>, Error> {
    let deadline = Deadline::new(question.timeout, interrupted);
    let counted = count(question, None, &deadline)?;
    let groups = with_zeros(question, counted.groups);
    let names = Names::look_up(keys(&groups), false, &deadline)?;
    Ok(labelled(question.group_by, groups, &names))
}

/// The selected connections themselves, in the kernel's order. `processes` asks for the processes
/// that have them too, which reads all of `/proc/PID/fd`.
pub fn connections(
    question: &Question,
    processes: bool,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<Connection>, Error> {
    let deadline = Deadline::new(question.timeout, interrupted);
    let (connections, _) = collect(question, Connections::default(), &deadline)?;
    let names = Names::look_up(connections.owners(processes), true, &deadline)?;
    Ok(connections.named(processes, &names))
}

/// What the thresholds mean here; `live` where it is this system that is asked.
fn limits(check: &Check, live: bool, deadline: &Deadline) -> Result<Limits, Error> {
    let Question { group_by: by, selection, .. } = &check.question;
    let user_id = |name: &str| owner::user_id(name, deadline);
    let place = Place { by: *by, selection, live, user_id: &user_id };
    let resolved = |thresholds: &Option<Thresholds>| {
        thresholds.as_ref().map(|thresholds| thresholds.resolved(&place)).transpose()
    };
    // Where both are wrong the critical one is named.
    let critical = resolved(&check.judgement.critical)?;
    Ok(Limits { critical, warning: resolved(&check.judgement.warning)? })
}

/// What a dump gave.
struct Counted {
    groups: Vec<(Group, u64)>,
    details: Option<Details>,
    source: String,
}

/// Counts the selected connections in the table that suits their groups.
fn count(
    question: &Question,
    details: Option<Details>,
    deadline: &Deadline,
) -> Result<Counted, Error> {
    fn by<T: Table>(
        table: T,
        question: &Question,
        details: Option<Details>,
        deadline: &Deadline,
    ) -> Result<Counted, Error> {
        let ((table, details), source) = collect(question, (table, details), deadline)?;
        Ok(Counted { groups: table.groups(), details, source })
    }
    match question.group_by.kind() {
        Kind::Fixed(group) => by(Grid::new(group), question, details, deadline),
        Kind::Port(end) => by(PortTable::new(end), question, details, deadline),
        Kind::Open => by(Map::new(question.group_by), question, details, deadline),
    }
}

/// What a collector collects of the selected connections, and who answered.
fn collect<C: Collector>(
    question: &Question,
    mut collector: C,
    deadline: &Deadline,
) -> Result<(C, String), Error> {
    // Also where no connection is there to show it.
    if let (GroupBy::Unit, Some(source @ (SourceName::Procfs | SourceName::Netstat2))) =
        (question.group_by, question.source)
    {
        return Err(Error::Unsupported(format!(
            "The source {source} does not tell the units of sockets (valid: auto, netlink)"
        )));
    }
    let sources = source::collect(&question.selection, question.source, deadline, &mut collector)?;
    Ok((collector, SourceName::join(&sources)))
}

/// Names, labels, judges and explains what was counted.
fn report(
    check: Check,
    limits: &Limits,
    counted: Counted,
    deadline: &Deadline,
) -> Result<Report, Error> {
    let groups = with_zeros(&check.question, counted.groups);
    let names = Names::look_up(keys(&groups), false, deadline)?;
    let labelled = labelled(check.question.group_by, groups, &names);
    let total = labelled.iter().map(|labelled| labelled.count).sum();
    let groups = limits.judge(labelled);
    let unclear = groups.iter().any(|judged| judged.state == State::Unknown);
    let mut report = Report {
        unseen: unclear.then(|| owner::unseen(check.question.group_by)).flatten(),
        check,
        groups,
        total,
        total_state: limits.judge_total(total),
        details: Vec::new(),
        source: counted.source,
        duration: Duration::ZERO,
    };
    if let Some(details) = counted.details {
        report.details = explained(report.explained(), details, &names, deadline)?;
    }
    Ok(report)
}

/// The groups that were found and, where they are asked for, those without connections.
fn with_zeros(question: &Question, mut groups: Vec<(Group, u64)>) -> Vec<(Group, u64)> {
    if question.zero {
        let mut missing = question.group_by.expected(&question.selection);
        missing.retain(|group| groups.iter().all(|(found, _)| found != group));
        groups.extend(missing.into_iter().map(|group| (group, 0)));
    }
    groups
}

fn keys(groups: &[(Group, u64)]) -> impl Iterator<Item = Group> {
    groups.iter().map(|(group, _)| *group)
}

/// What the groups with these labels consist of. `names` has the labels of groups.
fn explained(
    labels: Vec<String>,
    details: Details,
    names: &Names,
    deadline: &Deadline,
) -> Result<Vec<Detail>, Error> {
    let places: HashMap<&str, usize> =
        labels.iter().enumerate().map(|(place, label)| (label.as_str(), place)).collect();
    let parts =
        details.parts(labels.len(), |group| places.get(names.label(group).as_str()).copied());
    let names = Names::look_up(details::groups(&parts), true, deadline)?;
    let details = labels.into_iter().zip(parts);
    Ok(details.map(|(label, parts)| Detail::new(label, parts, &names)).collect())
}

const TCP: [ConnectionType; 2] = [ConnectionType::Tcp, ConnectionType::Tcp6];

/// The local ports that somebody listens on.
fn listening(choice: Option<SourceName>, deadline: &Deadline) -> Result<HashSet<u16>, Error> {
    let selection = Selection {
        types: Choice::of(&TCP),
        statuses: Choice::of(&[ConnectionStatus::Listen]),
        ..Selection::default()
    };
    let mut ports = LocalPorts::default();
    source::collect(&selection, choice, deadline, &mut ports)?;
    Ok(ports.0)
}

/// Fills in how much of the ephemeral port range is in use towards the peers that are shown.
///
/// That takes another, filtered dump: what is in use is in use in whatever state, and a table may be
/// of one state alone.
fn fill_in_ports(
    details: &mut [Detail],
    choice: Option<SourceName>,
    deadline: &Deadline,
) -> Result<(), Error> {
    let Some(range) = source::ephemeral_ports() else {
        return Ok(());
    };
    let destinations: HashSet<_> = details.iter().flat_map(Detail::destinations).collect();
    if destinations.is_empty() {
        return Ok(());
    }
    let selection = Selection {
        types: Choice::of(&TCP),
        remote_addresses: destinations
            .iter()
            .map(|(address, _)| Network::of(address.ip()))
            .collect(),
        remote_ports: destinations.iter().map(|(_, port)| Ports::of(*port)).collect(),
        ..Selection::default()
    };
    let mut used = UsedPorts::new(range);
    source::collect(&selection, choice, deadline, &mut used)?;
    let used = used.by_destination();
    for detail in details {
        detail.fill_in(&used, range.count());
    }
    Ok(())
}
