//! Collectors of the local ports that outgoing connections use.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::address::{Address, Endpoint, InterfaceIndex};
use crate::collect::breakdown::Breakdowns;
use crate::collect::collector::{Collector, NetnsFacts};
use crate::ephemeral::{EphemeralPorts, PortSet};
use crate::error::Error;
use crate::group::Group;
use crate::socket::{Socket, Wanted};
use crate::vocabulary::{NetnsIndex, Protocol};

/// Passes on outgoing connections of TCP only: connections with a peer and an ephemeral local port. Where
/// a namespace does not show its ephemeral ports, no connection counts as outgoing.
#[derive(Debug, Default)]
pub struct Outgoing<C> {
    ports: Option<EphemeralPorts>,
    collector: C,
}

impl<C: Collector> Outgoing<C> {
    /// Passes outgoing connections on to `collector`.
    pub fn new(collector: C) -> Self {
        Self { ports: None, collector }
    }

    /// The inner collector.
    pub fn into_collected(self) -> C {
        self.collector
    }
}

impl<C: Collector> Collector for Outgoing<C> {
    fn wanted(&self) -> Wanted {
        self.collector.wanted()
    }

    fn fresh(&self) -> Self {
        Self { ports: self.ports.clone(), collector: self.collector.fresh() }
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.ports.clone_from(&facts.ephemeral);
        self.collector.begin(facts)
    }

    #[inline]
    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let remote = socket.remote()?;
        if socket.connection_type().protocol() == Protocol::Tcp
            && remote.port() != 0
            && let Some(ports) = &self.ports
            && ports.of(remote.ip()).contains(socket.local()?.port())
        {
            self.collector.add(netns, socket)?;
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        self.collector.merge(dump.collector);
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        self.collector.interfaces(found);
    }
}

/// Counts the ephemeral ports in use: by destination, and for every destination.
///
/// TCP: a program that connects without a port of its own gets a port that other connections of the
/// same local address may use, too, each towards another destination. Where a program binds a port
/// first, the kernel gives the port to nobody else, for any destination and on any address
/// (`__inet_hash_connect` in `net/ipv4/inet_hashtables.c`). UDP: the kernel gives every port to one
/// socket (`inet_autobind` in `net/ipv4/af_inet.c`).
#[derive(Debug, Default)]
pub struct UsedPorts {
    facts: NetnsFacts,
    // The sockets of a namespace come one after the other.
    tcp: Vec<(NetnsIndex, OfTcp)>,
    udp: HashMap<NetnsIndex, PortSet>,
    breakdowns: Option<Breakdowns>,
}

/// The ports of TCP connections in one network namespace.
#[derive(Debug, Default)]
struct OfTcp {
    // A number for each local address.
    addresses: HashMap<Address, u32, RandomState>,
    // The address that was asked for last: most hosts have few.
    last: Option<(Address, u32)>,
    destinations: HashMap<(u32, Endpoint), u64, RandomState>,
    // The ports of the first addresses, and of all other addresses.
    sharing: Vec<Sharing>,
    others: Sharing,
}

impl OfTcp {
    #[inline]
    fn add(&mut self, address: Address, port: u16, destination: Endpoint) {
        let number = self.number(address);
        *self.destinations.entry((number, destination)).or_insert(0) += 1;
        self.sharing(number).add(port);
    }

    #[inline]
    fn number(&mut self, address: Address) -> u32 {
        if let Some((last, number)) = self.last
            && last == address
        {
            return number;
        }
        let next = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX);
        let number = *self.addresses.entry(address).or_insert(next);
        self.last = Some((address, number));
        number
    }

    /// The ports of an address.
    #[inline]
    fn sharing(&mut self, number: u32) -> &mut Sharing {
        let Self { sharing, others, .. } = self;
        let place = number as usize;
        if place == sharing.len() && place < MOST_ADDRESSES {
            sharing.push(Sharing::default());
        }
        sharing.get_mut(place).unwrap_or(others)
    }

    /// The number of ports that a single connection of an address uses.
    fn single(&self) -> u64 {
        let mut single = PortSet::default();
        for sharing in self.sharing.iter().chain([&self.others]) {
            single.add(&sharing.used.clone().without(&sharing.several));
        }
        single.count()
    }

    fn merge(&mut self, other: Self) {
        let mut numbers = vec![0; other.addresses.len()];
        for (address, number) in other.addresses {
            let own = self.number(address);
            if let Some(place) = numbers.get_mut(number as usize) {
                *place = own;
            }
            if let Some(sharing) = other.sharing.get(number as usize) {
                self.sharing(own).merge(sharing);
            }
        }
        self.others.merge(&other.others);
        for ((number, destination), count) in other.destinations {
            if let Some(own) = numbers.get(number as usize) {
                *self.destinations.entry((*own, destination)).or_insert(0) += count;
            }
        }
    }
}

/// The most local addresses of a network namespace whose ports are counted apart. Other users can
/// connect from any number of loopback addresses.
const MOST_ADDRESSES: usize = 64;

/// The ports of connections.
#[derive(Debug, Default)]
struct Sharing {
    used: PortSet,
    // The ports that several connections use.
    several: PortSet,
}

impl Sharing {
    #[inline]
    fn add(&mut self, port: u16) {
        if !self.used.insert(port) {
            self.several.insert(port);
        }
    }

    fn merge(&mut self, other: &Self) {
        let both = self.used.clone().within(&other.used);
        self.used.add(&other.used);
        self.several.add(&other.several);
        self.several.add(&both);
    }
}

/// The ports of a protocol that no destination can get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The ports that are taken for certain.
    pub certain: u64,
    /// The number of further ports that may be taken: a single connection uses each, and a program may
    /// have bound the port before it connected, which the kernel does not report.
    pub doubtful: u64,
    /// The number of all ports.
    pub of: u64,
}

impl Taken {
    /// The most ports that may be taken.
    #[must_use]
    pub const fn most(self) -> u64 {
        self.certain + self.doubtful
    }
}

impl UsedPorts {
    /// An empty collector. Owners of the sockets are collected in `breakdowns`.
    #[must_use]
    pub fn new(breakdowns: Option<Breakdowns>) -> Self {
        Self { breakdowns, ..Self::default() }
    }

    /// The owners of the sockets that the ports of protocols belong to.
    pub fn take_breakdowns(&mut self) -> Option<Breakdowns> {
        self.breakdowns.take()
    }

    /// The number of ports in use for each destination, of the local address that uses the most.
    /// Ports that no destination can get are left out.
    #[must_use]
    pub fn by_destination(&self) -> HashMap<Endpoint, u64> {
        let mut most = HashMap::new();
        let destinations = self.tcp.iter().flat_map(|(_, tcp)| &tcp.destinations);
        for ((_, destination), count) in destinations {
            let used = most.entry(*destination).or_insert(0);
            *used = (*count).max(*used);
        }
        most
    }

    /// The ports of TCP in a network namespace that no destination can get. Doubtful ports are left
    /// out where the fullest destination uses as many ports.
    #[must_use]
    pub fn taken_of_tcp(&self, netns: NetnsIndex, facts: &NetnsFacts) -> Option<Taken> {
        let ports = facts.ephemeral.as_ref()?;
        let tcp = self.tcp.iter().find_map(|(known, tcp)| (*known == netns).then_some(tcp));
        let fullest = tcp.and_then(|tcp| tcp.destinations.values().copied().max()).unwrap_or(0);
        let single = tcp.map_or(0, OfTcp::single);
        let doubtful = Some(single).filter(|single| *single > fullest).unwrap_or(0);
        let of = ports.both().map(|ports| ports.count()).min()?;
        let certain = ports.both().map(|ports| facts.bound_within(ports)).max()?;
        Some(Taken { certain, doubtful, of })
    }

    /// The ports of UDP in a network namespace that sockets use.
    #[must_use]
    pub fn taken_of_udp(&self, netns: NetnsIndex, facts: &NetnsFacts) -> Option<Taken> {
        let of = facts.udp_ports.as_ref()?.both().map(|ports| ports.count()).min()?;
        let certain = self.udp.get(&netns).map_or(0, PortSet::count);
        Some(Taken { certain, doubtful: 0, of })
    }

    fn add_tcp(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let Some(ports) = &self.facts.ephemeral else { return Ok(()) };
        let local = socket.local()?;
        if !ports.of(local.ip()).contains(local.port()) {
            return Ok(());
        }
        let remote = socket.remote()?;
        if remote.port() == 0 {
            return self.explain(netns, socket);
        }
        if self.facts.bound.as_ref().is_some_and(|bound| bound.contains(local.port())) {
            return Ok(());
        }
        let (address, destination) =
            (Address::within(local, netns), Endpoint::within(remote, netns));
        match self.tcp.last_mut() {
            Some((last, tcp)) if *last == netns => tcp.add(address, local.port(), destination),
            _ => {
                let mut tcp = OfTcp::default();
                tcp.add(address, local.port(), destination);
                self.tcp.push((netns, tcp));
            }
        }
        Ok(())
    }

    fn add_udp(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let Some(ports) = &self.facts.udp_ports else { return Ok(()) };
        let local = socket.local()?;
        if ports.of(local.ip()).contains(local.port()) {
            self.udp.entry(netns).or_default().insert(local.port());
            self.explain(netns, socket)?;
        }
        Ok(())
    }

    /// Adds a socket to the owners of its protocol's ports.
    fn explain(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let group = Group::Ports(socket.connection_type().protocol(), netns);
        self.breakdowns.as_mut().map_or(Ok(()), |found| found.add_to(group, netns, socket))
    }
}

impl Collector for UsedPorts {
    fn fresh(&self) -> Self {
        Self { facts: self.facts.clone(), ..Self::new(self.breakdowns.fresh()) }
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.facts = facts.clone();
        self.breakdowns.begin(facts)
    }

    #[inline]
    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        match socket.connection_type().protocol() {
            Protocol::Tcp => self.add_tcp(netns, socket),
            Protocol::Udp => self.add_udp(netns, socket),
            Protocol::Unix => Ok(()),
        }
    }

    fn merge(&mut self, dump: Self) {
        for (netns, tcp) in dump.tcp {
            match self.tcp.last_mut() {
                Some((last, known)) if *last == netns => known.merge(tcp),
                _ => self.tcp.push((netns, tcp)),
            }
        }
        for (netns, ports) in dump.udp {
            self.udp.entry(netns).or_default().add(&ports);
        }
        self.breakdowns.merge(dump.breakdowns);
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        let destinations = self.tcp.iter().flat_map(|(_, tcp)| tcp.destinations.keys());
        found.extend(destinations.filter_map(|(_, to)| to.address.interface()));
        self.breakdowns.interfaces(found);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::collect::counts::{CountMap, Table};
    use crate::ephemeral::{ByFamily, PortRange};
    use crate::group::GroupBy;
    use crate::selection::Ports;
    use crate::socket::made::Made;
    use crate::vocabulary::{ConnectionStatus, ConnectionType};

    fn tcp(local: &str, remote: &str) -> Made {
        Made::new(ConnectionType::Tcp, ConnectionStatus::Established, local, remote)
    }

    fn collected<C: Collector>(mut collector: C, sockets: &[Made]) -> C {
        // As in `source::collect`, every dump has its own collector.
        for dump in sockets.chunks(2) {
            let mut fresh = collector.fresh();
            for socket in dump {
                fresh.add(NetnsIndex::OWN, socket).unwrap_or_else(|e| panic!("{e}"));
            }
            collector.merge(fresh);
        }
        collector
    }

    fn families(ipv4: (u16, u16), ipv6: (u16, u16)) -> EphemeralPorts {
        let ports = |(first, last)| {
            let range = PortRange { ports: Ports { first, last }, reserved: Vec::new() };
            Arc::new(PortSet::given(&range, &HashSet::new()))
        };
        ByFamily { ipv4: ports(ipv4), ipv6: ports(ipv6) }
    }

    fn begun<C: Collector>(mut collector: C, facts: &NetnsFacts) -> C {
        collector.begin(facts).unwrap_or_else(|e| panic!("{e}"));
        collector
    }

    #[test]
    fn outgoing_connections_have_an_ephemeral_port_and_a_peer() {
        let families = families((100, 199), (150, 249));
        assert_eq!(families.span(), Some(Ports { first: 100, last: 249 }));
        let facts = NetnsFacts { ephemeral: Some(families), ..NetnsFacts::default() };
        let (a, b) = ("198.51.100.1:443", "198.51.100.2:443");
        let sockets = [
            tcp("192.0.2.1:100", a),
            tcp("192.0.2.1:101", a),
            tcp("192.0.2.2:101", a),
            tcp("192.0.2.2:102", b),
            // In turn: only in IPv6's range, in range, only in IPv4's range, in no range, without a
            // peer, in range.
            tcp("192.0.2.1:200", a),
            tcp("[2001:db8::1]:200", "[2001:db8::2]:443"),
            tcp("[2001:db8::1]:100", "[2001:db8::2]:443"),
            tcp("192.0.2.1:99", b),
            tcp("192.0.2.1:102", "0.0.0.0:0"),
            tcp("192.0.2.1:103", a),
        ];
        let to = |text: &str, count| {
            let end = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            (Endpoint::within(end, NetnsIndex::OWN), count)
        };
        let used = collected(begun(UsedPorts::default(), &facts), &sockets);
        let used: BTreeMap<_, _> = used.by_destination().into_iter().collect();
        assert_eq!(used, BTreeMap::from([to(a, 3), to(b, 1), to("[2001:db8::2]:443", 1)]));
        // 5 of IPv4, of two local addresses, and 1 of IPv6.
        let outgoing = begun(Outgoing::new(CountMap::new(GroupBy::LocalAddress)), &facts);
        let counts = collected(outgoing, &sockets).into_collected().groups();
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 6);
    }

    #[test]
    fn bound_ports_are_taken_and_ports_of_one_connection_may_be() {
        let ports = families((100, 199), (100, 199));
        let mut bound = PortSet::default();
        // A port beyond the range counts for nothing.
        for port in [150, 151, 152, 300] {
            bound.insert(port);
        }
        let facts = NetnsFacts {
            ephemeral: Some(ports),
            bound: Some(Arc::new(bound)),
            ..NetnsFacts::default()
        };
        let to = |number: u16| format!("198.51.100.1:{number}");
        let taken = |sockets: &[Made]| {
            let used = collected(begun(UsedPorts::default(), &facts), sockets);
            used.taken_of_tcp(NetnsIndex::OWN, &facts)
                .map(|taken| (taken.certain, taken.doubtful, taken.of))
        };
        assert_eq!(taken(&[]), Some((3, 0, 100)));
        // Each connection has a port and a destination of its own.
        let own = |range: std::ops::Range<u16>| {
            range.map(|n| tcp(&format!("192.0.2.1:{}", 100 + n), &to(n))).collect::<Vec<_>>()
        };
        assert_eq!(taken(&own(1..21)), Some((3, 20, 100)));
        // The port of a bound socket is not counted twice.
        assert_eq!(taken(&own(41..61)), Some((3, 17, 100)));
        // Two connections share a port: the kernel has chosen it.
        let mut shared = own(1..21);
        shared.extend((1..6).map(|n| tcp(&format!("192.0.2.1:{}", 100 + n), &to(99))));
        assert_eq!(taken(&shared), Some((3, 15, 100)));
        // Connections of two local addresses may each have a bound port.
        let mut others = own(1..21);
        others.extend((1..26).map(|n| tcp(&format!("192.0.2.2:{}", 100 + n), &to(n))));
        assert_eq!(taken(&others), Some((3, 25, 100)));
        // The number of a destination that uses all these ports says as much.
        let one: Vec<_> = (0..20).map(|n| tcp(&format!("192.0.2.1:{}", 100 + n), &to(7))).collect();
        assert_eq!(taken(&one), Some((3, 0, 100)));
    }

    #[test]
    fn addresses_beyond_the_limit_share_their_ports() {
        let facts =
            NetnsFacts { ephemeral: Some(families((1, 1000), (1, 1000))), ..NetnsFacts::default() };
        let sockets: Vec<_> = (0..=u8::MAX)
            .map(|n| {
                tcp(&format!("127.0.0.{n}:{}", 500 + u16::from(n)), &format!("127.0.1.{n}:80"))
            })
            .collect();
        let used = collected(begun(UsedPorts::default(), &facts), &sockets);
        let taken = used.taken_of_tcp(NetnsIndex::OWN, &facts);
        assert_eq!(taken, Some(Taken { certain: 0, doubtful: 256, of: 1000 }));
        let known = used.tcp.iter().map(|(_, tcp)| tcp.sharing.len());
        assert_eq!(known.collect::<Vec<_>>(), [MOST_ADDRESSES]);
    }

    #[test]
    fn each_port_of_udp_counts_once() {
        let facts = NetnsFacts {
            udp_ports: Some(families((100, 199), (100, 199))),
            ..NetnsFacts::default()
        };
        let udp = |local: &str, remote: &str| {
            Made::new(ConnectionType::Udp, ConnectionStatus::None, local, remote)
        };
        let sockets = [
            udp("0.0.0.0:100", "0.0.0.0:0"),
            udp("192.0.2.1:100", "198.51.100.1:53"),
            udp("192.0.2.1:101", "198.51.100.1:53"),
            udp("192.0.2.1:53", "0.0.0.0:0"),
        ];
        let used = collected(begun(UsedPorts::default(), &facts), &sockets);
        assert_eq!(
            used.taken_of_udp(NetnsIndex::OWN, &facts),
            Some(Taken { certain: 2, doubtful: 0, of: 100 })
        );
        assert!(used.by_destination().is_empty());
    }
}
