//! What is done with the sockets of a dump.

use crate::error::Error;
use crate::socket::{Placed, Socket};
use crate::vocabulary::NetnsIndex;

/// What is done with the sockets of a dump.
pub trait Collector: Sized {
    /// Whether it asks sockets for their drops.
    const DROPS: bool = false;

    /// An empty collector of the same kind: a dump that fails half-way is dropped with it.
    #[must_use]
    fn fresh(&self) -> Self;

    /// Takes one socket in.
    fn add(&mut self, socket: &impl Socket) -> Result<(), Error>;

    /// Takes in what a complete dump gave.
    fn merge(&mut self, dump: Self);
}

/// Collects the sockets of one network namespace.
#[derive(Debug)]
pub struct Within<C> {
    net: NetnsIndex,
    collector: C,
}

impl<C: Collector> Within<C> {
    /// Nothing collected yet.
    pub fn new(net: NetnsIndex, collector: C) -> Self {
        Self { net, collector }
    }

    /// What was collected.
    pub fn collected(self) -> C {
        self.collector
    }
}

impl<C: Collector> Collector for Within<C> {
    const DROPS: bool = C::DROPS;

    fn fresh(&self) -> Self {
        Self::new(self.net, self.collector.fresh())
    }

    #[inline]
    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
        self.collector.add(&Placed::new(socket, self.net))
    }

    fn merge(&mut self, dump: Self) {
        self.collector.merge(dump.collector);
    }
}

impl<C: Collector> Collector for Option<C> {
    const DROPS: bool = C::DROPS;

    fn fresh(&self) -> Self {
        self.as_ref().map(Collector::fresh)
    }

    #[inline]
    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
        self.as_mut().map_or(Ok(()), |collector| collector.add(socket))
    }

    fn merge(&mut self, dump: Self) {
        if let (Some(collector), Some(dump)) = (self, dump) {
            collector.merge(dump);
        }
    }
}

impl<A: Collector, B: Collector> Collector for (A, B) {
    const DROPS: bool = A::DROPS || B::DROPS;

    fn fresh(&self) -> Self {
        (self.0.fresh(), self.1.fresh())
    }

    #[inline]
    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
        self.0.add(socket)?;
        self.1.add(socket)
    }

    fn merge(&mut self, dump: Self) {
        self.0.merge(dump.0);
        self.1.merge(dump.1);
    }
}
