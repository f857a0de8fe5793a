//! A table of `/proc/net` gives the same sockets as a dump, or is an error.

use network_connections::source::linux::inet_diag::{Event, requests};
use network_connections::source::linux::proc_table::{Lines, Row};
use network_connections::{ConnectionType, Error, Protocol, Socket as _, Wanted};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::fields::{Fields, only};
use crate::socket::{Socket, any_socket, any_sockets, proc_header, proc_table};

fn any_type() -> impl Strategy<Value = ConnectionType> {
    select(&ConnectionType::COUNTED)
}

/// Reads a table, cut into these chunks, as the source does.
fn read<'a>(
    connection_type: ConnectionType,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Fields>, Error> {
    let mut rows = Vec::new();
    let mut lines = Lines::default();
    for chunk in chunks {
        lines.feed(chunk, |line| {
            rows.push(Fields::of(&Row::new(connection_type, line)?)?);
            Ok(())
        })?;
    }
    assert_eq!(lines.finish()?, u64::try_from(rows.len()).unwrap());
    Ok(rows)
}

/// The same socket as the netlink parser reads it.
fn by_netlink(socket: &Socket) -> Fields {
    let request = &requests(socket.protocol, &only(socket.connection_type()), Wanted::default())[0];
    let payload = socket.inet_diag_msg();
    let mut message = u32::try_from(16 + payload.len()).unwrap().to_ne_bytes().to_vec();
    message.extend(&request.bytes()[4..6]);
    message.extend([2, 0]);
    message.extend(&request.bytes()[8..12]);
    message.extend([0; 4]);
    message.extend(payload);
    match request.messages(&message).next() {
        Some(Ok(Event::Message(socket))) => Fields::of(&socket).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A type, and some sockets of that type.
fn any_table() -> impl Strategy<Value = (ConnectionType, Vec<Socket>)> {
    any_type().prop_flat_map(|t| {
        let socket = any_socket(t.protocol())
            .prop_filter("family", move |socket| socket.connection_type() == t);
        (Just(t), vec(socket, 0..8))
    })
}

/// The places of a row's fields, without the blanks between them.
fn columns(line: &str) -> Vec<std::ops::Range<usize>> {
    let start = |field: &str| field.as_ptr().addr() - line.as_ptr().addr();
    line.split_ascii_whitespace().map(|f| start(f)..start(f) + f.len()).collect()
}

proptest! {
    #[test]
    fn both_parsers_agree_on_the_same_sockets((protocol, sockets) in any_sockets()) {
        for connection_type in ConnectionType::COUNTED.iter().copied().filter(|t| t.protocol() == protocol) {
            let of: Vec<_> =
                sockets.iter().filter(|s| s.connection_type() == connection_type).collect();
            let table = proc_table(connection_type, of.iter().copied());
            let rows = read(connection_type, [table.as_bytes()]).unwrap();
            let dumped: Vec<_> = of.iter().map(|socket| by_netlink(socket).in_proc()).collect();
            prop_assert_eq!(&rows, &dumped);
            prop_assert_eq!(rows, of.iter().map(|s| s.fields().in_proc()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_table_is_the_same_however_it_is_cut(
        (connection_type, sockets) in any_table(),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let table = proc_table(connection_type, &sockets);
        let expected: Vec<_> = sockets.iter().map(|s| s.fields().in_proc()).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(table.len())).collect();
        cuts.extend([0, table.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|cut| &table.as_bytes()[cut[0]..cut[1]]);
        prop_assert_eq!(read(connection_type, chunks).unwrap(), &expected[..]);
        for size in [1, 2, 7, 150] {
            let chunks = table.as_bytes().chunks(size);
            prop_assert_eq!(read(connection_type, chunks).unwrap(), &expected[..]);
        }
    }

    #[test]
    fn a_table_that_ends_within_a_line_is_an_error((connection_type, sockets) in any_table()) {
        let table = proc_table(connection_type, &sockets);
        for length in 0..table.len() {
            let outcome = read(connection_type, [&table.as_bytes()[..length]]);
            if table[..length].ends_with('\n') {
                prop_assert_eq!(outcome.unwrap().len(), table[..length].lines().count() - 1);
            } else {
                prop_assert!(matches!(outcome, Err(Error::Garbled(_))), "{length}: {outcome:?}");
            }
        }
    }

    #[test]
    fn a_table_without_its_header_is_an_error((connection_type, sockets) in any_table()) {
        let table = proc_table(connection_type, &sockets);
        let (_, rows) = table.split_once('\n').unwrap();
        let outcome = read(connection_type, [rows.as_bytes()]);
        prop_assert!(matches!(outcome, Err(Error::Garbled(_))), "{outcome:?}");
    }

    #[test]
    fn a_row_that_lacks_fields_is_an_error(
        socket in any_socket(Protocol::Tcp),
        fields in 0..10_usize,
    ) {
        let line = socket.proc_line(0);
        let end = columns(&line)[fields].start;
        prop_assert!(Row::new(socket.connection_type(), &line.as_bytes()[..end]).is_err());
    }

    #[test]
    fn a_row_that_does_not_begin_with_its_number_is_an_error(socket in any_socket(Protocol::Udp)) {
        let line = socket.proc_line(5).replacen("5: ", "5 ", 1);
        prop_assert!(Row::new(socket.connection_type(), line.as_bytes()).is_err());
        let (_, rest) = line.split_once("5 ").unwrap();
        prop_assert!(Row::new(socket.connection_type(), rest.as_bytes()).is_err());
    }

    #[test]
    fn a_row_in_an_unknown_state_is_an_error(
        socket in any_type().prop_flat_map(|t| any_socket(t.protocol())),
        state in prop_oneof!["[0-9A-F]{2}", "[0-9A-F]{1,9}", "\\PC{1,3}", Just(String::new())],
    ) {
        let number = (state.len() == 2).then(|| u8::from_str_radix(&state, 16).ok()).flatten();
        let known = match socket.protocol {
            Protocol::Tcp => number.is_some_and(|number| (1..=12).contains(&number)),
            Protocol::Udp => number.is_some_and(|number| [1, 7].contains(&number)),
            Protocol::Unix => false,
        };
        let mut line = socket.proc_line(0);
        let column = columns(&line).swap_remove(3);
        line.replace_range(column, &state);
        prop_assert_eq!(Row::new(socket.connection_type(), line.as_bytes()).is_ok(), known);
    }

    #[test]
    fn an_invalid_endpoint_is_never_guessed(
        socket in any_type().prop_flat_map(|t| any_socket(t.protocol())),
        remote in any::<bool>(),
        text in prop_oneof![
            "[0-9A-F]{0,40}(:[0-9A-F]{0,6})?",
            "[0-9A-F]{8}:[0-9A-Fx+:]{4}",
            "([0-9A-F]{8}){1,4}:[0-9A-F]{0,2}",
            "\\PC{1,45}",
        ].prop_filter("one field", |text| !text.contains(' ') && !text.is_empty()),
    ) {
        let mut line = socket.proc_line(0);
        let column = columns(&line).swap_remove(1 + usize::from(remote));
        let digits = if socket.ipv6 { 32 } else { 8 };
        let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
        let valid = text.split_once(':').is_some_and(|(address, port)| {
            address.len() == digits
                && hex(address)
                && (1..=8).contains(&port.len())
                && hex(port)
                && u32::from_str_radix(port, 16).is_ok_and(|port| port <= 0xffff)
        });
        line.replace_range(column, &text);
        let row = Row::new(socket.connection_type(), line.as_bytes()).unwrap();
        let (changed, kept) = if remote { (row.remote(), row.local()) } else { (row.local(), row.remote()) };
        prop_assert_eq!(changed.is_ok(), valid, "{:?}", changed);
        prop_assert_eq!(kept.unwrap(), if remote { socket.local } else { socket.remote });
    }

    #[test]
    fn an_invalid_owner_is_never_guessed(
        socket in any_type().prop_flat_map(|t| any_socket(t.protocol())),
        text in "[0-9]{1,21}|[0-9]{0,3}[a-z:-][0-9]{0,3}",
        inode in any::<bool>(),
    ) {
        let mut line = socket.proc_line(0);
        let column = columns(&line).swap_remove(if inode { 9 } else { 7 });
        line.replace_range(column, &text);
        let row = Row::new(socket.connection_type(), line.as_bytes()).unwrap();
        if inode {
            prop_assert_eq!(row.inode().ok(), text.parse().ok());
        } else {
            prop_assert_eq!(row.uid().is_ok(), text.parse::<u32>().is_ok());
            prop_assert_eq!(row.inode().unwrap(), u64::from(socket.inode));
        }
    }

    #[test]
    fn arbitrary_tables_never_panic(
        connection_type in any_type(),
        noise in vec(any::<u8>(), 0..300),
    ) {
        let mut table = format!("{}\n", proc_header(connection_type)).into_bytes();
        let _ = read(connection_type, [&noise[..]]);
        table.extend(noise);
        let _ = read(connection_type, [&table[..]]);
    }
}

#[test]
fn an_empty_file_is_an_error_and_a_table_without_rows_is_empty() {
    for connection_type in ConnectionType::COUNTED {
        for empty in [&b""[..], b"\n"] {
            assert!(matches!(read(connection_type, [empty]), Err(Error::Garbled(_))));
        }
        let table = proc_table(connection_type, []);
        assert_eq!(read(connection_type, [table.as_bytes()]).unwrap(), []);
    }
}

#[test]
fn a_hexadecimal_number_has_one_digit_to_eight() {
    for digits in 0..=9 {
        let number = &"000000007"[9 - digits..];
        let expected = (1..=8).contains(&digits).then_some(7);
        for queues in [format!("{number}:0"), format!("0:{number}")] {
            let line = format!("0: 0100007F:{number} 00000000:{number} 0A {queues} 0:0 0 0 0 1");
            let row = Row::new(ConnectionType::Tcp, line.as_bytes()).unwrap();
            for end in [row.local(), row.remote()] {
                assert_eq!(end.ok().map(|end| end.port().into()), expected, "{line}");
            }
            assert_eq!(row.queues().ok().map(|(rx, tx)| rx + tx), expected, "{line}");
        }
    }
}
