//! Linux: the kernel's own sums of sockets, from the texts of `/proc/net/{sockstat,sockstat6,snmp}`
//! (`proc_net(5)`): the numbers of `ss -s`. They are not in a dump, and cost next to nothing.

use crate::error::Error;
use crate::vocabulary::{ConnectionType, Protocol};

/// Hands the names of all sums to a macro.
macro_rules! sums {
    ($then:ident) => {
        $then! {
            /// Sockets of every kind, UNIX sockets included.
            sockets,
            /// TCP sockets, sockets in `TIME_WAIT` included.
            tcp,
            /// TCP sockets in `ESTABLISHED` or `CLOSE_WAIT` (`tcpCurrEstab`, RFC 4022).
            tcp_established,
            /// TCP sockets that are in `TIME_WAIT`, or neither bound nor connected, as `ss` counts
            /// them.
            tcp_closed,
            /// TCP sockets without a process (orphans).
            tcp_orphaned,
            /// TCP sockets in `TIME_WAIT`.
            tcp_time_wait,
            /// TCP sockets over IPv4 in use.
            tcp4,
            /// TCP sockets over IPv6 in use.
            tcp6,
            /// UDP sockets over IPv4 in use.
            udp4,
            /// UDP sockets over IPv6 in use.
            udp6,
            /// Raw sockets over IPv4 in use.
            raw4,
            /// Raw sockets over IPv6 in use.
            raw6,
            /// IPv4 datagrams that are being reassembled.
            frag4,
            /// IPv6 datagrams that are being reassembled.
            frag6,
        }
    };
}
#[cfg(feature = "python")]
pub(crate) use sums;

macro_rules! define {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The kernel's sums of sockets. The sums of one family count sockets that are bound or
        /// connected ("in use").
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct SocketSummary {
            $($(#[$doc])* pub $name: u64,)*
        }
    };
}
sums!(define);

impl SocketSummary {
    /// The TCP sockets that the kernel has allocated in all network namespaces, without those in
    /// `TIME_WAIT` and without orphans.
    #[must_use]
    pub const fn tcp_held(&self) -> u64 {
        self.tcp.saturating_sub(self.tcp_time_wait).saturating_sub(self.tcp_orphaned)
    }

    /// Reads the three files' texts; `sockstat6` is empty where the host has no IPv6.
    pub fn parse(sockstat: &str, sockstat6: &str, snmp: &str) -> Result<Self, Error> {
        let v4 = |row, field| value(sockstat, row, field);
        let v6 =
            |row, field| if sockstat6.is_empty() { Ok(0) } else { value(sockstat6, row, field) };
        let (tcp4, tcp6) = (v4("TCP:", "inuse")?, v6("TCP6:", "inuse")?);
        let (allocated, time_wait) = (v4("TCP:", "alloc")?, v4("TCP:", "tw")?);
        Ok(Self {
            sockets: v4("sockets:", "used")?,
            tcp: allocated.saturating_add(time_wait),
            tcp_established: column(snmp, "Tcp:", "CurrEstab")?,
            tcp_closed: allocated
                .saturating_add(time_wait)
                .saturating_sub(tcp4.saturating_add(tcp6)),
            tcp_orphaned: v4("TCP:", "orphan")?,
            tcp_time_wait: time_wait,
            tcp4,
            tcp6,
            udp4: v4("UDP:", "inuse")?,
            udp6: v6("UDP6:", "inuse")?,
            raw4: v4("RAW:", "inuse")?,
            raw6: v6("RAW6:", "inuse")?,
            frag4: v4("FRAG:", "inuse")?,
            frag6: v6("FRAG6:", "inuse")?,
        })
    }
}

/// The error for unix sockets.
const NO_UNIX: &str = "the counters have no unix sockets";

/// The texts of `sockstat` and `sockstat6`; the latter is empty where the host has no IPv6.
#[derive(Clone, Debug, Default)]
pub struct Sockstat {
    /// The text for IPv4, which also has the sums over both families.
    pub ipv4: String,
    /// The text for IPv6.
    pub ipv6: String,
}

impl Sockstat {
    /// The number of full sockets of a type.
    pub fn in_use(&self, connection_type: ConnectionType) -> Result<u64, Error> {
        let row = match connection_type {
            ConnectionType::Tcp => "TCP:",
            ConnectionType::Tcp6 => "TCP6:",
            ConnectionType::Udp => "UDP:",
            ConnectionType::Udp6 => "UDP6:",
            ConnectionType::Unix => return Err(Error::Unsupported(NO_UNIX.to_owned())),
        };
        match connection_type.is_ipv6() {
            true if self.ipv6.is_empty() => Ok(0),
            true => value(&self.ipv6, row, "inuse"),
            false => value(&self.ipv4, row, "inuse"),
        }
    }

    /// The memory of all sockets of a protocol on the host, in pages.
    pub fn memory(&self, protocol: Protocol) -> Result<u64, Error> {
        match protocol {
            Protocol::Tcp => value(&self.ipv4, "TCP:", "mem"),
            Protocol::Udp => value(&self.ipv4, "UDP:", "mem"),
            Protocol::Unix => Err(Error::Unsupported(NO_UNIX.to_owned())),
        }
    }

    /// The number of TCP sockets of the host that no process has.
    pub fn orphans(&self) -> Result<u64, Error> {
        value(&self.ipv4, "TCP:", "orphan")
    }

    /// The number of TCP sockets in `TIME_WAIT`.
    pub fn time_wait(&self) -> Result<u64, Error> {
        value(&self.ipv4, "TCP:", "tw")
    }

    /// Whether a dump would show no socket of a protocol.
    pub fn has_none(&self, protocol: Protocol) -> Result<bool, Error> {
        let waiting = match protocol {
            Protocol::Tcp => self.time_wait()?,
            Protocol::Udp => 0,
            Protocol::Unix => return Err(Error::Unsupported(NO_UNIX.to_owned())),
        };
        let in_use = |ipv6| self.in_use(ConnectionType::new(protocol, ipv6));
        Ok((in_use(false)?, in_use(true)?, waiting) == (0, 0, 0))
    }
}

/// A counter of everything that the kernel has dropped in a network namespace. It counts sockets that
/// have been closed, too, so it never falls while the namespace exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCounter {
    /// `TcpExtListenDrops` in `nstat(8)`: connections and requests without room at any listener.
    ListenDrops,
    /// `UdpRcvbufErrors` and `Udp6RcvbufErrors`: packets without room at any UDP socket.
    RcvbufErrors,
}

impl DropCounter {
    /// Its name in performance data.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ListenDrops => "ListenDrops",
            Self::RcvbufErrors => "RcvbufErrors",
        }
    }

    /// The file below `/proc/net` that has it; of IPv4 alone, where a second file has that of IPv6.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::ListenDrops => "netstat",
            Self::RcvbufErrors => "snmp",
        }
    }

    /// The number of packets, from the text of its file and of `/proc/net/snmp6`, which is empty where
    /// the host has no IPv6 (`net/ipv4/proc.c` and `net/ipv6/proc.c` in the kernel).
    pub fn read(self, text: &str, snmp6: &str) -> Result<u64, Error> {
        match self {
            Self::ListenDrops => column(text, "TcpExt:", self.name()),
            Self::RcvbufErrors => {
                let ipv4 = column(text, "Udp:", self.name())?;
                let ipv6 = if snmp6.is_empty() { 0 } else { row(snmp6, "Udp6RcvbufErrors")? };
                Ok(ipv4.saturating_add(ipv6))
            }
        }
    }
}

/// The number after `field` in the row that begins with `row`, as in `TCP: inuse 5 orphan 0`.
fn value(text: &str, row: &str, field: &str) -> Result<u64, Error> {
    let missing = || Error::Garbled(format!("sockstat: no {field} of {row}"));
    let mut words = words(text, row).ok_or_else(missing)?;
    words.find(|word| *word == field);
    words.next().and_then(|number| number.parse().ok()).ok_or_else(missing)
}

/// The number below `field`: the first row that begins with `row` has names, the second has
/// numbers.
fn column(text: &str, row: &str, field: &str) -> Result<u64, Error> {
    let missing = || Error::Garbled(format!("/proc/net: no {field} of {row}"));
    let mut rows = text.lines().filter(|line| line.starts_with(row));
    let (names, numbers) = rows.next().zip(rows.next()).ok_or_else(missing)?;
    let mut columns = names.split_whitespace().zip(numbers.split_whitespace());
    let number = columns.find(|(name, _)| *name == field).map(|(_, number)| number);
    number.and_then(|number| number.parse().ok()).ok_or_else(missing)
}

/// The number in the row that begins with `name`, as in `Udp6RcvbufErrors 5`.
fn row(text: &str, name: &str) -> Result<u64, Error> {
    let number = words(text, name).and_then(|mut words| words.next()?.parse().ok());
    number.ok_or_else(|| Error::Garbled(format!("/proc/net/snmp6: no {name}")))
}

fn words<'a>(text: &'a str, row: &str) -> Option<std::str::SplitWhitespace<'a>> {
    text.lines().find_map(|line| line.strip_prefix(row)).map(str::split_whitespace)
}

#[cfg(test)]
mod tests {
    use super::DropCounter::{ListenDrops, RcvbufErrors};
    use super::*;

    const SOCKSTAT: &str = "sockets: used 149\nTCP: inuse 12 orphan 1 tw 3 alloc 20 mem 2\n\
                            UDP: inuse 4 mem 0\nUDPLITE: inuse 0\nRAW: inuse 1\nFRAG: inuse 0 memory 0\n";
    const SOCKSTAT6: &str = "TCP6: inuse 5\nUDP6: inuse 2\nUDPLITE6: inuse 0\nRAW6: inuse 1\n\
                             FRAG6: inuse 0 memory 0\n";
    const SNMP: &str = "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm CurrEstab\nTcp: 1 7\n";

    #[test]
    fn sums_are_the_numbers_of_ss() {
        let summary = SocketSummary::parse(SOCKSTAT, SOCKSTAT6, SNMP);
        let summary = summary.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((summary.sockets, summary.tcp, summary.tcp_established), (149, 23, 7));
        assert_eq!((summary.tcp_closed, summary.tcp_orphaned, summary.tcp_time_wait), (6, 1, 3));
        assert_eq!((summary.tcp4, summary.tcp6, summary.udp4, summary.udp6), (12, 5, 4, 2));
        assert_eq!(summary.tcp_held(), 19);
    }

    #[test]
    fn drops_are_those_of_nstat() {
        let netstat = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 5 7\n\
                       IpExt: InNoRoutes\nIpExt: 0\n";
        let snmp = "Tcp: CurrEstab\nTcp: 1\nUdp: InErrors RcvbufErrors\nUdp: 9 4\n\
                    UdpLite: InErrors RcvbufErrors\nUdpLite: 90 40\n";
        let snmp6 = "Udp6InErrors 9\nUdp6RcvbufErrors  \t2\nUdpLite6RcvbufErrors 30\n";
        assert!(matches!(ListenDrops.read(netstat, ""), Ok(7)));
        assert!(matches!(RcvbufErrors.read(snmp, snmp6), Ok(6)));
        assert!(matches!(RcvbufErrors.read(snmp, ""), Ok(4)));
        for (counter, text, snmp6) in [
            (ListenDrops, "", ""),
            (ListenDrops, "TcpExt: ListenDrops\n", ""),
            (ListenDrops, "TcpExt: ListenDrops\nTcpExt: -1\n", ""),
            (RcvbufErrors, "", snmp6),
            (RcvbufErrors, snmp, "Udp6InErrors 9\n"),
            (RcvbufErrors, snmp, "Udp6RcvbufErrors x\n"),
        ] {
            assert!(counter.read(text, snmp6).is_err(), "{text:?} {snmp6:?}");
        }
    }

    #[test]
    fn memory_and_orphans_are_those_of_the_host() {
        let sockstat = Sockstat {
            ipv4: SOCKSTAT.replace("UDP: inuse 4 mem 0", "UDP: inuse 4 mem 9"),
            ..Sockstat::default()
        };
        let memory = |protocol| sockstat.memory(protocol).ok();
        assert_eq!(
            [Protocol::Tcp, Protocol::Udp, Protocol::Unix].map(memory),
            [Some(2), Some(9), None]
        );
        assert_eq!((sockstat.orphans().ok(), sockstat.time_wait().ok()), (Some(1), Some(3)));
        assert!(Sockstat::default().orphans().is_err());
    }

    #[test]
    fn a_protocol_without_sockets_has_none_in_either_family_or_in_time_wait() {
        let texts = |(tcp, tw, udp, tcp6, udp6)| {
            let v4 = format!(
                "TCP: inuse {tcp} orphan 0 tw {tw} alloc 9 mem 0\nUDP: inuse {udp} mem 0\n"
            );
            Sockstat { ipv4: v4, ipv6: format!("TCP6: inuse {tcp6}\nUDP6: inuse {udp6}\n") }
        };
        for (numbers, tcp, udp) in [
            ((0, 0, 0, 0, 0), true, true),
            ((1, 0, 0, 0, 0), false, true),
            ((0, 1, 0, 0, 0), false, true),
            ((0, 0, 1, 0, 0), true, false),
            ((0, 0, 0, 1, 0), false, true),
            ((0, 0, 0, 0, 1), true, false),
        ] {
            let sockstat = texts(numbers);
            let none = |protocol| sockstat.has_none(protocol).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!((none(Protocol::Tcp), none(Protocol::Udp)), (tcp, udp), "{numbers:?}");
        }
        let sockstat = texts((3, 0, 4, 5, 6));
        let in_use = |t: &ConnectionType| sockstat.in_use(*t).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(ConnectionType::COUNTED.iter().map(in_use).collect::<Vec<_>>(), [3, 5, 4, 6]);
        let none = |ipv4: &str, ipv6: &str| {
            Sockstat { ipv4: ipv4.to_owned(), ipv6: ipv6.to_owned() }.has_none(Protocol::Tcp)
        };
        let Sockstat { ipv4, .. } = texts((0, 0, 0, 0, 0));
        assert!(none(&ipv4, "").is_ok_and(|none| none));
        for (ipv4, ipv6) in [("", ""), (&*ipv4, "TCP6: inuse -1\n"), ("TCP: inuse 0\n", "")] {
            assert!(none(ipv4, ipv6).is_err());
        }
    }

    #[test]
    fn without_ipv6_its_sums_are_zero_and_a_missing_row_is_an_error() {
        let summary = SocketSummary::parse(SOCKSTAT, "", SNMP);
        assert!(summary.is_ok_and(|summary| summary.tcp6 == 0));
        for (sockstat, snmp) in [("", SNMP), (SOCKSTAT, ""), ("TCP: inuse x\n", SNMP)] {
            assert!(SocketSummary::parse(sockstat, "", snmp).is_err());
        }
    }
}
