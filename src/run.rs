//! The pipeline of a check. Each function takes a plan, reads the connections, and returns a
//! report, counts or a list.

mod exhaustion;
mod explained;
mod open_files;
mod reported;

use std::collections::HashSet;
use std::io::Read;
use std::time::Instant;

use crate::collect::columns::{Columns, ConnectionTable};
use crate::collect::connections::{Connection, Connections};
use crate::collect::counts::{Recorded, Table};
use crate::deadline::Deadline;
use crate::details::Detail;
use crate::error::Error;
use crate::field::Field;
use crate::judge::state::State;
use crate::measure::counted::{Counted, Scope};
use crate::named_group::NamedGroup;
use crate::namespaces::Namespaces;
use crate::owner::{self, Names, Need};
use crate::plan::Plan;
use crate::report::{List, Report};
use crate::run::reported::{add_expected, look_up_names, name_groups, or_without, report, scope};
use crate::source;
use crate::survey::{Facts, Findings, Host};

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
    if !plan.parts().is_empty() {
        let report = exhaustion::check(&plan, &deadline)?;
        return Ok(Report { duration: start.elapsed(), ..report });
    }
    let thresholds = plan.thresholds(&|name| owner::user_id(name, &deadline))?;
    let host = Host::find(plan.netns(), plan.source(), &deadline)?;
    let lengthy = plan.presentation().lengthy;
    let reads_again = plan.explains_later();
    let scope = Scope {
        lengthy: lengthy && !reads_again,
        every_holder: thresholds.ask_for_owners(),
        every_name: thresholds.ask_for_owners() || plan.presentation().every_name,
        ..scope(&plan)
    };
    let mut counted = (plan.definition().collect)(&host, &scope)?;
    let again = reads_again.then_some(&host);
    let mut report = report(plan, &thresholds, &mut counted, &host.namespaces, again, &deadline)?;
    let ports = add_ports(&mut report, &mut counted.findings, &host);
    or_without(&mut report, ports)?;
    if !report.plan.definition().refuses(Field::Netns) {
        report.netns_unasked = host.namespaces.named_others(&deadline);
    }
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
    let here = Namespaces::default();
    let mut report = report(plan, &thresholds, &mut counted, &here, None, &deadline)?;
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

/// The selected connections as columns, in the kernel's order: for a million of them.
///
/// ```
/// use network_connections::{Plan, Query, run};
///
/// let rows = run::table(&Plan::of_list(Query::default())?, &|| false)?.rows;
/// assert_eq!(rows.status.len(), rows.local_port.len());
/// # Ok::<(), network_connections::Error>(())
/// ```
pub fn table(plan: &Plan, interrupted: &dyn Fn() -> bool) -> Result<ConnectionTable, Error> {
    let deadline = Deadline::new(plan.timeout(), interrupted);
    let host = Host::find(plan.netns(), plan.source(), &deadline)?;
    let columns = Columns::new(&plan.selection().stuck);
    let (columns, findings) = host.survey(plan.selection(), Facts::NONE, columns)?;
    let owners = columns.owners(plan.asks_for_namespaces());
    let need = Need { units: false, every_holder: true };
    let known = Names::default().with_interfaces(findings.interfaces);
    let names = Names::look_up(owners, need, &known, &host.namespaces, &deadline)?;
    Ok(columns.named(&names))
}

/// For each key of the processes of a socket, the id of the process with the highest id that has the
/// socket, and its lowest descriptor of it.
#[doc(hidden)]
pub fn descriptors(
    plan: &Plan,
    keys: &[u64],
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<Option<(u32, i32)>>, Error> {
    owner::descriptors(keys, &Deadline::new(plan.timeout(), interrupted))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::{Check, Policy, Presentation, Query};
    use crate::group::GroupBy;
    use crate::judge::threshold::ThresholdSpec;
    use crate::report::MOST_UNASKED;

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
    fn of_many_groups_the_worst_and_the_largest_are_named() {
        let mut check = Check { policy: critical("3:"), ..Check::default() };
        check.query.group_by = Some(GroupBy::LocalPort);
        let connection = |port: u64| {
            let local = format!("192.0.2.1:{port}");
            format!(
                r#"{{"proto": "tcp", "status": "LISTEN", "local": "{local}", "remote": "0.0.0.0:0"}}"#
            )
        };
        // Port 1 has one connection, port 2 has two, and so on.
        let recorded: Vec<_> =
            (1..=30).flat_map(|port| (0..port).map(move |_| port)).map(connection).collect();
        let report = Plan::of_fixture(check).and_then(|plan| {
            fixture(plan, format!("[{}]", recorded.join(",")).as_bytes(), &|| false)
        });
        let report = report.unwrap_or_else(|e| panic!("{e}"));
        let counts: Vec<_> = report.groups.iter().map(|group| group.count).collect();
        assert_eq!(counts, [30, 29, 28, 27, 26, 25, 24, 23, 2, 1]);
        let every: Vec<_> = report.every_group().map(|group| (group.count, group.state)).collect();
        let state = |count| if count < 3 { State::Critical } else { State::Ok };
        assert_eq!(every, (1..=30).rev().map(|count| (count, state(count))).collect::<Vec<_>>());
        assert_eq!(report.counts().last(), Some(&("1".to_owned(), 1)));
        let line = crate::format::Format::Plugin.report(&report, "");
        let end = "23: 23, 2: 2 [CRITICAL], 1: 1 [CRITICAL], and 20 more|'groups'=30 'largest'=30 'total'=465";
        assert!(line.ends_with(end), "{line}");
        let json = crate::format::Format::Json.report(&report, "");
        assert!(
            json.contains(
                r#",{"count":3,"label":"3","state":0},{"count":2,"label":"2","state":2},"#
            ),
            "{json}"
        );
    }

    #[test]
    fn the_total_is_judged_where_a_key_asks_for_it() {
        let report = recorded(Check { policy: critical("total=2"), ..Check::default() });
        assert_eq!((report.total_state, report.state()), (Some(State::Critical), State::Critical));
    }

    #[test]
    fn tables_that_are_left_out_are_told() {
        let huge = |check: Check| {
            let presentation = Presentation { lengthy: true, ..check.presentation };
            let mut report = recorded(Check { presentation, ..check });
            report.details.clear();
            for largest in report.groups.iter_mut().take(1) {
                largest.most = MOST_UNASKED + 1;
            }
            report
        };
        let report = huge(Check::default());
        let told = "\n\nThe tables of the largest group are left out: it is fine, and has more than \
                    100000 connections.";
        let line = |report: &Report| crate::format::Format::Plugin.report(report, "");
        let unjudged = line(&report);
        assert!(
            unjudged.contains(&format!("{told} -w 0 adds those of every group.|")),
            "{unjudged}"
        );
        let report = huge(Check { policy: critical("5"), ..Check::default() });
        assert!(line(&report).contains(&format!("{told}|")));
    }

    #[test]
    fn an_alert_outlives_details_that_take_too_long() {
        let mut report = recorded(Check { policy: critical("0"), ..Check::default() });
        let late = or_without(&mut report, Err(Error::Timeout(Duration::from_secs(8))));
        assert!(late.is_ok());
        assert_eq!(report.state(), State::Critical);
        let line = crate::format::Format::Plugin.report(&report, "");
        assert!(line.contains("; details are missing: Timeout: no answer within 8 s"), "{line}");
        for (error, shown) in [
            (Error::Garbled("cut short".to_owned()), "; details are missing: cut short"),
            (Error::Memory, "; details are missing: Out of memory"),
        ] {
            assert!(or_without(&mut report, Err(error)).is_ok());
            let line = crate::format::Format::Plugin.report(&report, "");
            assert!(line.contains(shown), "{line}");
        }
        assert!(or_without(&mut report, Err(Error::Interrupted)).is_err());
    }
}
