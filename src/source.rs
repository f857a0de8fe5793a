//! Which source answers a selection, and what happens when it fails.

pub mod fixture;
#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod netstat2;
pub mod summary;

use log::{debug, warn};

use crate::collect::Collector;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::selection::{Ports, Selection};
use crate::source::summary::SocketSummary;
use crate::vocabulary::{Protocol, SourceName};

/// Hands every selected connection to `collector`, one protocol after the other.
///
/// Without a `choice` each protocol is read from the first source that answers completely; a
/// chosen source never falls back. Returns which sources answered.
pub fn collect<C: Collector>(
    selection: &Selection,
    choice: Option<SourceName>,
    deadline: &Deadline,
    collector: &mut C,
) -> Result<Vec<SourceName>, Error> {
    let chain = match &choice {
        None => SourceName::AVAILABLE,
        Some(source) if SourceName::AVAILABLE.contains(source) => std::slice::from_ref(source),
        Some(source) => {
            return Err(Error::Unsupported(format!(
                "The source {source} does not exist on this system (valid: auto, {})",
                SourceName::join(SourceName::AVAILABLE)
            )));
        }
    };
    let mut answered = Vec::new();
    for protocol in Protocol::ALL {
        if selection.types_of(protocol).next().is_some() {
            let source = collect_protocol(protocol, selection, chain, deadline, collector)?;
            if !answered.contains(&source) {
                answered.push(source);
            }
        }
    }
    Ok(answered)
}

fn collect_protocol<C: Collector>(
    protocol: Protocol,
    selection: &Selection,
    chain: &[SourceName],
    deadline: &Deadline,
    collector: &mut C,
) -> Result<SourceName, Error> {
    let mut causes = Vec::new();
    for &source in chain {
        let mut dump = collector.fresh();
        match read(source, protocol, selection, deadline, &mut dump) {
            Ok(()) => {
                debug!("{protocol}: {source} answered");
                collector.merge(dump);
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

fn read<C: Collector>(
    source: SourceName,
    protocol: Protocol,
    selection: &Selection,
    deadline: &Deadline,
    dump: &mut C,
) -> Result<(), Error> {
    match source {
        #[cfg(target_os = "linux")]
        SourceName::Netlink => linux::sock_diag::read(protocol, selection, deadline, dump),
        #[cfg(target_os = "linux")]
        SourceName::Procfs => linux::procfs::read(protocol, selection, deadline, dump),
        #[cfg(any(not(target_os = "linux"), test))]
        SourceName::Netstat2 => netstat2::read(protocol, selection, deadline, dump),
        #[allow(unreachable_patterns)]
        SourceName::Netlink | SourceName::Procfs | SourceName::Netstat2 => {
            Err(Error::Unsupported("not a source of this system".to_owned()))
        }
    }
}

/// The ports that this system gives to outgoing connections, where it tells.
#[must_use]
pub fn ephemeral_ports() -> Option<Ports> {
    #[cfg(target_os = "linux")]
    return linux::procfs::ephemeral_ports();
    #[cfg(not(target_os = "linux"))]
    return None;
}

/// The kernel's own sums of sockets.
pub fn summary() -> Result<SocketSummary, Error> {
    #[cfg(target_os = "linux")]
    return linux::procfs::summary();
    #[cfg(not(target_os = "linux"))]
    return Err(Error::Unsupported("this system has no sums of its sockets".to_owned()));
}
