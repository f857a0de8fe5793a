//! The vocabulary of the program: protocols, types, states, sources. No other file spells their
//! names.

use std::fmt;

use crate::name::{Named, named_enum};

/// The protocols of sockets; a dump of the kernel answers for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP over both families.
    Tcp,
    /// UDP over both families.
    Udp,
    /// Sockets of this host alone (`unix(7)`), of which only listeners are read.
    Unix,
}

impl Protocol {
    /// Every protocol whose sockets are counted, in display order.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// The name in labels and keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Unix => "unix",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Unix => "unix",
        })
    }
}

named_enum! {
    /// A socket's address family and protocol, named as the reference names them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    #[repr(u8)]
    pub enum ConnectionType("type") {
        /// TCP over IPv4.
        Tcp = "tcp",
        /// TCP over IPv6, IPv4-mapped peers of dual-stack sockets included.
        Tcp6 = "tcp6",
        /// UDP over IPv4.
        Udp = "udp",
        /// UDP over IPv6, IPv4-mapped peers of dual-stack sockets included.
        Udp6 = "udp6",
        /// A unix socket. The check reads the accept queues of unix listeners and counts no unix sockets.
        Unix = "unix",
    }
}

impl ConnectionType {
    /// Every type whose sockets are counted, in display order.
    pub const COUNTED: [Self; 4] = [Self::Tcp, Self::Tcp6, Self::Udp, Self::Udp6];

    /// The protocol whose dump shows this type.
    #[must_use]
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Tcp | Self::Tcp6 => Protocol::Tcp,
            Self::Udp | Self::Udp6 => Protocol::Udp,
            Self::Unix => Protocol::Unix,
        }
    }

    /// Whether the socket's family is IPv6.
    #[must_use]
    pub const fn is_ipv6(self) -> bool {
        match self {
            Self::Tcp | Self::Udp | Self::Unix => false,
            Self::Tcp6 | Self::Udp6 => true,
        }
    }

    /// The type of a socket of this protocol and family.
    #[must_use]
    pub const fn new(protocol: Protocol, ipv6: bool) -> Self {
        match (protocol, ipv6) {
            (Protocol::Tcp, false) => Self::Tcp,
            (Protocol::Tcp, true) => Self::Tcp6,
            (Protocol::Udp, false) => Self::Udp,
            (Protocol::Udp, true) => Self::Udp6,
            (Protocol::Unix, _) => Self::Unix,
        }
    }
}

named_enum! {
    /// A connection's state, named as psutil names it. UDP sockets are always [`None`](Self::None).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    #[repr(u8)]
    pub enum ConnectionStatus("status") {
        /// Data can flow (RFC 9293, section 3.3.2, as for all states of TCP below).
        Established = "ESTABLISHED",
        /// A connection request was sent.
        SynSent = "SYN_SENT",
        /// A connection request was received and answered.
        SynRecv = "SYN_RECV",
        /// Closed here; the other end has not acknowledged it yet.
        FinWait1 = "FIN_WAIT1",
        /// Closed here and acknowledged; the other end has not closed yet.
        FinWait2 = "FIN_WAIT2",
        /// Closed on both ends; waiting out late segments.
        TimeWait = "TIME_WAIT",
        /// Not in use.
        Close = "CLOSE",
        /// The other end has closed; the local application has not.
        CloseWait = "CLOSE_WAIT",
        /// Closed on both ends, the other end first; its acknowledgement is missing.
        LastAck = "LAST_ACK",
        /// Waiting for connection requests.
        Listen = "LISTEN",
        /// Both ends closed at once; the acknowledgement is missing.
        Closing = "CLOSING",
        /// A protocol without states: UDP.
        None = "NONE",
        /// Opened and not bound (Solaris; fixtures).
        Idle = "IDLE",
        /// Bound, and neither listening nor connected (Solaris; fixtures).
        Bound = "BOUND",
        /// About to be deleted (Windows).
        DeleteTcb = "DELETE_TCB",
    }
}

impl ConnectionStatus {
    /// The state with this number in the Linux kernel (`include/net/tcp_states.h`), for a socket of
    /// this protocol; `None` for any other number.
    #[must_use]
    pub const fn from_linux(protocol: Protocol, number: u8) -> Option<Self> {
        Some(match (protocol, number) {
            (Protocol::Tcp, 1) => Self::Established,
            (Protocol::Tcp, 2) => Self::SynSent,
            // 12 is NEW_SYN_RECV, the kernel's state of a request socket.
            (Protocol::Tcp, 3 | 12) => Self::SynRecv,
            (Protocol::Tcp, 4) => Self::FinWait1,
            (Protocol::Tcp, 5) => Self::FinWait2,
            (Protocol::Tcp, 6) => Self::TimeWait,
            (Protocol::Tcp, 7) => Self::Close,
            (Protocol::Tcp, 8) => Self::CloseWait,
            (Protocol::Tcp, 9) => Self::LastAck,
            (Protocol::Tcp, 10) => Self::Listen,
            (Protocol::Tcp, 11) => Self::Closing,
            // Connected and unconnected: UDP has no other states.
            (Protocol::Udp, 1 | 7) => Self::None,
            _ => return None,
        })
    }

    /// The bits of a kernel state mask (`1 << number`) that ask for this state.
    #[must_use]
    pub const fn linux_mask(self, protocol: Protocol) -> u32 {
        match (protocol, self) {
            (Protocol::Tcp, Self::Established) => 1 << 1,
            (Protocol::Tcp, Self::SynSent) => 1 << 2,
            // The kernel itself adds NEW_SYN_RECV to a request for SYN_RECV.
            (Protocol::Tcp, Self::SynRecv) => 1 << 3,
            (Protocol::Tcp, Self::FinWait1) => 1 << 4,
            (Protocol::Tcp, Self::FinWait2) => 1 << 5,
            (Protocol::Tcp, Self::TimeWait) => 1 << 6,
            (Protocol::Tcp, Self::Close) => 1 << 7,
            (Protocol::Tcp, Self::CloseWait) => 1 << 8,
            (Protocol::Tcp, Self::LastAck) => 1 << 9,
            (Protocol::Tcp, Self::Listen) => 1 << 10,
            (Protocol::Tcp, Self::Closing) => 1 << 11,
            (Protocol::Udp, Self::None) => 1 << 1 | 1 << 7,
            (Protocol::Tcp, Self::None | Self::Idle | Self::Bound | Self::DeleteTcb)
            | (Protocol::Udp | Protocol::Unix, _) => 0,
        }
    }

    /// Whether a connection of this system can ever be in this state.
    #[must_use]
    pub const fn is_of_this_system(self) -> bool {
        match self {
            Self::Idle | Self::Bound => false,
            Self::DeleteTcb => cfg!(windows),
            Self::Established
            | Self::SynSent
            | Self::SynRecv
            | Self::FinWait1
            | Self::FinWait2
            | Self::TimeWait
            | Self::Close
            | Self::CloseWait
            | Self::LastAck
            | Self::Listen
            | Self::Closing
            | Self::None => true,
        }
    }

    /// Whether a counted connection of this type can ever be in this state: UDP has no states, TCP
    /// always has a state, and unix sockets are not counted.
    #[must_use]
    pub const fn is_of(self, connection_type: ConnectionType) -> bool {
        match connection_type.protocol() {
            Protocol::Tcp => !matches!(self, Self::None),
            Protocol::Udp => matches!(self, Self::None),
            Protocol::Unix => false,
        }
    }
}

named_enum! {
    /// The direction of a connection, seen from this host. It is a conclusion: a connection is incoming
    /// where a listener waits on its local address and port.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Direction("direction") {
        /// Made to a port that is listened on.
        In = "in",
        /// Made from here.
        Out = "out",
    }
}

/// The name of sockets that are no connections: listeners, and UDP sockets without a peer.
pub const NEITHER: &str = "neither";

impl Direction {
    /// Whether a socket of this type and state can have this direction; `None` stands for no
    /// connection. UDP has no listeners.
    #[must_use]
    pub fn is_possible(
        direction: Option<Self>,
        connection_type: ConnectionType,
        status: ConnectionStatus,
    ) -> bool {
        use ConnectionStatus::{Bound, Close, Idle, Listen, None as OfUdp, SynRecv, SynSent};
        let is_tcp = connection_type.protocol() == Protocol::Tcp;
        match direction {
            Some(Self::In) => is_tcp && !matches!(status, Listen | SynSent),
            Some(Self::Out) => !matches!(status, Listen | SynRecv),
            None => matches!(status, Listen | OfUdp | Close | Idle | Bound),
        }
    }
}

/// A network namespace (`network_namespaces(7)`), by its index among the namespaces of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetnsIndex(pub u16);

impl NetnsIndex {
    /// The namespace of this thread.
    pub const OWN: Self = Self(0);
}

/// Every type with every state that a connection of it can ever be in, in display order.
pub fn possible() -> impl Iterator<Item = (ConnectionType, ConnectionStatus)> {
    let types = ConnectionType::VALUES.iter().copied();
    types.flat_map(|t| {
        let statuses = ConnectionStatus::VALUES.iter().copied();
        statuses.filter(move |status| status.is_of(t)).map(move |status| (t, status))
    })
}

named_enum! {
    /// A source of connections.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum SourceName("source") {
        /// Linux: a `NETLINK_SOCK_DIAG` dump (`sock_diag(7)`).
        Netlink = "netlink",
        /// Linux: `/proc/net/{tcp,tcp6,udp,udp6}` (`proc_net(5)`).
        Procfs = "procfs",
        /// Windows: the netstat2 crate.
        Netstat2 = "netstat2",
        /// Linux: the kernel's own sums, `/proc/net/{sockstat,sockstat6}` (`proc_net(5)`).
        Counters = "counters",
    }
}

impl SourceName {
    /// The sources of this system that are tried, the best first.
    #[cfg(target_os = "linux")]
    pub const AVAILABLE: &'static [Self] = &[Self::Netlink, Self::Procfs];
    /// The sources of this system that are tried, the best first.
    #[cfg(not(target_os = "linux"))]
    pub const AVAILABLE: &'static [Self] = &[Self::Netstat2];

    /// The sources of this system that can be chosen.
    #[cfg(target_os = "linux")]
    pub const CHOICES: &'static [Self] = &[Self::Netlink, Self::Procfs, Self::Counters];
    /// The sources of this system that can be chosen.
    #[cfg(not(target_os = "linux"))]
    pub const CHOICES: &'static [Self] = Self::AVAILABLE;

    /// Source names, comma-separated.
    #[must_use]
    pub fn join(sources: &[Self]) -> String {
        sources.iter().map(|source| source.name()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The choice of a source: `None`, named `auto`, is the best source of this system that answers.
///
/// A source of other systems is a valid name here, and an error where it is used.
impl Named for Option<SourceName> {
    const VALUES: &'static [Self] = &[
        None,
        Some(SourceName::Netlink),
        Some(SourceName::Procfs),
        Some(SourceName::Counters),
        Some(SourceName::Netstat2),
    ];
    const WHAT: &'static str = SourceName::WHAT;

    fn name(self) -> &'static str {
        self.map_or("auto", Named::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_linux_state_has_its_own_bit_in_the_mask() {
        for protocol in Protocol::ALL {
            for number in 0..=u8::MAX {
                if let Some(status) = ConnectionStatus::from_linux(protocol, number) {
                    let bit = if number == 12 { 3 } else { number };
                    assert_ne!(status.linux_mask(protocol) & (1 << bit), 0, "{status:?}");
                }
            }
        }
    }

    #[test]
    fn bound_inactive_is_never_in_the_mask() {
        for protocol in Protocol::ALL {
            for status in ConnectionStatus::VALUES.iter().copied() {
                assert_eq!(status.linux_mask(protocol) >> 12, 0, "{status:?}");
            }
        }
    }

    #[test]
    fn every_source_is_a_valid_name_for_the_choice_of_one() {
        for source in SourceName::VALUES {
            assert!(Option::<SourceName>::VALUES.contains(&Some(*source)), "{source}");
        }
        assert_eq!(Option::<SourceName>::VALUES.len(), SourceName::VALUES.len() + 1);
    }
}
