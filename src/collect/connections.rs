//! Connections as values, for callers that need every single connection. Counting never builds such
//! values.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use crate::address::{Address, InterfaceIndex};
use crate::collect::collector::Collector;
use crate::error::{Error, Optional};
use crate::group::Group;
use crate::owner::{KEYS_ARE_INODES, Names, Processes};
use crate::selection::{StuckFor, found, longest};
use crate::socket::{Socket, Wanted};
use crate::stuck::{StuckKind, Timer, Wait};
use crate::vocabulary::{ConnectionStatus, ConnectionType, NetnsIndex};

/// A connection, as `ss -antup` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Family and protocol.
    pub connection_type: ConnectionType,
    /// State.
    pub status: ConnectionStatus,
    /// Local address and port.
    pub local: SocketAddr,
    /// Remote address and port; `None` where the source does not report them.
    pub remote: Option<SocketAddr>,
    /// The interface of a link-local local address.
    pub local_interface: Option<Arc<str>>,
    /// The interface of a link-local remote address.
    pub remote_interface: Option<Arc<str>>,
    /// The receive queue: bytes that wait to be read; of a listener, connections that wait to be
    /// accepted.
    pub recv_queue: Option<u32>,
    /// The send queue: bytes that wait to be acknowledged; of a listener, the limit of its accept
    /// queue.
    pub send_queue: Option<u32>,
    /// The milliseconds since data was last sent; `None` where the kernel has no times: of UDP, of
    /// listeners, and before and after a connection.
    pub last_sent: Option<u32>,
    /// The milliseconds since data was last received.
    pub last_received: Option<u32>,
    /// The longest time for which the connection has been stuck; `None` where it is not stuck.
    pub stuck: Option<Wait>,
    /// The kind of being stuck for that time.
    pub stuck_kind: Option<StuckKind>,
    /// The packets that the kernel has dropped since the socket was made, where it tells them.
    pub drops: Option<u32>,
    /// The timer.
    pub timer: Option<Timer>,
    /// The retransmissions that the peer has not answered.
    pub retransmits: Option<u8>,
    /// The inode number; 0 where no process has the socket. Until `Connections::named` is called,
    /// the key of the processes.
    pub inode: Option<u64>,
    /// The user id; `None` where the socket has no owner, or where the source does not report
    /// users.
    pub uid: Option<u32>,
    /// The name of the user.
    pub user: Option<Arc<str>>,
    /// The unit in whose cgroup the socket was made.
    pub unit: Option<Arc<str>>,
    /// The processes that have the socket, where they were requested.
    pub processes: Option<Processes>,
    /// The name of its network namespace, where namespaces were requested.
    pub netns: Option<Arc<str>>,
    /// The index of that namespace; cleared by `Connections::named`.
    pub netns_index: NetnsIndex,
    /// The id of that unit's cgroup; cleared by `Connections::named`.
    pub cgroup: Option<NonZeroU64>,
}

impl Connection {
    /// A socket of a network namespace, without the names of its owners. It has been stuck for one of
    /// these times and kinds, or for any where there is none.
    #[inline]
    pub(super) fn of(
        netns: NetnsIndex,
        socket: &impl Socket,
        stuck: &[StuckFor],
    ) -> Result<Self, Error> {
        let queues = socket.queues().optional()?;
        let transfer = socket.transfer().optional()?.flatten();
        let stuck = transfer.as_ref().and_then(|facts| longest(&found(stuck, facts)));
        // The kernel counts these times from the start of a connection.
        let timed = transfer.filter(|facts| {
            !matches!(
                facts.status,
                ConnectionStatus::SynSent | ConnectionStatus::Listen | ConnectionStatus::Close
            )
        });
        Ok(Self {
            last_sent: timed.map(|facts| facts.last_sent),
            last_received: timed.map(|facts| facts.last_received),
            stuck: stuck.map(|(_, wait)| wait),
            stuck_kind: stuck.map(|(kind, _)| kind),
            drops: socket.drops().optional()?,
            timer: transfer.map(|facts| facts.timer),
            retransmits: transfer.map(|facts| facts.retransmits),
            connection_type: socket.connection_type(),
            status: socket.status(),
            local: socket.local()?,
            remote: socket.remote().optional()?,
            local_interface: None,
            remote_interface: None,
            recv_queue: queues.map(|(receive, _)| receive),
            send_queue: queues.map(|(_, send)| send),
            inode: socket.process_key().optional()?,
            uid: socket.uid().optional()?.flatten(),
            user: None,
            unit: None,
            processes: None,
            netns: None,
            netns_index: netns,
            cgroup: socket.cgroup().optional()?.flatten().and_then(NonZeroU64::new),
        })
    }
}

/// Collects connections as values.
#[derive(Debug, Default)]
pub struct Connections {
    kept: Vec<Connection>,
    /// The number of connections, also of those that were not kept.
    pub total: u64,
    stuck: Vec<StuckFor>,
    // The most connections that are kept; `None` for all.
    most: Option<usize>,
}

impl Connections {
    /// An empty collector of all connections, or of the `most` that have been stuck the longest. They
    /// have been stuck for one of these times and kinds, or for any where there is none.
    #[must_use]
    pub fn new(stuck: &[StuckFor], most: Option<usize>) -> Self {
        Self { stuck: stuck.to_vec(), most, ..Self::default() }
    }

    /// Drops all but the connections that have been stuck the longest. The sort is stable: others are
    /// in the kernel's order.
    fn keep(&mut self, most: usize) {
        self.kept.sort_by_key(|one| Reverse(one.stuck.map(|wait| (wait.most, wait.least))));
        self.kept.truncate(most);
    }
}

impl Collector for Connections {
    fn wanted(&self) -> Wanted {
        Wanted { memory: true, transfer: true }
    }

    fn fresh(&self) -> Self {
        Self::new(&self.stuck, self.most)
    }

    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        self.total += 1;
        if let Some(most) = self.most
            && self.kept.len() >= most.saturating_mul(2)
        {
            self.keep(most);
        }
        self.kept.push(Connection::of(netns, socket, &self.stuck)?);
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        self.total += dump.total;
        if self.kept.is_empty() {
            self.kept = dump.kept;
        } else {
            self.kept.extend(dump.kept);
        }
        if let Some(most) = self.most {
            self.keep(most);
        }
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        for connection in &self.kept {
            let ends = [Some(connection.local), connection.remote].into_iter().flatten();
            let addresses = ends.map(|end| Address::within(end, connection.netns_index));
            found.extend(addresses.filter_map(Address::interface));
        }
    }
}

impl Connections {
    /// The owners and interfaces of the connections, as groups whose names can be looked up.
    /// Processes and namespaces are included only on request.
    pub fn owners(&self, processes: bool, netns: bool) -> impl Iterator<Item = Group> {
        let owners = self.kept.iter().flat_map(move |connection| {
            let process = connection.inode.filter(|_| processes).map(Group::Process);
            let ends = [Some(connection.local), connection.remote].map(|end| {
                let address = end.map(|end| Address::within(end, connection.netns_index));
                address.filter(|address| address.interface().is_some()).map(Group::Address)
            });
            let owners = [
                Some(Group::User(connection.uid)),
                Some(Group::Cgroup(connection.cgroup.map(NonZeroU64::get))),
                process,
                netns.then_some(Group::Netns(connection.netns_index)),
            ];
            owners.into_iter().chain(ends)
        });
        owners.flatten()
    }

    /// The connections with the names of their owners.
    #[must_use]
    pub fn named(self, processes: bool, names: &Names) -> Vec<Connection> {
        let mut connections = self.kept;
        for connection in &mut connections {
            connection.user = connection.uid.and_then(|id| names.user(id));
            connection.unit = connection.cgroup.take().and_then(|id| names.unit(id.get()));
            let net = std::mem::take(&mut connection.netns_index);
            connection.netns = names.namespace(net).map(|name| Arc::clone(&name.label));
            connection.local_interface = interface(&mut connection.local, net, names);
            connection.remote_interface =
                connection.remote.as_mut().and_then(|end| interface(end, net, names));
            if processes {
                connection.processes = connection.inode.map(|key| names.processes(key));
            }
            connection.inode = connection.inode.filter(|_| KEYS_ARE_INODES);
        }
        connections
    }
}

/// The name of the interface in the scope id of `end`, else its index. Clears the scope id, which
/// would repeat the interface.
fn interface(end: &mut SocketAddr, net: NetnsIndex, names: &Names) -> Option<Arc<str>> {
    let address = Address::within(*end, net);
    let (_, index) = address.interface()?;
    if let SocketAddr::V6(end) = end {
        end.set_scope_id(0);
    }
    names.interface(address).or_else(|| Some(index.to_string().into()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;
    use crate::deadline::Deadline;
    use crate::socket::made::Made;

    #[test]
    fn a_process_key_is_shown_only_where_it_is_an_inode_number() {
        let (t, status) = (ConnectionType::Tcp, ConnectionStatus::Established);
        let mut collected = Connections::default();
        let key = u64::from(std::process::id());
        let made = Made::new(t, status, "192.0.2.1:80", "198.51.100.1:443");
        let own = Made { process_key: key, ..made };
        collected.add(NetnsIndex::OWN, &own).unwrap_or_else(|e| panic!("{e}"));
        let deadline = Deadline::new(Duration::from_secs(20), &|| false);
        let names = Names::default().of_processes(vec![key], HashSet::new(), &deadline);
        let names = names.unwrap_or_else(|e| panic!("{e}"));
        let connections = collected.named(true, &names);
        let [connection] = &*connections else { panic!("{connections:?}") };
        let pids = connection.processes.iter().flat_map(|all| all.iter().map(|one| one.pid));
        // On Linux the key is an inode number, and no process has a socket with this number.
        let expected = cfg!(windows).then(std::process::id);
        assert!(pids.eq(expected), "{connection:?}");
        assert_eq!(connection.inode, KEYS_ARE_INODES.then_some(key));
    }
}
