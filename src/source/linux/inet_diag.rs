//! The messages about TCP and UDP sockets on a `NETLINK_SOCK_DIAG` socket: pure functions over bytes.
//!
//! Layouts and numbers are those of `linux/sock_diag.h` and `linux/inet_diag.h`; integers are in the byte order of the machine, ports and addresses in network byte order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::error::Error;
use crate::selection::{Among, Network, Ports, Selection};
use crate::socket::{Socket, Wanted};
use crate::source::linux::netlink::{
    Frame, Frames, SOCK_DIAG_BY_FAMILY, attribute, cut_short, garbled, message,
};
use crate::stuck::{Timer, Transfer};
use crate::vocabulary::{ConnectionStatus, ConnectionType, Protocol};

const TCPDIAG_GETSOCK: u16 = 18;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;

/// `INET_DIAG_INFO`: `struct tcp_info` (`linux/tcp.h`), which newer kernels make longer
const INFO: u16 = 2;
/// `struct tcp_info`: the offsets of its fields.
mod tcp_info {
    pub const RETRANSMITS: usize = 2;
    pub const BACKOFF: usize = 4;
    pub const RTO: usize = 8;
    pub const UNACKED: usize = 24;
    pub const LAST_DATA_SENT: usize = 44;
    pub const LAST_DATA_RECV: usize = 52;
    pub const LAST_ACK_RECV: usize = 56;
    pub const SEGS_IN: usize = 140;
}
/// `INET_DIAG_SKMEMINFO` (`linux/sock_diag.h`)
const SKMEMINFO: u16 = 7;
/// The offsets of `SK_MEMINFO_RMEM_ALLOC`, `SK_MEMINFO_RCVBUF` and `SK_MEMINFO_DROPS`.
mod meminfo {
    pub const RMEM_ALLOC: usize = 0;
    pub const RCVBUF: usize = 4;
    pub const DROPS: usize = 8 * 4;
}
/// `INET_DIAG_SHUTDOWN`
const SHUTDOWN: u16 = 8;
/// `INET_DIAG_CGROUP_ID`
const CGROUP_ID: u16 = 21;

/// `sizeof(struct inet_diag_sockid)`
const SOCKID: usize = 48;
/// `struct inet_diag_msg`: the offsets of its fields, in the order of the header file.
/// `idiag_family` and `idiag_state` are at 0 and 1.
mod field {
    pub const IDIAG_TIMER: usize = 2;
    pub const IDIAG_RETRANS: usize = 3;
    pub const ID_SPORT: usize = 4;
    pub const ID_DPORT: usize = 6;
    pub const ID_SRC: usize = 8;
    pub const ID_DST: usize = 24;
    pub const ID_IF: usize = 40;
    pub const IDIAG_EXPIRES: usize = 52;
    pub const IDIAG_RQUEUE: usize = 56;
    pub const IDIAG_WQUEUE: usize = 60;
    pub const IDIAG_UID: usize = 64;
    pub const IDIAG_INODE: usize = 68;
    /// `sizeof(struct inet_diag_msg)`
    pub const END: usize = 72;
}

/// A dump request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    kind: u16,
    sequence: u32,
    protocol: Protocol,
    asks_for_bound: bool,
}

impl Request {
    /// The message for the kernel.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The messages of one datagram of the answer.
    #[must_use]
    pub fn messages<'a>(&self, datagram: &'a [u8]) -> Messages<'a> {
        let frames = Frames::new(datagram, self.kind, self.sequence);
        Messages { frames, protocol: self.protocol, asks_for_bound: self.asks_for_bound }
    }
}

/// The requests for the selected sockets of one protocol; none where the kernel has none of the
/// selected states.
///
/// A dump answers for one family. The request for TCP over both families is the older
/// `TCPDIAG_GETSOCK`, for which the kernel walks its tables once; UDP has no such request. The
/// requests also ask for the facts in `wanted`.
#[must_use]
pub fn requests(protocol: Protocol, selection: &Selection, wanted: Wanted) -> Vec<Request> {
    let states = selection.linux_mask(protocol);
    if states == 0 {
        return Vec::new();
    }
    let types: Vec<_> = selection.types_of(protocol).collect();
    let extension = |wanted: bool, kind: u16| if wanted { 1 << (kind - 1) } else { 0 };
    let extensions = extension(wanted.memory, SKMEMINFO)
        | extension(wanted.transfer && protocol == Protocol::Tcp, INFO);
    let one = |t: &ConnectionType| (SOCK_DIAG_BY_FAMILY, one_family(*t, states, extensions));
    let payloads = match (protocol, types.as_slice()) {
        (Protocol::Tcp, [_, _]) => vec![(TCPDIAG_GETSOCK, both_families(states, extensions))],
        (_, types) => types.iter().map(one).collect(),
    };
    let filter = filter(selection);
    (1..)
        .zip(payloads)
        .map(|(sequence, (kind, mut payload))| {
            payload.extend(&filter);
            let bytes = message(kind, sequence, &payload);
            Request { bytes, kind, sequence, protocol, asks_for_bound: false }
        })
        .collect()
}

/// The request for TCP sockets that are bound to these ports and have no connection. Linux 6.8 and newer
/// have a state for them (`TCP_BOUND_INACTIVE` in `net/tcp_states.h`); older kernels answer without
/// sockets.
#[must_use]
pub fn request_of_bound(ports: Ports) -> Request {
    let (kind, sequence, protocol) = (TCPDIAG_GETSOCK, 1, Protocol::Tcp);
    let mut payload = both_families(1 << BOUND_INACTIVE, 0);
    payload.extend(filter(&Selection { local_ports: vec![ports].into(), ..Selection::default() }));
    let bytes = message(kind, sequence, &payload);
    Request { bytes, kind, sequence, protocol, asks_for_bound: true }
}

/// `TCP_CLOSE`: the state of bound sockets in the answer
const CLOSE: u8 = 7;
/// `TCP_BOUND_INACTIVE`: the state of bound sockets in the request
const BOUND_INACTIVE: u8 = 13;

/// A condition of the kernel's filter language (`INET_DIAG_REQ_BYTECODE`).
#[derive(Clone, Copy, Debug)]
enum Condition {
    /// `INET_DIAG_BC_S_GE` and the like: the port is at least, or at most, `port`.
    Port { code: u8, port: u16 },
    /// `INET_DIAG_BC_S_COND`, `INET_DIAG_BC_D_COND`: the address has this prefix. In the kernel an
    /// IPv4 prefix also matches IPv4-mapped addresses.
    Address { code: u8, network: Network },
}

impl Condition {
    fn size(self) -> usize {
        match self {
            Self::Port { .. } => 2 * OP,
            Self::Address { network, .. } => {
                OP + 8 + if network.address.is_ipv4() { 4 } else { 16 }
            }
        }
    }

    fn write(self, no: usize, program: &mut Vec<u8>) {
        match self {
            Self::Port { code, port } => {
                program.extend(op(code, self.size(), no));
                program.extend(op(0, 0, usize::from(port)));
            }
            Self::Address { code, network } => {
                program.extend(op(code, self.size(), no));
                // struct inet_diag_hostcond, with any port
                let family = if network.address.is_ipv4() { AF_INET } else { AF_INET6 };
                program.extend([family, network.prefix, 0, 0]);
                program.extend((-1_i32).to_ne_bytes());
                match network.address {
                    IpAddr::V4(address) => program.extend(address.octets()),
                    IpAddr::V6(address) => program.extend(address.octets()),
                }
            }
        }
    }
}

/// A condition that must hold, or one that must not.
#[derive(Clone, Copy, Debug)]
struct Literal {
    condition: Condition,
    holds: bool,
}

impl Literal {
    const fn of(condition: Condition) -> Self {
        Self { condition, holds: true }
    }

    const fn not(condition: Condition) -> Self {
        Self { condition, holds: false }
    }

    fn size(self) -> usize {
        self.condition.size() + if self.holds { 0 } else { OP }
    }

    /// Goes on behind the literal where it is true, else `otherwise` bytes from its begin. The kernel
    /// follows `yes` branches to find the instructions, so that each of them leads to the next one, and
    /// a jump leads over it.
    fn write(self, otherwise: usize, program: &mut Vec<u8>) {
        if self.holds {
            self.condition.write(otherwise, program);
            return;
        }
        self.condition.write(self.size(), program);
        program.extend(op(BC_JMP, OP, otherwise - self.condition.size()));
    }
}

/// Literals that must all be true.
type All = Vec<Literal>;
/// Alternatives, of which one must be true.
type Clause = Vec<All>;

/// `struct inet_diag_bc_op`: the bytes to jump ahead where the condition holds, and where it does
/// not.
fn op(code: u8, yes: usize, no: usize) -> [u8; OP] {
    let [n0, n1] = u16::try_from(no).unwrap_or(u16::MAX).to_ne_bytes();
    [code, u8::try_from(yes).unwrap_or(u8::MAX), n0, n1]
}

/// `sizeof(struct inet_diag_bc_op)`
const OP: usize = 4;
const BC_JMP: u8 = 1;
const BC_S_GE: u8 = 2;
const BC_S_LE: u8 = 3;
const BC_D_GE: u8 = 4;
const BC_D_LE: u8 = 5;
const BC_S_COND: u8 = 7;
const BC_D_COND: u8 = 8;

/// The kernel gets only shorter filters, because jumps are 16 bits wide. Longer filters are applied
/// by this process alone.
const LONGEST_FILTER: usize = 32 * 1024;

/// The selection's ports and addresses as an attribute of a request; empty where the selection has
/// neither.
fn filter(selection: &Selection) -> Vec<u8> {
    let Selection { local_ports, remote_ports, local_addresses, remote_addresses, .. } = selection;
    let clauses = [
        of_ports(local_ports, BC_S_GE, BC_S_LE),
        of_ports(remote_ports, BC_D_GE, BC_D_LE),
        of_addresses(local_addresses, BC_S_COND),
        of_addresses(remote_addresses, BC_D_COND),
    ];
    let program = program(&clauses.concat());
    if program.is_empty() || program.len() > LONGEST_FILTER {
        return Vec::new();
    }
    // struct nlattr of type INET_DIAG_REQ_BYTECODE
    let length = u16::try_from(4 + program.len()).unwrap_or(u16::MAX);
    let mut attribute = length.to_ne_bytes().to_vec();
    attribute.extend(1_u16.to_ne_bytes());
    attribute.extend(program);
    attribute
}

/// The clauses for ports: one for the alternatives, and one for each range that is taken away.
fn of_ports(ports: &Among<Ports>, at_least: u8, at_most: u8) -> Vec<Clause> {
    let from = |port| Literal::of(Condition::Port { code: at_least, port });
    let to = |port| Literal::of(Condition::Port { code: at_most, port });
    let within = |ports: &Ports| vec![from(ports.first), to(ports.last)];
    let outside = |ports: &Ports| {
        let below = ports.first.checked_sub(1).map(|port| vec![to(port)]);
        let above = ports.last.checked_add(1).map(|port| vec![from(port)]);
        let either: Clause = below.into_iter().chain(above).collect();
        // No port is outside of all ports.
        if either.is_empty() { vec![vec![from(1), to(0)]] } else { either }
    };
    clauses(ports, within, outside)
}

/// The clauses for addresses. The kernel finds the IPv4-mapped addresses in every network around
/// them.
fn of_addresses(networks: &Among<Network>, code: u8) -> Vec<Clause> {
    let is_in = |network: Network| Condition::Address { code, network };
    let within = |network: &Network| {
        let mapped = network.surrounds_mapped().then(|| Literal::not(is_in(Network::MAPPED)));
        [Literal::of(is_in(*network))].into_iter().chain(mapped).collect()
    };
    let outside = |network: &Network| {
        let mapped = network.surrounds_mapped().then(|| vec![Literal::of(is_in(Network::MAPPED))]);
        [vec![Literal::not(is_in(*network))]].into_iter().chain(mapped).collect()
    };
    clauses(networks, within, outside)
}

fn clauses<T>(
    values: &Among<T>,
    within: impl Fn(&T) -> All,
    outside: impl Fn(&T) -> Clause,
) -> Vec<Clause> {
    let any: Clause = values.any_of.iter().map(within).collect();
    let any = (!any.is_empty()).then_some(any);
    any.into_iter().chain(values.none_of.iter().map(outside)).collect()
}

/// Compiles clauses that must all hold. A clause holds where all literals of one of its alternatives
/// are true.
///
/// The program accepts a socket where execution arrives exactly at its end, and refuses a socket
/// where a jump goes beyond its end. The kernel demands that every jump lands on an instruction
/// that is reachable by following only `yes` branches.
fn program(clauses: &[Clause]) -> Vec<u8> {
    let literals = |alternative: &All| alternative.iter().map(|c| c.size()).sum::<usize>();
    let size = |clause: &Clause| {
        let jumps = clause.len().saturating_sub(1) * OP;
        clause.iter().map(literals).sum::<usize>() + jumps
    };
    let end: usize = clauses.iter().map(size).sum();
    let mut program = Vec::with_capacity(end);
    for clause in clauses {
        let clause_end = program.len() + size(clause);
        for (number, alternative) in (1..).zip(clause) {
            let last = number == clause.len();
            let otherwise =
                if last { end + OP } else { program.len() + literals(alternative) + OP };
            for literal in alternative {
                literal.write(otherwise - program.len(), &mut program);
            }
            if !last {
                program.extend(op(BC_JMP, OP, clause_end - program.len()));
            }
        }
    }
    program
}

/// `struct inet_diag_req_v2`; `extensions` has a bit for each requested attribute (`idiag_ext`).
fn one_family(connection_type: ConnectionType, states: u32, extensions: u8) -> Vec<u8> {
    let family = if connection_type.is_ipv6() { AF_INET6 } else { AF_INET };
    let protocol = match connection_type.protocol() {
        Protocol::Tcp => IPPROTO_TCP,
        Protocol::Udp => IPPROTO_UDP,
        // Unix sockets have none of the states of `inet_diag`: no request is made for them.
        Protocol::Unix => 0,
    };
    let mut payload = vec![family, protocol, extensions, 0];
    payload.extend(states.to_ne_bytes());
    payload.extend([0; SOCKID]);
    payload
}

/// `struct inet_diag_req`: the kernel ignores its family and answers for both families.
fn both_families(states: u32, extensions: u8) -> Vec<u8> {
    let mut payload = vec![AF_INET, 0, 0, extensions];
    payload.extend([0; SOCKID]);
    payload.extend(states.to_ne_bytes());
    payload.extend(0_u32.to_ne_bytes());
    payload
}

/// The content of a message of the answer.
#[derive(Debug)]
pub enum Event<'a> {
    /// A socket.
    Message(Message<'a>),
    /// The dump is complete.
    Done,
}

/// Iterates over the messages of one datagram. After an error the iterator ends: the rest of the
/// datagram cannot be trusted.
#[derive(Debug)]
pub struct Messages<'a> {
    frames: Frames<'a>,
    protocol: Protocol,
    asks_for_bound: bool,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Event<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let event = match self.frames.next()? {
            Ok(Frame::Payload(payload)) => {
                let status = |state| match (self.asks_for_bound, state) {
                    (true, CLOSE | BOUND_INACTIVE) => Some(ConnectionStatus::Close),
                    (true, _) => None,
                    (false, state) => ConnectionStatus::from_linux(self.protocol, state),
                };
                Message::new(self.protocol, status, payload).map(Event::Message)
            }
            Ok(Frame::Done) => Ok(Event::Done),
            Err(error) => Err(error),
        };
        if event.is_err() {
            self.frames.end();
        }
        Some(event)
    }
}

/// A view over one `struct inet_diag_msg` and its attributes.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    connection_type: ConnectionType,
    status: ConnectionStatus,
    fixed: &'a [u8; field::END],
    attributes: &'a [u8],
}

impl<'a> Message<'a> {
    #[inline]
    fn new(
        protocol: Protocol,
        status: impl Fn(u8) -> Option<ConnectionStatus>,
        payload: &'a [u8],
    ) -> Result<Self, Error> {
        let (fixed, attributes): (&[u8; field::END], _) =
            payload.split_first_chunk().ok_or_else(cut_short)?;
        let [family, state, ..] = *fixed;
        let ipv6 = match family {
            AF_INET => false,
            AF_INET6 => true,
            _ => return Err(garbled(&format!("a socket of unknown family {family}"))),
        };
        let status =
            status(state).ok_or_else(|| garbled(&format!("a socket in unknown state {state}")))?;
        Ok(Self { connection_type: ConnectionType::new(protocol, ipv6), status, fixed, attributes })
    }

    /// Port and address, each by the offset of its field.
    #[inline]
    fn endpoint(&self, port: usize, address: usize) -> Result<SocketAddr, Error> {
        let port = self.bytes(port).map(u16::from_be_bytes)?;
        if !self.connection_type.is_ipv6() {
            let address = Ipv4Addr::from(self.bytes::<4>(address)?);
            return Ok(SocketAddr::new(address.into(), port));
        }
        let address = Ipv6Addr::from(self.bytes::<16>(address)?);
        // The kernel binds every socket with a link-local address to the interface, accepted
        // sockets too.
        let interface = if address.is_unicast_link_local() {
            self.bytes(field::ID_IF).map(u32::from_ne_bytes)?
        } else {
            0
        };
        Ok(SocketAddrV6::new(address, port, 0, interface).into())
    }

    #[inline]
    fn attribute(&self, kind: u16) -> Result<Option<&'a [u8]>, Error> {
        attribute(self.attributes, kind)
    }

    /// A number of `INET_DIAG_SKMEMINFO`, by its offset; `None` where the kernel does not report it.
    fn memory(&self, offset: usize) -> Result<Option<u32>, Error> {
        let memory = self.attribute(SKMEMINFO)?;
        let number = memory.and_then(|memory| memory.get(offset..)?.first_chunk());
        Ok(number.map(|number| u32::from_ne_bytes(*number)))
    }

    #[inline]
    fn bytes<const N: usize>(&self, offset: usize) -> Result<[u8; N], Error> {
        self.fixed.get(offset..).and_then(|rest| rest.first_chunk()).copied().ok_or_else(cut_short)
    }
}

impl Socket for Message<'_> {
    #[inline]
    fn connection_type(&self) -> ConnectionType {
        self.connection_type
    }

    #[inline]
    fn status(&self) -> ConnectionStatus {
        self.status
    }

    #[inline]
    fn local(&self) -> Result<SocketAddr, Error> {
        self.endpoint(field::ID_SPORT, field::ID_SRC)
    }

    #[inline]
    fn remote(&self) -> Result<SocketAddr, Error> {
        self.endpoint(field::ID_DPORT, field::ID_DST)
    }

    fn queues(&self) -> Result<(u32, u32), Error> {
        let queue = |field| self.bytes(field).map(u32::from_ne_bytes);
        Ok((queue(field::IDIAG_RQUEUE)?, queue(field::IDIAG_WQUEUE)?))
    }

    fn backlog(&self) -> Result<(u32, u32), Error> {
        self.queues()
    }

    fn drops(&self) -> Result<u32, Error> {
        self.memory(meminfo::DROPS)?.ok_or_else(|| {
            Error::Unsupported(
                "this kernel does not tell the drops of sockets (Linux 4.7 and newer do)"
                    .to_owned(),
            )
        })
    }

    fn receive_buffer(&self) -> Result<(u32, u32), Error> {
        match (self.memory(meminfo::RMEM_ALLOC)?, self.memory(meminfo::RCVBUF)?) {
            (Some(bytes), Some(limit)) => Ok((bytes, limit)),
            _ => Err(Error::Unsupported(
                "the kernel has not told the receive buffer of a socket".to_owned(),
            )),
        }
    }

    fn transfer(&self) -> Result<Option<Transfer>, Error> {
        let Some(info) = self.attribute(INFO)? else {
            return if self.connection_type.protocol() == Protocol::Tcp && self.is_full()? {
                Err(Error::Unsupported("the kernel has not told the times of a socket".to_owned()))
            } else {
                Ok(None)
            };
        };
        let byte = |offset: usize| info.get(offset).copied().ok_or_else(cut_short);
        let word = |offset: usize| {
            let bytes = info.get(offset..).and_then(|rest| rest.first_chunk());
            bytes.map(|bytes| u32::from_ne_bytes(*bytes)).ok_or_else(cut_short)
        };
        // The kernel reads the times after the state. Of a socket that is disconnected in between
        // (`close` with `SO_LINGER` 0) they count from the start of the system, and the segments that came
        // in are 0. Every connection has had one.
        if self.status != ConnectionStatus::SynSent && word(tcp_info::SEGS_IN)? == 0 {
            return Ok(None);
        }
        let [timer] = self.bytes(field::IDIAG_TIMER)?;
        let [tries] = self.bytes(field::IDIAG_RETRANS)?;
        let (unread, unsent) = self.queues()?;
        Ok(Some(Transfer {
            status: self.status,
            unread,
            unsent,
            timer: Timer::from_linux(timer),
            tries,
            expires: self.bytes(field::IDIAG_EXPIRES).map(u32::from_ne_bytes)?,
            retransmits: byte(tcp_info::RETRANSMITS)?,
            backoff: byte(tcp_info::BACKOFF)?,
            // The kernel has microseconds here.
            retransmit_after: word(tcp_info::RTO)? / 1000,
            unacked: word(tcp_info::UNACKED)?,
            last_sent: word(tcp_info::LAST_DATA_SENT)?,
            last_received: word(tcp_info::LAST_DATA_RECV)?,
            last_acknowledged: word(tcp_info::LAST_ACK_RECV)?,
        }))
    }

    #[inline]
    fn inode(&self) -> Result<u64, Error> {
        self.bytes(field::IDIAG_INODE).map(u32::from_ne_bytes).map(u64::from)
    }

    /// For mini-sockets the kernel reports no user id, no inode number and fewer attributes.
    fn is_full(&self) -> Result<bool, Error> {
        Ok(self.inode()? != 0 || self.attribute(SHUTDOWN)?.is_some())
    }

    #[inline]
    fn uid(&self) -> Result<Option<u32>, Error> {
        let uid = self.bytes(field::IDIAG_UID).map(u32::from_ne_bytes)?;
        Ok((uid != 0 || self.is_full()?).then_some(uid))
    }

    #[inline]
    fn cgroup(&self) -> Result<Option<u64>, Error> {
        match self.attribute(CGROUP_ID)? {
            Some(id) => {
                id.first_chunk().map(|id| Some(u64::from_ne_bytes(*id))).ok_or_else(cut_short)
            }
            None if !self.is_full()? => Ok(None),
            None => Err(Error::Unsupported(
                "this kernel does not tell the cgroups of sockets (Linux 5.9 and newer do)"
                    .to_owned(),
            )),
        }
    }
}
