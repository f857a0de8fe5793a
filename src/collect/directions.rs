//! Collectors of connections with their direction, which follows from the listeners of their namespace.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::address::InterfaceIndex;
use crate::collect::collector::{Collector, NetnsFacts};
use crate::collect::counts::Table;
use crate::error::Error;
use crate::group::Group;
use crate::listeners::Listeners;
use crate::socket::{Socket, UnixName, Wanted, delegated};
use crate::stuck::Transfer;
use crate::vocabulary::{
    ConnectionStatus, ConnectionType, Direction, NetnsIndex, Protocol, SourceName,
};

/// Passes sockets on, each with its direction, or those of one direction; without listeners every
/// socket as it is.
#[derive(Debug)]
pub struct Directed<C> {
    only: Option<Direction>,
    is_told: bool,
    listeners: Option<Arc<Listeners>>,
    collector: C,
}

impl<C: Collector> Directed<C> {
    /// Passes sockets on to `collector`: those of one direction, where there is one. The
    /// collector gets directions where one is selected, or where `is_told`.
    pub fn new(only: Option<Direction>, is_told: bool, collector: C) -> Self {
        Self { only, is_told: is_told || only.is_some(), listeners: None, collector }
    }

    /// The inner collector.
    pub fn into_collected(self) -> C {
        self.collector
    }
}

impl<C: Collector> Collector for Directed<C> {
    fn wanted(&self) -> Wanted {
        self.collector.wanted()
    }

    fn fresh(&self) -> Self {
        let Self { only, is_told, listeners, collector } = self;
        Self {
            only: *only,
            is_told: *is_told,
            listeners: listeners.clone(),
            collector: collector.fresh(),
        }
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        if self.is_told {
            self.listeners.clone_from(&facts.listeners);
        }
        self.collector.begin(facts)
    }

    #[inline]
    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        if !self.is_told {
            return self.collector.add(netns, socket);
        }
        let Some(listeners) = &self.listeners else {
            return Err(Error::Internal("directions need listeners".to_owned()));
        };
        let direction = direction(listeners, socket)?;
        if self.only.is_none() || self.only == direction {
            self.collector.add(netns, &WithDirection { socket, direction })?;
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        self.collector.merge(dump.collector);
    }

    fn falls_back(&mut self, protocol: Protocol, causes: &[(SourceName, Error)]) {
        self.collector.falls_back(protocol, causes);
    }

    fn goes_on_without(&mut self, protocol: Protocol, error: &Error) -> bool {
        self.collector.goes_on_without(protocol, error)
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        self.collector.interfaces(found);
    }
}

/// The direction of a socket; `None` where it is no connection.
///
/// A connection request that waits for its answer was made here, and one that was answered came from
/// outside: the listener may be gone. UDP has no listeners, so that the peer of a UDP socket is one
/// that this host has chosen.
#[inline]
fn direction(listeners: &Listeners, socket: &impl Socket) -> Result<Option<Direction>, Error> {
    match (socket.connection_type().protocol(), socket.status()) {
        (Protocol::Unix, _) | (Protocol::Tcp, ConnectionStatus::Listen) => return Ok(None),
        (Protocol::Tcp, ConnectionStatus::SynSent) => return Ok(Some(Direction::Out)),
        (Protocol::Tcp, ConnectionStatus::SynRecv) => return Ok(Some(Direction::In)),
        (Protocol::Tcp | Protocol::Udp, _) => {}
    }
    if socket.remote()?.port() == 0 {
        return Ok(None);
    }
    let is_incoming = socket.connection_type().protocol() == Protocol::Tcp
        && listeners.wait_on(socket.connection_type(), socket.local()?);
    Ok(Some(if is_incoming { Direction::In } else { Direction::Out }))
}

/// A socket with its direction.
struct WithDirection<'a, S> {
    socket: &'a S,
    direction: Option<Direction>,
}

impl<S: Socket> Socket for WithDirection<'_, S> {
    delegated! {
        connection_type -> ConnectionType,
        status -> ConnectionStatus,
        local -> Result<SocketAddr, Error>,
        remote -> Result<SocketAddr, Error>,
        unix -> Option<&UnixName>,
        queues -> Result<(u32, u32), Error>,
        backlog -> Result<(u32, u32), Error>,
        drops -> Result<u32, Error>,
        receive_buffer -> Result<(u32, u32), Error>,
        transfer -> Result<Option<Transfer>, Error>,
        inode -> Result<u64, Error>,
        process_key -> Result<u64, Error>,
        is_accepted -> bool,
        is_full -> Result<bool, Error>,
        uid -> Result<Option<u32>, Error>,
        cgroup -> Result<Option<u64>, Error>,
    }

    fn direction(&self) -> Result<Option<Direction>, Error> {
        Ok(self.direction)
    }
}

/// Counts the connections of each direction, and the sockets that are no connections.
#[derive(Clone, Debug, Default)]
pub struct DirectionTable {
    incoming: u64,
    outgoing: u64,
    neither: u64,
}

impl Collector for DirectionTable {
    fn fresh(&self) -> Self {
        Self::default()
    }

    #[inline]
    fn add(&mut self, _: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        match socket.direction()? {
            Some(Direction::In) => self.incoming += 1,
            Some(Direction::Out) => self.outgoing += 1,
            None => self.neither += 1,
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        self.incoming += dump.incoming;
        self.outgoing += dump.outgoing;
        self.neither += dump.neither;
    }
}

impl Table for DirectionTable {
    fn groups(self) -> Vec<(Group, u64)> {
        let counts = [
            (Some(Direction::In), self.incoming),
            (Some(Direction::Out), self.outgoing),
            (None, self.neither),
        ];
        let found = counts.into_iter().filter(|(_, count)| *count > 0);
        found.map(|(direction, count)| (Group::Direction(direction), count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::listeners::Listening;
    use crate::socket::made::Made;
    use ConnectionStatus::{Close, Established, Listen, None as OfUdp, SynRecv, SynSent, TimeWait};
    use ConnectionType::{Tcp, Tcp6, Udp};
    use Direction::{In, Out};

    const LISTENERS: [(ConnectionType, &str); 4] = [
        (Tcp, "192.0.2.1:80"),
        (Tcp, "0.0.0.0:443"),
        (Tcp6, "[::]:8080"),
        (Tcp6, "[::ffff:0.0.0.0]:90"),
    ];

    fn facts() -> NetnsFacts {
        let mut listening = Listening::default();
        for (connection_type, local) in LISTENERS {
            let none = if connection_type.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
            let made = Made::new(connection_type, Listen, local, none);
            listening.add(NetnsIndex::OWN, &made).unwrap_or_else(|e| panic!("{e}"));
        }
        let listeners = Arc::new(Listeners::new(NetnsIndex::OWN, &listening.0));
        NetnsFacts { listeners: Some(listeners), ..NetnsFacts::default() }
    }

    #[test]
    fn a_connection_to_a_port_that_is_listened_on_is_incoming() {
        let (v4, v6) = ("198.51.100.7:40000", "[2001:db8::7]:40000");
        for (connection_type, status, local, remote, expected) in [
            (Tcp, Established, "192.0.2.1:80", v4, Some(In)),
            (Tcp, TimeWait, "192.0.2.1:80", v4, Some(In)),
            // Listened on, but not on this address.
            (Tcp, Established, "192.0.2.2:80", v4, Some(Out)),
            (Tcp, Established, "192.0.2.2:443", v4, Some(In)),
            // Listened on by IPv4 alone.
            (Tcp6, Established, "[2001:db8::1]:443", v6, Some(Out)),
            (Tcp6, Established, "[2001:db8::1]:8080", v6, Some(In)),
            (Tcp6, Established, "[::ffff:192.0.2.1]:8080", "[::ffff:198.51.100.7]:4", Some(In)),
            (Tcp6, Established, "[::ffff:192.0.2.1]:90", "[::ffff:198.51.100.7]:4", Some(In)),
            (Tcp6, Established, "[2001:db8::1]:90", v6, Some(Out)),
            (Tcp, Established, "192.0.2.1:40000", "198.51.100.7:80", Some(Out)),
            (Tcp, SynSent, "192.0.2.1:80", v4, Some(Out)),
            (Tcp, SynRecv, "192.0.2.1:81", v4, Some(In)),
            (Tcp, Listen, "192.0.2.1:80", "0.0.0.0:0", None),
            (Tcp, Close, "192.0.2.1:80", "0.0.0.0:0", None),
            (Udp, OfUdp, "192.0.2.1:80", "0.0.0.0:0", None),
            (Udp, OfUdp, "192.0.2.1:80", v4, Some(Out)),
        ] {
            let socket = Made::new(connection_type, status, local, remote);
            let is_selected = |only| {
                let mut directed = Directed::new(only, true, DirectionTable::default());
                directed.begin(&facts()).unwrap_or_else(|e| panic!("{e}"));
                directed.add(NetnsIndex::OWN, &socket).unwrap_or_else(|e| panic!("{e}"));
                directed.into_collected().groups() == [(Group::Direction(expected), 1)]
            };
            assert!(is_selected(None), "{socket:?}");
            for only in [In, Out] {
                assert_eq!(is_selected(Some(only)), expected == Some(only), "{socket:?}");
            }
            assert!(Direction::is_possible(expected, connection_type, status), "{socket:?}");
        }
    }

    #[test]
    fn without_listeners_no_direction_is_told() {
        let socket = Made::new(Tcp, Established, "192.0.2.1:80", "192.0.2.7:5");
        let mut directed = Directed::new(Some(In), false, DirectionTable::default());
        assert!(directed.add(NetnsIndex::OWN, &socket).is_err());
        assert!(DirectionTable::default().add(NetnsIndex::OWN, &socket).is_err());
    }
}
