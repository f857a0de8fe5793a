//! Ports in use: which are listened on, which can be given to outgoing connections, and how many of
//! these lead to a destination.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::address::{Address, Endpoint};
use crate::collect::collector::Collector;
use crate::error::Error;
use crate::group::End;
use crate::selection::Ports;
use crate::socket::Socket;
use crate::vocabulary::NetnsIndex;

/// Collects local ports.
#[derive(Debug, Default)]
pub struct LocalPorts(pub HashSet<(NetnsIndex, u16)>);

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

/// What there is for IPv4 and what for IPv6.
#[derive(Clone, Debug)]
pub struct ByFamily<T> {
    /// For IPv4.
    pub ipv4: T,
    /// For IPv6.
    pub ipv6: T,
}

impl<T> ByFamily<T> {
    /// That of an address, of an IPv4-mapped one that of IPv4.
    #[inline]
    #[must_use]
    pub fn of(&self, address: IpAddr) -> &T {
        if address.to_canonical().is_ipv4() { &self.ipv4 } else { &self.ipv6 }
    }

    /// Both.
    pub fn both(&self) -> impl Iterator<Item = &T> {
        [&self.ipv4, &self.ipv6].into_iter()
    }
}

/// The ports from which a system takes those of outgoing connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// From the first to the last.
    pub ports: Ports,
    /// Those that it passes over.
    pub reserved: Vec<Ports>,
}

/// The ports that a network namespace can give to outgoing connections.
#[derive(Clone, Debug)]
pub struct Ephemeral {
    given: Vec<bool>,
    count: u64,
}

impl Ephemeral {
    /// Those of a range, without those that are reserved and those that somebody listens on: an
    /// outgoing connection passes both over.
    #[must_use]
    pub fn new(range: &PortRange, listening: impl Fn(u16) -> bool) -> Self {
        let is_given = |port| {
            range.ports.contains(port)
                && !range.reserved.iter().any(|ports| ports.contains(port))
                && !listening(port)
        };
        let given: Vec<bool> = (0..=u16::MAX).map(is_given).collect();
        let count = given.iter().map(|given| u64::from(*given)).sum();
        Self { given, count }
    }

    /// From the first to the last of them.
    #[must_use]
    pub fn span(&self) -> Option<Ports> {
        let mut ports = (0..=u16::MAX).filter(|port| self.contains(*port));
        let first = ports.next()?;
        Some(Ports { first, last: ports.next_back().unwrap_or(first) })
    }

    /// Whether a port is one of them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.given.get(usize::from(port)).is_some_and(|given| *given)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// The ephemeral ports of every network namespace that tells them: mostly of one, which is asked for with
/// every connection.
pub type EphemeralPorts = Arc<BTreeMap<NetnsIndex, ByFamily<Arc<Ephemeral>>>>;

/// From the first to the last of all of them.
#[must_use]
pub fn span(ports: &EphemeralPorts) -> Option<Ports> {
    let spans = ports.values().flat_map(ByFamily::both).filter_map(|ports| ports.span());
    spans.reduce(|a, b| Ports { first: a.first.min(b.first), last: a.last.max(b.last) })
}

/// Collects the connections that go out from here: those whose local port is an ephemeral one.
#[derive(Debug)]
pub struct Outgoing<C> {
    ports: EphemeralPorts,
    collector: C,
}

impl<C: Collector> Outgoing<C> {
    /// Nothing collected yet.
    pub fn new(ports: EphemeralPorts, collector: C) -> Self {
        Self { ports, collector }
    }

    /// What was collected.
    pub fn collected(self) -> C {
        self.collector
    }
}

impl<C: Collector> Collector for Outgoing<C> {
    const DROPS: bool = C::DROPS;

    fn fresh(&self) -> Self {
        Self::new(self.ports.clone(), self.collector.fresh())
    }

    #[inline]
    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
        let remote = socket.remote()?;
        if remote.port() != 0
            && let Some(ports) = self.ports.get(&socket.netns())
            && ports.of(remote.ip()).contains(socket.local()?.port())
        {
            self.collector.add(socket)?;
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        self.collector.merge(dump.collector);
    }
}

/// Counts connections by local address and destination: each has a local port of its own.
#[derive(Debug, Default)]
pub struct UsedPorts(HashMap<(Address, Endpoint), u64>);

impl UsedPorts {
    /// How many ports the local address that uses most has in use, by destination.
    #[must_use]
    pub fn by_destination(self) -> HashMap<Endpoint, u64> {
        let mut most = HashMap::new();
        for ((_, destination), count) in self.0 {
            let used = most.entry(destination).or_insert(0);
            *used = count.max(*used);
        }
        most
    }
}

impl Collector for UsedPorts {
    fn fresh(&self) -> Self {
        Self::default()
    }

    #[inline]
    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
        let ends = (End::Local.address(socket)?, End::Remote.endpoint(socket)?);
        *self.0.entry(ends).or_insert(0) += 1;
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        if self.0.is_empty() {
            self.0 = dump.0;
            return;
        }
        for (key, count) in dump.0 {
            *self.0.entry(key).or_insert(0) += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::made::Made;
    use crate::vocabulary::{ConnectionStatus, ConnectionType};

    #[test]
    fn what_is_reserved_or_listened_on_is_not_given() {
        let range = PortRange {
            ports: Ports { first: 10, last: 20 },
            reserved: vec![Ports::of(12), Ports { first: 19, last: 30 }],
        };
        let ports = Ephemeral::new(&range, |port| port == 15 || port == 80);
        let given: Vec<u16> = (0..=u16::MAX).filter(|port| ports.contains(*port)).collect();
        assert_eq!(given, [10, 11, 13, 14, 16, 17, 18]);
        assert_eq!(ports.count(), 7);
        assert_eq!(ports.span(), Some(Ports { first: 10, last: 18 }));
        let single = PortRange { ports: Ports::of(1), reserved: Vec::new() };
        let none = Ephemeral::new(&single, |_| true);
        assert_eq!((none.count(), none.span()), (0, None));
        let one = Ephemeral::new(&single, |_| false);
        assert_eq!((one.count(), one.span()), (1, Some(Ports::of(1))));
    }
    #[test]
    fn each_family_has_its_ports() {
        let ports = ByFamily { ipv4: 4, ipv6: 6 };
        for (address, expected) in [("192.0.2.1", 4), ("::ffff:192.0.2.1", 4), ("2001:db8::1", 6)] {
            let address = address.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(*ports.of(address), expected, "{address}");
        }
        assert!(ports.both().eq(&[4, 6]));
    }
    fn tcp(local: &str, remote: &str) -> Made {
        Made::new(ConnectionType::Tcp, ConnectionStatus::Established, local, remote)
    }

    fn collected<C: Collector>(mut collector: C, sockets: &[Made]) -> C {
        // As a source does it: each dump is collected apart.
        for dump in sockets.chunks(2) {
            let mut fresh = collector.fresh();
            for socket in dump {
                fresh.add(socket).unwrap_or_else(|e| panic!("{e}"));
            }
            collector.merge(fresh);
        }
        collector
    }

    #[test]
    fn local_ports_are_those_of_all_dumps() {
        let ends = ["192.0.2.1:80", "[2001:db8::1]:80", "192.0.2.1:443", "192.0.2.1:22"];
        let sockets = ends.map(|local| tcp(local, "0.0.0.0:0"));
        let LocalPorts(ports) = collected(LocalPorts::default(), &sockets);
        assert_eq!(ports, HashSet::from([80, 443, 22].map(|port| (NetnsIndex::OWN, port))));
    }

    #[test]
    fn outgoing_is_what_has_an_ephemeral_port_and_a_peer() {
        let ports = |first, last| {
            let range = PortRange { ports: Ports { first, last }, reserved: Vec::new() };
            Arc::new(Ephemeral::new(&range, |_| false))
        };
        let families = ByFamily { ipv4: ports(100, 199), ipv6: ports(150, 249) };
        let ports = Arc::new(BTreeMap::from([(NetnsIndex::OWN, families)]));
        assert_eq!(span(&ports), Some(Ports { first: 100, last: 249 }));
        let (a, b) = ("198.51.100.1:443", "198.51.100.2:443");
        let sockets = [
            tcp("192.0.2.1:100", a),
            tcp("192.0.2.1:101", a),
            tcp("192.0.2.2:101", a),
            tcp("192.0.2.2:102", b),
            // Of the other family, of no range, and with no peer.
            tcp("192.0.2.1:200", a),
            tcp("[2001:db8::1]:200", "[2001:db8::2]:443"),
            tcp("[2001:db8::1]:100", "[2001:db8::2]:443"),
            tcp("192.0.2.1:99", b),
            tcp("192.0.2.1:102", "0.0.0.0:0"),
            tcp("192.0.2.1:103", a),
        ];
        let used = collected(Outgoing::new(ports, UsedPorts::default()), &sockets).collected();
        let used: BTreeMap<_, _> = used.by_destination().into_iter().collect();
        let to = |text: &str, count| {
            let end = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            (Endpoint::within(end, NetnsIndex::OWN), count)
        };
        assert_eq!(used, BTreeMap::from([to(a, 3), to(b, 1), to("[2001:db8::2]:443", 1)]));
    }
}
