//! Random sockets, and the forms in which the kernel shows them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use network_connections::{ConnectionStatus, ConnectionType, Error, Named, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fields::Fields;

pub const AF_INET: u8 = 2;
pub const AF_INET6: u8 = 10;

/// The names of the states of `net/tcp_states.h`, in the order of their numbers from 1.
pub const TCP_STATES: [&str; 12] = [
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "SYN_RECV",
];
const SYN_RECV: u8 = 3;
const FIN_WAIT2: u8 = 5;
const TIME_WAIT: u8 = 6;
pub const NEW_SYN_RECV: u8 = 12;

const INET_DIAG_SHUTDOWN: u16 = 8;
const INET_DIAG_CGROUP_ID: u16 = 21;

/// One socket as the kernel has it.
#[derive(Clone, Debug)]
pub struct Socket {
    pub protocol: Protocol,
    pub ipv6: bool,
    pub state: u8,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Waiting to be received and to be sent.
    pub queues: (u32, u32),
    pub inode: u32,
    pub uid: u32,
    /// Whether it is a full socket. For a mini-socket (the remains of a connection, or a request
    /// for one) the kernel shows fewer fields.
    pub full: bool,
    /// Attributes: type and value.
    pub attributes: Vec<(u16, Vec<u8>)>,
    /// Random values for the other fields.
    pub noise: [u32; 8],
}

impl Fields {
    /// The fields that `/proc/net` shows: the limits of accept queues and the interfaces are
    /// missing.
    pub fn in_proc(mut self) -> Self {
        for end in [&mut self.local, &mut self.remote] {
            *end = SocketAddr::new(end.ip(), end.port());
        }
        if self.status == ConnectionStatus::Listen {
            self.queues.1 = 0;
        }
        self
    }
}

impl Socket {
    /// An end of the socket. A link-local address (`fe80::/10`) gets the socket's interface.
    fn scoped(&self, end: SocketAddr) -> SocketAddr {
        match end.ip() {
            IpAddr::V6(ip) if ip.to_bits() >> 118 == 0xfe80 >> 6 => {
                SocketAddrV6::new(ip, end.port(), 0, self.noise[2]).into()
            }
            IpAddr::V4(_) | IpAddr::V6(_) => end,
        }
    }

    pub fn family(&self) -> u8 {
        if self.ipv6 { AF_INET6 } else { AF_INET }
    }

    pub fn fields(&self) -> Fields {
        Fields::of(self).unwrap()
    }

    /// `struct inet_diag_msg` and attributes.
    pub fn inet_diag_msg(&self) -> Vec<u8> {
        let [timer, fill, interface, cookie, more, expires, ..] = self.noise;
        let mut bytes = vec![self.family(), self.state, timer.to_ne_bytes()[0], 0];
        bytes.extend(self.local.port().to_be_bytes());
        bytes.extend(self.remote.port().to_be_bytes());
        for address in [self.local.ip(), self.remote.ip()] {
            match address {
                // The bytes behind an IPv4 address are undefined.
                IpAddr::V4(v4) => {
                    bytes.extend(v4.octets());
                    bytes.extend(fill.to_ne_bytes().repeat(3));
                }
                IpAddr::V6(v6) => bytes.extend(v6.octets()),
            }
        }
        let (receive, send) = self.queues;
        let uid = if self.full { self.uid } else { 0 };
        let words = [interface, cookie, more, expires, receive, send, uid, self.inode];
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        assert_eq!(bytes.len(), 72);
        for (kind, value) in &self.attributes {
            bytes.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    /// A row of `/proc/net/{tcp,tcp6,udp,udp6}` without its line end, as `tcp4_seq_show`,
    /// `get_timewait4_sock`, `udp4_format_sock` and their IPv6 twins print it.
    pub fn proc_line(&self, number: usize) -> String {
        let end = |end: SocketAddr| match end.ip() {
            IpAddr::V4(v4) => format!("{}:{:04X}", words(&v4.octets()), end.port()),
            IpAddr::V6(v6) => format!("{}:{:04X}", words(&v6.octets()), end.port()),
        };
        let (local, remote) = (end(self.local), end(self.remote));
        let state = if self.state == NEW_SYN_RECV { SYN_RECV } else { self.state };
        let [timer, when, retransmits, probes, refs, rto, ato, ..] = self.noise;
        let Fields { queues: (rx, tx), inode, .. } = self.fields().in_proc();
        // A request for a connection is shown with the user of its listener.
        let request = [SYN_RECV, NEW_SYN_RECV].contains(&self.state);
        let uid = if self.full || request { self.uid } else { 0 };
        let mut line = format!(
            "{number:4}: {local} {remote} {state:02X} {tx:08X}:{rx:08X} {:02X}:{when:08X} \
             {retransmits:08X} {uid:5} {probes:8} {inode} {} {refs:016x}",
            timer & 7,
            refs & 7,
        );
        if self.protocol == Protocol::Udp {
            line = format!("{line} {}", rto & 0xff);
        } else if self.full {
            line = format!("{line} {rto} {ato} {} {} -1", probes & 15, refs & 0xff);
        }
        // seq_setwidth() pads the IPv4 tables.
        let width =
            if self.ipv6 { 0 } else { 149 - usize::from(self.protocol == Protocol::Udp) * 22 };
        format!("{line:width$}")
    }
}

/// Words in the byte order of the machine.
fn words(octets: &[u8]) -> String {
    let word = |word: &[u8]| u32::from_ne_bytes(word.try_into().unwrap());
    let words: Vec<_> = octets.chunks_exact(4).map(|w| format!("{:08X}", word(w))).collect();
    words.concat()
}

/// The header line of a table.
pub fn proc_header(connection_type: ConnectionType) -> &'static str {
    match connection_type {
        ConnectionType::Tcp => {
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  \
             timeout inode"
        }
        ConnectionType::Tcp6 => {
            "  sl  local_address                         remote_address                        st \
             tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
        }
        ConnectionType::Udp => {
            "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  \
             timeout inode ref pointer drops"
        }
        ConnectionType::Udp6 => {
            "  sl  local_address                         remote_address                        st \
             tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops"
        }
        ConnectionType::Unix => unreachable!("unix sockets have a parser of their own"),
    }
}

/// A table of sockets, with its header line.
pub fn proc_table<'a>(
    connection_type: ConnectionType,
    sockets: impl IntoIterator<Item = &'a Socket>,
) -> String {
    let mut table = format!("{}\n", proc_header(connection_type));
    for (number, socket) in sockets.into_iter().enumerate() {
        table.push_str(&socket.proc_line(number));
        table.push('\n');
    }
    table
}

impl network_connections::Socket for Socket {
    fn connection_type(&self) -> ConnectionType {
        match (self.protocol, self.ipv6) {
            (Protocol::Tcp, false) => ConnectionType::Tcp,
            (Protocol::Tcp, true) => ConnectionType::Tcp6,
            (Protocol::Udp, false) => ConnectionType::Udp,
            (Protocol::Udp, true) => ConnectionType::Udp6,
            (Protocol::Unix, _) => ConnectionType::Unix,
        }
    }

    fn status(&self) -> ConnectionStatus {
        let name = match self.protocol {
            Protocol::Tcp => TCP_STATES[usize::from(self.state) - 1],
            Protocol::Udp => "NONE",
            Protocol::Unix => "LISTEN",
        };
        ConnectionStatus::VALUES.iter().copied().find(|status| status.name() == name).unwrap()
    }

    fn local(&self) -> Result<SocketAddr, Error> {
        Ok(self.scoped(self.local))
    }

    fn remote(&self) -> Result<SocketAddr, Error> {
        Ok(self.scoped(self.remote))
    }

    fn queues(&self) -> Result<(u32, u32), Error> {
        Ok(self.queues)
    }

    fn inode(&self) -> Result<u64, Error> {
        Ok(self.inode.into())
    }

    fn uid(&self) -> Result<Option<u32>, Error> {
        Ok(self.full.then_some(self.uid))
    }

    fn cgroup(&self) -> Result<Option<u64>, Error> {
        let mut ids = self.attributes.iter().filter(|(kind, _)| *kind == INET_DIAG_CGROUP_ID);
        match ids.next() {
            Some((_, id)) => id
                .first_chunk()
                .map(|id| Some(u64::from_ne_bytes(*id)))
                .ok_or_else(|| Error::Garbled("too short".to_owned())),
            None if !self.full => Ok(None),
            None => Err(Error::Unsupported("none".to_owned())),
        }
    }
}

pub fn any_protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)]
}

/// Addresses that are often close to each other, so that prefixes of all lengths separate some.
pub fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        Just(Ipv4Addr::UNSPECIFIED),
        Just(Ipv4Addr::LOCALHOST),
        Just(Ipv4Addr::BROADCAST),
        any::<u32>().prop_map(Ipv4Addr::from_bits),
        (0..32_u32).prop_map(|bit| Ipv4Addr::from_bits(0x0a00_0001 ^ 1 << bit)),
    ]
}

pub fn any_v6() -> impl Strategy<Value = Ipv6Addr> {
    prop_oneof![
        Just(Ipv6Addr::UNSPECIFIED),
        Just(Ipv6Addr::LOCALHOST),
        any::<u128>().prop_map(Ipv6Addr::from_bits),
        // Link-local addresses, and others that begin almost the same.
        (0..16_u32).prop_map(|bit| Ipv6Addr::from_bits((0xfe80_0001 ^ 1 << bit << 16) << 96 | 1)),
        (0..128_u32).prop_map(|bit| Ipv6Addr::from_bits(0x2001_0db8 << 96 ^ 1 << bit)),
        any_v4().prop_map(|v4| v4.to_ipv6_mapped()),
        any_v4().prop_map(|v4| v4.to_ipv6_compatible()),
    ]
}

pub fn any_port() -> impl Strategy<Value = u16> {
    prop_oneof![Just(0), Just(u16::MAX), 1..20_u16, 0xfe..0x102_u16, any::<u16>()]
}

fn any_end(ipv6: bool) -> impl Strategy<Value = SocketAddr> {
    let address = if ipv6 {
        any_v6().prop_map(IpAddr::V6).boxed()
    } else {
        any_v4().prop_map(IpAddr::V4).boxed()
    };
    (address, any_port()).prop_map(SocketAddr::from)
}

pub fn any_socket(protocol: Protocol) -> impl Strategy<Value = Socket> {
    let state = match protocol {
        Protocol::Tcp => (1..=12_u8).boxed(),
        Protocol::Udp => prop_oneof![Just(1), Just(7)].boxed(),
        Protocol::Unix => unreachable!("unix sockets have a parser of their own"),
    };
    let attribute = prop_oneof![
        (any::<u16>(), vec(any::<u8>(), 0..24)),
        (Just(INET_DIAG_CGROUP_ID), vec(any::<u8>(), 8)),
        (Just(INET_DIAG_CGROUP_ID), vec(any::<u8>(), 0..12)),
    ];
    let number = || prop_oneof![Just(0), Just(1000), any::<u32>()];
    let owner = (number(), number(), (number(), number()));
    let kind = (any::<bool>(), state, any::<bool>());
    (kind, owner, any::<[u32; 8]>(), vec(attribute, 0..4)).prop_flat_map(
        move |((ipv6, state, full), (inode, uid, queues), noise, mut attributes)| {
            let full = match (protocol, state) {
                (Protocol::Tcp, TIME_WAIT | NEW_SYN_RECV) => false,
                (Protocol::Tcp, SYN_RECV | FIN_WAIT2) => full,
                (Protocol::Tcp | Protocol::Udp | Protocol::Unix, _) => true,
            };
            attributes.retain(|(kind, _)| *kind != INET_DIAG_SHUTDOWN);
            if full {
                attributes.insert(0, (INET_DIAG_SHUTDOWN, vec![noise[0].to_ne_bytes()[0] & 3]));
            }
            (any_end(ipv6), any_end(ipv6)).prop_map(move |(local, remote)| {
                let mut socket = Socket {
                    protocol,
                    ipv6,
                    state,
                    local,
                    remote,
                    queues,
                    inode,
                    uid,
                    full,
                    attributes: attributes.clone(),
                    noise,
                };
                if !socket.full {
                    (socket.inode, socket.queues) = (0, (0, 0));
                }
                socket
            })
        },
    )
}

/// Some sockets of one protocol.
pub fn any_sockets() -> impl Strategy<Value = (Protocol, Vec<Socket>)> {
    any_protocol().prop_flat_map(|protocol| (Just(protocol), vec(any_socket(protocol), 0..12)))
}
