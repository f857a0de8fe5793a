//! The frames of `NETLINK_SOCK_DIAG` messages: pure functions over bytes.
//!
//! Layouts and numbers are those of `linux/netlink.h` and `linux/sock_diag.h`; integers are in the
//! byte order of the machine.

use std::io;

use crate::error::Error;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// The type of requests by family, and of the answers to them.
pub const SOCK_DIAG_BY_FAMILY: u16 = 20;

const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;

/// `sizeof(struct nlmsghdr)`
const HEADER: usize = 16;

/// `struct nlmsghdr` and a payload: the request for a dump.
#[must_use]
pub fn message(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(payload);
    bytes
}

/// The content of a message of the answer.
#[derive(Debug)]
pub enum Frame<'a> {
    /// A socket.
    Payload(&'a [u8]),
    /// The dump is complete.
    Done,
}

/// Iterates over the messages of one datagram. After an error the iterator ends: the rest of the
/// datagram cannot be trusted.
#[derive(Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
    kind: u16,
    sequence: u32,
    done: bool,
}

impl<'a> Frames<'a> {
    /// The messages of a datagram that answers a request of this type and sequence number.
    #[must_use]
    pub const fn new(datagram: &'a [u8], kind: u16, sequence: u32) -> Self {
        Self { rest: datagram, kind, sequence, done: false }
    }

    /// Ends the iterator.
    pub const fn end(&mut self) {
        self.rest = &[];
    }

    #[inline]
    fn frame(&mut self) -> Result<Option<Frame<'a>>, Error> {
        let header: &[u8; HEADER] = self.rest.first_chunk().ok_or_else(cut_short)?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let kind = u16::from_ne_bytes([k0, k1]);
        let flags = u16::from_ne_bytes([f0, f1]);
        let sequence = u32::from_ne_bytes([s0, s1, s2, s3]);
        let payload = self.rest.get(HEADER..length).ok_or_else(cut_short)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        if self.done {
            return Err(garbled("a message after the end of the dump"));
        }
        if sequence != self.sequence {
            return Err(garbled("an answer to another request"));
        }
        if flags & NLM_F_DUMP_INTR != 0 {
            return Err(garbled("the dump is inconsistent (NLM_F_DUMP_INTR)"));
        }
        match kind {
            kind if kind == self.kind => Ok(Some(Frame::Payload(payload))),
            NLMSG_NOOP => Ok(None),
            NLMSG_DONE => match code(payload)? {
                code if code < 0 => Err(kernel("NLMSG_DONE", code)),
                _ => {
                    self.done = true;
                    Ok(Some(Frame::Done))
                }
            },
            NLMSG_ERROR => match code(payload)? {
                code if code < 0 => Err(kernel("NLMSG_ERROR", code)),
                _ => Err(garbled("an acknowledgement instead of a dump")),
            },
            kind => Err(garbled(&format!("a message of unknown type {kind}"))),
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            match self.frame() {
                Ok(None) => {}
                Ok(Some(frame)) => return Some(Ok(frame)),
                Err(error) => {
                    self.end();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The payload of one of several attributes (`struct nlattr`).
#[inline]
pub fn attribute(attributes: &[u8], kind: u16) -> Result<Option<&[u8]>, Error> {
    let mut rest = attributes;
    while let Some([l0, l1, k0, k1]) = rest.first_chunk().copied() {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let payload = rest.get(4..length).ok_or_else(cut_short)?;
        if u16::from_ne_bytes([k0, k1]) == kind {
            return Ok(Some(payload));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(None)
}

/// The `int` that `NLMSG_ERROR` and `NLMSG_DONE` begin with.
fn code(payload: &[u8]) -> Result<i32, Error> {
    payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)).ok_or_else(cut_short)
}

fn kernel(call: &str, code: i32) -> Error {
    Error::system(call, io::Error::from_raw_os_error(code.saturating_neg()))
}

/// The error for an answer that breaks the format of the interface.
#[cold]
#[must_use]
pub fn garbled(what: &str) -> Error {
    Error::Garbled(format!("the kernel's answer is garbled: {what}"))
}

/// The error for an answer that ends too early.
#[cold]
#[must_use]
pub fn cut_short() -> Error {
    Error::Garbled("the kernel's answer is cut short".to_owned())
}
