//! What a connection is: the only place that spells the names of types and states.

use std::fmt;
use std::net::SocketAddr;

use crate::error::Error;

/// The transport protocols that are counted; one kernel dump answers one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP over both families.
    Tcp,
    /// UDP over both families.
    Udp,
}

impl Protocol {
    /// Every protocol, in display order.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// A socket's address family and protocol, named as the reference plugin names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ConnectionType {
    /// TCP over IPv4.
    Tcp,
    /// TCP over IPv6, IPv4-mapped peers of dual-stack sockets included.
    Tcp6,
    /// UDP over IPv4.
    Udp,
    /// UDP over IPv6, IPv4-mapped peers of dual-stack sockets included.
    Udp6,
}

impl ConnectionType {
    /// Every type, in display order.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Tcp6, Self::Udp, Self::Udp6];

    /// `tcp`, `tcp6`, `udp` or `udp6`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tcp6 => "tcp6",
            Self::Udp => "udp",
            Self::Udp6 => "udp6",
        }
    }

    /// The protocol whose dump shows this type.
    #[must_use]
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Tcp | Self::Tcp6 => Protocol::Tcp,
            Self::Udp | Self::Udp6 => Protocol::Udp,
        }
    }

    /// Whether the socket's family is IPv6.
    #[must_use]
    pub const fn is_ipv6(self) -> bool {
        matches!(self, Self::Tcp6 | Self::Udp6)
    }

    /// The type of a socket of this protocol and family.
    #[must_use]
    pub const fn new(protocol: Protocol, ipv6: bool) -> Self {
        match (protocol, ipv6) {
            (Protocol::Tcp, false) => Self::Tcp,
            (Protocol::Tcp, true) => Self::Tcp6,
            (Protocol::Udp, false) => Self::Udp,
            (Protocol::Udp, true) => Self::Udp6,
        }
    }
}

/// A connection's state, named as psutil names it. UDP sockets are always [`None`](Self::None).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ConnectionStatus {
    /// Data can flow (RFC 9293, section 3.3.2, as for all states of TCP below).
    Established,
    /// A connection request was sent.
    SynSent,
    /// A connection request was received and answered.
    SynRecv,
    /// Closed here; the other end has not acknowledged it yet.
    FinWait1,
    /// Closed here and acknowledged; the other end has not closed yet.
    FinWait2,
    /// Closed on both ends; waiting out late segments.
    TimeWait,
    /// Not in use.
    Close,
    /// The other end has closed; the local application has not.
    CloseWait,
    /// Closed on both ends, the other end first; its acknowledgement is missing.
    LastAck,
    /// Waiting for connection requests.
    Listen,
    /// Both ends closed at once; the acknowledgement is missing.
    Closing,
    /// A protocol without states: UDP.
    None,
    /// Opened and not bound (Solaris; fixtures).
    Idle,
    /// Bound, and neither listening nor connected (Solaris; fixtures).
    Bound,
    /// About to be deleted (Windows).
    DeleteTcb,
}

impl ConnectionStatus {
    /// Every state, in display order.
    pub const ALL: [Self; 15] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
        Self::None,
        Self::Idle,
        Self::Bound,
        Self::DeleteTcb,
    ];

    /// psutil's name in capitals, for example `ESTABLISHED` or `FIN_WAIT2`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::None => "NONE",
            Self::Idle => "IDLE",
            Self::Bound => "BOUND",
            Self::DeleteTcb => "DELETE_TCB",
        }
    }

    /// The state of a socket of this protocol whose state the Linux kernel numbers `number`
    /// (`include/net/tcp_states.h`); `None` for a number that is no state of a counted socket.
    #[must_use]
    pub const fn from_linux(protocol: Protocol, number: u8) -> Option<Self> {
        Some(match (protocol, number) {
            (Protocol::Tcp, 1) => Self::Established,
            (Protocol::Tcp, 2) => Self::SynSent,
            // 12 is NEW_SYN_RECV, the kernel's own name for a request that has no socket yet.
            (Protocol::Tcp, 3 | 12) => Self::SynRecv,
            (Protocol::Tcp, 4) => Self::FinWait1,
            (Protocol::Tcp, 5) => Self::FinWait2,
            (Protocol::Tcp, 6) => Self::TimeWait,
            (Protocol::Tcp, 7) => Self::Close,
            (Protocol::Tcp, 8) => Self::CloseWait,
            (Protocol::Tcp, 9) => Self::LastAck,
            (Protocol::Tcp, 10) => Self::Listen,
            (Protocol::Tcp, 11) => Self::Closing,
            // Connected and unconnected: UDP has no other.
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
            _ => 0,
        }
    }
}

/// One connection as a source shows it: a view over its message or line whose fields are decoded
/// when they are asked for.
///
/// A field that this source does not know answers [`Error::Unsupported`], one that cannot be
/// decoded [`Error::Garbled`]; neither is ever replaced by a guess.
pub trait Connection {
    /// Family and protocol.
    fn connection_type(&self) -> ConnectionType;

    /// State.
    fn status(&self) -> ConnectionStatus;

    /// Local address and port; unspecified and 0 where the socket is not bound.
    fn local(&self) -> Result<SocketAddr, Error>;

    /// Remote address and port; unspecified and 0 where the socket is not connected.
    fn remote(&self) -> Result<SocketAddr, Error>;

    /// Bytes, or for a listening socket connections, that wait to be received and to be sent.
    fn queues(&self) -> Result<(u32, u32), Error> {
        Err(Error::Unsupported("the queues of sockets are not known here".to_owned()))
    }

    /// The socket's inode number, 0 where no process has it.
    fn inode(&self) -> Result<u64, Error> {
        Err(Error::Unsupported("the processes of sockets are not known here".to_owned()))
    }

    /// The user id that made the socket; `None` where nobody owns it.
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

/// The owner behind a user id that the kernel shows: what has no process any more, or not yet, is
/// shown as root's.
#[cfg(target_os = "linux")]
#[must_use]
pub(crate) fn owner(status: ConnectionStatus, inode: u64, uid: u32) -> Option<u32> {
    let minisock = matches!(status, ConnectionStatus::TimeWait | ConnectionStatus::SynRecv);
    (!minisock && (inode, uid) != (0, 0)).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_linux_state_is_asked_for_by_its_own_bit() {
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
    fn bound_inactive_is_never_asked_for() {
        for protocol in Protocol::ALL {
            for status in ConnectionStatus::ALL {
                assert_eq!(status.linux_mask(protocol) >> 12, 0, "{status:?}");
            }
        }
    }
}
