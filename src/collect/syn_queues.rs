//! The SYN queues of listeners: connections whose handshake is not finished.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{Address, Endpoint, InterfaceIndex};
use crate::collect::collector::{Collector, NetnsFacts};
use crate::error::Error;
use crate::group::End;
use crate::measure::share::Share;
use crate::socket::{Socket, Wanted};
use crate::vocabulary::{ConnectionStatus, NetnsIndex};

/// The error where a source does not report the backlogs of listeners.
const UNKNOWN_LIMITS: &str = "the limits of SYN queues are not known here (only netlink has them)";

/// Collects listeners and connections in `SYN_RECV`. Passes the listeners on.
#[derive(Debug)]
pub struct SynQueues<C> {
    requests: HashMap<Endpoint, u64>,
    // The sum of the backlogs of all sockets that listen there.
    limits: HashMap<Endpoint, u64>,
    listeners: C,
}

impl<C: Collector> SynQueues<C> {
    /// Passes listeners on to `listeners`.
    pub fn new(listeners: C) -> Self {
        Self { requests: HashMap::new(), limits: HashMap::new(), listeners }
    }

    /// The number of connections in `SYN_RECV` of each listener and its limit, and the collector of
    /// the listeners. A connection without a listener is left out.
    pub fn into_collected(self) -> (HashMap<Endpoint, (u64, Share)>, C) {
        let Self { requests, limits, listeners } = self;
        let empty = |(endpoint, of)| (endpoint, (0, Share { of, ..Share::default() }));
        let mut queues: HashMap<_, _> = limits.into_iter().map(empty).collect();
        for (endpoint, count) in requests {
            let listener = candidates(endpoint).find(|listener| queues.contains_key(listener));
            if let Some((waiting, _)) = listener.and_then(|listener| queues.get_mut(&listener)) {
                *waiting += count;
            }
        }
        (queues, listeners)
    }
}

/// The endpoints where the listener of a connection may listen, the one that the kernel prefers
/// first.
fn candidates(local: Endpoint) -> impl Iterator<Item = Endpoint> {
    let any = |ip: IpAddr| Endpoint { address: Address::from(ip), ..local };
    let ipv4 = local.address.ip().is_ipv4().then(|| any(Ipv4Addr::UNSPECIFIED.into()));
    [Some(local), ipv4, Some(any(Ipv6Addr::UNSPECIFIED.into()))].into_iter().flatten()
}

impl<C: Collector> Collector for SynQueues<C> {
    fn wanted(&self) -> Wanted {
        self.listeners.wanted()
    }

    fn fresh(&self) -> Self {
        Self::new(self.listeners.fresh())
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.listeners.begin(facts)
    }

    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let endpoint = End::Local.endpoint(netns, socket)?;
        if socket.status() == ConnectionStatus::Listen {
            let (_, limit) = socket.backlog().map_err(|error| match error {
                Error::Unsupported(_) => Error::Unsupported(UNKNOWN_LIMITS.to_owned()),
                error => error,
            })?;
            *self.limits.entry(endpoint).or_default() += u64::from(limit);
            self.listeners.add(netns, socket)
        } else {
            *self.requests.entry(endpoint).or_default() += 1;
            Ok(())
        }
    }

    fn merge(&mut self, dump: Self) {
        for (into, from) in [(&mut self.requests, dump.requests), (&mut self.limits, dump.limits)] {
            for (endpoint, number) in from {
                *into.entry(endpoint).or_default() += number;
            }
        }
        self.listeners.merge(dump.listeners);
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        found.extend(self.limits.keys().filter_map(|endpoint| endpoint.address.interface()));
        self.listeners.interfaces(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::ports::UsedPorts;

    #[test]
    fn a_connection_belongs_to_the_closest_listener() {
        let endpoint = |text: &str| {
            let end = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            Endpoint::within(end, NetnsIndex::OWN)
        };
        let mut queues = SynQueues::new(None::<UsedPorts>);
        for (listener, backlog) in [
            ("192.0.2.1:80", 1),
            ("0.0.0.0:80", 2),
            ("[::]:80", 4),
            ("[::]:443", 8),
            ("[2001:db8::1]:443", 16),
        ] {
            queues.limits.insert(endpoint(listener), backlog);
        }
        for (local, count) in [
            ("192.0.2.1:80", 1),
            ("192.0.2.2:80", 2),
            ("192.0.2.3:80", 4),
            ("[2001:db8::1]:80", 8),
            ("192.0.2.1:443", 16),
            ("[::ffff:192.0.2.2]:443", 32),
            ("[2001:db8::1]:443", 64),
            ("[2001:db8::2]:443", 128),
            // Nobody listens there any more.
            ("192.0.2.1:8080", 256),
        ] {
            queues.requests.insert(endpoint(local), count);
        }
        let (queues, _) = queues.into_collected();
        let found = |listener| queues.get(&endpoint(listener)).map(|(n, share)| (*n, share.of));
        for (listener, expected) in [
            ("192.0.2.1:80", (1, 1)),
            ("0.0.0.0:80", (6, 2)),
            ("[::]:80", (8, 4)),
            ("[::]:443", (176, 8)),
            ("[2001:db8::1]:443", (64, 16)),
        ] {
            assert_eq!(found(listener), Some(expected), "{listener}");
        }
        assert_eq!(queues.len(), 5);
    }
}
