//! A dump is read to its end and gives the written sockets, or it is an error.

use network_connections::Selection;
use network_connections::source::linux::inet_diag::{Event, Request, requests};
use network_connections::{ConnectionType, Error, Protocol, Socket as _, Wanted};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::fields::{Fields, only};
use crate::socket::{Socket, any_socket, any_sockets};

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const TCPDIAG_GETSOCK: u16 = 18;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_MULTI: u16 = 2;
const NLM_F_DUMP_INTR: u16 = 0x10;
const INET_DIAG_SKMEMINFO: u16 = 7;

/// A message without padding.
#[derive(Clone, Debug)]
struct Message {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: Vec<u8>,
}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(16 + self.payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend(self.sequence.to_ne_bytes());
        bytes.extend(4711_u32.to_ne_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}

fn datagram(messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.extend(message.bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// A message of the answer to a request.
fn answer(request: &Request, kind: u16, payload: Vec<u8>) -> Message {
    let sequence = u32::from_ne_bytes(request.bytes()[8..12].try_into().unwrap());
    Message { kind, flags: NLM_F_MULTI, sequence, payload }
}

fn kind(request: &Request) -> u16 {
    u16::from_ne_bytes(request.bytes()[4..6].try_into().unwrap())
}

fn done(request: &Request) -> Message {
    answer(request, NLMSG_DONE, 0_i32.to_ne_bytes().to_vec())
}

/// A complete dump, one message per socket and the end.
fn dump(request: &Request, sockets: &[Socket]) -> Vec<Message> {
    sockets
        .iter()
        .map(|socket| answer(request, kind(request), socket.inet_diag_msg()))
        .chain([done(request)])
        .collect()
}

/// Reads datagrams as the source does, until the end of the dump; `Err(None)` where it does not
/// come.
fn read(request: &Request, datagrams: &[Vec<u8>]) -> Result<Vec<Fields>, Option<Error>> {
    let mut read = Vec::new();
    for datagram in datagrams {
        let mut done = false;
        let mut messages = request.messages(datagram);
        while let Some(event) = messages.next() {
            match event {
                Ok(Event::Message(socket)) => read.push(Fields::of(&socket)?),
                Ok(Event::Done) => {
                    assert!(!done, "two ends");
                    done = true;
                }
                Err(error) => {
                    assert!(messages.next().is_none(), "more after {error}");
                    return Err(Some(error));
                }
            }
        }
        if done {
            return Ok(read);
        }
    }
    Err(None)
}

/// The socket that a datagram begins with.
fn first<'a>(request: &Request, datagram: &'a [u8]) -> impl network_connections::Socket + use<'a> {
    match request.messages(datagram).next() {
        Some(Ok(Event::Message(socket))) => socket,
        other => panic!("no socket: {other:?}"),
    }
}

fn expected(sockets: &[Socket]) -> Vec<Fields> {
    sockets.iter().map(Socket::fields).collect()
}

/// Every kind of request: TCP over both families, and each type alone.
fn every_request(protocol: Protocol) -> Vec<Request> {
    let of = |selection: &Selection| requests(protocol, selection, Wanted::default());
    let mut every = of(&Selection::default());
    every.extend(ConnectionType::COUNTED.iter().copied().flat_map(|t| of(&only(t))));
    every
}

fn any_request(protocol: Protocol) -> impl Strategy<Value = Request> {
    let every = every_request(protocol);
    assert_eq!(every.len(), if protocol == Protocol::Tcp { 3 } else { 4 });
    proptest::sample::select(every)
}

/// A request, some sockets, and the messages of the answer.
fn any_dump() -> impl Strategy<Value = (Request, Vec<Socket>, Vec<Message>)> {
    any_sockets().prop_flat_map(|(protocol, sockets)| {
        any_request(protocol).prop_map(move |request| {
            let messages = dump(&request, &sockets);
            (request, sockets.clone(), messages)
        })
    })
}

#[test]
fn both_families_of_tcp_are_one_request_and_all_other_requests_are_separate() {
    let kinds = |protocol| every_request(protocol).iter().map(kind).collect::<Vec<_>>();
    assert_eq!(kinds(Protocol::Tcp), [TCPDIAG_GETSOCK, SOCK_DIAG_BY_FAMILY, SOCK_DIAG_BY_FAMILY]);
    assert_eq!(kinds(Protocol::Udp), [SOCK_DIAG_BY_FAMILY; 4]);
}

#[test]
fn memory_is_asked_for_by_the_bit_of_its_attribute() {
    let types = ConnectionType::COUNTED.iter().map(|one| (one.protocol(), only(*one)));
    for (protocol, selection) in types.chain([(Protocol::Tcp, Selection::default())]) {
        let [plain, memory] = [false, true].map(|memory| {
            let wanted = Wanted { memory, ..Wanted::default() };
            requests(protocol, &selection, wanted)
        });
        let ([plain], [memory]) = (&plain[..], &memory[..]) else { panic!("one request each") };
        let mut expected = plain.bytes().to_vec();
        // `idiag_ext`: the fourth byte of the older request, the third byte of the newer one.
        expected[if kind(plain) == TCPDIAG_GETSOCK { 19 } else { 18 }] |= 1 << 6;
        assert_eq!(memory.bytes(), expected, "{selection:?}");
    }
}

proptest! {
    #[test]
    fn the_backlog_is_in_the_queues((protocol, sockets) in any_sockets()) {
        let request = &every_request(protocol)[0];
        for socket in &sockets {
            let message = answer(request, kind(request), socket.inet_diag_msg()).bytes();
            let read = first(request, &message);
            prop_assert_eq!(read.backlog().unwrap(), socket.queues);
        }
    }

    #[test]
    fn the_receive_buffer_and_the_drops_are_numbers_of_one_attribute(
        (protocol, sockets) in any_sockets(),
        memory in vec(any::<u32>(), 0..12),
    ) {
        let request = &every_request(protocol)[0];
        for socket in &sockets {
            let mut payload = socket.inet_diag_msg();
            payload.truncate(72);
            payload.extend(u16::try_from(4 + 4 * memory.len()).unwrap().to_ne_bytes());
            payload.extend(INET_DIAG_SKMEMINFO.to_ne_bytes());
            payload.extend(memory.iter().copied().flat_map(u32::to_ne_bytes));
            let message = answer(request, kind(request), payload).bytes();
            let read = first(request, &message);
            match (read.drops(), memory.get(8)) {
                (Ok(read), Some(expected)) => prop_assert_eq!(read, *expected),
                (Err(Error::Unsupported(_)), None) => {}
                other => panic!("{other:?}"),
            }
            match (read.receive_buffer(), memory.get(..2)) {
                (Ok((bytes, limit)), Some(expected)) => prop_assert_eq!([bytes, limit], expected),
                (Err(Error::Unsupported(_)), None) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_dump_gives_its_sockets_however_it_is_cut_into_datagrams(
        (request, sockets, messages) in any_dump(),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(messages.len())).collect();
        cuts.extend([0, messages.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| datagram(&messages[cut[0]..cut[1]]));
        let datagrams: Vec<_> = pieces.collect();
        prop_assert_eq!(read(&request, &datagrams).unwrap(), expected(&sockets));
        let each: Vec<_> = messages.iter().map(Message::bytes).collect();
        prop_assert_eq!(read(&request, &each).unwrap(), expected(&sockets));
    }

    #[test]
    fn the_cgroup_is_the_attribute_of_this_type((protocol, sockets) in any_sockets()) {
        let request = &every_request(protocol)[0];
        for socket in &sockets {
            let message = datagram(&[answer(request, kind(request), socket.inet_diag_msg())]);
            let read = first(request, &message);
            match (read.cgroup(), socket.cgroup()) {
                (Ok(read), Ok(expected)) => prop_assert_eq!(read, expected),
                (Err(Error::Garbled(_)), Err(Error::Garbled(_)))
                | (Err(Error::Unsupported(_)), Err(Error::Unsupported(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn attributes_that_do_not_end_never_give_a_wrong_cgroup(
        (protocol, sockets) in any_sockets(),
        cut in any::<Index>(),
        length in any::<u16>(),
    ) {
        let request = &every_request(protocol)[0];
        for socket in &sockets {
            let mut payload = socket.inet_diag_msg();
            if payload.len() > 72 {
                payload[72..74].copy_from_slice(&length.to_ne_bytes());
            }
            payload.truncate(72 + cut.index(payload.len() - 71));
            let message = answer(request, kind(request), payload.clone()).bytes();
            let read = first(request, &message);
            if let Ok(Some(id)) = read.cgroup() {
                let id = id.to_ne_bytes();
                prop_assert!(payload[72..].windows(8).any(|bytes| bytes == id));
            }
            // The other fields do not depend on attributes, except where inode and user are both 0:
            // there only an attribute shows a full socket.
            if socket.full && (socket.inode, socket.uid) != (0, 0) {
                prop_assert_eq!(Fields::of(&read).unwrap(), socket.fields());
            }
        }
    }

    #[test]
    fn noop_messages_are_skipped(
        (request, sockets, mut messages) in any_dump(),
        places in vec((any::<Index>(), vec(any::<u8>(), 0..9)), 1..4),
    ) {
        for (place, payload) in places {
            messages.insert(place.index(messages.len()), answer(&request, NLMSG_NOOP, payload));
        }
        prop_assert_eq!(read(&request, &[datagram(&messages)]).unwrap(), expected(&sockets));
    }

    #[test]
    fn an_error_anywhere_is_the_outcome(
        (request, _, mut messages) in any_dump(),
        place in any::<Index>(),
        code in prop_oneof![1..=133_i32, 1..=4095_i32, Just(i32::MAX)],
        end in any::<bool>(),
        rest in vec(any::<u8>(), 0..40),
    ) {
        let mut payload = (-code).to_ne_bytes().to_vec();
        payload.extend(rest);
        let kind = if end { NLMSG_DONE } else { NLMSG_ERROR };
        let at = place.index(messages.len());
        messages.insert(at, answer(&request, kind, payload));
        let error = read(&request, &[datagram(&messages)]).unwrap_err().unwrap();
        prop_assert_eq!(error.errno(), Some(code));
        let system = matches!(error, Error::System { .. });
        prop_assert!(system, "{error}");
    }

    #[test]
    fn an_interrupted_dump_is_an_error(
        (request, _, mut messages) in any_dump(),
        place in any::<Index>(),
        flags in any::<u16>(),
    ) {
        let at = place.index(messages.len());
        messages[at].flags = flags | NLM_F_DUMP_INTR;
        let error = read(&request, &[datagram(&messages)]).unwrap_err().unwrap();
        prop_assert!(error.to_string().contains("NLM_F_DUMP_INTR"));
        // Other flags are ignored.
        messages[at].flags = flags & !NLM_F_DUMP_INTR;
        prop_assert!(read(&request, &[datagram(&messages)]).is_ok());
    }

    #[test]
    fn an_answer_to_another_request_is_an_error(
        (request, _, mut messages) in any_dump(),
        place in any::<Index>(),
        sequence in any::<u32>(),
    ) {
        let message = place.get_mut(&mut messages);
        prop_assume!(message.sequence != sequence);
        message.sequence = sequence;
        prop_assert!(matches!(
            read(&request, &[datagram(&messages)]),
            Err(Some(Error::Garbled(_)))
        ));
    }

    #[test]
    fn nothing_may_follow_the_end(
        (request, _, mut messages) in any_dump(),
        extra in any::<Index>(),
        noop in any::<bool>(),
    ) {
        let mut message = extra.get(&messages).clone();
        if noop {
            message.kind = NLMSG_NOOP;
        }
        messages.push(message);
        let error = read(&request, &[datagram(&messages)]).unwrap_err().unwrap();
        prop_assert!(error.to_string().contains("after the end"));
    }

    #[test]
    fn a_dump_that_is_cut_short_never_counts(
        (request, sockets, messages) in any_dump(),
    ) {
        let whole = datagram(&messages);
        let mut borders = vec![0];
        for message in &messages {
            borders.push(borders.last().unwrap() + datagram(std::slice::from_ref(message)).len());
        }
        for length in 0..whole.len() {
            let outcome = read(&request, &[whole[..length].to_vec()]);
            if borders.contains(&length) {
                // Not an error: the next datagram may continue here.
                prop_assert!(matches!(outcome, Err(None)), "{length}: {outcome:?}");
            } else {
                prop_assert!(matches!(outcome, Err(Some(Error::Garbled(_)))), "{length}: {outcome:?}");
            }
        }
        prop_assert_eq!(read(&request, &[whole]).unwrap(), expected(&sockets));
    }

    #[test]
    fn a_wrong_length_never_loses_a_socket(
        (request, sockets, messages) in any_dump(),
        place in any::<Index>(),
        length in prop_oneof![0..600_u32, any::<u32>(), Just(u32::MAX)],
    ) {
        let at = place.index(messages.len());
        let start = datagram(&messages[..at]).len();
        let mut bytes = datagram(&messages);
        bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        // A length that ends where another message ends makes all messages between into one: a
        // socket with more attributes. A parser cannot notice that.
        let end = start + (length as usize).next_multiple_of(4);
        prop_assume!((at + 2..=messages.len()).all(|n| datagram(&messages[..n]).len() != end));
        match read(&request, &[bytes]) {
            Err(_) => {}
            Ok(read) => prop_assert_eq!(read, expected(&sockets)),
        }
    }

    #[test]
    fn damaged_and_arbitrary_datagrams_never_panic(
        (request, _, messages) in any_dump(),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
        noise in vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = datagram(&messages);
        for (place, value) in changes {
            *place.get_mut(&mut bytes) = value;
        }
        let _ = read(&request, &[bytes]);
        let _ = read(&request, &[noise]);
    }
}

/// A few sockets, the same in every run.
fn sample(protocol: Protocol) -> Vec<Socket> {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    vec(any_socket(protocol), 3).new_tree(&mut runner).unwrap().current()
}

#[test]
fn every_unknown_type_of_message_is_an_error() {
    for protocol in Protocol::ALL {
        for request in every_request(protocol) {
            let messages = dump(&request, &sample(protocol));
            let at = datagram(&messages[..1]).len() + 4;
            let mut bytes = vec![datagram(&messages)];
            for unknown in 0..=u16::MAX {
                if [NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE, kind(&request)].contains(&unknown) {
                    continue;
                }
                bytes[0][at..at + 2].copy_from_slice(&unknown.to_ne_bytes());
                let error = read(&request, &bytes).unwrap_err().unwrap();
                assert!(error.to_string().ends_with(&format!("unknown type {unknown}")), "{error}");
            }
        }
    }
}

#[test]
fn every_unknown_family_and_state_is_an_error() {
    for protocol in Protocol::ALL {
        let states: &[u8] = match protocol {
            Protocol::Tcp => &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            Protocol::Udp => &[1, 7],
            Protocol::Unix => &[],
        };
        let sockets = sample(protocol);
        for request in every_request(protocol) {
            for (field, what, known) in [(0, "family", &[2, 10][..]), (1, "state", states)] {
                for value in 0..=u8::MAX {
                    let mut messages = dump(&request, &sockets);
                    messages[1].payload[field] = value;
                    let outcome = read(&request, &[datagram(&messages)]);
                    if known.contains(&value) {
                        assert_eq!(outcome.unwrap().len(), 3);
                    } else {
                        let error = outcome.unwrap_err().unwrap().to_string();
                        assert!(error.ends_with(&format!("unknown {what} {value}")), "{error}");
                    }
                }
            }
        }
    }
}

#[test]
fn an_acknowledgement_is_an_error() {
    for protocol in Protocol::ALL {
        for request in every_request(protocol) {
            for code in [0, 1, i32::MAX] {
                let message = answer(&request, NLMSG_ERROR, code.to_ne_bytes().to_vec());
                let error = read(&request, &[datagram(&[message, done(&request)])]);
                assert!(matches!(error, Err(Some(Error::Garbled(_)))), "{error:?}");
            }
        }
    }
}

#[test]
fn the_end_and_an_error_without_their_code_are_cut_short() {
    for request in every_request(Protocol::Tcp) {
        for kind in [NLMSG_ERROR, NLMSG_DONE] {
            for length in 0..4 {
                let message = answer(&request, kind, vec![0; length]);
                let error = read(&request, &[datagram(&[message])]).unwrap_err().unwrap();
                assert!(error.to_string().contains("cut short"), "{error}");
            }
        }
    }
}

#[test]
fn an_error_code_that_cannot_be_negated_is_an_error_too() {
    for request in every_request(Protocol::Udp) {
        for kind in [NLMSG_ERROR, NLMSG_DONE] {
            let message = answer(&request, kind, i32::MIN.to_ne_bytes().to_vec());
            let error = read(&request, &[datagram(&[message])]).unwrap_err().unwrap();
            assert!(matches!(error, Error::System { .. }), "{error}");
        }
    }
}
