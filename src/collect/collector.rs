//! The interface between sources and the tables that sockets are counted in.

use std::collections::HashSet;
use std::sync::Arc;

use crate::address::InterfaceIndex;
use crate::ephemeral::{EphemeralPorts, PortSet};
use crate::error::Error;
use crate::host_limit::NetnsLimits;
use crate::listeners::Listeners;
use crate::socket::{Socket, Wanted};
use crate::vocabulary::NetnsIndex;

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

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        self.0.interfaces(found);
        self.1.interfaces(found);
    }
}
