//! The pipeline of a check. Each function takes a plan, reads the connections, and returns a
//! report, counts or a list.

mod open_files;

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::collect::breakdown::{Breakdowns, Owners};
use crate::collect::connections::{Connection, Connections};
use crate::collect::counts::{Recorded, Table};
use crate::deadline::Deadline;
use crate::details::{self, Detail};
use crate::error::Error;
use crate::group::Group;
use crate::group_name::{GroupName, NETNS_SEPARATOR};
use crate::judge::state::State;
use crate::judge::{GroupState, Thresholds};
use crate::measure::counted::{Counted, Scope};
use crate::name::Named;
use crate::named_group::{NamedGroup, named_groups};
use crate::namespaces::Namespaces;
use crate::owner::{self, Names, Need, Unseen};
use crate::plan::Plan;
use crate::report::{LimitRow, List, Report};
use crate::source;
use crate::survey::{Facts, Findings, Host};
use crate::vocabulary::SourceName;

/// Counts this host's connections and judges them. `interrupted` returns whether the caller wants
/// to stop.
///
/// ```
/// use network_connections::{Check, Plan, run};
///
/// let plan = Plan::new(Check::default())?;
/// let report = run::check(plan, &|| false)?;
/// assert_eq!(report.total, report.groups.iter().map(|group| group.count).sum::<u64>());
/// # Ok::<(), network_connections::Error>(())
/// ```
pub fn check(plan: Plan, interrupted: &dyn Fn() -> bool) -> Result<Report, Error> {
    let start = Instant::now();
    let deadline = Deadline::new(plan.timeout(), interrupted);
    let thresholds = plan.thresholds(&|name| owner::user_id(name, &deadline))?;
    let host = Host::find(plan.netns(), plan.source(), &deadline)?;
    let scope = Scope {
        lengthy: plan.presentation().lengthy,
        every_holder: thresholds.ask_for_owners(),
        every_name: thresholds.ask_for_owners() || plan.presentation().every_name,
        ..scope(&plan)
    };
    let mut counted = (plan.definition().collect)(&host, &scope)?;
    let mut report = report(plan, &thresholds, &mut counted, &host.namespaces, &deadline)?;
    let ports = add_ports(&mut report, &mut counted.findings, &host);
    or_without(&mut report, ports)?;
    report.duration = start.elapsed();
    Ok(report)
}

/// Judges a recorded list of connections.
///
/// ```
/// use network_connections::{Check, Plan, run};
///
/// let recorded = r#"[{"proto": "tcp", "status": "LISTEN"}, {"proto": "udp", "status": "NONE"}]"#;
/// let plan = Plan::of_fixture(Check::default())?;
/// let report = run::fixture(plan, recorded.as_bytes(), &|| false)?;
/// assert_eq!(report.total, 2);
/// # Ok::<(), network_connections::Error>(())
/// ```
pub fn fixture(
    plan: Plan,
    text: impl Read,
    interrupted: &dyn Fn() -> bool,
) -> Result<Report, Error> {
    let start = Instant::now();
    let deadline = Deadline::new(plan.timeout(), interrupted);
    let thresholds = plan.thresholds(&|name| owner::user_id(name, &deadline))?;
    let scope = Scope { lengthy: plan.presentation().lengthy, ..scope(&plan) };
    let breakdowns = scope.breakdowns();
    let mut collector = (Recorded::new(plan.group_by()), breakdowns);
    source::fixture::read(text, plan.selection(), &deadline, &mut collector)?;
    let (table, breakdowns) = collector;
    let mut counted = Counted { groups: table.groups(), breakdowns, ..Counted::default() };
    let mut report = report(plan, &thresholds, &mut counted, &Namespaces::default(), &deadline)?;
    "fixture".clone_into(&mut report.source);
    report.duration = start.elapsed();
    Ok(report)
}

/// Counts this host's connections per group. The largest group comes first.
///
/// ```
/// use network_connections::{Check, Plan, run};
///
/// let groups = run::counts(&Plan::new(Check::default())?, &|| false)?;
/// assert!(groups.is_sorted_by(|one, next| one.count >= next.count));
/// # Ok::<(), network_connections::Error>(())
/// ```
pub fn counts(plan: &Plan, interrupted: &dyn Fn() -> bool) -> Result<Vec<NamedGroup>, Error> {
    let deadline = Deadline::new(plan.timeout(), interrupted);
    let host = Host::find(plan.netns(), plan.source(), &deadline)?;
    let mut counted = (plan.definition().collect)(&host, &scope(plan))?;
    add_expected(plan, &mut counted);
    let names = look_up_names(&mut counted, &host.namespaces, &deadline)?;
    Ok(name_groups(plan, &counted, &names, &host.namespaces))
}

/// Lists the selected connections in the kernel's order. With `processes`, each connection also has
/// the processes that hold its socket. On Linux, the run then reads `/proc/PID/fd` of every
/// process.
///
/// ```
/// use network_connections::{Plan, Query, run};
///
/// for connection in run::connections(&Plan::of_list(Query::default())?, false, &|| false)? {
///     assert!(connection.processes.is_none());
/// }
/// # Ok::<(), network_connections::Error>(())
/// ```
pub fn connections(
    plan: &Plan,
    processes: bool,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<Connection>, Error> {
    Ok(listed(plan, processes, None, interrupted)?.connections)
}

/// The selected connections that have been stuck the longest, with the processes that hold their
/// sockets: at most as many as the plan shows groups, or 20.
///
/// ```
/// use network_connections::{Plan, Query, run};
///
/// let list = run::longest(&Plan::of_list(Query::default())?, 20, &|| false)?;
/// assert!(list.connections.len() <= 20 && list.connections.len() as u64 <= list.total);
/// # Ok::<(), network_connections::Error>(())
/// ```
pub fn longest(plan: &Plan, most: usize, interrupted: &dyn Fn() -> bool) -> Result<List, Error> {
    listed(plan, true, Some(most), interrupted)
}

fn listed(
    plan: &Plan,
    processes: bool,
    most: Option<usize>,
    interrupted: &dyn Fn() -> bool,
) -> Result<List, Error> {
    let deadline = Deadline::new(plan.timeout(), interrupted);
    let host = Host::find(plan.netns(), plan.source(), &deadline)?;
    let connections = Connections::new(&plan.selection().stuck, most);
    let (connections, findings) = host.survey(plan.selection(), Facts::NONE, connections)?;
    let (total, coverage) = (connections.total, findings.coverage.clone());
    let owners = connections.owners(processes, plan.asks_for_namespaces());
    let need = Need { units: false, every_holder: true };
    let known = Names::default().with_interfaces(findings.interfaces);
    let names = Names::look_up(owners, need, &known, &host.namespaces, &deadline)?;
    Ok(List { connections: connections.named(processes, &names), total, coverage })
}

/// The input of the plan's measure. Owners and peers are left out: a caller that needs them sets
/// `lengthy`.
fn scope(plan: &Plan) -> Scope<'_> {
    Scope {
        selection: plan.selection(),
        group_by: plan.group_by(),
        aspect: plan.aspect(),
        lengthy: false,
        every_holder: false,
        every_name: true,
    }
}

/// Looks up the names of the groups, judges the groups, and adds the details.
fn report(
    plan: Plan,
    thresholds: &Thresholds,
    counted: &mut Counted,
    namespaces: &Namespaces,
    deadline: &Deadline,
) -> Result<Report, Error> {
    add_expected(&plan, counted);
    let names = look_up_names(counted, namespaces, deadline)?;
    let mut groups = name_groups(&plan, counted, &names, namespaces);
    name_places(&mut groups, counted, namespaces, deadline)?;
    let mut report = judge(plan, thresholds, groups, counted, deadline);
    if let Some(tables) = counted.tables.take() {
        let needed = owner::needed(Unseen::Files, deadline);
        report.unseen_files = tables.note(needed.as_deref());
        if report.plan.presentation().lengthy {
            let explained = open_files::explain(&report, &tables, &names, deadline);
            let explained = explained.map(|found| (report.details, report.stateless) = found);
            or_without(&mut report, explained)?;
        }
        if names.have_ids_as_labels() {
            let printed = open_files::name_printed(&mut report, &tables, deadline);
            or_without(&mut report, printed)?;
        }
    }
    if let Some(breakdowns) = counted.breakdowns.take() {
        let explained = explain(&report, breakdowns, &names, namespaces, deadline);
        let explained = explained.map(|details| report.details = details);
        or_without(&mut report, explained)?;
    }
    Ok(report)
}

/// Adds expected groups without connections, if the plan asks for them.
fn add_expected(plan: &Plan, counted: &mut Counted) {
    if plan.zero() {
        counted.add_missing(plan.group_by().expected(plan.selection()));
    }
}

/// Looks up the names of all groups. Takes over the names that were looked up already.
fn look_up_names(
    counted: &mut Counted,
    namespaces: &Namespaces,
    deadline: &Deadline,
) -> Result<Names, Error> {
    let interfaces = std::mem::take(&mut counted.findings.interfaces);
    let known = std::mem::take(&mut counted.names)
        .with_interfaces(interfaces)
        .with_listeners(counted.findings.listeners());
    let need = Need { units: true, every_holder: true };
    let groups = counted.groups.iter().map(|(group, _)| *group);
    Names::look_up(groups, need, &known, namespaces, deadline)
}

/// The groups with their names, the largest first.
fn name_groups(
    plan: &Plan,
    counted: &Counted,
    names: &Names,
    namespaces: &Namespaces,
) -> Vec<NamedGroup> {
    let merged = plan.group_by().is_merged(namespaces.are_several());
    named_groups(merged, &counted.groups, &counted.values, names)
}

/// The reason why the number of taken ports is not certain.
const BOUND_FIRST: &str = "the system does not report the ports that programs have bound before they \
     connected";
/// Adds the namespaces in which limits are fullest to the names of the limits, where several are read.
fn name_places(
    groups: &mut [NamedGroup],
    counted: &Counted,
    namespaces: &Namespaces,
    deadline: &Deadline,
) -> Result<(), Error> {
    if counted.places.is_empty() || !namespaces.are_several() {
        return Ok(());
    }
    let names = namespaces.names(&counted.places.values().copied().collect(), deadline)?;
    for group in groups {
        if let Some(Group::Limit(limit)) = group.group
            && let Some(netns) = counted.places.get(&limit).and_then(|netns| names.get(netns))
        {
            let label = format!("{}{NETNS_SEPARATOR}{}", limit.name(), netns.label);
            group.name = GroupName { label, interface: None, netns: Some(Arc::clone(netns)) };
        }
    }
    Ok(())
}

/// The limits that were found, with their ranges.
fn limit_rows(groups: &[NamedGroup], thresholds: &Thresholds) -> Vec<LimitRow> {
    let row = |group: &NamedGroup| match group.group {
        Some(Group::Limit(limit)) => Some(LimitRow {
            limit,
            used: group.count,
            share: group.share?,
            netns: group.name.netns.as_ref().map(|netns| netns.label.to_string()),
            ranges: thresholds.of(group),
        }),
        _ => None,
    };
    groups.iter().filter_map(row).collect()
}

/// Judges the groups and their total. The details are not filled in yet.
fn judge(
    plan: Plan,
    thresholds: &Thresholds,
    groups: Vec<NamedGroup>,
    counted: &Counted,
    deadline: &Deadline,
) -> Report {
    let Findings { sources, coverage, unseen_unix, .. } = &counted.findings;
    // The number of unseen processes is told with the reason, and that of a process in an unseen unit
    // is known.
    let is_told = counted.tables.is_some()
        && !groups.iter().any(|group| group.hidden && group.share.is_some());
    let some_skipped = coverage.skipped > 0;
    let sum = || groups.iter().map(|group| group.count).sum();
    let total = counted.total.unwrap_or_else(sum);
    let most = total + groups.iter().map(|group| group.doubtful).sum::<u64>();
    let fullest = groups.first().filter(|group| group.share.is_some() || group.wait.is_some());
    // Where nothing is found, the graph keeps the ranges of all groups.
    let limits = fullest.map_or_else(|| thresholds.without_keys(), |one| thresholds.of(one));
    let host_is_unseen =
        groups.iter().any(|g| g.name.netns.as_ref().is_some_and(|n| n.may_be_host));
    let unseen = if host_is_unseen { Some(Unseen::HostNetns) } else { Unseen::of(plan.group_by()) };
    let is_denied = groups.iter().any(|group| group.hidden && owner::is_denied(group.label()));
    let limit_rows = limit_rows(&groups, thresholds);
    let mut groups = thresholds.judge(groups, some_skipped);
    let unseen_limits = counted.unseen_limits.clone();
    thresholds.doubt(&mut groups, unseen_limits.iter().copied().map(Group::Limit));
    let mut unclear = groups.iter().filter(|group| group.state == State::Unknown).peekable();
    let ports = |group: &GroupState| matches!(group.group, Some(Group::Ports(..)));
    Report {
        unseen_unix: unseen_unix.as_ref().map(ToString::to_string),
        unseen_files: None,
        stateless: None,
        unclear: match unseen {
            _ if is_told => None,
            Some(unseen) if unclear.peek().is_some() => {
                Some(owner::unseen_message(unseen, deadline))
            }
            Some(unseen) if is_denied => owner::denial(unseen, deadline),
            Some(_) => None,
            None => unclear.any(ports).then(|| BOUND_FIRST.to_owned()),
        },
        plan,
        groups,
        total,
        most,
        total_state: thresholds.judge_total(total, most, some_skipped),
        limits,
        details: Vec::new(),
        limit_rows,
        unseen_limits,
        missing_details: None,
        ephemeral: counted.findings.ephemeral(),
        host_drops: counted.host_drops,
        source: SourceName::join(sources),
        coverage: coverage.clone(),
        duration: Duration::ZERO,
    }
}

/// Returns the details (owners and peers) of the groups in `Report::explained`. `names` has the
/// names of the groups; this function looks up the names of the owners and peers.
fn explain(
    report: &Report,
    breakdowns: Breakdowns,
    names: &Names,
    namespaces: &Namespaces,
    deadline: &Deadline,
) -> Result<Vec<Detail>, Error> {
    let explained = report.explained();
    let places: HashMap<&str, usize> =
        explained.iter().enumerate().map(|(place, group)| (&*group.label, place)).collect();
    let place = |group| places.get(&*names.name(group).label).copied();
    let sums = breakdowns.sums(explained.len(), place);
    let groups = details::groups(&sums, namespaces.are_several());
    let need = Need { units: false, every_holder: false };
    let names = Names::look_up(groups, need, names, namespaces, deadline)?;
    let is_unix = |group: &GroupState| matches!(group.group, Some(Group::Unix(_)));
    let unix = explained.iter().zip(&sums).filter(|(group, _)| is_unix(group));
    let keys = unix.flat_map(|(_, sum)| sum.owners.keys().filter_map(Owners::process));
    let names = names.with_process_units(keys, deadline)?;
    let detail = |(group, sum): (&GroupState, _)| Detail::new(group.label.clone(), sum, &names);
    Ok(explained.into_iter().zip(sums).map(detail).collect())
}

/// Adds to each shown peer the number of ephemeral ports in use towards it. A second dump counts
/// these ports: connections in any status use ports, but the groups may have connections in one
/// status only. Where the ports are slow to read, an OK report is left without them.
fn add_ports(report: &mut Report, findings: &mut Findings, host: &Host) -> Result<(), Error> {
    if !source::PORTS_ARE_AT_HAND && report.state() == State::Ok {
        return Ok(());
    }
    let destinations: HashSet<_> = report.details.iter().flat_map(Detail::destinations).collect();
    if destinations.is_empty() {
        return Ok(());
    }
    host.read_ephemeral(findings)?;
    let known = host.used_ports(&destinations, findings)?;
    for detail in &mut report.details {
        detail.set_ports(&known);
    }
    Ok(())
}

/// Keeps a report whose details took too long: an alert is worth more than its details. Any other
/// error ends the run.
fn or_without(report: &mut Report, details: Result<(), Error>) -> Result<(), Error> {
    match details {
        Err(error @ Error::Timeout(_)) => {
            report.missing_details = Some(error.to_string());
            Ok(())
        }
        details => details,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Check, Policy, Presentation, Query};
    use crate::group::GroupBy;
    use crate::judge::threshold::ThresholdSpec;

    const RECORDED: &str = r#"[
        {"proto": "tcp", "status": "LISTEN", "local": "[::]:443", "remote": "[::]:0"},
        {"proto": "tcp", "status": "CLOSE_WAIT", "local": "192.0.2.1:443", "remote": "192.0.2.7:5"},
        {"proto": "udp", "status": "NONE", "local": "0.0.0.0:53", "remote": "0.0.0.0:0"}
    ]"#;

    fn recorded(check: Check) -> Report {
        let report =
            Plan::of_fixture(check).and_then(|plan| fixture(plan, RECORDED.as_bytes(), &|| false));
        report.unwrap_or_else(|e| panic!("{e}"))
    }

    fn groups(report: &Report) -> Vec<(&str, u64, State)> {
        report.groups.iter().map(|group| (&*group.label, group.count, group.state)).collect()
    }

    fn critical(text: &str) -> Policy {
        let critical = ThresholdSpec::parse(text).unwrap_or_else(|e| panic!("{e}"));
        Policy { critical: Some(critical), ..Policy::default() }
    }

    #[test]
    fn groups_are_counted_named_and_judged() {
        let report = recorded(Check { policy: critical("CLOSE_WAIT=0"), ..Check::default() });
        assert_eq!(
            groups(&report),
            [
                ("tcp_LISTEN", 1, State::Ok),
                ("tcp_CLOSE_WAIT", 1, State::Critical),
                ("udp_NONE", 1, State::Ok)
            ]
        );
        assert_eq!((report.total, report.total_state, report.state()), (3, None, State::Critical));
        assert_eq!((&*report.source, report.details.len()), ("fixture", 0));
    }

    #[test]
    fn expected_groups_without_connections_are_reported_as_0_where_asked_for() {
        let query = Query { group_by: Some(GroupBy::Type), zero: true, ..Query::default() };
        let report = recorded(Check { query, policy: critical("tcp6=1:"), ..Check::default() });
        assert_eq!(
            groups(&report),
            [
                ("tcp", 2, State::Ok),
                ("udp", 1, State::Ok),
                ("tcp6", 0, State::Critical),
                ("udp6", 0, State::Ok)
            ]
        );
    }

    #[test]
    fn groups_in_alert_state_or_the_largest_group_have_details() {
        let labels = |text: &str| -> Vec<(String, usize)> {
            let query = Query { group_by: Some(GroupBy::LocalPort), ..Query::default() };
            let presentation = Presentation { lengthy: true, ..Presentation::default() };
            let report = recorded(Check { query, policy: critical(text), presentation });
            let details = report.details.iter();
            details.map(|detail| (detail.label.clone(), detail.peers.len())).collect()
        };
        assert_eq!(labels("5"), [("443".to_owned(), 1)]);
        assert_eq!(labels("53=0"), [("53".to_owned(), 0)]);
        assert_eq!(labels("0"), [("443".to_owned(), 1), ("53".to_owned(), 0)]);
    }

    #[test]
    fn the_total_is_judged_where_a_key_asks_for_it() {
        let report = recorded(Check { policy: critical("total=2"), ..Check::default() });
        assert_eq!((report.total_state, report.state()), (Some(State::Critical), State::Critical));
    }

    #[test]
    fn an_alert_outlives_details_that_take_too_long() {
        let mut report = recorded(Check { policy: critical("0"), ..Check::default() });
        let late = or_without(&mut report, Err(Error::Timeout(Duration::from_secs(8))));
        assert!(late.is_ok());
        assert_eq!(report.state(), State::Critical);
        let line = crate::format::Format::Plugin.report(&report, "");
        assert!(line.contains("; details are missing: Timeout: no answer within 8 s"), "{line}");
        let unreadable = Err(Error::Garbled("cut short".to_owned()));
        assert!(or_without(&mut report, unreadable).is_err());
        assert!(or_without(&mut report, Err(Error::Interrupted)).is_err());
    }
}
