//! `--measure=syn-queue`: the connections whose handshake is not finished, in percent of the backlog
//! of their listener.

use crate::collect::breakdown::{Aspect, Breakdowns};
use crate::collect::syn_queues::SynQueues;
use crate::error::Error;
use crate::format::exposition::Page;
use crate::group::{Group, GroupBy};
use crate::measure::counted::{Counted, Scope};
use crate::measure::definition::{Definition, Implied, REFUSED_BY_QUEUES, Reading, Series};
use crate::range::Numbers;
use crate::selection::{Among, Selection};
use crate::survey::{Facts, Findings, Host};
use crate::vocabulary::{ConnectionStatus, Protocol, SourceName};

pub const DEFINITION: Definition = Definition {
    name: "syn-queue",
    groups: "listeners",
    implied: Some(Implied {
        group_by: GroupBy::LocalEndpoint,
        protocols: &[Protocol::Tcp],
        statuses: &[ConnectionStatus::Listen, ConnectionStatus::SynRecv],
    }),
    has_groups_by: |kind| kind == GroupBy::LocalEndpoint,
    refused: &[REFUSED_BY_QUEUES],
    unreported: |source| match source {
        SourceName::Procfs | SourceName::Netstat2 => Some("the queue limits"),
        SourceName::Netlink | SourceName::Counters => None,
    },
    of_fixture: false,
    reading: Reading::Percent,
    // Newer kernels take one connection more than the backlog, which may be lowered later.
    numbers: Numbers { most: f64::MAX, whole: false },
    of_reference: false,
    collect,
    nothing: |selection| format!("No listeners{} found.", selection.ends()),
    aspect: Aspect::Backlog,
    thresholds: [None, None],
    series,
};

fn collect(host: &Host, scope: &Scope) -> Result<Counted, Error> {
    let selection = selection(scope);
    let (collected, findings) = host.survey(&selection, Facts::NONE, collector(scope))?;
    Ok(finish(collected, findings, scope))
}

/// The collector of listeners, of connections in `SYN_RECV`, and of the listeners' owners.
pub type Collected = SynQueues<Option<Breakdowns>>;

/// The collector of a walk.
#[must_use]
pub fn collector(scope: &Scope) -> Collected {
    SynQueues::new(scope.breakdowns())
}

/// The connections to read. The local address of a connection may be another one than that of its
/// listener, `0.0.0.0` for example. So connections of every local address are read, and the listeners
/// are selected by [`finish`].
#[must_use]
pub fn selection(scope: &Scope) -> Selection {
    Selection { local_addresses: Among::default(), ..scope.selection.clone() }
}

/// The groups of the listeners that a walk has found.
#[must_use]
pub fn finish(collected: Collected, findings: Findings, scope: &Scope) -> Counted {
    let addresses = &scope.selection.local_addresses;
    let (queues, breakdowns) = collected.into_collected();
    let selected = |ip| addresses.selects(|network| network.contains(ip));
    let queues = queues.into_iter().filter(|(listener, _)| selected(listener.address.ip()));
    let part = |(listener, (waiting, share))| (Group::Endpoint(listener), waiting, share);
    Counted::of_shares(queues.map(part), breakdowns, findings)
}

/// A series for every listener, as of the accept queue.
fn series(page: &mut Page, series: &Series) {
    let listeners = || series.found().filter_map(|g| Some((&*g.label, g.count, g.share?)));
    let help = "Connections whose handshake is not finished.";
    let waiting = ("_syn_queue_connections", "gauge", help);
    page.labelled(waiting, "listener", listeners().map(|(label, count, _)| (label, count)));
    let limit = ("_syn_queue_limit", "gauge", "Backlog of the listener.");
    page.labelled(limit, "listener", listeners().map(|(label, _, share)| (label, share.of)));
}
