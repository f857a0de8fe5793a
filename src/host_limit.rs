//! Limits of the host and of its network namespaces, and the part of each that is in use.

use crate::name::named_enum;
use crate::vocabulary::NetnsIndex;

named_enum! {
    /// A limit of the kernel that all programs share.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum HostLimit("limit") {
        /// The memory of all TCP sockets of the host, in pages (`tcp_mem` in `tcp(7)`).
        TcpMemory = "tcp-memory",
        /// The memory of all UDP sockets of the host, in pages (`udp_mem` in `udp(7)`).
        UdpMemory = "udp-memory",
        /// The TCP sockets of the host that no process has (`tcp_max_orphans` in `tcp(7)`).
        Orphans = "orphans",
        /// The TCP sockets in `TIME_WAIT` of a network namespace (`tcp_max_tw_buckets` in `tcp(7)`).
        TimeWait = "time-wait",
        /// The connections that the firewall of a network namespace tracks
        /// (`networking/nf_conntrack-sysctl.rst` of the kernel).
        Conntrack = "conntrack",
        /// The open files of the host (`/proc/sys/fs/file-nr` in `proc_sys_fs(5)`).
        Files = "files",
    }
}

impl HostLimit {
    /// The kernel setting that has the limit (`sysctl(8)`).
    #[must_use]
    pub const fn setting(self) -> &'static str {
        match self {
            Self::TcpMemory => "net.ipv4.tcp_mem",
            Self::UdpMemory => "net.ipv4.udp_mem",
            Self::Orphans => "net.ipv4.tcp_max_orphans",
            Self::TimeWait => "net.ipv4.tcp_max_tw_buckets",
            Self::Conntrack => "net.netfilter.nf_conntrack_max",
            Self::Files => "fs.file-max",
        }
    }

    /// Whether each network namespace has its own number.
    #[must_use]
    pub const fn is_of_namespace(self) -> bool {
        match self {
            Self::TimeWait | Self::Conntrack => true,
            Self::TcpMemory | Self::UdpMemory | Self::Orphans | Self::Files => false,
        }
    }

    /// The reason why the kernel does not show the limit here.
    #[must_use]
    pub const fn why_unseen(self) -> &'static str {
        match self {
            Self::TcpMemory | Self::UdpMemory | Self::Orphans => {
                "numbers of the whole host, whose limits only its own network namespace has"
            }
            Self::TimeWait => "the kernel does not show the limit here",
            Self::Conntrack => "the kernel tracks connections, and does not show the limit here",
            Self::Files => "a number of the whole host, and this is a container",
        }
    }
}

/// The use of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A number in use, and the limit.
    Of {
        /// The number in use.
        used: u64,
        /// The limit. With 0 the kernel allows nothing.
        of: u64,
    },
    /// The kernel sets no limit.
    Unlimited,
    /// The kernel counts here, and does not show the limit.
    Unseen,
}

/// The limits as one network namespace shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetnsLimits {
    /// The namespace.
    pub netns: NetnsIndex,
    /// The use of each limit.
    pub uses: Vec<(HostLimit, Use)>,
}
