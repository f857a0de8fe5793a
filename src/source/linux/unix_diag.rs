//! The messages about unix listeners on a `NETLINK_SOCK_DIAG` socket: pure functions over bytes.
//!
//! Layouts and numbers are those of `linux/unix_diag.h`; integers are in the byte order of the
//! machine.

use std::net::SocketAddr;

use crate::error::Error;
use crate::printable::printable;
use crate::socket::{Socket, UnixName};
use crate::source::linux::netlink::{
    Frame, Frames, SOCK_DIAG_BY_FAMILY, attribute, cut_short, garbled, message,
};
use crate::vocabulary::{ConnectionStatus, ConnectionType};

const AF_UNIX: u8 = 1;
/// `SOCK_STREAM` and `SOCK_SEQPACKET`: sockets of other types cannot listen.
const CONNECTED: [u8; 2] = [1, 5];
/// `TCP_LISTEN`, the state of unix listeners, too
const LISTEN: u8 = 10;

/// `UDIAG_SHOW_NAME | UDIAG_SHOW_RQLEN | UDIAG_SHOW_UID`. Linux before 5.3 passes over the last one.
const SHOW: u32 = 0x01 | 0x10 | 0x40;
/// `UNIX_DIAG_NAME`
const NAME: u16 = 0;
/// `UNIX_DIAG_RQLEN`: `struct unix_diag_rqlen`
const RQLEN: u16 = 4;
/// `UNIX_DIAG_UID`: the user that made the socket, as a `uid_t`
const UID: u16 = 7;
/// `sizeof(struct unix_diag_msg)`
const FIXED: usize = 16;

/// The number of the only request.
const SEQUENCE: u32 = 1;

/// The name of a listener without a name. No kernel lets such a socket listen.
pub const UNNAMED: &str = "(unnamed)";

/// The request for all unix listeners of a network namespace: `struct unix_diag_req`.
///
/// It is a dump: a request for one socket crashes some kernels (`unix_diag_get_exact`, 5.3 to 6.0).
#[must_use]
pub fn request() -> Vec<u8> {
    let mut payload = vec![AF_UNIX, 0, 0, 0];
    payload.extend((1_u32 << LISTEN).to_ne_bytes());
    payload.extend(0_u32.to_ne_bytes());
    payload.extend(SHOW.to_ne_bytes());
    payload.extend([0; 8]);
    message(SOCK_DIAG_BY_FAMILY, SEQUENCE, &payload)
}

/// The messages of one datagram of the answer.
#[must_use]
pub const fn messages(datagram: &[u8]) -> Messages<'_> {
    Messages(Frames::new(datagram, SOCK_DIAG_BY_FAMILY, SEQUENCE))
}

/// The content of a message of the answer.
#[derive(Debug)]
pub enum Event {
    /// A listener.
    Listener(Listener),
    /// The dump is complete.
    Done,
}

/// Iterates over the listeners of one datagram. After an error the iterator ends: the rest of the
/// datagram cannot be trusted.
#[derive(Debug)]
pub struct Messages<'a>(Frames<'a>);

impl Iterator for Messages<'_> {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let event = match self.0.next()? {
                Ok(Frame::Payload(payload)) => Listener::new(payload),
                Ok(Frame::Done) => return Some(Ok(Event::Done)),
                Err(error) => Err(error),
            };
            match event {
                // The kernel was asked for listeners only, and some kernels may answer with more.
                Ok(None) => {}
                Ok(Some(listener)) => return Some(Ok(Event::Listener(listener))),
                Err(error) => {
                    self.0.end();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// A unix listener: `struct unix_diag_msg` and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    inode: u32,
    name: UnixName,
    waiting: u32,
    limit: u32,
    // `None` before Linux 5.3.
    uid: Option<u32>,
}

impl Listener {
    /// Reads a message; `None` for a socket that does not listen.
    fn new(payload: &[u8]) -> Result<Option<Self>, Error> {
        let (fixed, attributes): (&[u8; FIXED], _) =
            payload.split_first_chunk().ok_or_else(cut_short)?;
        let [family, kind, state, _, i0, i1, i2, i3, cookie @ ..] = *fixed;
        if family != AF_UNIX {
            return Err(garbled(&format!("a socket of unknown family {family}")));
        }
        if state != LISTEN || !CONNECTED.contains(&kind) {
            return Ok(None);
        }
        let [w0, w1, w2, w3, l0, l1, l2, l3] = *attribute(attributes, RQLEN)?
            .ok_or_else(|| garbled("a listener without its queue"))?
            .first_chunk()
            .ok_or_else(cut_short)?;
        let label = attribute(attributes, NAME)?.map_or_else(|| UNNAMED.to_owned(), label);
        Ok(Some(Self {
            inode: u32::from_ne_bytes([i0, i1, i2, i3]),
            name: UnixName { cookie: u64::from_ne_bytes(cookie), label },
            waiting: u32::from_ne_bytes([w0, w1, w2, w3]),
            limit: u32::from_ne_bytes([l0, l1, l2, l3]),
            uid: attribute(attributes, UID)?.map(uid).transpose()?,
        }))
    }
}

fn uid(attribute: &[u8]) -> Result<u32, Error> {
    attribute.first_chunk().map(|uid| u32::from_ne_bytes(*uid)).ok_or_else(cut_short)
}

/// The name of a socket as it is printed: its path, or `@` and its abstract name. A path that is not
/// absolute begins with `./`, so that no file name looks like an address or an abstract name. Every
/// NUL of an abstract name is an `@`, as in `/proc/net/unix`.
fn label(name: &[u8]) -> String {
    match name {
        [] => UNNAMED.to_owned(),
        [0, ..] => {
            let at = |byte: &u8| if *byte == 0 { b'@' } else { *byte };
            printable(&name.iter().map(at).collect::<Vec<_>>())
        }
        path => {
            let path = path.split(|byte| *byte == 0).next().unwrap_or(path);
            let here = if path.starts_with(b"/") { "" } else { "./" };
            format!("{here}{}", printable(path))
        }
    }
}

impl Socket for Listener {
    fn connection_type(&self) -> ConnectionType {
        ConnectionType::Unix
    }

    fn status(&self) -> ConnectionStatus {
        ConnectionStatus::Listen
    }

    fn local(&self) -> Result<SocketAddr, Error> {
        Err(Error::Unsupported("a unix socket has no address and port".to_owned()))
    }

    fn remote(&self) -> Result<SocketAddr, Error> {
        self.local()
    }

    fn unix(&self) -> Option<&UnixName> {
        Some(&self.name)
    }

    fn backlog(&self) -> Result<(u32, u32), Error> {
        Ok((self.waiting, self.limit))
    }

    fn inode(&self) -> Result<u64, Error> {
        Ok(self.inode.into())
    }

    fn uid(&self) -> Result<Option<u32>, Error> {
        let unknown = || {
            Error::Unsupported(
                "the users of unix sockets are not known here (Linux 5.3 and newer has them)"
                    .to_owned(),
            )
        };
        self.uid.map(Some).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message about a socket with this name, of which 3 of 5 wait.
    fn payload(kind: u8, state: u8, name: Option<&[u8]>) -> Vec<u8> {
        let mut payload = vec![AF_UNIX, kind, state, 0];
        payload.extend(4711_u32.to_ne_bytes());
        payload.extend(99_u64.to_ne_bytes());
        let mut add = |kind: u16, value: &[u8]| {
            let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
            payload.extend(length.to_ne_bytes());
            payload.extend(kind.to_ne_bytes());
            payload.extend(value);
            payload.resize(payload.len().next_multiple_of(4), 0);
        };
        if let Some(name) = name {
            add(NAME, name);
        }
        add(RQLEN, &[3_u32.to_ne_bytes(), 5_u32.to_ne_bytes()].concat());
        if kind == 1 {
            add(UID, &33_u32.to_ne_bytes());
        }
        payload
    }

    /// A message of the kernel.
    fn framed(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = message(kind, SEQUENCE, payload);
        // An answer has no flags.
        if let Some(flags) = bytes.get_mut(6..8) {
            flags.fill(0);
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn read(datagram: &[u8]) -> Vec<Result<Option<Listener>, String>> {
        let event = |event: Result<Event, Error>| match event {
            Ok(Event::Listener(listener)) => Ok(Some(listener)),
            Ok(Event::Done) => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        messages(datagram).map(event).collect()
    }

    #[test]
    fn the_request_is_for_listeners_with_name_and_queue() {
        let request = request();
        assert_eq!(request.len(), 40);
        assert_eq!(request.get(16..20), Some(&[1, 0, 0, 0][..]));
        assert_eq!(request.get(20..24), Some(&(1_u32 << 10).to_ne_bytes()[..]));
        assert_eq!(request.get(28..32), Some(&0x51_u32.to_ne_bytes()[..]));
    }

    #[test]
    fn a_listener_has_its_name_its_queue_and_its_inode() {
        for kind in CONNECTED {
            let listener = Listener::new(&payload(kind, LISTEN, Some(b"/run/php/fpm.sock\0")));
            let listener = listener.ok().flatten().unwrap_or_else(|| panic!("no listener"));
            assert_eq!(listener.backlog().ok(), Some((3, 5)));
            assert_eq!(listener.process_key().ok(), Some(4711));
            // An older kernel does not tell the user.
            assert_eq!(listener.uid().ok(), (kind == 1).then_some(Some(33)));
            let name = UnixName { cookie: 99, label: "/run/php/fpm.sock".to_owned() };
            assert_eq!(listener.unix(), Some(&name));
            assert!(matches!(listener.local(), Err(Error::Unsupported(_))));
            assert!(matches!(listener.drops(), Err(Error::Unsupported(_))));
        }
    }

    #[test]
    fn names_are_bytes_of_others_and_labels_are_text() {
        let long = [b"/".as_slice(), &[b'x'; 107]].concat();
        for (name, expected) in [
            (&b"/run/a b.sock\0"[..], "/run/a b.sock"),
            (b"/run/a=b|c,d", "/run/a=b|c,d"),
            (b"/a\nOK\x1b[31m\0", "/a?OK?[31m"),
            (b"/\xff\xfe", "/\u{fffd}\u{fffd}"),
            (b"fpm.sock\0", "./fpm.sock"),
            (b"0.0.0.0:80\0", "./0.0.0.0:80"),
            (b"@fpm\0", "./@fpm"),
            (b"\0fpm", "@fpm"),
            (b"\0", "@"),
            (b"\0a\0b\0", "@a@b@"),
            (b"\0\xe2\x80\xae\r\n", "@???"),
            (b"", UNNAMED),
            (&long, &format!("/{}", "x".repeat(107))),
        ] {
            assert_eq!(label(name), expected);
        }
        let unnamed = Listener::new(&payload(1, LISTEN, None)).ok().flatten();
        assert_eq!(unnamed.map(|unnamed| unnamed.name.label).as_deref(), Some(UNNAMED));
    }

    #[test]
    fn only_listeners_are_read_and_the_end_is_told() {
        let mut datagram = Vec::new();
        for (kind, state) in [(1, 1), (2, 7), (2, LISTEN), (1, LISTEN), (5, LISTEN)] {
            datagram.extend(framed(SOCK_DIAG_BY_FAMILY, &payload(kind, state, Some(b"/a"))));
        }
        datagram.extend(framed(3, &0_i32.to_ne_bytes()));
        let found: Vec<_> =
            read(&datagram).into_iter().map(|event| event.map(|e| e.is_some())).collect();
        assert_eq!(found, [Ok(true), Ok(true), Ok(false)]);
    }

    #[test]
    fn a_broken_answer_is_an_error_and_ends_the_datagram() {
        let user = payload(1, LISTEN, Some(b"/a\0"));
        let cut = user.get(..user.len() - 1).unwrap_or(&[]);
        let found = read(&framed(SOCK_DIAG_BY_FAMILY, cut));
        assert!(matches!(&*found, [Err(_)]), "{found:?}");
        let whole = payload(5, LISTEN, Some(b"/run/fpm.sock\0"));
        for length in 0..whole.len() {
            let part = whole.get(..length).unwrap_or(&[]);
            let datagram = [framed(SOCK_DIAG_BY_FAMILY, part), framed(SOCK_DIAG_BY_FAMILY, &whole)];
            let found = read(&datagram.concat());
            assert!(matches!(&*found, [Err(_)]), "{length}: {found:?}");
        }
        let mut other = whole.clone();
        if let Some(family) = other.first_mut() {
            *family = 2;
        }
        let found = read(&framed(SOCK_DIAG_BY_FAMILY, &other));
        let expected = "the kernel's answer is garbled: a socket of unknown family 2";
        assert_eq!(found, [Err(expected.to_owned())]);
        // The kernel has no unix_diag.
        let found = read(&framed(2, &(-2_i32).to_ne_bytes()));
        assert!(matches!(&*found, [Err(error)] if error.starts_with("NLMSG_ERROR: No such file")));
    }
}
