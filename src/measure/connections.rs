//! `--measure=connections`: the number of connections of each group.

use std::collections::{BTreeMap, HashSet};

use crate::collect::breakdown::Aspect;
use crate::collect::counts::{CountMap, Grid, PortTable, ProcessKeys, Table};
use crate::collect::listeners::{Attributed, WAITING};
use crate::error::Error;
use crate::format::exposition::Page;
use crate::group::{Group, Kind, Needs};
use crate::measure::counted::{Counted, Scope};
use crate::measure::definition::{Definition, Reading, Series};
use crate::name::Named;
use crate::owner::Names;
use crate::range::Numbers;
use crate::selection::Selection;
use crate::source;
use crate::survey::{Facts, Host};
use crate::vocabulary::Protocol;

/// The largest count.
#[allow(clippy::cast_precision_loss)]
const MOST: f64 = u64::MAX as f64;

pub const DEFINITION: Definition = Definition {
    name: "connections",
    groups: "connections",
    implied: None,
    refused: &[],
    unreported: |_| None,
    of_fixture: true,
    reading: Reading::Count,
    numbers: Numbers { most: MOST, whole: true },
    of_reference: true,
    collect,
    nothing,
    aspect: Aspect::Peer,
    thresholds: [None, None],
    series,
};

/// Counts the selected connections in the table that suits their groups.
fn collect(host: &Host, scope: &Scope) -> Result<Counted, Error> {
    match scope.group_by.kind() {
        Kind::Fixed(group) => count(host, scope, Grid::new(group)),
        Kind::Port(end) => count(host, scope, PortTable::new(end)),
        Kind::Unbounded => count(host, scope, CountMap::new(scope.group_by)),
        Kind::Processes(group) => count_by_process(host, scope, group),
    }
}

/// The facts that owners and tables of peers need: connections that wait to be accepted belong to the
/// owner of their listener, and outgoing connections are shown with the ports that they use. Reading
/// the listeners takes another dump.
fn facts(scope: &Scope) -> Facts {
    let may_wait = || {
        source::INODES_ARE_REPORTED
            && scope.selection.types_of(Protocol::Tcp).next().is_some()
            && WAITING.iter().any(|status| scope.selection.statuses.contains(*status))
    };
    match scope.group_by.needs() {
        _ if scope.lengthy => Facts::Ports,
        Needs::Owner if may_wait() => Facts::Listeners,
        Needs::Owner | Needs::Nothing | Needs::Namespace | Needs::Ends | Needs::Cgroup => {
            Facts::None
        }
    }
}

fn count<T: Table + Send>(host: &Host, scope: &Scope, table: T) -> Result<Counted, Error> {
    let collector = Attributed::new((table, scope.breakdowns(DEFINITION.aspect)));
    let (collector, findings) = host.survey(scope.selection, facts(scope), collector)?;
    let (table, breakdowns) = collector.into_collected();
    Ok(Counted { groups: table.groups(), breakdowns, findings, ..Counted::default() })
}

fn count_by_process(
    host: &Host,
    scope: &Scope,
    group: fn(u64) -> Group,
) -> Result<Counted, Error> {
    let collector = (ProcessKeys::default(), scope.breakdowns(DEFINITION.aspect));
    let collector = Attributed::new(collector);
    let (collector, findings) = host.survey(scope.selection, facts(scope), collector)?;
    let (table, breakdowns) = collector.into_collected();
    let ProcessKeys { mut keys, without, cgroups, .. } = table;
    keys.sort_unstable();
    let cgroups = if scope.every_holder { HashSet::new() } else { cgroups };
    let known = Names::default().with_listeners(findings.listeners());
    let names = known.of_processes(keys.clone(), cgroups, host.deadline)?;
    let mut groups: Vec<_> =
        names.by_process(&keys).into_iter().map(|(key, count)| (group(key), count)).collect();
    groups.extend((without > 0).then_some((group(0), without)));
    Ok(Counted { groups, breakdowns, names, findings, ..Counted::default() })
}

fn nothing(selection: &Selection) -> String {
    format!(
        "No connections of type \"{}\" in status \"{}\"{} found.",
        selection.types.label(),
        selection.statuses.label(),
        selection.ends(),
    )
}

/// A series for every group of a fixed kind. Other kinds have series for their number of groups and
/// for the largest group.
fn series(page: &mut Page, series: &Series) {
    if series.group_by.is_fixed() {
        let expected = series.group_by.expected(series.selection);
        let mut counts: BTreeMap<_, _> = expected.into_iter().map(|group| (group, 0)).collect();
        counts.extend(series.groups.iter().filter_map(|g| Some((g.group?, g.count))));
        page.head("", "gauge", "Sockets.");
        for (group, count) in counts {
            if let Some(labels) = labels(group) {
                page.sample("", &labels, count);
            }
        }
    } else {
        let largest = series.groups.first().map_or(0, |group| group.count);
        page.gauge("_groups", "Groups of sockets.", series.found().count());
        page.gauge("_largest", "Sockets in the largest group.", largest);
    }
}

/// The labels of a series; `None` for kinds with too many groups.
fn labels(group: Group) -> Option<Vec<(&'static str, &'static str)>> {
    match group {
        Group::TypeStatus(t, status) => Some(vec![("type", t.name()), ("state", status.name())]),
        Group::Type(t) => Some(vec![("type", t.name())]),
        Group::Status(status) => Some(vec![("state", status.name())]),
        Group::Port(_)
        | Group::Address(_)
        | Group::Endpoint(_)
        | Group::User(_)
        | Group::Cgroup(_)
        | Group::Process(_)
        | Group::Program(_)
        | Group::Netns(_) => None,
    }
}
