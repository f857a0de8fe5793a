//! What connections are grouped by. A further kind is a further [`GroupBy`], and what it is to a
//! connection is said in [`GroupBy::group`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use crate::connection::{Connection, ConnectionStatus, ConnectionType, Protocol};
use crate::error::Error;
use crate::selection::{Named, Selection};

/// A kind of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupBy {
    /// Family and protocol, and state.
    #[default]
    TypeStatus,
    /// Family and protocol.
    Type,
    /// State.
    Status,
    /// The local port.
    LocalPort,
    /// The remote port, 0 where there is none.
    RemotePort,
    /// The local address, an IPv4-mapped one as its IPv4 address.
    LocalAddress,
    /// The remote address, an IPv4-mapped one as its IPv4 address: a peer is one group.
    RemoteAddress,
    /// The user who made the socket.
    User,
    /// The systemd unit or container in whose cgroup the socket was made.
    Unit,
    /// The process that has the socket.
    Process,
}

impl Named for GroupBy {
    const VALUES: &'static [Self] = &[
        Self::TypeStatus,
        Self::Type,
        Self::Status,
        Self::LocalPort,
        Self::RemotePort,
        Self::LocalAddress,
        Self::RemoteAddress,
        Self::User,
        Self::Unit,
        Self::Process,
    ];
    const WHAT: &'static str = "group";

    fn name(self) -> &'static str {
        match self {
            Self::TypeStatus => "type-status",
            Self::Type => "type",
            Self::Status => "status",
            Self::LocalPort => "local-port",
            Self::RemotePort => "remote-port",
            Self::LocalAddress => "local-address",
            Self::RemoteAddress => "remote-address",
            Self::User => "user",
            Self::Unit => "unit",
            Self::Process => "process",
        }
    }

    fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl GroupBy {
    /// The group of a connection.
    #[inline]
    pub fn group(self, connection: &impl Connection) -> Result<Group, Error> {
        Ok(match self {
            Self::TypeStatus => {
                Group::TypeStatus(connection.connection_type(), connection.status())
            }
            Self::Type => Group::Type(connection.connection_type()),
            Self::Status => Group::Status(connection.status()),
            Self::LocalPort => Group::Port(connection.local()?.port()),
            Self::RemotePort => Group::Port(connection.remote()?.port()),
            Self::LocalAddress => Group::Address(connection.local()?.ip().to_canonical()),
            Self::RemoteAddress => Group::Address(connection.remote()?.ip().to_canonical()),
            Self::User => Group::User(connection.uid()?),
            Self::Unit => Group::Cgroup(connection.cgroup()?),
            Self::Process => Group::Inode(connection.inode()?),
        })
    }

    /// Whether there are few groups and always the same, so that each can be a series of its own.
    #[must_use]
    pub const fn is_small(self) -> bool {
        matches!(self, Self::TypeStatus | Self::Type | Self::Status)
    }

    /// The groups that a selection can have on an ordinary host, in display order; empty for kinds
    /// whose groups cannot be listed.
    #[must_use]
    pub fn expected(self, selection: &Selection) -> Vec<Group> {
        let pairs = ConnectionType::ALL
            .into_iter()
            .flat_map(|t| ConnectionStatus::ALL.into_iter().map(move |status| (t, status)))
            .filter(|(t, status)| status.linux_mask(t.protocol()) != 0)
            .filter(|(t, status)| {
                selection.types.contains(*t) && selection.statuses.contains(*status)
            });
        let mut groups: Vec<_> = pairs
            .filter_map(|(connection_type, status)| match self {
                Self::TypeStatus => Some(Group::TypeStatus(connection_type, status)),
                Self::Type => Some(Group::Type(connection_type)),
                Self::Status => Some(Group::Status(status)),
                _ => None,
            })
            .collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

/// Whether a connection of this type can ever be in this status: UDP has no states, TCP always.
pub(crate) fn possible(connection_type: ConnectionType, status: ConnectionStatus) -> bool {
    (connection_type.protocol() == Protocol::Udp) == (status == ConnectionStatus::None)
}

/// What has no owner: what waits for its end, or is not accepted yet.
pub const KERNEL: &str = "(kernel)";

/// One group of connections. Ordered as equal counts are displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Of one type in one status.
    TypeStatus(ConnectionType, ConnectionStatus),
    /// Of one type.
    Type(ConnectionType),
    /// In one status.
    Status(ConnectionStatus),
    /// With one port.
    Port(u16),
    /// With one address.
    Address(IpAddr),
    /// Of one user id, or of nobody.
    User(Option<u32>),
    /// Of one cgroup id, or of nobody.
    Cgroup(Option<u64>),
    /// Of one inode number; 0 of no process.
    Inode(u64),
}

/// The groups of one table are of one kind, so what tells kinds apart need not be hashed: that is
/// felt at a million sockets.
impl Hash for Group {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::TypeStatus(t, status) => (*t, *status).hash(state),
            Self::Type(t) => t.hash(state),
            Self::Status(status) => status.hash(state),
            Self::Port(port) => state.write_u16(*port),
            Self::Address(IpAddr::V4(address)) => state.write_u32(address.to_bits()),
            Self::Address(IpAddr::V6(address)) => state.write_u128(address.to_bits()),
            Self::User(id) => id.hash(state),
            Self::Cgroup(id) => id.hash(state),
            Self::Inode(inode) => state.write_u64(*inode),
        }
    }
}

/// The label of performance data, of thresholds and of the API, for example `tcp_ESTABLISHED`; of
/// owners their number.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TypeStatus(t, status) => write!(f, "{}_{}", t.name(), status.name()),
            Self::Type(t) => f.write_str(t.name()),
            Self::Status(status) => f.write_str(status.name()),
            Self::Port(port) => port.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::User(Some(id)) => id.fmt(f),
            Self::Cgroup(Some(id)) | Self::Inode(id @ 1..) => id.fmt(f),
            Self::User(None) | Self::Cgroup(None) | Self::Inode(0) => f.write_str(KERNEL),
        }
    }
}
