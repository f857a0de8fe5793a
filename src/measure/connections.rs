//! `--measure=connections`: the number of connections of each group.

use std::collections::{BTreeMap, HashSet};

use crate::collect::breakdown::Aspect;
use crate::collect::certain::Certain;
use crate::collect::directions::DirectionTable;
use crate::collect::counts::{CountMap, Grid, PortTable, ProcessKeys, Table};
use crate::collect::listeners::Attributed;
use crate::error::Error;
use crate::format::exposition::Page;
use crate::group::{Group, Kind};
use crate::measure::counted::{Counted, Scope};
use crate::measure::definition::{Definition, Reading, Series};
use crate::name::Named;
use crate::owner::Names;
use crate::range::Numbers;
use crate::selection::Selection;
use crate::survey::Host;
use crate::vocabulary::{Direction, NEITHER};

/// The largest count.
#[allow(clippy::cast_precision_loss)]
const MOST: f64 = u64::MAX as f64;

pub const DEFINITION: Definition = Definition {
    name: "connections",
    groups: "connections",
    implied: None,
    has_groups_by: |kind| kind.is_counted(),
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
        Kind::Directions => count(host, scope, DirectionTable::default()),
        Kind::Port(end) => count(host, scope, PortTable::new(end)),
        Kind::Unbounded => count(host, scope, CountMap::new(scope.group_by)),
        Kind::Processes(group) => count_by_process(host, scope, group),
        // A plan refuses it.
        Kind::Stuck | Kind::Limits => Err(Error::Internal("kinds are not counted".to_owned())),
    }
}

fn count<T: Table + Send>(host: &Host, scope: &Scope, table: T) -> Result<Counted, Error> {
    let table = Certain::new(scope.selection, table);
    let collector = Attributed::new((table, scope.breakdowns()));
    let (collector, findings) = host.survey(scope.selection, scope.facts(), collector)?;
    let (Certain { sure, doubtful, .. }, breakdowns) = collector.into_collected();
    let counted = Counted { groups: sure.groups(), breakdowns, findings, ..Counted::default() };
    Ok(counted.with_doubtful(doubtful.map(Table::groups).unwrap_or_default()))
}

fn count_by_process(
    host: &Host,
    scope: &Scope,
    group: fn(u64) -> Group,
) -> Result<Counted, Error> {
    let table = Certain::new(scope.selection, ProcessKeys::default());
    let collector = Attributed::new((table, scope.breakdowns()));
    let (collector, findings) = host.survey(scope.selection, scope.facts(), collector)?;
    let (Certain { mut sure, doubtful, .. }, breakdowns) = collector.into_collected();
    let mut doubtful = doubtful.unwrap_or_default();
    let mut cgroups = HashSet::new();
    if !scope.every_holder {
        cgroups.extend(sure.cgroups.drain());
        cgroups.extend(doubtful.cgroups.drain());
    }
    let known = Names::default().with_listeners(findings.listeners());
    let keys = sure.keys.iter().chain(&doubtful.keys).copied().collect();
    let names = known.of_processes(keys, cgroups, host.deadline)?;
    let groups = |found: &mut ProcessKeys| -> Vec<(Group, u64)> {
        found.keys.sort_unstable();
        let counts = names.by_process(&found.keys);
        let mut groups: Vec<_> =
            counts.into_iter().map(|(key, count)| (group(key), count)).collect();
        groups.extend((found.without > 0).then_some((group(0), found.without)));
        groups
    };
    let (groups, doubtful) = (groups(&mut sure), groups(&mut doubtful));
    let counted = Counted { groups, breakdowns, names, findings, ..Counted::default() };
    Ok(counted.with_doubtful(doubtful))
}

fn nothing(selection: &Selection) -> String {
    let stuck: Vec<_> = selection.stuck.iter().map(|stuck| format!("{stuck} s")).collect();
    let stuck = if stuck.is_empty() {
        String::new()
    } else {
        format!(" stuck for {}", stuck.join(" or "))
    };
    let Selection { types, statuses, direction, .. } = selection;
    let of_type = format!(" of type {:?}", types.label());
    let in_status = format!(" in status {:?}", statuses.label());
    let ends = selection.ends();
    if ends.is_empty() && stuck.is_empty() && direction.is_none() {
        // The text of the reference.
        return format!("No connections{of_type}{in_status} found.");
    }
    let direction = match direction {
        None => "",
        Some(Direction::In) => "incoming ",
        Some(Direction::Out) => "outgoing ",
    };
    let of_type = if types.is_given() { of_type } else { String::new() };
    let in_status = if statuses.is_given() { in_status } else { String::new() };
    format!("No {direction}connections{of_type}{in_status}{ends}{stuck} found.")
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
        page.gauge("_groups", "Groups of sockets.", series.number_found);
        page.gauge("_largest", "Sockets in the largest group.", largest);
    }
}

/// The labels of a series; `None` for kinds with too many groups.
fn labels(group: Group) -> Option<Vec<(&'static str, &'static str)>> {
    match group {
        Group::TypeStatus(t, status) => Some(vec![("type", t.name()), ("state", status.name())]),
        Group::Type(t) => Some(vec![("type", t.name())]),
        Group::Status(status) => Some(vec![("state", status.name())]),
        Group::Direction(direction) => {
            Some(vec![("direction", direction.map_or(NEITHER, Named::name))])
        }
        Group::Port(_)
        | Group::Address(_)
        | Group::Network(_)
        | Group::Endpoint(_)
        | Group::Unix(_)
        | Group::User(_)
        | Group::Cgroup(_)
        | Group::Process(_)
        | Group::Program(_)
        | Group::Netns(_)
        | Group::Kind(_)
        | Group::Limit(_)
        | Group::Ports(..)
        | Group::Host => None,
    }
}
