//! Ports in use: which are listened on, and how many lead to a destination.

use std::collections::{HashMap, HashSet};

use crate::address::Address;
use crate::collect::collector::Collector;
use crate::collect::details::Destination;
use crate::error::Error;
use crate::selection::Ports;
use crate::socket::Socket;
use crate::vocabulary::Net;

/// Collects local ports.
#[derive(Debug, Default)]
pub struct LocalPorts(pub HashSet<(Net, u16)>);

impl Collector for LocalPorts {
    fn fresh(&self) -> Self {
        Self::default()
    }

    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
        self.0.insert((socket.netns(), socket.local()?.port()));
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        self.0.extend(dump.0);
    }
}

/// Counts the connections whose local port is one of the range of their network namespace, by both
/// addresses and the remote port.
#[derive(Debug)]
pub struct UsedPorts {
    ranges: HashMap<Net, Ports>,
    counts: HashMap<(Address, Destination), u64>,
}

impl UsedPorts {
    /// None yet.
    #[must_use]
    pub fn new(ranges: HashMap<Net, Ports>) -> Self {
        Self { ranges, counts: HashMap::new() }
    }

    /// How many ports the local address that uses most has in use, by destination.
    #[must_use]
    pub fn by_destination(self) -> HashMap<Destination, u64> {
        let mut most = HashMap::new();
        for ((_, destination), count) in self.counts {
            let used = most.entry(destination).or_insert(0);
            *used = count.max(*used);
        }
        most
    }
}

impl Collector for UsedPorts {
    fn fresh(&self) -> Self {
        Self::new(self.ranges.clone())
    }

    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
        let (local, remote) = (socket.local()?, socket.remote()?);
        let net = socket.netns();
        if self.ranges.get(&net).is_some_and(|range| range.contains(local.port())) {
            let address = Address::within(remote, net);
            let destination = Destination { address, port: Some(remote.port()), net };
            *self.counts.entry((Address::within(local, net), destination)).or_insert(0) += 1;
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        for (key, count) in dump.counts {
            *self.counts.entry(key).or_insert(0) += count;
        }
    }
}
