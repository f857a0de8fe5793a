//! Connections as values, for whoever wants to look at each of them. Counting never builds them.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::connection::{Connection, ConnectionStatus, ConnectionType};
use crate::deadline::Deadline;
use crate::error::{Error, Known};
use crate::group::Group;
use crate::owner::{self, Holders};
use crate::source::Collector;

/// One connection, as `ss -antup` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Socket {
    /// Family and protocol.
    pub connection_type: ConnectionType,
    /// State.
    pub status: ConnectionStatus,
    /// Local address and port.
    pub local: SocketAddr,
    /// Remote address and port; `None` where the source does not tell.
    pub remote: Option<SocketAddr>,
    /// Bytes to be received; of a listening socket connections to be accepted.
    pub recv_queue: Option<u32>,
    /// Bytes to be acknowledged; of a listening socket how many connections may wait.
    pub send_queue: Option<u32>,
    /// The inode number; 0 where no process has the socket.
    pub inode: Option<u64>,
    /// The user id; `None` where nobody owns the socket.
    pub uid: Option<u32>,
    /// The user's name.
    pub user: Option<Arc<str>>,
    /// The unit in whose cgroup the socket was made.
    pub unit: Option<Arc<str>>,
    /// The processes that have it, where they were asked for.
    pub processes: Option<Holders>,
    /// The id of that unit's cgroup, until it is looked up.
    pub cgroup: Option<u64>,
}

/// Collects connections as values.
#[derive(Debug, Default)]
pub struct Sockets(Vec<Socket>);

impl Collector for Sockets {
    fn fresh(&self) -> Self {
        Self::default()
    }

    fn add(&mut self, connection: &impl Connection) -> Result<(), Error> {
        let queues = connection.queues().known()?;
        self.0.push(Socket {
            connection_type: connection.connection_type(),
            status: connection.status(),
            local: connection.local()?,
            remote: connection.remote().known()?,
            recv_queue: queues.map(|(receive, _)| receive),
            send_queue: queues.map(|(_, send)| send),
            inode: connection.inode().known()?,
            uid: connection.uid().known()?.flatten(),
            user: None,
            unit: None,
            processes: None,
            cgroup: connection.cgroup().known()?.flatten(),
        });
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        if self.0.is_empty() {
            self.0 = dump.0;
        } else {
            self.0.extend(dump.0);
        }
    }
}

impl Sockets {
    /// The connections with the names of their owners.
    pub fn named(self, processes: bool, deadline: &Deadline) -> Result<Vec<Socket>, Error> {
        let mut sockets = self.0;
        let owners = sockets.iter().flat_map(|socket| {
            let process = socket.inode.filter(|_| processes).map(Group::Inode);
            [Some(Group::User(socket.uid)), Some(Group::Cgroup(socket.cgroup)), process]
        });
        let names = owner::look_up(owners.flatten(), true, deadline)?;
        for socket in &mut sockets {
            socket.user = socket.uid.and_then(|id| names.user(id));
            socket.unit = socket.cgroup.take().and_then(|id| names.unit(id));
            if processes {
                socket.processes = socket.inode.map(|inode| names.holders(inode));
            }
        }
        Ok(sockets)
    }
}
