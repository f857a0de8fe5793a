//! Which source answers a selection, and what happens when it fails.

use std::fmt;

use log::{debug, warn};

use crate::connection::{Connection, Protocol};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::selection::Selection;

pub mod fixture;
#[cfg(target_os = "linux")]
pub mod inet_diag;
#[cfg(any(not(target_os = "linux"), test))]
mod netstat2;
#[cfg(target_os = "linux")]
pub mod procfs;
#[cfg(target_os = "linux")]
mod sock_diag;
pub mod sockstat;

/// Who can be asked for connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceName {
    /// Linux: a `NETLINK_SOCK_DIAG` dump (`sock_diag(7)`).
    Netlink,
    /// Linux: `/proc/net/{tcp,tcp6,udp,udp6}` (`proc_net(5)`).
    Procfs,
    /// Windows, macOS and the rest: the netstat2 crate.
    Netstat2,
}

impl SourceName {
    /// Every source there is, on whatever system.
    pub const ALL: [Self; 3] = [Self::Netlink, Self::Procfs, Self::Netstat2];

    /// The sources of this system, the better one first.
    #[cfg(target_os = "linux")]
    pub const AVAILABLE: &'static [Self] = &[Self::Netlink, Self::Procfs];
    /// The sources of this system, the better one first.
    #[cfg(not(target_os = "linux"))]
    pub const AVAILABLE: &'static [Self] = &[Self::Netstat2];

    /// `netlink`, `procfs` or `netstat2`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Netlink => "netlink",
            Self::Procfs => "procfs",
            Self::Netstat2 => "netstat2",
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is done with the connections of a dump.
pub trait Collector: Sized {
    /// An empty collector of the same kind: a dump that fails half-way is dropped with it.
    #[must_use]
    fn fresh(&self) -> Self;

    /// Takes one connection in.
    fn add(&mut self, connection: &impl Connection) -> Result<(), Error>;

    /// Takes in what a complete dump gave.
    fn merge(&mut self, dump: Self);
}

impl<C: Collector> Collector for Option<C> {
    fn fresh(&self) -> Self {
        self.as_ref().map(Collector::fresh)
    }

    #[inline]
    fn add(&mut self, connection: &impl Connection) -> Result<(), Error> {
        self.as_mut().map_or(Ok(()), |collector| collector.add(connection))
    }

    fn merge(&mut self, dump: Self) {
        if let (Some(collector), Some(dump)) = (self, dump) {
            collector.merge(dump);
        }
    }
}

impl<A: Collector, B: Collector> Collector for (A, B) {
    fn fresh(&self) -> Self {
        (self.0.fresh(), self.1.fresh())
    }

    #[inline]
    fn add(&mut self, connection: &impl Connection) -> Result<(), Error> {
        self.0.add(connection)?;
        self.1.add(connection)
    }

    fn merge(&mut self, dump: Self) {
        self.0.merge(dump.0);
        self.1.merge(dump.1);
    }
}

/// The ports that this system gives to outgoing connections, the lowest and the highest.
#[cfg(target_os = "linux")]
pub(crate) fn ephemeral_port_range() -> Option<(u16, u16)> {
    procfs::ephemeral_port_range()
}

/// The ports that this system gives to outgoing connections: not known here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn ephemeral_port_range() -> Option<(u16, u16)> {
    None
}

/// The choice that leaves the source to the check.
pub const AUTO: &str = "auto";

/// Reads the name of a source: `None` is the best one of this system that answers.
///
/// A source of other systems is a valid name here, and an error where it is used.
pub fn parse(name: &str) -> Result<Option<SourceName>, Error> {
    if name == AUTO {
        return Ok(None);
    }
    SourceName::ALL.into_iter().find(|source| source.name() == name).map(Some).ok_or_else(|| {
        Error::Argument(format!(
            "unknown source {name:?} (valid: auto, {})",
            names(&SourceName::ALL)
        ))
    })
}

/// Source names, comma-separated.
#[must_use]
pub fn names(sources: &[SourceName]) -> String {
    sources.iter().map(|source| source.name()).collect::<Vec<_>>().join(", ")
}

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
                names(SourceName::AVAILABLE)
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
        SourceName::Netlink => sock_diag::read(protocol, selection, deadline, dump),
        #[cfg(target_os = "linux")]
        SourceName::Procfs => procfs::read(protocol, selection, deadline, dump),
        #[cfg(any(not(target_os = "linux"), test))]
        SourceName::Netstat2 => netstat2::read(protocol, selection, deadline, dump),
        #[allow(unreachable_patterns)]
        _ => Err(Error::Unsupported("not a source of this system".to_owned())),
    }
}
