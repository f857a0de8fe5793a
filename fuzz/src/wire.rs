//! The fuzz targets for netlink messages and tables of `/proc/net`.

#[path = "../../tests/wire/fields.rs"]
mod fields;

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::LazyLock;

use network_connections::source::linux::inet_diag::{Event, Request, requests};
use network_connections::source::linux::proc_table::{Lines, Row};
use network_connections::source::linux::unix_diag;
use network_connections::{ConnectionType, Protocol, Selection, Socket as _, Wanted};

use self::fields::{Fields, only};

/// Every kind of request: TCP over both families, and each type alone.
static REQUESTS: LazyLock<Vec<(Protocol, Request)>> = LazyLock::new(|| {
    let of = |protocol, selection: &Selection| {
        requests(protocol, selection, Wanted::default())
            .into_iter()
            .map(move |request| (protocol, request))
    };
    let both = Protocol::ALL.into_iter().flat_map(|p| of(p, &Selection::default()));
    let alone = ConnectionType::COUNTED.iter().copied().flat_map(|t| of(t.protocol(), &only(t)));
    both.chain(alone).collect()
});

impl Fields {
    fn state(&self) -> u8 {
        let mask = self.status.linux_mask(self.connection_type.protocol());
        u8::try_from(mask.trailing_zeros()).unwrap()
    }

    /// The socket as a row of `/proc/net`.
    fn row(&self) -> String {
        let mut row = "0:".to_owned();
        for end in [self.local, self.remote] {
            row.push(' ');
            for word in octets(end.ip()).chunks_exact(4) {
                write!(row, "{:08X}", u32::from_ne_bytes(word.try_into().unwrap())).unwrap();
            }
            write!(row, ":{:04X}", end.port()).unwrap();
        }
        let (receive, send) = self.queues;
        let (uid, inode) = (self.uid.unwrap_or(0), self.inode);
        write!(
            row,
            " {:02X} {send:08X}:{receive:08X} 00:00000000 00000000 {uid} 0 {inode}",
            self.state()
        )
        .unwrap();
        // A full socket has more fields than references and a pointer.
        if self.uid.is_some() {
            row.push_str(" 1 0 0");
        }
        row
    }

    /// The socket as a message; `None` where the inode number is too large for a message.
    fn message(&self, request: &Request) -> Option<Vec<u8>> {
        let family = if self.connection_type.is_ipv6() { 10 } else { 2 };
        // A full socket has INET_DIAG_SHUTDOWN.
        let (length, attribute) = match self.uid {
            Some(_) => (96_u32, &[5_u16, 8, 0, 0][..]),
            None => (88, &[][..]),
        };
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(&request.bytes()[4..6]);
        message.extend([0; 2]);
        message.extend(&request.bytes()[8..12]);
        message.extend([0; 4]);
        message.extend([family, self.state(), 0, 0]);
        message.extend(self.local.port().to_be_bytes());
        message.extend(self.remote.port().to_be_bytes());
        for end in [self.local, self.remote] {
            let mut address = octets(end.ip());
            address.resize(16, 0xff);
            message.extend(address);
        }
        message.extend([0xff; 16]);
        let inode = u32::try_from(self.inode).ok()?;
        for word in [self.queues.0, self.queues.1, self.uid.unwrap_or(0), inode] {
            message.extend(word.to_ne_bytes());
        }
        message.extend(attribute.iter().flat_map(|half| half.to_ne_bytes()));
        Some(message)
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The sockets of a datagram, up to its end or an error.
fn events(request: &Request, datagram: &[u8]) -> (Vec<Fields>, Option<String>) {
    let mut sockets = Vec::new();
    let mut end = None;
    let mut messages = request.messages(datagram);
    while let Some(event) = messages.next() {
        assert!(end.is_none() || event.is_err(), "more after the end");
        match event {
            Ok(Event::Message(socket)) => {
                let _ = (socket.cgroup(), socket.transfer());
                // Fields fail only for attributes that do not end.
                sockets.extend(Fields::of(&socket));
            }
            Ok(Event::Done) => end = Some("done".to_owned()),
            Err(error) => {
                assert!(messages.next().is_none(), "more after {error}");
                return (sockets, Some(error.to_string()));
            }
        }
    }
    (sockets, end)
}

/// The unix listeners of a datagram: after an error there are no more, and their names are fit for
/// output.
fn unix_listeners(datagram: &[u8]) {
    let mut messages = unix_diag::messages(datagram);
    while let Some(event) = messages.next() {
        match event {
            Ok(unix_diag::Event::Listener(listener)) => {
                let label = &listener.unix().unwrap().label;
                assert!(label.starts_with(['/', '@', '.', '(']), "{label:?}");
                assert!(!label.chars().any(char::is_control), "{label:?}");
                listener.backlog().unwrap();
            }
            Ok(unix_diag::Event::Done) => {}
            Err(_) => assert!(messages.next().is_none(), "more after an error"),
        }
    }
}

/// Takes a number that chooses a request, and a datagram of its answer.
pub fn netlink(data: &[u8]) {
    let Some((choice, datagram)) = data.split_first() else {
        return;
    };
    unix_listeners(datagram);
    let (protocol, request) = &REQUESTS[usize::from(*choice) % REQUESTS.len()];
    let (sockets, end) = events(request, datagram);

    // Message by message the result is the same, except for messages after the end.
    let (mut singly, mut rest) = (Vec::new(), datagram);
    let mut last = None;
    while !rest.is_empty() && last.is_none() {
        let length = rest.first_chunk().map_or(usize::MAX, |l| u32::from_ne_bytes(*l) as usize);
        let size = length.saturating_add(3) / 4 * 4;
        let (message, after) = rest.split_at(size.clamp(1, rest.len()));
        let (some, end) = events(request, message);
        singly.extend(some);
        (last, rest) = (end, after);
    }
    assert_eq!(singly, sockets);
    if last.as_deref() == Some("done") && !rest.is_empty() {
        assert!(end.is_some_and(|end| end != "done"), "more after the end");
    } else {
        assert_eq!(last, end);
    }

    // The parser of /proc/net reads the same from the same sockets.
    for socket in sockets {
        assert_eq!(socket.connection_type.protocol(), *protocol);
        let row = socket.row();
        let row = Row::new(socket.connection_type, row.as_bytes()).unwrap();
        assert_eq!(Fields::of(&row).unwrap(), socket);
    }
}

/// Takes a number that chooses a type, the size of chunks, and a table.
pub fn procfs(data: &[u8]) {
    let Some(([choice, size], table)) = data.split_first_chunk() else {
        return;
    };
    let connection_type = ConnectionType::COUNTED[usize::from(*choice) % 4];
    let read = |chunks: &mut dyn Iterator<Item = &[u8]>| {
        let mut rows = Vec::new();
        let mut lines = Lines::default();
        let feed = || {
            for chunk in chunks {
                lines.feed(chunk, |line| {
                    let row = Row::new(connection_type, line)?;
                    let _ = (row.local(), row.remote(), row.queues(), row.inode(), row.uid());
                    rows.push(Fields::of(&row).ok());
                    Ok(())
                })?;
            }
            std::mem::take(&mut lines).finish()
        };
        let end = feed().map_err(|error| error.to_string());
        (rows, end)
    };
    let (rows, end) = read(&mut std::iter::once(table));
    assert_eq!(read(&mut table.chunks(usize::from(*size).max(1))), (rows.clone(), end.clone()));
    if let Ok(number) = end {
        assert!(table.ends_with(b"\n"));
        let lines = table.split(|b| *b == b'\n').count() - 1;
        assert_eq!((number, rows.len()), (u64::try_from(lines - 1).unwrap(), lines - 1));
    }

    // The parser of netlink messages reads the same from the same sockets.
    let alone = only(connection_type);
    let request = &requests(connection_type.protocol(), &alone, Wanted::default())[0];
    for row in rows.into_iter().flatten() {
        if let Some(message) = row.message(request) {
            assert_eq!(events(request, &message), (vec![row], None));
        }
    }
}
