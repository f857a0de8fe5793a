//! Sources of sockets, and the fallback from one to the next.

mod door;
mod dump;
pub mod fixture;
#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(any(windows, test))]
mod netstat2;
pub mod summary;
#[cfg(any(windows, test))]
mod windows;

#[cfg(windows)]
use std::collections::HashSet;

use log::{debug, warn};

#[cfg(windows)]
use crate::address::{InterfaceIndex, InterfaceNames};
use crate::collect::Collector;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::namespaces::View;
use crate::selection::Ports;
use crate::source::summary::{DropCounter, SocketSummary};
use crate::vocabulary::{NetnsIndex, SourceName};

#[cfg(target_os = "linux")]
use linux::procfs as system;
#[cfg(windows)]
use windows::netsh as system;

pub use door::{Door, most_doors};
pub use dump::Dump;
pub use system::{NO_PORTS, PORTS_ARE_AT_HAND, PORTS_UNTOLD, ephemeral_ports};

/// Whether sources report inode numbers, which mark a connection that no process has accepted yet.
/// netstat2, the only source on Windows, reports none.
pub const INODES_ARE_REPORTED: bool = cfg!(target_os = "linux");

/// Hands the sockets of a complete dump to `collector`: the dump of the first source in `chain`
/// that answers completely. Returns that source.
pub fn collect<C: Collector>(
    dump: &Dump,
    chain: &[SourceName],
    collector: &mut C,
) -> Result<SourceName, Error> {
    let protocol = dump.protocol;
    let mut causes = Vec::new();
    for &source in chain.iter().filter(|source| reaches(**source, dump.view)) {
        let mut complete = collector.fresh();
        match read(source, dump, &mut complete) {
            Ok(()) => {
                debug!("{protocol}: {source} answered");
                if !causes.is_empty() {
                    complete.falls_back(protocol, &causes);
                }
                collector.merge(complete);
                return Ok(source);
            }
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                warn!("{protocol}: {source} did not answer: {error}");
                causes.push((source, error));
            }
        }
    }
    Err(Error::Sources { protocol, causes })
}

/// Hands the unix listeners of a network namespace to `collector`. Only netlink has their queues.
#[cfg(target_os = "linux")]
pub fn unix_listeners<C: Collector>(
    netns: NetnsIndex,
    view: &View,
    door: &Door,
    deadline: &Deadline,
    collector: &mut C,
) -> Result<(), Error> {
    match view {
        View::Inside => {
            let mut complete = collector.fresh();
            linux::sock_diag::read_unix(netns, door, deadline, &mut complete)?;
            collector.merge(complete);
            Ok(())
        }
        View::Process { .. } => Err(Error::Unsupported(
            "/proc has no queues of unix sockets (only netlink has them)".to_owned(),
        )),
    }
}

/// Hands the TCP sockets that are bound to one of these ports, and have no connection, to `collector`.
/// Returns whether they can be listed: only netlink lists them, and only inside the namespace. An error
/// of netlink ends the run only if netlink has answered before.
#[cfg(target_os = "linux")]
pub fn bound_sockets<C: Collector>(
    ports: Ports,
    dump: &Dump,
    chain: &[SourceName],
    has_answered: bool,
    collector: &mut C,
) -> Result<bool, Error> {
    if !chain.contains(&SourceName::Netlink) || !reaches(SourceName::Netlink, dump.view) {
        return Ok(false);
    }
    let mut complete = collector.fresh();
    match linux::sock_diag::read_bound(ports, dump, &mut complete) {
        Ok(()) => {
            collector.merge(complete);
            Ok(true)
        }
        Err(error) if has_answered || error.is_final() => Err(error),
        // Without netlink the ports are unknown, as on kernels before 6.8.
        Err(error) => {
            warn!("bound sockets: {error}");
            Ok(false)
        }
    }
}

/// Windows lists no sockets that are bound and have no connection.
#[cfg(windows)]
#[allow(clippy::unnecessary_wraps)]
pub fn bound_sockets<C: Collector>(
    _: Ports,
    _: &Dump,
    _: &[SourceName],
    _: bool,
    _: &mut C,
) -> Result<bool, Error> {
    Ok(false)
}

/// An error: Windows does not list unix sockets, and a plan does not ask for them there.
#[cfg(windows)]
pub fn unix_listeners<C: Collector>(
    _: NetnsIndex,
    _: &View,
    _: &Door,
    _: &Deadline,
    _: &mut C,
) -> Result<(), Error> {
    Err(Error::Unsupported("this system does not list unix sockets".to_owned()))
}

/// Whether a source can read a namespace in this view.
fn reaches(source: SourceName, view: &View) -> bool {
    match (view, source) {
        (View::Inside, _) | (View::Process { .. }, SourceName::Procfs) => true,
        (
            View::Process { .. },
            SourceName::Netlink | SourceName::Netstat2 | SourceName::Counters,
        ) => false,
    }
}

fn read<C: Collector>(source: SourceName, dump: &Dump, collector: &mut C) -> Result<(), Error> {
    match source {
        #[cfg(target_os = "linux")]
        SourceName::Netlink => linux::sock_diag::read(dump, collector),
        #[cfg(target_os = "linux")]
        SourceName::Procfs => linux::procfs::read(dump, collector),
        #[cfg(target_os = "linux")]
        SourceName::Counters => linux::counters::read(dump, collector),
        #[cfg(any(windows, test))]
        SourceName::Netstat2 => netstat2::read(dump, collector),
        #[allow(unreachable_patterns)]
        SourceName::Netlink | SourceName::Procfs | SourceName::Netstat2 | SourceName::Counters => {
            Err(Error::Unsupported("not a source of this system".to_owned()))
        }
    }
}

/// The protocols that are known to have no sockets in a namespace.
#[cfg(target_os = "linux")]
pub use linux::procfs::idle;

/// The protocols that are known to have no sockets in a namespace: none.
#[cfg(windows)]
#[must_use]
pub fn idle(_: &View) -> Vec<crate::vocabulary::Protocol> {
    Vec::new()
}

#[cfg(target_os = "linux")]
pub(crate) use linux::interfaces::names as interface_names;

/// The names of interfaces: no source of Windows reports interfaces.
#[cfg(windows)]
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn interface_names(
    _: HashSet<InterfaceIndex>,
    _: &crate::deadline::Deadline,
) -> Result<InterfaceNames, Error> {
    Ok(InterfaceNames::new())
}

/// The limits that a network namespace shows.
#[cfg(target_os = "linux")]
pub use linux::limits::{host_files, netns_limits};

/// An error: Windows has no such limits.
#[cfg(windows)]
pub fn netns_limits(
    _: NetnsIndex,
    _: &View,
    _: &Deadline,
) -> Result<crate::host_limit::NetnsLimits, Error> {
    Err(no_limits())
}

/// An error: Windows has no such limit.
#[cfg(windows)]
pub fn host_files(_: &Deadline) -> Result<crate::host_limit::Use, Error> {
    Err(no_limits())
}

#[cfg(windows)]
fn no_limits() -> Error {
    Error::Unsupported("Windows does not show the limits of the host".to_owned())
}

/// The kernel's own sums of sockets.
pub fn summary() -> Result<SocketSummary, Error> {
    #[cfg(target_os = "linux")]
    return linux::procfs::summary();
    #[cfg(windows)]
    return Err(Error::Unsupported("this system has no sums of its sockets".to_owned()));
}

/// A counter of this thread's network namespace.
pub fn drops(counter: DropCounter) -> Result<u64, Error> {
    #[cfg(target_os = "linux")]
    return linux::procfs::drops(counter);
    #[cfg(windows)]
    return Err(Error::Unsupported(format!("this system has no counter {}", counter.name())));
}
