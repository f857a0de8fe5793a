//! Collectors of the local ports that outgoing connections use.

use std::collections::{HashMap, HashSet};

use crate::address::{Address, Endpoint, InterfaceIndex};
use crate::collect::collector::{Collector, NetnsFacts};
use crate::ephemeral::EphemeralPorts;
use crate::error::Error;
use crate::group::End;
use crate::socket::{Socket, Wanted};
use crate::vocabulary::NetnsIndex;

/// Passes on outgoing connections only: connections with a peer and an ephemeral local port. Where
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
        if remote.port() != 0
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

/// Counts connections by local address and destination: each of these connections has its own local
/// port.
#[derive(Debug, Default)]
pub struct UsedPorts(HashMap<(Address, Endpoint), u64>);

impl UsedPorts {
    /// The number of ports in use for each destination, of the local address that uses the most.
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
    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let ends = (End::Local.address(netns, socket)?, End::Remote.endpoint(netns, socket)?);
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

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        found.extend(self.0.keys().filter_map(|(_, to)| to.address.interface()));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::ephemeral::{ByFamily, Ephemeral, PortRange};
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

    #[test]
    fn outgoing_connections_have_an_ephemeral_port_and_a_peer() {
        let ports = |first, last| {
            let range = PortRange { ports: Ports { first, last }, reserved: Vec::new() };
            Arc::new(Ephemeral::new(&range, &HashSet::new()))
        };
        let families = ByFamily { ipv4: ports(100, 199), ipv6: ports(150, 249) };
        assert_eq!(families.span(), Some(Ports { first: 100, last: 249 }));
        let facts = NetnsFacts { ephemeral: Some(families), ..NetnsFacts::default() };
        let mut outgoing = Outgoing::new(UsedPorts::default());
        outgoing.begin(&facts).unwrap_or_else(|e| panic!("{e}"));
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
        let used = collected(outgoing, &sockets).into_collected();
        let used: BTreeMap<_, _> = used.by_destination().into_iter().collect();
        let to = |text: &str, count| {
            let end = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            (Endpoint::within(end, NetnsIndex::OWN), count)
        };
        assert_eq!(used, BTreeMap::from([to(a, 3), to(b, 1), to("[2001:db8::2]:443", 1)]));
    }
}
