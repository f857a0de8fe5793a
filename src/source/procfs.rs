//! Linux: connections from `/proc/net/{tcp,tcp6,udp,udp6}` (`proc_net(5)`).
//!
//! The lesser source: under churn the kernel itself may skip a row of `/proc/net/tcp`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use log::debug;
use rustix::fs::{AtFlags, Mode, OFlags, fstatfs, open, openat, statat};
use rustix::io::{Errno, read as read_file};

use crate::connection::{Connection, ConnectionStatus, ConnectionType, Protocol};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::selection::Selection;
use crate::source::Collector;

const CHUNK: usize = 64 * 1024;

/// Hands every selected connection of one protocol to `dump`.
pub(super) fn read<C: Collector>(
    protocol: Protocol,
    selection: &Selection,
    deadline: &Deadline,
    dump: &mut C,
) -> Result<(), Error> {
    if selection.linux_mask(protocol) == 0 {
        return Ok(());
    }
    let (directory, path) = open_directory()?;
    for connection_type in selection.types_of(protocol) {
        let path = format!("{path}/{}", connection_type.name());
        if let Some(table) = open_table(&directory, connection_type, &path)? {
            read_table(&table, connection_type, &path, selection, deadline, dump)?;
        }
    }
    Ok(())
}

/// The `net` directory of this very thread: `/proc/net` is that of the process's first one, which
/// may live in another network namespace.
fn open_directory() -> Result<(OwnedFd, String), Error> {
    let open = |path: &str| {
        open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| Error::system(path, e))
    };
    let path = "/proc/thread-self/net".to_owned();
    open(&path).map(|directory| (directory, path)).or_else(|error| {
        // Before Linux 3.17 there was no thread-self.
        let path = format!("/proc/self/task/{}/net", rustix::thread::gettid());
        open(&path).map(|directory| (directory, path)).map_err(|_| error)
    })
}

/// The table of one type, `None` where the host has no IPv6.
fn open_table(
    directory: &OwnedFd,
    connection_type: ConnectionType,
    path: &str,
) -> Result<Option<OwnedFd>, Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match openat(directory, connection_type.name(), flags, Mode::empty()) {
        Ok(table) => {
            // A file system that covers /proc could show anything.
            let kind = fstatfs(&table).map_err(|e| Error::system(path, e))?.f_type;
            if kind == rustix::fs::PROC_SUPER_MAGIC {
                Ok(Some(table))
            } else {
                Err(Error::Garbled(format!("{path} is not the kernel's")))
            }
        }
        Err(Errno::NOENT) if connection_type.is_ipv6() => {
            let ipv4 = ConnectionType::new(connection_type.protocol(), false);
            statat(directory, ipv4.name(), AtFlags::empty())
                .map(|_| None)
                .map_err(|_| Error::system(path, Errno::NOENT))
        }
        Err(error) => Err(Error::system(path, error)),
    }
}

fn read_table<C: Collector>(
    table: &OwnedFd,
    connection_type: ConnectionType,
    path: &str,
    selection: &Selection,
    deadline: &Deadline,
    dump: &mut C,
) -> Result<(), Error> {
    let mut buffer = vec![0; CHUNK];
    let mut lines = Lines::default();
    loop {
        deadline.remaining()?;
        let chunk = match read_file(table, &mut buffer) {
            Ok(0) => break,
            Ok(length) => buffer.get(..length).unwrap_or(&[]),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(Error::system(path, error)),
        };
        lines.feed(chunk, |line| {
            let row = Row::new(connection_type, line)
                .map_err(|error| Error::Garbled(format!("{path}: {error}")))?;
            if selection.matches(&row)? {
                dump.add(&row)?;
            }
            Ok(())
        })?;
    }
    let rows = lines.finish().map_err(|error| Error::Garbled(format!("{path}: {error}")))?;
    debug!("{connection_type}: {rows} rows in {path}", connection_type = connection_type.name());
    Ok(())
}

/// Puts chunks of a table together to its rows, however they are cut.
#[derive(Debug, Default)]
pub struct Lines {
    // The beginning of a line whose end is still to come.
    begun: Vec<u8>,
    header: bool,
    rows: u64,
}

impl Lines {
    /// Calls `row` for every row that this chunk completes.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut row: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut rest = chunk;
        while let Some(end) = memchr(rest) {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or(&[]);
            if self.begun.is_empty() {
                self.line(line, &mut row)?;
            } else {
                let mut begun = std::mem::take(&mut self.begun);
                begun.extend(line);
                self.line(&begun, &mut row)?;
            }
        }
        self.begun.extend(rest);
        Ok(())
    }

    fn line(
        &mut self,
        line: &[u8],
        row: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.header {
            self.rows += 1;
            return row(line);
        }
        if !line.trim_ascii_start().starts_with(b"sl ") {
            return Err(Error::Garbled("no header line".to_owned()));
        }
        self.header = true;
        Ok(())
    }

    /// The number of rows, once the table has ended: at the end of a line and after a header.
    pub fn finish(self) -> Result<u64, Error> {
        if !self.begun.is_empty() {
            Err(Error::Garbled("the last line is cut short".to_owned()))
        } else if !self.header {
            Err(Error::Garbled("the table is empty".to_owned()))
        } else {
            Ok(self.rows)
        }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == b'\n')
}

/// A view over one row of a table.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    connection_type: ConnectionType,
    status: ConnectionStatus,
    local: &'a [u8],
    remote: &'a [u8],
}

impl<'a> Row<'a> {
    /// Splits a row into its fields: slot, local, remote, state, queues, timer, retransmits, uid,
    /// timeout, inode and more.
    pub fn new(connection_type: ConnectionType, line: &'a [u8]) -> Result<Self, Error> {
        let mut fields = line.split(|b| *b == b' ').filter(|field| !field.is_empty());
        let mut field = || fields.next().ok_or_else(|| garbled(line));
        let slot = field()?;
        let local = field()?;
        let remote = field()?;
        let state = field()?;
        for _ in ["queues", "timer", "retransmits", "uid", "timeout", "inode"] {
            field()?;
        }
        let status = (slot.ends_with(b":") && state.len() == 2)
            .then(|| hex(state))
            .flatten()
            .and_then(|number| u8::try_from(number).ok())
            .and_then(|number| ConnectionStatus::from_linux(connection_type.protocol(), number))
            .ok_or_else(|| garbled(line))?;
        Ok(Self { connection_type, status, local, remote })
    }

    /// `0100007F:0016`: the address as 32-bit words in the machine's byte order, and the port.
    fn endpoint(&self, field: &[u8]) -> Result<SocketAddr, Error> {
        let decode = || {
            let colon = field.iter().position(|b| *b == b':')?;
            let (address, port) = field.split_at(colon);
            let port = u16::try_from(hex(port.get(1..)?)?).ok()?;
            let mut bytes = [0; 16];
            let mut words = bytes.chunks_exact_mut(4);
            for word in address.chunks(8) {
                words.next()?.copy_from_slice(&hex(word)?.to_ne_bytes());
            }
            let address = match (address.len(), self.connection_type.is_ipv6()) {
                (32, true) => IpAddr::V6(Ipv6Addr::from(bytes)),
                (8, false) => IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>()?)),
                _ => return None,
            };
            Some(SocketAddr::new(address, port))
        };
        decode().ok_or_else(|| garbled(field))
    }
}

/// Up to eight hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

#[cold]
fn garbled(what: &[u8]) -> Error {
    Error::Garbled(format!("cannot read {:?}", String::from_utf8_lossy(what)))
}

impl Connection for Row<'_> {
    fn connection_type(&self) -> ConnectionType {
        self.connection_type
    }

    fn status(&self) -> ConnectionStatus {
        self.status
    }

    fn local(&self) -> Result<SocketAddr, Error> {
        self.endpoint(self.local)
    }

    fn remote(&self) -> Result<SocketAddr, Error> {
        self.endpoint(self.remote)
    }
}
