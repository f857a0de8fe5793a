//! Groups of connections, and their kinds. A new kind is a new [`GroupBy`]; the compiler names the
//! places that must handle it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use crate::address::{Address, Endpoint, InterfaceIndex, UnixSocket};
use crate::error::Error;
use crate::group_name::HOST;
use crate::host_limit::HostLimit;
use crate::name::{Named, named_enum};
use crate::selection::{Network, Selection};
use crate::socket::Socket;
use crate::stuck::StuckKind;
use crate::vocabulary::{
    ConnectionStatus, ConnectionType, Direction, NEITHER, NetnsIndex, Protocol,
};

named_enum! {
    /// A kind of groups.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum GroupBy("group") {
        /// Family and protocol, and state.
        #[default]
        TypeStatus = "type-status",
        /// Family and protocol.
        Type = "type",
        /// State.
        Status = "status",
        /// The local port.
        LocalPort = "local-port",
        /// The remote port; 0 for a socket without a peer.
        RemotePort = "remote-port",
        /// The local address. An IPv4-mapped address counts as its IPv4 address.
        LocalAddress = "local-address",
        /// The remote address. An IPv4-mapped address counts as its IPv4 address, so that a peer is
        /// one group.
        RemoteAddress = "remote-address",
        /// The network of the local address: 24 bits of an IPv4 address, 64 bits of an IPv6 address.
        LocalNetwork = "local-network",
        /// The network of the remote address.
        RemoteNetwork = "remote-network",
        /// The local address and port; of a unix listener, its path or abstract name.
        LocalEndpoint = "local-endpoint",
        /// The remote address and port.
        RemoteEndpoint = "remote-endpoint",
        /// The user who made the socket.
        User = "user",
        /// The systemd unit or container in whose cgroup the socket was made.
        Unit = "unit",
        /// The process that has the socket; of a connection that waits to be accepted, the process
        /// of its listener.
        Process = "process",
        /// The program that the socket's processes run.
        Program = "program",
        /// The network namespace that the socket is in.
        Netns = "netns",
        /// The direction of a connection: incoming where its local address and port are listened on.
        Direction = "direction",
        /// The kind of stuck connections; a connection of several kinds belongs to each.
        Kind = "kind",
        /// The limit of the host or of a network namespace.
        Limit = "limit",
    }
}

/// The way from sockets to the groups of a kind. It decides how groups are counted.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// From type and status: the groups are few and always the same, so that each can be a series
    /// of its own.
    Fixed(fn(ConnectionType, ConnectionStatus) -> Group),
    /// From the listeners: the directions are few and always the same.
    Directions,
    /// From a port: the groups fit into an array.
    Port(End),
    /// From the processes that hold a socket: groups are known only after all sockets were read. The
    /// function makes the group of a key.
    Processes(fn(u64) -> Group),
    /// From the kinds of stuck connections, which are few and always the same. No table of counts has
    /// them: a connection may be of several kinds.
    Stuck,
    /// From no socket: limits of the host are few and always the same.
    Limits,
    /// From another value: there may be any number of groups, which are counted in a map.
    Unbounded,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The end on this host.
    Local,
    /// The end of the peer.
    Remote,
}

impl End {
    /// Address and port of this end.
    #[inline]
    pub fn of(self, socket: &impl Socket) -> Result<SocketAddr, Error> {
        match self {
            Self::Local => socket.local(),
            Self::Remote => socket.remote(),
        }
    }

    /// Address and port of this end of a socket in a network namespace.
    #[inline]
    pub fn endpoint(self, netns: NetnsIndex, socket: &impl Socket) -> Result<Endpoint, Error> {
        Ok(Endpoint::within(self.of(socket)?, netns))
    }

    /// The address of this end of a socket in a network namespace.
    #[inline]
    pub fn address(self, netns: NetnsIndex, socket: &impl Socket) -> Result<Address, Error> {
        Ok(Address::within(self.of(socket)?, netns))
    }
}

impl GroupBy {
    /// The way from sockets to these groups.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::TypeStatus => Kind::Fixed(Group::TypeStatus),
            Self::Type => Kind::Fixed(|t, _| Group::Type(t)),
            Self::Status => Kind::Fixed(|_, status| Group::Status(status)),
            Self::LocalPort => Kind::Port(End::Local),
            Self::RemotePort => Kind::Port(End::Remote),
            Self::LocalAddress
            | Self::RemoteAddress
            | Self::LocalNetwork
            | Self::RemoteNetwork
            | Self::LocalEndpoint
            | Self::RemoteEndpoint
            | Self::User
            | Self::Unit
            | Self::Netns => Kind::Unbounded,
            Self::Direction => Kind::Directions,
            Self::Process => Kind::Processes(Group::Process),
            Self::Program => Kind::Processes(Group::Program),
            Self::Kind => Kind::Stuck,
            Self::Limit => Kind::Limits,
        }
    }

    /// The group of a socket in a network namespace.
    #[inline]
    pub fn group(self, netns: NetnsIndex, socket: &impl Socket) -> Result<Group, Error> {
        let address = |end: End| Ok(Group::Address(end.address(netns, socket)?));
        let endpoint = |end: End| Ok(Group::Endpoint(end.endpoint(netns, socket)?));
        let network = |end: End| Ok(Group::Network(Network::around(end.of(socket)?.ip())));
        let port = |end: End| Ok(Group::Port(end.of(socket)?.port()));
        match self {
            Self::TypeStatus => Ok(Group::TypeStatus(socket.connection_type(), socket.status())),
            Self::Type => Ok(Group::Type(socket.connection_type())),
            Self::Status => Ok(Group::Status(socket.status())),
            Self::LocalPort => port(End::Local),
            Self::RemotePort => port(End::Remote),
            Self::LocalAddress => address(End::Local),
            Self::RemoteAddress => address(End::Remote),
            Self::LocalNetwork => network(End::Local),
            Self::RemoteNetwork => network(End::Remote),
            Self::LocalEndpoint => match socket.unix() {
                Some(unix) => Ok(Group::Unix(UnixSocket { cookie: unix.cookie, netns })),
                None => endpoint(End::Local),
            },
            Self::RemoteEndpoint => endpoint(End::Remote),
            Self::User => Ok(Group::User(socket.uid()?)),
            Self::Unit => Ok(Group::Cgroup(socket.cgroup()?)),
            Self::Process => Ok(Group::Process(socket.process_key()?)),
            Self::Program => Ok(Group::Program(socket.process_key()?)),
            Self::Netns => Ok(Group::Netns(netns)),
            Self::Direction => Ok(Group::Direction(socket.direction()?)),
            Self::Kind => Err(Error::Internal("a connection may be of several kinds".to_owned())),
            Self::Limit => Err(Error::Internal("limits have no sockets".to_owned())),
        }
    }

    /// Whether connections are counted by these groups. Kinds and limits are measured only.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        !matches!(self, Self::Kind | Self::Limit)
    }

    /// Whether the groups are few and always the same.
    #[must_use]
    pub fn is_fixed(self) -> bool {
        match self.kind() {
            Kind::Fixed(_) | Kind::Directions | Kind::Stuck | Kind::Limits => true,
            Kind::Port(_) | Kind::Processes(_) | Kind::Unbounded => false,
        }
    }

    /// The part of a socket that the groups follow from.
    #[must_use]
    pub const fn needs(self) -> Needs {
        match self {
            Self::TypeStatus | Self::Type | Self::Status | Self::Kind | Self::Limit => {
                Needs::Nothing
            }
            Self::Netns => Needs::Namespace,
            Self::Direction => Needs::Listeners,
            Self::LocalPort
            | Self::RemotePort
            | Self::LocalAddress
            | Self::RemoteAddress
            | Self::LocalNetwork
            | Self::RemoteNetwork
            | Self::LocalEndpoint
            | Self::RemoteEndpoint => Needs::Ends,
            Self::User | Self::Process | Self::Program => Needs::Owner,
            Self::Unit => Needs::Cgroup,
        }
    }

    /// Whether several groups can share a label, and must be merged: the sockets of a process or program, the
    /// cgroups of a unit, the ids of a user, the namespaces of a container. With `several` network
    /// namespaces also addresses can: namespaces may share a name.
    #[must_use]
    pub const fn is_merged(self, several: bool) -> bool {
        match self {
            Self::User | Self::Unit | Self::Process | Self::Program | Self::Netns => true,
            Self::LocalAddress
            | Self::RemoteAddress
            | Self::LocalEndpoint
            | Self::RemoteEndpoint => several,
            Self::TypeStatus
            | Self::Type
            | Self::Status
            | Self::LocalPort
            | Self::RemotePort
            | Self::LocalNetwork
            | Self::RemoteNetwork
            | Self::Direction
            | Self::Kind
            | Self::Limit => false,
        }
    }

    /// The groups that a selection can have, in display order; only in states of Linux. Empty for
    /// kinds whose groups cannot be listed.
    #[must_use]
    pub fn expected(self, selection: &Selection) -> Vec<Group> {
        let group = match self.kind() {
            Kind::Fixed(group) => group,
            Kind::Directions => {
                let has = |direction: &Option<Direction>| {
                    (selection.direction.is_none() || selection.direction == *direction)
                        && selection.pairs().any(|(t, s)| Direction::is_possible(*direction, t, s))
                };
                let all = [Some(Direction::In), Some(Direction::Out), None];
                return all.into_iter().filter(has).map(Group::Direction).collect();
            }
            Kind::Stuck => return selection.stuck_kinds().into_iter().map(Group::Kind).collect(),
            Kind::Limits => return HostLimit::VALUES.iter().copied().map(Group::Limit).collect(),
            Kind::Port(_) | Kind::Processes(_) | Kind::Unbounded => return Vec::new(),
        };
        let pairs = selection.pairs().filter(|(t, status)| status.linux_mask(t.protocol()) != 0);
        let mut groups: Vec<_> = pairs.map(|(t, status)| group(t, status)).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

/// The part of a socket that a kind of groups follows from, besides its type and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing else.
    Nothing,
    /// Its network namespace.
    Namespace,
    /// Its addresses and ports.
    Ends,
    /// Its addresses and ports, and the listeners of its namespace.
    Listeners,
    /// Its user or its processes.
    Owner,
    /// The cgroup that it was made in.
    Cgroup,
}

/// The label of sockets without an owner: connection requests, and connections that end.
pub const KERNEL: &str = "(kernel)";

/// A group of connections. The order is the display order of groups with equal counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// A type and a status.
    TypeStatus(ConnectionType, ConnectionStatus),
    /// A type.
    Type(ConnectionType),
    /// A status.
    Status(ConnectionStatus),
    /// A port.
    Port(u16),
    /// An address.
    Address(Address),
    /// A network.
    Network(Network),
    /// An address and a port.
    Endpoint(Endpoint),
    /// A unix listener.
    Unix(UnixSocket),
    /// A user id; `None` for sockets without an owner.
    User(Option<u32>),
    /// A cgroup id; `None` for sockets without an owner.
    Cgroup(Option<u64>),
    /// The key of processes; 0 for sockets without a process.
    Process(u64),
    /// The key of processes, for the program that they run; 0 for sockets without a process.
    Program(u64),
    /// A network namespace.
    Netns(NetnsIndex),
    /// A direction; `None` for sockets that are no connections.
    Direction(Option<Direction>),
    /// A kind of stuck connections.
    Kind(StuckKind),
    /// The ephemeral ports of a protocol in a network namespace.
    Ports(Protocol, NetnsIndex),
    /// A limit of the host or of a network namespace.
    Limit(HostLimit),
    /// The whole host.
    Host,
}

/// The part of an end of connections that a group stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An address.
    Address(Address),
    /// A network.
    Network(Network),
    /// An address with a port.
    Endpoint(Endpoint),
    /// A port alone, or neither address nor port.
    None,
}

/// An owner that a group stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A user id.
    User(u32),
    /// A cgroup id.
    Cgroup(u64),
    /// The key of processes, not 0.
    Process(u64),
    /// The key of processes that run a program, not 0.
    Program(u64),
}

impl Group {
    /// The owner that the group stands for; `None` for sockets without an owner and for groups of
    /// another kind.
    #[must_use]
    pub fn owner(self) -> Option<Owner> {
        match self {
            Self::User(id) => id.map(Owner::User),
            Self::Cgroup(id) => id.map(Owner::Cgroup),
            Self::Process(key) => (key != 0).then_some(Owner::Process(key)),
            Self::Program(key) => (key != 0).then_some(Owner::Program(key)),
            Self::TypeStatus(..)
            | Self::Type(_)
            | Self::Status(_)
            | Self::Port(_)
            | Self::Address(_)
            | Self::Network(_)
            | Self::Endpoint(_)
            | Self::Unix(_)
            | Self::Netns(_)
            | Self::Direction(_)
            | Self::Kind(_)
            | Self::Limit(_)
            | Self::Ports(..)
            | Self::Host => None,
        }
    }

    /// Whether the group is one of those that a measure counts. The ports of a protocol are judged beside
    /// the destinations, and the host beside its processes.
    #[must_use]
    pub const fn is_listed(self) -> bool {
        match self {
            Self::Ports(..) | Self::Host => false,
            Self::TypeStatus(..)
            | Self::Type(_)
            | Self::Status(_)
            | Self::Port(_)
            | Self::Address(_)
            | Self::Network(_)
            | Self::Endpoint(_)
            | Self::Unix(_)
            | Self::User(_)
            | Self::Cgroup(_)
            | Self::Process(_)
            | Self::Program(_)
            | Self::Netns(_)
            | Self::Direction(_)
            | Self::Kind(_)
            | Self::Limit(_) => true,
        }
    }

    /// The part of an end of connections that the group stands for.
    #[inline]
    #[must_use]
    pub fn part(self) -> Part {
        match self {
            Self::Address(address) => Part::Address(address),
            Self::Network(network) => Part::Network(network),
            Self::Endpoint(endpoint) => Part::Endpoint(endpoint),
            Self::TypeStatus(..)
            | Self::Type(_)
            | Self::Status(_)
            | Self::Port(_)
            | Self::Unix(_)
            | Self::User(_)
            | Self::Cgroup(_)
            | Self::Process(_)
            | Self::Program(_)
            | Self::Netns(_)
            | Self::Direction(_)
            | Self::Kind(_)
            | Self::Limit(_)
            | Self::Ports(..)
            | Self::Host => Part::None,
        }
    }

    /// The interface of a link-local address, where it is known.
    #[inline]
    #[must_use]
    pub fn interface(self) -> Option<InterfaceIndex> {
        match self.part() {
            Part::Address(address) => address.interface(),
            Part::Endpoint(endpoint) => endpoint.address.interface(),
            Part::Network(_) | Part::None => None,
        }
    }
}

/// All groups of a table are of one kind, so the kind is not hashed. That saves measurable time
/// with a million sockets.
impl Hash for Group {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::TypeStatus(t, status) => (*t, *status).hash(state),
            Self::Type(t) => t.hash(state),
            Self::Status(status) => status.hash(state),
            Self::Port(port) => state.write_u16(*port),
            Self::Address(address) => address.hash(state),
            Self::Network(network) => network.hash(state),
            Self::Endpoint(endpoint) => endpoint.hash(state),
            Self::Unix(socket) => socket.hash(state),
            Self::User(id) => id.hash(state),
            Self::Cgroup(id) => id.hash(state),
            Self::Process(key) | Self::Program(key) => state.write_u64(*key),
            Self::Netns(net) => net.hash(state),
            Self::Direction(direction) => direction.hash(state),
            Self::Kind(kind) => kind.hash(state),
            Self::Ports(protocol, netns) => (*protocol, *netns).hash(state),
            Self::Limit(limit) => limit.hash(state),
            Self::Host => state.write_u8(0),
        }
    }
}

/// The label in performance data, thresholds and the API, for example `tcp_ESTABLISHED`. Owners,
/// interfaces and unix listeners have their number as the label.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TypeStatus(t, status) => write!(f, "{}_{}", t.name(), status.name()),
            Self::Type(t) => f.write_str(t.name()),
            Self::Status(status) => f.write_str(status.name()),
            Self::Port(port) => port.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Network(network) => f.write_str(&network.shown()),
            Self::Endpoint(endpoint) => f.write_str(&endpoint.shown(&endpoint.address.to_string())),
            Self::Unix(socket) => socket.cookie.fmt(f),
            Self::User(Some(id)) => id.fmt(f),
            Self::Cgroup(Some(id)) | Self::Process(id @ 1..) | Self::Program(id @ 1..) => id.fmt(f),
            Self::User(None) | Self::Cgroup(None) | Self::Process(0) | Self::Program(0) => {
                f.write_str(KERNEL)
            }
            Self::Netns(NetnsIndex(number)) => number.fmt(f),
            Self::Direction(direction) => f.write_str(direction.map_or(NEITHER, Named::name)),
            Self::Kind(kind) => f.write_str(kind.name()),
            Self::Ports(protocol, _) => f.write_str(protocol.name()),
            Self::Limit(limit) => f.write_str(limit.name()),
            Self::Host => f.write_str(HOST),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;
    use crate::selection::Choice;
    use crate::socket::made::Made;

    const KINDS: [(GroupBy, &str, bool, bool); 16] = [
        (GroupBy::TypeStatus, "tcp6_CLOSE_WAIT", true, false),
        (GroupBy::Type, "tcp6", true, false),
        (GroupBy::Status, "CLOSE_WAIT", true, false),
        (GroupBy::LocalPort, "443", false, false),
        (GroupBy::RemotePort, "40000", false, false),
        (GroupBy::LocalAddress, "192.0.2.1", false, false),
        (GroupBy::RemoteAddress, "fe80::1%3", false, false),
        (GroupBy::LocalNetwork, "192.0.2.0/24", false, false),
        (GroupBy::RemoteNetwork, "fe80::/64", false, false),
        (GroupBy::LocalEndpoint, "192.0.2.1:443", false, false),
        (GroupBy::RemoteEndpoint, "[fe80::1%3]:40000", false, false),
        (GroupBy::User, "33", false, true),
        (GroupBy::Unit, "7", false, true),
        (GroupBy::Process, "4711", false, true),
        (GroupBy::Program, "4711", false, true),
        (GroupBy::Netns, "0", false, true),
    ];

    /// The kinds whose groups do not follow from a socket alone.
    const MEASURED: [GroupBy; 3] = [GroupBy::Direction, GroupBy::Kind, GroupBy::Limit];

    #[test]
    fn each_kind_finds_the_group_of_a_socket() {
        let socket = Made::new(
            ConnectionType::Tcp6,
            ConnectionStatus::CloseWait,
            "[::ffff:192.0.2.1]:443",
            "[fe80::1%3]:40000",
        );
        let (others, measured) = GroupBy::VALUES.split_at(KINDS.len());
        assert_eq!((KINDS.map(|(by, ..)| by).as_slice(), measured), (others, &MEASURED[..]));
        for by in MEASURED {
            assert!(by.group(NetnsIndex::OWN, &socket).is_err() && by.is_fixed(), "{by:?}");
        }
        for (by, label, fixed, merged) in KINDS {
            let group = by.group(NetnsIndex::OWN, &socket).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(group.to_string(), label);
            assert_eq!(by.is_fixed(), fixed, "{label}");
            assert_eq!(by.is_merged(false), merged, "{label}");
            let has_netns = label.contains(['.', '%']) && !label.contains('/');
            assert_eq!(by.is_merged(true), merged || has_netns, "{label}");
            if let Kind::Fixed(fixed) = by.kind() {
                assert_eq!(fixed(socket.connection_type, socket.status), group);
            }
        }
    }

    #[test]
    fn groups_without_an_owner_are_labelled_kernel() {
        for group in [Group::User(None), Group::Cgroup(None), Group::Process(0), Group::Program(0)]
        {
            assert_eq!(group.to_string(), KERNEL);
        }
    }

    #[test]
    fn expected_groups_have_states_of_linux() {
        let types = Choice::of(&[ConnectionType::Udp, ConnectionType::Tcp]);
        let statuses = Choice::of(&[
            ConnectionStatus::Listen,
            ConnectionStatus::Established,
            ConnectionStatus::None,
            ConnectionStatus::Bound,
        ]);
        let selection = Selection { types, statuses, ..Selection::default() };
        let labels = |by: GroupBy| -> Vec<String> {
            by.expected(&selection).iter().map(ToString::to_string).collect()
        };
        assert_eq!(labels(GroupBy::TypeStatus), ["tcp_ESTABLISHED", "tcp_LISTEN", "udp_NONE"]);
        assert_eq!(labels(GroupBy::Type), ["tcp", "udp"]);
        assert_eq!(labels(GroupBy::Status), ["ESTABLISHED", "LISTEN", "NONE"]);
        assert_eq!(labels(GroupBy::LocalPort), [""; 0]);
    }

    #[test]
    fn groups_of_one_kind_have_different_hashes() {
        let state = RandomState::new();
        let ports = [Group::Port(1), Group::Port(2)];
        let users = [Group::User(None), Group::User(Some(0))];
        let units = [Group::Cgroup(Some(1)), Group::Cgroup(Some(2))];
        let processes = [Group::Process(1), Group::Process(2)];
        let statuses = ConnectionStatus::VALUES.iter().map(|status| Group::Status(*status));
        let types = ConnectionType::VALUES.iter().map(|t| Group::Type(*t));
        let both = |t| Group::TypeStatus(t, ConnectionStatus::None);
        let both = ConnectionType::VALUES.iter().map(|t| both(*t));
        for kind in [
            ports.to_vec(),
            users.to_vec(),
            units.to_vec(),
            processes.to_vec(),
            [1, 2]
                .map(|cookie| Group::Unix(UnixSocket { cookie, netns: NetnsIndex::OWN }))
                .to_vec(),
            vec![Group::Netns(NetnsIndex(1)), Group::Netns(NetnsIndex(2))],
            statuses.collect(),
            types.collect(),
            both.collect(),
        ] {
            let hashes: std::collections::HashSet<_> =
                kind.iter().map(|group| state.hash_one(group)).collect();
            assert_eq!(hashes.len(), kind.len(), "{kind:?}");
        }
    }
}
