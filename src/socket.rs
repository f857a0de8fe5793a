//! What a socket can be asked, whichever source shows it.

use std::net::SocketAddr;

use crate::error::Error;
use crate::vocabulary::{ConnectionStatus, ConnectionType};

/// One socket as a source shows it: a view over its message or line whose fields are decoded
/// when they are asked for.
///
/// A field that this source does not know answers [`Error::Unsupported`], one that cannot be
/// decoded [`Error::Garbled`]; neither is ever replaced by a guess.
pub trait Socket {
    /// Family and protocol.
    fn connection_type(&self) -> ConnectionType;

    /// State.
    fn status(&self) -> ConnectionStatus;

    /// Local address and port; unspecified and 0 where the socket is not bound. A link-local address
    /// has the index of its interface as its scope, where this source tells it.
    fn local(&self) -> Result<SocketAddr, Error>;

    /// Remote address and port, as above; unspecified and 0 where the socket is not connected.
    fn remote(&self) -> Result<SocketAddr, Error>;

    /// Bytes, or for a listening socket connections, that wait to be received and to be sent.
    fn queues(&self) -> Result<(u32, u32), Error> {
        Err(Error::Unsupported("the queues of sockets are not known here".to_owned()))
    }

    /// Of a listening socket how many connections wait to be accepted, and how many may.
    fn backlog(&self) -> Result<(u32, u32), Error> {
        Err(Error::Unsupported(
            "the limits of accept queues are not known here (only netlink has them)".to_owned(),
        ))
    }

    /// How many packets of a socket the kernel has dropped since it was made; of a listening socket
    /// connections that found no room, and requests for one (`sk_drops` in `include/net/sock.h`).
    fn drops(&self) -> Result<u32, Error> {
        Err(Error::Unsupported("the drops of sockets are not known here".to_owned()))
    }

    /// The socket's inode number, 0 where no process has it.
    fn inode(&self) -> Result<u64, Error> {
        Err(Error::Unsupported("the processes of sockets are not known here".to_owned()))
    }

    /// What its processes are looked up by: its inode number, or the id of its process where the
    /// system keeps that with the socket; 0 where no process has it.
    fn process_key(&self) -> Result<u64, Error> {
        self.inode()
    }

    /// Whether it is a full socket: neither what is left of one, in `TIME_WAIT` or `FIN_WAIT2`, nor a
    /// request for one, in `SYN_RECV`.
    fn is_full(&self) -> Result<bool, Error> {
        Err(Error::Unsupported("what is left of sockets is not known here".to_owned()))
    }

    /// The user id that made the socket; `None` where nobody owns it: what is no full socket any
    /// more, or not yet, has no user.
    fn uid(&self) -> Result<Option<u32>, Error> {
        Err(Error::Unsupported("the users of sockets are not known here".to_owned()))
    }

    /// The id of the cgroup in which the socket was made; `None` where nobody owns it.
    fn cgroup(&self) -> Result<Option<u64>, Error> {
        Err(Error::Unsupported(
            "the cgroups of sockets are not known here (only netlink on Linux 5.9 and newer has \
             them)"
                .to_owned(),
        ))
    }
}

/// A socket for tests.
#[cfg(test)]
pub(crate) mod made {
    use super::{ConnectionStatus, ConnectionType, Error, Socket, SocketAddr};

    /// A socket with everything there is.
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
        /// A socket by the names of what it is.
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

        fn process_key(&self) -> Result<u64, Error> {
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
