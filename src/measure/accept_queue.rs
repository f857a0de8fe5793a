//! `--measure=accept-queue`: the connections that wait to be accepted, in percent of each
//! listener's limit (`listen(2)`): of TCP listeners and of unix listeners.

use crate::collect::breakdown::{Aspect, Breakdowns};
use crate::collect::queues::{Queue, Queues};
use crate::error::Error;
use crate::format::exposition::Page;
use crate::group::{Group, GroupBy};
use crate::measure::counted::{Counted, Scope};
use crate::measure::definition::{Definition, Implied, REFUSED_BY_QUEUES, Reading, Series};
use crate::owner::Names;
use crate::range::Numbers;
use crate::source::summary::DropCounter;
use crate::survey::{Facts, Findings, Host};
use crate::vocabulary::{ConnectionStatus, Protocol, SourceName};

pub const DEFINITION: Definition = Definition {
    name: "accept-queue",
    groups: "listeners",
    implied: Some(Implied {
        group_by: GroupBy::LocalEndpoint,
        protocols: &[Protocol::Tcp, Protocol::Unix],
        statuses: &[ConnectionStatus::Listen],
    }),
    has_groups_by: |kind| kind == GroupBy::LocalEndpoint,
    refused: &[REFUSED_BY_QUEUES],
    unreported: |source| match source {
        SourceName::Procfs | SourceName::Netstat2 => Some("the queue limits"),
        SourceName::Netlink | SourceName::Counters => None,
    },
    of_fixture: false,
    reading: Reading::Percent,
    // The kernel lets one more wait than the limit, which may be lowered later.
    numbers: Numbers { most: f64::MAX, whole: false },
    of_reference: false,
    collect,
    nothing: |selection| {
        let unix = if selection.types_of(Protocol::Tcp).next().is_none() { "unix " } else { "" };
        format!("No {unix}listeners{} found.", selection.ends())
    },
    aspect: Aspect::Queue,
    thresholds: [None, None],
    series,
};

fn collect(host: &Host, scope: &Scope) -> Result<Counted, Error> {
    let (collected, findings) = host.survey(scope.selection, Facts::NONE, collector(scope))?;
    Ok(finish(collected, findings, host))
}

/// The collector of listeners, and of their owners.
pub type Collected = (Queues, Option<Breakdowns>);

/// The collector of a walk.
#[must_use]
pub fn collector(scope: &Scope) -> Collected {
    (Queues::default(), scope.breakdowns())
}

/// The groups of the listeners that a walk has found.
#[must_use]
pub fn finish(collected: Collected, findings: Findings, host: &Host) -> Counted {
    let (Queues { queues, unix }, breakdowns) = collected;
    let part = |(listener, queue): (Group, Queue)| (listener, queue.waiting, queue.share);
    let counted = Counted::of_shares(queues.into_iter().map(part), breakdowns, findings);
    let counted = counted.with_host_drops(host, DropCounter::ListenDrops);
    Counted { names: Names::default().with_unix(unix), ..counted }
}

/// A series for every listener: listeners are few, and live long.
fn series(page: &mut Page, series: &Series) {
    let listeners = || series.found().filter_map(|g| Some((&*g.label, g.count, g.share?)));
    let help = "Connections that wait to be accepted.";
    let waiting = ("_accept_queue_connections", "gauge", help);
    page.labelled(waiting, "listener", listeners().map(|(label, count, _)| (label, count)));
    let help = "Limit of the accept queue: one more connection than this may wait.";
    let limit = ("_accept_queue_limit", "gauge", help);
    page.labelled(limit, "listener", listeners().map(|(label, _, share)| (label, share.of)));
    let help = "Packets dropped for a listener, most of them requests and connections without room.";
    let drops = listeners().filter_map(|(label, _, share)| Some((label, share.drops?)));
    page.labelled(("_accept_queue_drops_total", "counter", help), "listener", drops);
}
