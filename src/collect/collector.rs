//! The interface between sources and the tables that sockets are counted in.

use std::collections::HashSet;
use std::sync::Arc;

use crate::address::InterfaceIndex;
use crate::ephemeral::{EphemeralPorts, PortSet};
use crate::error::Error;
use crate::host_limit::NetnsLimits;
use crate::listeners::Listeners;
use crate::socket::{Socket, Wanted};
use crate::vocabulary::{NetnsIndex, Protocol, SourceName};

/// Facts about a network namespace that are read before its sockets, as far as they were requested.
#[derive(Clone, Debug, Default)]
pub struct NetnsFacts {
    /// The TCP listeners.
    pub listeners: Option<Arc<Listeners>>,
    /// The ports for outgoing connections; `None` where they were not requested, or where the
    /// namespace does not show them.
    pub ephemeral: Option<EphemeralPorts>,
    /// The ports that UDP sockets can get; `None` where they were not requested.
    pub udp_ports: Option<EphemeralPorts>,
    /// The ports of TCP sockets that are bound and have no connection; `None` where they were not
    /// requested, or where they cannot be read.
    pub bound: Option<Arc<PortSet>>,
    /// The limits that the namespace shows.
    pub limits: Option<NetnsLimits>,
    /// The reason why the listeners or the ephemeral ports could not be read, where the others are
    /// read without them.
    pub no_ports: Option<Missing>,
    /// The reason why the limits could not be read, where the others are read without them.
    pub no_limits: Option<Missing>,
}

/// The reason why a part of the answer is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The reason.
    pub reason: String,
    /// Whether something went wrong. Else the part cannot be asked for here: a right is missing, say, or
    /// the kernel is too old.
    pub is_failure: bool,
}

impl Missing {
    /// The reason for an error.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        Self { reason: error.to_string(), is_failure: !error.is_of_this_place() }
    }
}

impl NetnsFacts {
    /// The number of these ports that sockets without a connection have bound.
    #[must_use]
    pub fn bound_within(&self, ports: &PortSet) -> u64 {
        self.bound.as_ref().map_or(0, |bound| PortSet::clone(bound).within(ports).count())
    }
}

/// Receives the sockets of dumps.
pub trait Collector: Sized {
    /// The facts that the collector reads besides those that every socket has.
    fn wanted(&self) -> Wanted {
        Wanted::default()
    }

    /// Returns an empty collector of the same kind. Each dump gets its own, so that a dump that
    /// fails half-way leaves nothing behind.
    #[must_use]
    fn fresh(&self) -> Self;

    /// Receives the facts about a namespace before the first of its sockets.
    fn begin(&mut self, _facts: &NetnsFacts) -> Result<(), Error> {
        Ok(())
    }

    /// Receives a socket of a network namespace.
    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error>;

    /// Receives the result of a complete dump.
    fn merge(&mut self, dump: Self);

    /// Receives the errors of better sources, where this dump is that of another one.
    fn falls_back(&mut self, _protocol: Protocol, _causes: &[(SourceName, Error)]) {}

    /// Whether the walk goes on where no source has answered for a protocol. The collector then keeps
    /// the reason.
    fn goes_on_without(&mut self, _protocol: Protocol, _error: &Error) -> bool {
        false
    }

    /// Adds the interfaces of the collected addresses, so that their names can be looked up while
    /// this thread is in the namespace.
    fn interfaces(&self, _found: &mut HashSet<InterfaceIndex>) {}
}

impl<C: Collector> Collector for Option<C> {
    fn wanted(&self) -> Wanted {
        self.as_ref().map(Collector::wanted).unwrap_or_default()
    }

    fn fresh(&self) -> Self {
        self.as_ref().map(Collector::fresh)
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.as_mut().map_or(Ok(()), |collector| collector.begin(facts))
    }

    #[inline]
    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        self.as_mut().map_or(Ok(()), |collector| collector.add(netns, socket))
    }

    fn merge(&mut self, dump: Self) {
        if let (Some(collector), Some(dump)) = (self, dump) {
            collector.merge(dump);
        }
    }

    fn falls_back(&mut self, protocol: Protocol, causes: &[(SourceName, Error)]) {
        if let Some(collector) = self {
            collector.falls_back(protocol, causes);
        }
    }

    fn goes_on_without(&mut self, protocol: Protocol, error: &Error) -> bool {
        self.as_mut().is_none_or(|collector| collector.goes_on_without(protocol, error))
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        if let Some(collector) = self {
            collector.interfaces(found);
        }
    }
}

impl<A: Collector, B: Collector> Collector for (A, B) {
    fn wanted(&self) -> Wanted {
        self.0.wanted().or(self.1.wanted())
    }

    fn fresh(&self) -> Self {
        (self.0.fresh(), self.1.fresh())
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.0.begin(facts)?;
        self.1.begin(facts)
    }

    #[inline]
    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        self.0.add(netns, socket)?;
        self.1.add(netns, socket)
    }

    fn merge(&mut self, dump: Self) {
        self.0.merge(dump.0);
        self.1.merge(dump.1);
    }

    fn falls_back(&mut self, protocol: Protocol, causes: &[(SourceName, Error)]) {
        self.0.falls_back(protocol, causes);
        self.1.falls_back(protocol, causes);
    }

    fn goes_on_without(&mut self, protocol: Protocol, error: &Error) -> bool {
        // Each keeps the reason.
        let (one, other) =
            (self.0.goes_on_without(protocol, error), self.1.goes_on_without(protocol, error));
        one && other
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        self.0.interfaces(found);
        self.1.interfaces(found);
    }
}
