//! Ports in use: which are listened on, and how many lead to a destination.

use std::collections::{HashMap, HashSet};

use crate::address::Address;
use crate::collect::collector::Collector;
use crate::error::Error;
use crate::selection::Ports;
use crate::socket::Socket;

/// Collects local ports.
#[derive(Debug, Default)]
pub struct LocalPorts(pub HashSet<u16>);

impl Collector for LocalPorts {
    fn fresh(&self) -> Self {
        Self::default()
    }

    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
        self.0.insert(socket.local()?.port());
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        self.0.extend(dump.0);
    }
}

/// Counts the connections whose local port is one of a range, by both addresses and the remote port.
#[derive(Debug)]
pub struct UsedPorts {
    range: Ports,
    counts: HashMap<(Address, Address, u16), u64>,
}

impl UsedPorts {
    /// None yet.
    #[must_use]
    pub fn new(range: Ports) -> Self {
        Self { range, counts: HashMap::new() }
    }

    /// How many ports the local address that uses most has in use, by destination.
    #[must_use]
    pub fn by_destination(self) -> HashMap<(Address, u16), u64> {
        let mut most = HashMap::new();
        for ((_, address, port), count) in self.counts {
            let used = most.entry((address, port)).or_insert(0);
            *used = count.max(*used);
        }
        most
    }
}

impl Collector for UsedPorts {
    fn fresh(&self) -> Self {
        Self::new(self.range)
    }

    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
        let (local, remote) = (socket.local()?, socket.remote()?);
        if self.range.contains(local.port()) {
            let (from, to) = (Address::of(local), Address::of(remote));
            *self.counts.entry((from, to, remote.port())).or_insert(0) += 1;
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        for (key, count) in dump.counts {
            *self.counts.entry(key).or_insert(0) += count;
        }
    }
}
