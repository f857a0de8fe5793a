//! Collectors of listeners, and of connections with the owner of the listener at which they wait.
//!
//! The kernel keeps a connection that no process has accepted yet without an inode number, and
//! before Linux 6.17 without a user. It belongs to the listener that will accept it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::address::InterfaceIndex;
use crate::collect::collector::{Collector, NetnsFacts};
use crate::ephemeral::PortSet;
use crate::error::{Error, Optional};
use crate::listeners::{End, Listeners, Owner};
use crate::socket::{Socket, Wanted, delegated};
use crate::stuck::Transfer;
use crate::vocabulary::{ConnectionStatus, ConnectionType, Direction, NetnsIndex, Protocol};

/// Collects listening sockets.
#[derive(Debug, Default)]
pub struct Listening(pub HashMap<End, Vec<Owner>>);

impl Collector for Listening {
    fn fresh(&self) -> Self {
        Self::default()
    }

    fn add(&mut self, _: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let local = socket.local()?;
        let key = socket.process_key().optional()?;
        let owner = Owner { key, uid: socket.uid().optional()?.flatten() };
        let end = (socket.connection_type(), local.ip(), local.port());
        self.0.entry(end).or_default().push(owner);
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        for (end, owners) in dump.0 {
            self.0.entry(end).or_default().extend(owners);
        }
    }
}

/// Collects the ports of sockets that are bound and have no connection.
#[derive(Debug, Default)]
pub struct BoundPorts(pub PortSet);

impl Collector for BoundPorts {
    fn fresh(&self) -> Self {
        Self::default()
    }

    fn add(&mut self, _: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        self.0.insert(socket.local()?.port());
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        self.0.add(&dump.0);
    }
}

/// Passes sockets on. A connection that waits to be accepted gets the owner of its listener, where the
/// listeners of its namespace were read.
#[derive(Debug)]
pub struct Attributed<C> {
    listeners: Option<Arc<Listeners>>,
    collector: C,
}

impl<C: Collector> Attributed<C> {
    /// Passes sockets on to `collector`.
    pub fn new(collector: C) -> Self {
        Self { listeners: None, collector }
    }

    /// The inner collector.
    pub fn into_collected(self) -> C {
        self.collector
    }
}

impl<C: Collector> Collector for Attributed<C> {
    fn wanted(&self) -> Wanted {
        self.collector.wanted()
    }

    fn fresh(&self) -> Self {
        Self { listeners: self.listeners.clone(), collector: self.collector.fresh() }
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.listeners.clone_from(&facts.listeners);
        self.collector.begin(facts)
    }

    #[inline]
    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        if let Some(listeners) = &self.listeners
            && waits(socket)?
        {
            let owner = listeners.owner(socket.connection_type(), socket.local()?);
            self.collector.add(netns, &Waiting { socket, owner })
        } else {
            self.collector.add(netns, socket)
        }
    }

    fn merge(&mut self, dump: Self) {
        self.collector.merge(dump.collector);
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        self.collector.interfaces(found);
    }
}

/// The states that a connection can have before a process accepts it.
pub const WAITING: [ConnectionStatus; 2] =
    [ConnectionStatus::Established, ConnectionStatus::CloseWait];

/// Whether a connection waits to be accepted. A connection without an inode number in one of these
/// states was never accepted: close(2) takes a connection to another state.
#[inline]
fn waits(socket: &impl Socket) -> Result<bool, Error> {
    Ok(WAITING.contains(&socket.status())
        && socket.connection_type().protocol() == Protocol::Tcp
        && socket.inode().optional()? == Some(0))
}

/// A connection that waits to be accepted, with the owner of its listener.
struct Waiting<'a, S> {
    socket: &'a S,
    owner: Owner,
}

impl<S: Socket> Socket for Waiting<'_, S> {
    delegated! {
        connection_type -> ConnectionType,
        status -> ConnectionStatus,
        local -> Result<SocketAddr, Error>,
        remote -> Result<SocketAddr, Error>,
        direction -> Result<Option<Direction>, Error>,
        queues -> Result<(u32, u32), Error>,
        backlog -> Result<(u32, u32), Error>,
        drops -> Result<u32, Error>,
        receive_buffer -> Result<(u32, u32), Error>,
        transfer -> Result<Option<Transfer>, Error>,
        inode -> Result<u64, Error>,
        is_full -> Result<bool, Error>,
        cgroup -> Result<Option<u64>, Error>,
    }

    fn process_key(&self) -> Result<u64, Error> {
        self.owner.key.map_or_else(|| self.socket.process_key(), Ok)
    }

    fn is_accepted(&self) -> bool {
        false
    }

    fn uid(&self) -> Result<Option<u32>, Error> {
        self.owner.uid.map_or_else(|| self.socket.uid(), |uid| Ok(Some(uid)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::counts::ProcessKeys;
    use crate::listeners::{UNKNOWN_LISTENER, is_of_several};
    use crate::socket::made::Made;
    use ConnectionStatus::{CloseWait, Established, FinWait1, Listen};
    use ConnectionType::{Tcp, Tcp6, Udp};

    fn listening(netns: u16, listeners: &[(ConnectionType, &str, u64)]) -> Listeners {
        let mut listening = Listening::default();
        for (connection_type, local, process_key) in listeners {
            let none = if connection_type.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
            let made = Made::new(*connection_type, Listen, local, none);
            let made = Made { process_key: *process_key, ..made };
            listening.add(NetnsIndex(netns), &made).unwrap_or_else(|e| panic!("{e}"));
        }
        Listeners::new(NetnsIndex(netns), &listening.0)
    }

    /// The keys of connections on these ends, as they reach the inner collector.
    fn keys(listeners: Listeners, sockets: &[Made]) -> Vec<u64> {
        let facts = NetnsFacts { listeners: Some(Arc::new(listeners)), ..NetnsFacts::default() };
        let mut attributed = Attributed::new(ProcessKeys::default());
        attributed.begin(&facts).unwrap_or_else(|e| panic!("{e}"));
        for socket in sockets {
            attributed.add(NetnsIndex(0), socket).unwrap_or_else(|e| panic!("{e}"));
        }
        let keys = attributed.into_collected();
        keys.keys.into_iter().chain((keys.without > 0).then_some(keys.without)).collect()
    }

    fn waiting(connection_type: ConnectionType, status: ConnectionStatus, local: &str) -> Made {
        let remote = if connection_type.is_ipv6() { "[2001:db8::9]:7" } else { "192.0.2.9:7" };
        Made { process_key: 0, ..Made::new(connection_type, status, local, remote) }
    }

    #[test]
    fn a_connection_that_waits_has_the_owner_of_its_listener() {
        let listeners = || {
            listening(
                0,
                &[
                    (Tcp, "192.0.2.1:80", 5),
                    (Tcp, "0.0.0.0:443", 6),
                    (Tcp6, "[::]:80", 7),
                    (Tcp6, "[::ffff:192.0.2.2]:90", 8),
                ],
            )
        };
        for (socket, expected) in [
            (waiting(Tcp, Established, "192.0.2.1:80"), 5),
            (waiting(Tcp, CloseWait, "192.0.2.1:443"), 6),
            (waiting(Tcp6, CloseWait, "[::ffff:192.0.2.2]:80"), 7),
            (waiting(Tcp6, CloseWait, "[::ffff:192.0.2.2]:90"), 8),
            (waiting(Tcp, Established, "192.0.2.2:80"), UNKNOWN_LISTENER),
            (waiting(Tcp, Established, "192.0.2.1:81"), UNKNOWN_LISTENER),
            // An accepted connection keeps its owner.
            (Made { process_key: 9, ..waiting(Tcp, Established, "192.0.2.1:80") }, 9),
        ] {
            assert_eq!(keys(listeners(), &[socket]), [expected], "{socket:?}");
        }
        // Connections that a process has closed, and UDP sockets, wait for nothing: one is without
        // an owner.
        for socket in
            [waiting(Tcp, FinWait1, "192.0.2.1:80"), waiting(Udp, Established, "192.0.2.1:80")]
        {
            assert_eq!(keys(listeners(), &[socket]), [1], "{socket:?}");
        }
    }

    #[test]
    fn a_connection_may_wait_at_one_of_several_listeners() {
        let listeners = listening(
            3,
            &[
                (Tcp, "192.0.2.1:80", 5),
                (Tcp, "0.0.0.0:80", 6),
                (Tcp, "0.0.0.0:80", 7),
                (Tcp, "0.0.0.0:80", 7),
                (Tcp, "0.0.0.0:90", 4),
                (Tcp, "0.0.0.0:90", 4),
            ],
        );
        let mut several: Vec<_> = listeners.several().map(|(_, keys)| keys.to_vec()).collect();
        several.sort_unstable();
        assert_eq!(several, [vec![5, 6, 7], vec![6, 7]]);
        let own = listeners.several().find(|(_, keys)| keys.len() == 3).map(|(key, _)| key);
        let sockets =
            [waiting(Tcp, Established, "192.0.2.1:80"), waiting(Tcp, CloseWait, "192.0.2.1:90")];
        assert_eq!(keys(listeners, &sockets), [own.unwrap_or_default(), 4]);
        assert!(
            own.is_some_and(is_of_several) && is_of_several(UNKNOWN_LISTENER) && !is_of_several(7)
        );
        let many: Vec<_> = (1..=300).map(|key| (Tcp, "0.0.0.0:80", key)).collect();
        let listeners = listening(0, &many);
        assert_eq!(listeners.several().count(), 0);
        assert_eq!(
            keys(listeners, &[waiting(Tcp, Established, "192.0.2.1:80")]),
            [UNKNOWN_LISTENER]
        );
    }
}
