//! The fields of a socket, the same for every source.

use std::net::SocketAddr;

use crate::error::Error;
use crate::stuck::Transfer;
use crate::vocabulary::{ConnectionStatus, ConnectionType, Direction};

/// The reason why a source other than netlink does not tell for how long a connection has been stuck.
pub const NO_TIMES: &str =
    "the times of connections are not known here (only netlink has them: /proc/net has none)";

/// A socket as a source shows it: a view over its message or line. Fields are decoded when they are
/// read.
///
/// A field that this source does not report is [`Error::Unsupported`]; a field that cannot be
/// decoded is [`Error::Garbled`]. Neither is ever replaced by a guess.
pub trait Socket {
    /// Family and protocol.
    fn connection_type(&self) -> ConnectionType;

    /// State.
    fn status(&self) -> ConnectionStatus;

    /// Local address and port; unspecified and 0 where the socket is not bound. A link-local
    /// address has the index of its interface as its scope, where this source reports it.
    fn local(&self) -> Result<SocketAddr, Error>;

    /// Remote address and port, as above; unspecified and 0 where the socket is not connected.
    fn remote(&self) -> Result<SocketAddr, Error>;

    /// The name of a unix socket, which has neither address nor port; `None` for other sockets.
    #[inline]
    fn unix(&self) -> Option<&UnixName> {
        None
    }

    /// The direction; `None` for a socket that is no connection. No source reports it: it follows from
    /// the listeners.
    fn direction(&self) -> Result<Option<Direction>, Error> {
        Err(Error::Unsupported("the directions of connections are not known here".to_owned()))
    }

    /// The receive and the send queue (`Recv-Q` and `Send-Q` in `ss(8)`).
    fn queues(&self) -> Result<(u32, u32), Error> {
        Err(Error::Unsupported("the queues of sockets are not known here".to_owned()))
    }

    /// The accept queue of a listener: the number of connections that wait to be accepted, and its
    /// limit.
    fn backlog(&self) -> Result<(u32, u32), Error> {
        Err(Error::Unsupported(
            "the limits of accept queues are not known here (only netlink has them)".to_owned(),
        ))
    }

    /// The number of packets that the kernel has dropped since the socket was made; of a listener,
    /// the number of connections and connection requests that found no room (`sk_drops` in
    /// `include/net/sock.h`).
    fn drops(&self) -> Result<u32, Error> {
        Err(Error::Unsupported("the drops of sockets are not known here".to_owned()))
    }

    /// The receive buffer of a UDP socket: the bytes of memory that received packets take, and the
    /// limit.
    fn receive_buffer(&self) -> Result<(u32, u32), Error> {
        Err(Error::Unsupported(
            "the limits of receive buffers are not known here (only netlink has them)".to_owned(),
        ))
    }

    /// The facts that tell for how long a connection has been stuck; `None` for a mini-socket and for
    /// UDP.
    fn transfer(&self) -> Result<Option<Transfer>, Error> {
        Err(Error::Unsupported(NO_TIMES.to_owned()))
    }

    /// The socket's inode number; 0 where no process has the socket.
    fn inode(&self) -> Result<u64, Error> {
        Err(Error::Unsupported("the processes of sockets are not known here".to_owned()))
    }

    /// The key that the socket's processes are looked up by: its inode number, or the id of its
    /// process where the system keeps that with the socket; 0 where no process has the socket.
    fn process_key(&self) -> Result<u64, Error> {
        self.inode()
    }

    /// Whether a process has accepted the connection, or has made the socket itself. Other
    /// connections wait at a listener.
    fn is_accepted(&self) -> bool {
        true
    }

    /// Whether this is a full socket. The mini-sockets are timewait sockets, in `TIME_WAIT` or
    /// `FIN_WAIT2`, and request sockets, in `SYN_RECV`.
    fn is_full(&self) -> Result<bool, Error> {
        Err(Error::Unsupported("what is left of sockets is not known here".to_owned()))
    }

    /// The id of the user that made the socket; `None` for a mini-socket, which has no user.
    fn uid(&self) -> Result<Option<u32>, Error> {
        Err(Error::Unsupported("the users of sockets are not known here".to_owned()))
    }

    /// The id of the cgroup in which the socket was made; `None` for a mini-socket.
    fn cgroup(&self) -> Result<Option<u64>, Error> {
        Err(Error::Unsupported(
            "the cgroups of sockets are not known here (only netlink on Linux 5.9 and newer has \
             them)"
                .to_owned(),
        ))
    }
}

/// The methods of a socket with more facts that are those of the inner `socket`.
macro_rules! delegated {
    ($($method:ident -> $result:ty),* $(,)?) => {
        $(
            fn $method(&self) -> $result {
                self.socket.$method()
            }
        )*
    };
}
pub(crate) use delegated;

/// The name of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixName {
    /// The number that the kernel gives to this socket alone.
    pub cookie: u64,
    /// The path or the abstract name as it is printed. Several sockets may have the same.
    pub label: String,
}

/// The facts about sockets that the kernel reports only on request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The dropped packets and the receive buffer, as far as the kernel reports them.
    pub memory: bool,
    /// The facts that tell for how long a connection has been stuck.
    pub transfer: bool,
}

impl Wanted {
    /// The facts that one of two wants.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { memory: self.memory || other.memory, transfer: self.transfer || other.transfer }
    }
}

/// A socket for tests.
#[cfg(test)]
pub(crate) mod made {
    use super::{ConnectionStatus, ConnectionType, Error, Socket, SocketAddr};

    /// A socket with fixed values.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Made {
        pub connection_type: ConnectionType,
        pub status: ConnectionStatus,
        pub local: SocketAddr,
        pub remote: SocketAddr,
        pub process_key: u64,
        pub cgroup: Option<u64>,
    }

    impl Made {
        /// Makes a socket whose ends are given as text.
        pub(crate) fn new(
            connection_type: ConnectionType,
            status: ConnectionStatus,
            local: &str,
            remote: &str,
        ) -> Self {
            let end = |text: &str| text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            let (local, remote) = (end(local), end(remote));
            let (process_key, cgroup) = (4711, Some(7));
            Self { connection_type, status, local, remote, process_key, cgroup }
        }
    }

    impl Socket for Made {
        fn connection_type(&self) -> ConnectionType {
            self.connection_type
        }

        fn status(&self) -> ConnectionStatus {
            self.status
        }

        fn local(&self) -> Result<SocketAddr, Error> {
            Ok(self.local)
        }

        fn remote(&self) -> Result<SocketAddr, Error> {
            Ok(self.remote)
        }

        fn inode(&self) -> Result<u64, Error> {
            Ok(self.process_key)
        }

        fn uid(&self) -> Result<Option<u32>, Error> {
            Ok(Some(33))
        }

        fn cgroup(&self) -> Result<Option<u64>, Error> {
            Ok(self.cgroup)
        }
    }
}
