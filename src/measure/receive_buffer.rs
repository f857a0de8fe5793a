//! `--measure=receive-buffer`: the bytes in the receive buffer of each UDP socket, in percent of its
//! limit.

use crate::collect::breakdown::{Aspect, Breakdowns};
use crate::collect::buffers::Buffers;
use crate::error::Error;
use crate::format::exposition::Page;
use crate::group::{Group, GroupBy};
use crate::judge::GroupState;
use crate::measure::counted::{Counted, Scope};
use crate::measure::definition::{Definition, Implied, REFUSED_BY_QUEUES, Reading, Series};
use crate::range::Numbers;
use crate::source::summary::DropCounter;
use crate::survey::{Facts, Findings, Host};
use crate::vocabulary::{Protocol, SourceName};

pub const DEFINITION: Definition = Definition {
    name: "receive-buffer",
    groups: "sockets",
    implied: Some(Implied {
        group_by: GroupBy::LocalEndpoint,
        protocols: &[Protocol::Udp],
        statuses: &[],
    }),
    has_groups_by: |kind| kind == GroupBy::LocalEndpoint,
    refused: &[REFUSED_BY_QUEUES],
    unreported: |source| match source {
        SourceName::Procfs | SourceName::Netstat2 => Some("the limits of the receive buffers"),
        SourceName::Netlink | SourceName::Counters => None,
    },
    of_fixture: false,
    reading: Reading::Percent,
    // Some kernels take a packet while there is any room, and the limit may be lowered later.
    numbers: Numbers { most: f64::MAX, whole: false },
    of_reference: false,
    collect,
    nothing: |selection| format!("No UDP sockets{} found.", selection.ends()),
    aspect: Aspect::Buffer,
    thresholds: [None, None],
    series,
};

fn collect(host: &Host, scope: &Scope) -> Result<Counted, Error> {
    // The ephemeral ports decide which sockets have series.
    let (collected, findings) = host.survey(scope.selection, Facts::PORTS, collector(scope))?;
    Ok(finish(collected, findings, host))
}

/// The collector of UDP sockets, and of their owners.
pub type Collected = (Buffers, Option<Breakdowns>);

/// The collector of a walk.
#[must_use]
pub fn collector(scope: &Scope) -> Collected {
    (Buffers::default(), scope.breakdowns())
}

/// The groups of the sockets that a walk has found.
#[must_use]
pub fn finish(collected: Collected, findings: Findings, host: &Host) -> Counted {
    let (Buffers(buffers), breakdowns) = collected;
    let doubtful = buffers.iter().filter(|(_, found)| found.doubtful > 0);
    let doubtful =
        doubtful.map(|(socket, found)| (Group::Endpoint(*socket), found.doubtful)).collect();
    let parts = buffers.into_iter().map(|(socket, found)| {
        (Group::Endpoint(socket), found.buffer.bytes, found.buffer.share)
    });
    let mut counted = Counted::of_shares(parts, breakdowns, findings);
    counted.values.doubtful = doubtful;
    counted.with_host_drops(host, DropCounter::RcvbufErrors)
}

/// The lowest ephemeral port where the host's own ports are not known: the default of Linux.
const FIRST_EPHEMERAL: u16 = 32768;

/// Series of every socket with a fixed port. Sockets with an ephemeral port come and go, each with
/// another port, and would leave a series each. The fullest of all sockets has a series of its own.
fn series(page: &mut Page, series: &Series) {
    let is_fixed = |group: &GroupState| match group.group {
        Some(Group::Endpoint(end)) => match series.ephemeral.get(&end.netns) {
            Some(ports) => !ports.of(end.address.ip()).contains(end.port),
            None => end.port < FIRST_EPHEMERAL,
        },
        _ => false,
    };
    let sockets: Vec<_> = series
        .found()
        .filter(|group| is_fixed(group))
        .filter_map(|group| Some((&*group.label, group.count, group.share?)))
        .collect();
    let help = "Memory of received packets that no process has read.";
    let bytes = sockets.iter().map(|(label, bytes, _)| (*label, *bytes));
    page.labelled(("_receive_buffer_bytes", "gauge", help), "socket", bytes);
    let limits = sockets.iter().map(|(label, _, share)| (*label, share.of));
    let help = "Limit of the receive buffer.";
    page.labelled(("_receive_buffer_limit_bytes", "gauge", help), "socket", limits);
    let help = "Packets dropped for a socket, most of them without room.";
    let drops = sockets.iter().filter_map(|(label, _, share)| Some((*label, share.drops?)));
    page.labelled(("_receive_buffer_drops_total", "counter", help), "socket", drops);
    let fullest = series.found().next();
    let percent = fullest.and_then(|g| Some(g.share?.percent(g.count))).unwrap_or_default();
    let help = "The fullest receive buffer of all sockets, as a part of its limit.";
    page.gauge("_receive_buffer_fullest_ratio", help, percent / 100.0);
}
