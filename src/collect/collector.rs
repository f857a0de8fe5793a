//! What is done with the sockets of a dump.

use crate::error::Error;
use crate::socket::Socket;

/// What is done with the sockets of a dump.
pub trait Collector: Sized {
    /// An empty collector of the same kind: a dump that fails half-way is dropped with it.
    #[must_use]
    fn fresh(&self) -> Self;

    /// Takes one socket in.
    fn add(&mut self, socket: &impl Socket) -> Result<(), Error>;

    /// Takes in what a complete dump gave.
    fn merge(&mut self, dump: Self);
}

impl<C: Collector> Collector for Option<C> {
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
