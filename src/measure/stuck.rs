//! `--measure=stuck`: the seconds for which the longest connection of each group has been stuck.

use crate::collect::breakdown::Aspect;
use crate::collect::listeners::Attributed;
use crate::collect::waits::Waits;
use crate::error::Error;
use crate::field::Field;
use crate::format::exposition::Page;
use crate::group::{Group, GroupBy};
use crate::measure::counted::{Counted, Scope};
use crate::measure::definition::{Definition, Implied, Reading, Series};
use crate::name::Named;
use crate::named_group::Values;
use crate::range::Numbers;
use crate::stuck::MOST_SECONDS;
use crate::survey::Host;
use crate::vocabulary::{Protocol, SourceName};

pub const DEFINITION: Definition = Definition {
    name: "stuck",
    groups: "stuck connections",
    implied: Some(Implied {
        group_by: GroupBy::Kind,
        protocols: &[Protocol::Tcp],
        statuses: &[],
    }),
    has_groups_by: |kind| kind != GroupBy::Limit,
    refused: &[&[Field::Zero]],
    unreported: |source| match source {
        SourceName::Procfs | SourceName::Netstat2 | SourceName::Counters => Some("the times"),
        SourceName::Netlink => None,
    },
    of_fixture: false,
    reading: Reading::Seconds,
    numbers: Numbers { most: MOST_SECONDS as f64, whole: true },
    of_reference: false,
    collect,
    nothing: |_| "No stuck connections found.".to_owned(),
    aspect: Aspect::Stuck,
    thresholds: [None, None],
    series,
};

fn collect(host: &Host, scope: &Scope) -> Result<Counted, Error> {
    let waits = Waits::new(scope.group_by, scope.selection);
    let collector = Attributed::new((waits, scope.breakdowns()));
    let (collector, findings) = host.survey(scope.selection, scope.facts(), collector)?;
    let (Waits { groups, total, .. }, breakdowns) = collector.into_collected();
    let waits = groups.iter().map(|(group, of)| (*group, of.wait)).collect();
    let mut groups: Vec<_> = groups.into_iter().map(|(group, of)| (group, of.count)).collect();
    groups.sort_unstable_by_key(|(group, _)| *group);
    let values = Values { waits, ..Values::default() };
    Ok(Counted { groups, values, total: Some(total), breakdowns, findings, ..Counted::default() })
}

/// Series of every kind, or of the group with the longest time where groups are of another kind.
fn series(page: &mut Page, series: &Series) {
    let seconds = |least: u32| u64::from(least);
    if series.group_by == GroupBy::Kind {
        let found = |kind| {
            let group = series.groups.iter().find(|g| g.group == Some(Group::Kind(kind)));
            let wait = group.and_then(|group| group.wait).unwrap_or_default();
            (seconds(wait.seconds().0), group.map_or(0, |group| group.count))
        };
        let kinds = series.selection.stuck_kinds();
        let mut print = |name: &str, help: &str, value: &dyn Fn((u64, u64)) -> u64| {
            page.head(name, "gauge", help);
            for kind in &kinds {
                page.sample(name, &[("kind", kind.name())], value(found(*kind)));
            }
        };
        let help = "Seconds for which the longest connection has been stuck, at least.";
        print("_stuck_seconds", help, &|(seconds, _)| seconds);
        print("_stuck", "Connections that are stuck for a second or longer.", &|(_, count)| count);
    } else {
        let longest = series.found().next();
        let wait = longest.and_then(|group| group.wait).unwrap_or_default();
        let help = "Seconds for which the longest connection has been stuck, at least.";
        page.gauge("_stuck_longest_seconds", help, seconds(wait.seconds().0));
        page.gauge("_stuck_groups", "Groups with stuck connections.", series.found().count());
    }
}
