//! `--measure=host-limits`: the numbers of sockets, tracked connections, files and pages of memory that
//! the kernel limits for all programs, in percent of these limits.

use std::collections::HashMap;

use crate::collect::breakdown::Aspect;
use crate::collect::limits::{Fullest, Limits};
use crate::error::Error;
use crate::format::exposition::Page;
use crate::group::{Group, GroupBy};
use crate::host_limit::{HostLimit, NetnsLimits};
use crate::measure::counted::{Counted, Scope};
use crate::measure::definition::{Definition, Implied, REFUSED_WITHOUT_SOCKETS, Reading, Series};
use crate::measure::share::Share;
use crate::name::Named;
use crate::namespaces::View;
use crate::range::Numbers;
use crate::selection::Selection;
use crate::source;
use crate::survey::{Facts, Findings, Host};
use crate::vocabulary::{NetnsIndex, SourceName};

pub const DEFINITION: Definition = Definition {
    name: "host-limits",
    groups: "limits",
    implied: Some(Implied {
        group_by: GroupBy::Limit,
        protocols: &[],
        statuses: &[],
    }),
    has_groups_by: |kind| kind == GroupBy::Limit,
    refused: &[REFUSED_WITHOUT_SOCKETS],
    unreported: |source| match source {
        SourceName::Netlink | SourceName::Netstat2 | SourceName::Counters => {
            Some("the limits of the host")
        }
        SourceName::Procfs => None,
    },
    of_fixture: false,
    reading: Reading::Percent,
    // A limit may be lowered below the number in use.
    numbers: Numbers { most: f64::MAX, whole: false },
    of_reference: false,
    collect,
    nothing: |_| "No limits found.".to_owned(),
    aspect: Aspect::Status,
    thresholds: [None, None],
    series,
};

fn collect(host: &Host, _: &Scope) -> Result<Counted, Error> {
    let of_host = of_host(host)?;
    let selection = Selection::default();
    let (mut limits, findings) = host.survey(&selection, Facts::LIMITS, Limits::default())?;
    limits.add_limits(&of_host);
    Ok(groups(limits, findings))
}

/// The limits of the whole host. They are read once, in this thread's own network namespace, which need
/// not be among the namespaces that the walk reads.
pub fn of_host(host: &Host) -> Result<NetnsLimits, Error> {
    let mut own = source::netns_limits(NetnsIndex::OWN, &View::Inside, host.deadline)?;
    own.uses.retain(|(limit, _)| !limit.is_of_namespace());
    own.uses.push((HostLimit::Files, source::host_files(host.deadline)?));
    Ok(own)
}

/// The groups of limits that were read.
pub fn groups(limits: Limits, findings: Findings) -> Counted {
    let unseen = limits.unseen();
    let places: HashMap<HostLimit, NetnsIndex> = limits
        .fullest
        .iter()
        .filter(|(limit, _)| limit.is_of_namespace())
        .map(|(limit, fullest)| (*limit, fullest.netns))
        .collect();
    let part =
        |(limit, Fullest { used, share, .. }): (HostLimit, Fullest)| (Group::Limit(limit), used, share);
    let counted = Counted::of_shares(limits.fullest.into_iter().map(part), None, findings);
    // Pages and sockets do not add up.
    Counted { total: Some(0), places, unseen_limits: unseen, ..counted }
}

/// A series for every limit that was found.
fn series(page: &mut Page, series: &Series) {
    let limits = || {
        series.found().filter_map(|g| match g.group {
            Some(Group::Limit(limit)) => Some((limit.name(), g.count, g.share?)),
            _ => None,
        })
    };
    let help = "The number in use as a part of the limit.";
    page.head("_host_limit_used_ratio", "gauge", help);
    for (limit, used, share) in limits() {
        let ratio = Share::percent(share, used) / 100.0;
        page.sample("_host_limit_used_ratio", &[("limit", limit)], ratio);
    }
    let help = "The number in use: sockets, connections, files or pages of memory.";
    let used = limits().map(|(limit, used, _)| (limit, used));
    page.labelled(("_host_limit_used", "gauge", help), "limit", used);
    let most = limits().map(|(limit, _, share)| (limit, share.of));
    page.labelled(("_host_limit", "gauge", "The limit of the kernel."), "limit", most);
}
