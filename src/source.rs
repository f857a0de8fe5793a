//! Which source answers a selection, and what happens when it fails.

pub mod fixture;
#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod netstat2;
pub mod summary;
#[cfg(not(any(target_os = "linux", windows)))]
mod untold;
#[cfg(any(windows, test))]
mod windows;

use std::collections::HashMap;

use log::{debug, warn};

use crate::collect::ports::{ByFamily, PortRange};
use crate::collect::{Collector, Within};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::namespaces::{Namespaces, NetnsCoverage, View};
use crate::selection::Selection;
use crate::source::summary::SocketSummary;
use crate::vocabulary::{NetnsIndex, Protocol, SourceName};

#[cfg(target_os = "linux")]
use linux::procfs::{self as system, idle};
#[cfg(not(any(target_os = "linux", windows)))]
use untold as system;
#[cfg(windows)]
use windows::netsh as system;

pub use system::{NO_PORTS, PORTS_ARE_AT_HAND, PORTS_UNTOLD};

/// Who answered.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// The sources.
    pub sources: Vec<SourceName>,
    /// The namespaces.
    pub coverage: NetnsCoverage,
}

/// Hands every selected connection to `collector`, one namespace and one protocol after the other.
///
/// Without a `choice` each protocol is read from the first source that answers completely; a
/// chosen source never falls back.
pub fn collect<C: Collector + Send>(
    selection: &Selection,
    choice: Option<SourceName>,
    namespaces: &Namespaces,
    deadline: &Deadline,
    collector: &mut C,
) -> Result<Provenance, Error> {
    let chain = match &choice {
        None => SourceName::AVAILABLE,
        Some(source) if SourceName::CHOICES.contains(source) => std::slice::from_ref(source),
        Some(source) => {
            return Err(Error::Unsupported(format!(
                "The source {source} does not exist on this system (valid: auto, {})",
                SourceName::join(SourceName::CHOICES)
            )));
        }
    };
    let mut sources = Vec::new();
    let processes = chain.contains(&SourceName::Procfs);
    let coverage =
        namespaces.visit(processes, &|_| true, deadline, &mut |net, view, deadline| {
            // Most other namespaces have none of one or the other.
            let counted = choice.is_none() && net != NetnsIndex::OWN;
            let idle = if counted { idle(view) } else { Vec::new() };
            let mut whole = |collector: &mut C| {
                for protocol in Protocol::ALL {
                    if selection.types_of(protocol).next().is_none() {
                        continue;
                    }
                    let source = if idle.contains(&protocol) {
                        SourceName::Counters
                    } else {
                        let place = (net, view);
                        collect_protocol(protocol, selection, chain, place, deadline, collector)?
                    };
                    if !sources.contains(&source) {
                        sources.push(source);
                    }
                }
                Ok(())
            };
            match view {
                View::Inside => whole(collector),
                // What a process shows may end half-way, and is then read again of another one.
                View::Process { .. } => {
                    let mut complete = collector.fresh();
                    whole(&mut complete)?;
                    collector.merge(complete);
                    Ok(())
                }
            }
        })?;
    Ok(Provenance { sources, coverage })
}

fn collect_protocol<C: Collector>(
    protocol: Protocol,
    selection: &Selection,
    chain: &[SourceName],
    (net, view): (NetnsIndex, &View),
    deadline: &Deadline,
    collector: &mut C,
) -> Result<SourceName, Error> {
    let mut causes = Vec::new();
    for &source in chain.iter().filter(|source| reaches(**source, view)) {
        let mut dump = Within::new(net, collector.fresh());
        match read(source, protocol, selection, view, deadline, &mut dump) {
            Ok(()) => {
                debug!("{protocol}: {source} answered");
                collector.merge(dump.collected());
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

/// Whether a source can be asked of a namespace that is looked at like this.
fn reaches(source: SourceName, view: &View) -> bool {
    match view {
        View::Inside => true,
        View::Process { .. } => source == SourceName::Procfs,
    }
}

fn read<C: Collector>(
    source: SourceName,
    protocol: Protocol,
    selection: &Selection,
    view: &View,
    deadline: &Deadline,
    dump: &mut C,
) -> Result<(), Error> {
    match source {
        #[cfg(target_os = "linux")]
        SourceName::Netlink => linux::sock_diag::read(protocol, selection, deadline, dump),
        #[cfg(target_os = "linux")]
        SourceName::Procfs => linux::procfs::read(protocol, selection, view, deadline, dump),
        #[cfg(target_os = "linux")]
        SourceName::Counters => linux::counters::read(protocol, selection, deadline, dump),
        #[cfg(any(not(target_os = "linux"), test))]
        SourceName::Netstat2 => netstat2::read(protocol, selection, deadline, dump),
        #[allow(unreachable_patterns)]
        SourceName::Netlink | SourceName::Procfs | SourceName::Netstat2 | SourceName::Counters => {
            let _ = view;
            Err(Error::Unsupported("not a source of this system".to_owned()))
        }
    }
}

/// The ports from which each namespace takes those of outgoing connections, where it tells.
pub fn ephemeral_ports(
    namespaces: &Namespaces,
    deadline: &Deadline,
) -> Result<HashMap<NetnsIndex, ByFamily<PortRange>>, Error> {
    let mut ports = HashMap::new();
    namespaces.visit(true, &|_| true, deadline, &mut |net, view, deadline| {
        ports.extend(system::ephemeral_ports(view, deadline)?.map(|found| (net, found)));
        Ok(())
    })?;
    Ok(ports)
}

/// The protocols that are known to have no sockets in a namespace.
#[cfg(not(target_os = "linux"))]
fn idle(_: &View) -> Vec<Protocol> {
    Vec::new()
}

/// The kernel's own sums of sockets.
pub fn summary() -> Result<SocketSummary, Error> {
    #[cfg(target_os = "linux")]
    return linux::procfs::summary();
    #[cfg(not(target_os = "linux"))]
    return Err(Error::Unsupported("this system has no sums of its sockets".to_owned()));
}
