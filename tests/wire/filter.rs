//! The filter for the kernel accepts the same sockets as `Selection::matches`, and the kernel
//! accepts the filter.

use std::net::IpAddr;

use network_connections::source::linux::inet_diag::requests;
use network_connections::{Among, Choice, Network, Ports, Selection, UnixListeners, Wanted};
use network_connections::{ConnectionStatus, ConnectionType, Named, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;

use crate::socket::{AF_INET, AF_INET6, Socket, any_port, any_socket, any_v4, any_v6};

/// A request as the kernel parses it.
#[derive(Debug)]
struct Parsed {
    /// `None` for both families.
    family: Option<u8>,
    protocol: Protocol,
    states: u32,
    program: Option<Vec<u8>>,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap())
}

/// Parses as `netlink_rcv_skb`, `inet_diag_rcv_msg_compat` and `inet_diag_handler_cmd` do.
fn parse(bytes: &[u8], sequence: u32) -> Parsed {
    assert_eq!(u32_at(bytes, 0) as usize, bytes.len(), "nlmsg_len");
    // NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
    assert_eq!(u16_at(bytes, 6), 0x301, "nlmsg_flags");
    assert_eq!(u32_at(bytes, 8), sequence, "nlmsg_seq");
    assert_eq!(u32_at(bytes, 12), 0, "nlmsg_pid");
    let payload = &bytes[16..];
    let (family, protocol, states, mut rest) = match u16_at(bytes, 4) {
        // struct inet_diag_req: family, lengths, extensions, id, states, dbs
        18 => {
            assert_eq!(&payload[1..52], [0; 51], "extensions and id");
            (None, Protocol::Tcp, u32_at(payload, 52), &payload[60..])
        }
        // struct inet_diag_req_v2: family, protocol, extensions, pad, states, id
        20 => {
            assert!([AF_INET, AF_INET6].contains(&payload[0]), "sdiag_family");
            let protocol = match payload[1] {
                6 => Protocol::Tcp,
                17 => Protocol::Udp,
                other => panic!("sdiag_protocol {other}"),
            };
            assert_eq!(&payload[2..4], [0; 2], "extensions");
            assert_eq!(&payload[8..56], [0; 48], "id");
            (Some(payload[0]), protocol, u32_at(payload, 4), &payload[56..])
        }
        other => panic!("nlmsg_type {other}"),
    };
    let mut program = None;
    while !rest.is_empty() {
        let length = usize::from(u16_at(rest, 0));
        assert_eq!(u16_at(rest, 2), 1, "INET_DIAG_REQ_BYTECODE and nothing else");
        assert!((4..=rest.len()).contains(&length), "nla_len");
        assert!(program.replace(rest[4..length].to_vec()).is_none(), "two programs");
        rest = &rest[length.next_multiple_of(4)..];
    }
    Parsed { family, protocol, states, program }
}

const JMP: u8 = 1;
const S_GE: u8 = 2;
const S_LE: u8 = 3;
const D_GE: u8 = 4;
const D_LE: u8 = 5;
const S_COND: u8 = 7;
const D_COND: u8 = 8;

/// `inet_diag_bc_audit`: the checks of a program before the kernel runs it.
fn audit(program: &[u8]) -> Result<(), String> {
    if program.len() < 4 {
        return Err("shorter than one instruction".to_owned());
    }
    // valid_cc: the instructions that are reachable by following only `yes` branches.
    let mut landings = vec![false; program.len() + 1];
    let mut at = 0;
    while at < program.len() {
        landings[at] = true;
        let yes = usize::from(program[at + 1]);
        if yes < 4 || yes & 3 != 0 {
            break;
        }
        at += yes;
    }
    if at == program.len() {
        landings[at] = true;
    }
    let mut at = 0;
    while at < program.len() {
        let rest = &program[at..];
        if rest.len() < 4 {
            return Err(format!("{at}: cut short"));
        }
        let (code, yes, no) = (rest[0], usize::from(rest[1]), usize::from(u16_at(rest, 2)));
        let size = match code {
            S_COND | D_COND => {
                if rest.len() < 12 {
                    return Err(format!("{at}: no room for a condition"));
                }
                let bytes = match rest[4] {
                    0 => 0,
                    AF_INET => 4,
                    AF_INET6 => 16,
                    other => return Err(format!("{at}: family {other}")),
                };
                if usize::from(rest[5]) > 8 * bytes {
                    return Err(format!("{at}: prefix {}", rest[5]));
                }
                12 + bytes
            }
            S_GE | S_LE | D_GE | D_LE => 8,
            JMP => 4,
            other => return Err(format!("{at}: instruction {other}")),
        };
        if rest.len() < size {
            return Err(format!("{at}: no room for its operand"));
        }
        for (name, jump) in [("yes", yes), ("no", no)] {
            if jump < size || jump > rest.len() + 4 || jump & 3 != 0 {
                return Err(format!("{at}: {name} is {jump}"));
            }
        }
        if no < rest.len() && !landings[at + no] {
            return Err(format!("{at}: no lands within an instruction"));
        }
        at += yes;
    }
    if at == program.len() { Ok(()) } else { Err("ends beyond its end".to_owned()) }
}

/// `inet_diag_bc_run`: whether a program accepts a socket.
fn run(program: &[u8], socket: &Socket) -> bool {
    let mut at = 0;
    while at < program.len() {
        let op = &program[at..];
        let holds = match op[0] {
            JMP => false,
            S_GE => socket.local.port() >= u16_at(op, 6),
            S_LE => socket.local.port() <= u16_at(op, 6),
            D_GE => socket.remote.port() >= u16_at(op, 6),
            D_LE => socket.remote.port() <= u16_at(op, 6),
            code => {
                let end = if code == S_COND { socket.local } else { socket.remote };
                let (family, prefix) = (op[4], usize::from(op[5]));
                let port = i32::from_ne_bytes(op[8..12].try_into().unwrap());
                let address = match end.ip() {
                    IpAddr::V4(v4) => v4.octets().to_vec(),
                    IpAddr::V6(v6) => v6.octets().to_vec(),
                };
                let host = &op[12..];
                if port != -1 && port != i32::from(end.port()) {
                    false
                } else if family == socket.family() {
                    prefix == 0 || bitstring_match(&address, host, prefix)
                } else if family == AF_INET {
                    address[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
                        && bitstring_match(&address[12..], host, prefix)
                } else {
                    false
                }
            }
        };
        at += if holds { usize::from(op[1]) } else { usize::from(u16_at(op, 2)) };
    }
    at == program.len()
}

fn bitstring_match(a: &[u8], b: &[u8], bits: usize) -> bool {
    (0..bits).all(|bit| (a[bit / 8] ^ b[bit / 8]) & (0x80 >> (bit % 8)) == 0)
}

/// Whether a request asks for a socket: family, protocol, `1 << sk_state` and the program.
fn answered(request: &Parsed, socket: &Socket) -> bool {
    // A request for SYN_RECV includes NEW_SYN_RECV.
    let state = if socket.state == 12 { 3 } else { socket.state };
    request.protocol == socket.protocol
        && request.family.is_none_or(|family| family == socket.family())
        && request.states & 1 << state != 0
        && request.program.as_ref().is_none_or(|program| run(program, socket))
}

fn any_ports() -> impl Strategy<Value = Ports> {
    prop_oneof![
        any_port().prop_map(|port| Ports { first: port, last: port }),
        (any_port(), any_port()).prop_map(|(a, b)| Ports { first: a.min(b), last: a.max(b) }),
    ]
}

fn any_network() -> impl Strategy<Value = Network> {
    let v4 = (any_v4(), prop_oneof![0..=32_u8, Just(0)]).prop_map(|(address, prefix)| {
        let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        Network { address: IpAddr::from((address.to_bits() & !host).to_be_bytes()), prefix }
    });
    let v6 =
        (any_v6(), prop_oneof![3 => 0..=128_u8, 1 => 0..=97_u8]).prop_map(|(address, prefix)| {
            let host = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            Network { address: IpAddr::from((address.to_bits() & !host).to_be_bytes()), prefix }
        });
    prop_oneof![v4, v6]
}

/// Alternatives, and values that are taken away from them.
fn among<S: Strategy>(one: fn() -> S) -> impl Strategy<Value = Among<S::Value>> {
    (vec(one(), 0..4), vec(one(), 0..3)).prop_map(|(any_of, none_of)| Among { any_of, none_of })
}

fn any_selection() -> impl Strategy<Value = Selection> {
    let types: Vec<_> = ConnectionType::COUNTED.iter().map(|t| t.name()).collect();
    let statuses: Vec<_> = ConnectionStatus::VALUES.iter().map(|status| status.name()).collect();
    (
        prop_oneof![Just(vec!["all"]), subsequence(types, 1..=4)],
        prop_oneof![Just(vec!["all"]), subsequence(statuses, 1..=15)],
        (among(any_ports), among(any_ports)),
        (among(any_network), among(any_network)),
    )
        .prop_map(|(types, statuses, ports, addresses)| Selection {
            direction: None,
            stuck: Vec::new(),
            unix: UnixListeners::Unread,
            types: Choice::parse(&types).unwrap(),
            statuses: Choice::parse(&statuses).unwrap(),
            local_ports: ports.0,
            remote_ports: ports.1,
            local_addresses: addresses.0,
            remote_addresses: addresses.1,
        })
}

/// The parsed requests of a selection. Asserts that the kernel accepts their programs.
fn parsed(protocol: Protocol, selection: &Selection) -> Vec<Parsed> {
    (1..)
        .zip(requests(protocol, selection, Wanted::default()))
        .map(|(sequence, request)| {
            let request = parse(request.bytes(), sequence);
            assert_eq!(request.protocol, protocol);
            // State 0, NEW_SYN_RECV and BOUND_INACTIVE must not be asked for.
            assert_eq!(request.states & !0xffe, 0, "states");
            if let Some(program) = &request.program {
                audit(program).unwrap();
            }
            request
        })
        .collect()
}

fn asks_for_ends(selection: &Selection) -> bool {
    selection.is_of_ends()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_kernel_is_asked_for_exactly_the_selected_sockets(
        selection in any_selection(),
        tcp in vec(any_socket(Protocol::Tcp), 1..16),
        udp in vec(any_socket(Protocol::Udp), 1..8),
    ) {
        for (protocol, sockets) in [(Protocol::Tcp, tcp), (Protocol::Udp, udp)] {
            let requests = parsed(protocol, &selection);
            for request in &requests {
                prop_assert_eq!(request.program.is_some(), asks_for_ends(&selection));
            }
            for socket in sockets {
                let answers = requests.iter().filter(|r| answered(r, &socket)).count();
                let expected = usize::from(selection.matches(&socket).unwrap());
                prop_assert_eq!(answers, expected, "{:?} by {:?}", socket, requests);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// The kernel runs filters of up to 32 KiB. With a longer filter the check selects the sockets
    /// itself, and the kernel leaves none of them out.
    #[test]
    fn a_long_filter_is_exact_or_left_to_the_check(
        mut selection in any_selection(),
        ports in vec(any_ports(), 1500..1700),
        networks in vec(any_network(), 0..40),
        sockets in vec(any_socket(Protocol::Tcp), 32),
    ) {
        selection.remote_ports = ports.into();
        selection.local_addresses.none_of.extend(networks);
        for request in parsed(Protocol::Tcp, &selection) {
            for socket in &sockets {
                let asked = request.family.is_none_or(|family| family == socket.family());
                let matches = selection.matches(socket).unwrap();
                prop_assert!(!(asked && matches) || answered(&request, socket));
                if request.program.is_some() {
                    prop_assert!(!answered(&request, socket) || matches);
                }
            }
        }
    }
}

#[test]
fn the_longest_filter_is_sent_and_a_longer_one_is_not() {
    let selection = |ports: u16, networks: usize| Selection {
        local_ports: (0..ports).map(|port| Ports { first: port, last: port }).collect(),
        remote_addresses: vec![Network { address: [1; 16].into(), prefix: 128 }; networks].into(),
        ..Selection::default()
    };
    // 20 bytes for each port and 32 for each network, without the jumps of the last port and the
    // last network: exactly 32 KiB.
    let (ports, networks) = (1634, 3);
    for (ports, networks, sent) in [
        (ports, networks, Some(32 * 1024)),
        (ports + 1, networks, None),
        (ports, networks + 1, None),
    ] {
        for request in parsed(Protocol::Tcp, &selection(ports, networks)) {
            let length = request.program.map(|program| program.len());
            assert_eq!(length, sent, "{ports} ports, {networks} networks");
        }
    }
}

#[test]
fn the_audit_refuses_programs_that_the_kernel_refuses() {
    let op = |code: u8, yes: u8, no: u16| {
        let [n0, n1] = no.to_ne_bytes();
        vec![code, yes, n0, n1]
    };
    let port = |yes, no| [op(S_GE, yes, no), op(0, 0, 80)].concat();
    let host = |family: u8, prefix: u8, length: usize| {
        let yes = u8::try_from(12 + length).unwrap();
        let mut bytes = op(S_COND, yes, u16::from(yes) + 4);
        bytes.extend([family, prefix, 0, 0, 255, 255, 255, 255]);
        bytes.resize(12 + length, 0);
        bytes
    };
    for (program, fine) in [
        (port(8, 12), true),
        (host(AF_INET, 32, 4), true),
        (host(AF_INET6, 128, 16), true),
        ([port(8, 12), op(JMP, 4, 4)].concat(), true),
        ([port(8, 20), port(8, 12)].concat(), true),
        (vec![], false),
        (op(S_GE, 4, 8), false),
        (port(4, 12), false),
        (port(8, 16), false),
        (port(8, 10), false),
        (port(8, 4), false),
        (port(12, 12), false),
        ([port(8, 12), port(8, 12)].concat(), false),
        (host(AF_INET, 33, 4), false),
        (host(AF_INET6, 129, 16), false),
        (host(9, 0, 4), false),
        (host(AF_INET6, 0, 4), false),
        (op(77, 4, 4), false),
    ] {
        assert_eq!(audit(&program).is_ok(), fine, "{program:?}: {:?}", audit(&program));
    }
}
