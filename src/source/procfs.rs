//! Linux: connections from `/proc/net/{tcp,tcp6,udp,udp6}` (`proc_net(5)`).
//!
//! The lesser source: under churn the kernel itself may skip a row of `/proc/net/tcp`.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::str::FromStr;

use log::debug;
use rustix::fs::{AtFlags, FsWord, Mode, OFlags, StatFs, fstatfs, open, openat, statat};
use rustix::io::{Errno, read as read_file};

use crate::connection::{Connection, ConnectionStatus, ConnectionType, Protocol, owner};
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
    let directory = NetDirectory::open()?;
    for connection_type in selection.types_of(protocol) {
        if let Some(table) = directory.open_table(connection_type)? {
            let path = directory.path(connection_type.name());
            read_table(&table, connection_type, &path, selection, deadline, dump)?;
        }
    }
    Ok(())
}

/// The `net` directory of this very thread: `/proc/net` is that of the process's first one, which
/// may live in another network namespace.
pub(crate) struct NetDirectory {
    descriptor: OwnedFd,
    path: String,
}

impl NetDirectory {
    pub(crate) fn open() -> Result<Self, Error> {
        let open = |path: String| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match open(&path, flags, Mode::empty()) {
                Ok(descriptor) => Ok(Self { descriptor, path }),
                Err(error) => Err(Error::system(path, error)),
            }
        };
        open("/proc/thread-self/net".to_owned()).or_else(|error| {
            // Before Linux 3.17 there was no thread-self.
            open(format!("/proc/self/task/{}/net", rustix::thread::gettid())).map_err(|_| error)
        })
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// A file of the kernel's, `None` where there is none of this name.
    fn open_file(&self, name: &str) -> Result<Option<OwnedFd>, Error> {
        let failed = |error| Error::system(self.path(name), error);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match openat(&self.descriptor, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            file => file.map_err(failed)?,
        };
        // A file system that covers /proc could show anything.
        if is_of_type(&fstatfs(&file).map_err(failed)?, rustix::fs::PROC_SUPER_MAGIC) {
            Ok(Some(file))
        } else {
            Err(Error::Garbled(format!("{} is not the kernel's", self.path(name))))
        }
    }

    /// The table of one type, `None` where the host has no IPv6.
    fn open_table(&self, connection_type: ConnectionType) -> Result<Option<OwnedFd>, Error> {
        if let Some(table) = self.open_file(connection_type.name())? {
            return Ok(Some(table));
        }
        let ipv4 = ConnectionType::new(connection_type.protocol(), false);
        let no_ipv6 = connection_type.is_ipv6()
            && statat(&self.descriptor, ipv4.name(), AtFlags::empty()).is_ok();
        if no_ipv6 { Ok(None) } else { Err(self.missing(connection_type.name())) }
    }

    /// The text of a small file, `None` where there is none of this name.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(file) = self.open_file(name)? else {
            return Ok(None);
        };
        let mut text = String::new();
        let read = std::fs::File::from(file).read_to_string(&mut text);
        read.map(|_| Some(text)).map_err(|error| Error::system(self.path(name), error))
    }

    /// What is said of a file that must be there.
    pub(crate) fn missing(&self, name: &str) -> Error {
        Error::system(self.path(name), Errno::NOENT)
    }
}

/// Whether a file system is of the type with this magic number. Both numbers are of one type, but not
/// on s390x.
pub(crate) fn is_of_type(file_system: &StatFs, magic: FsWord) -> bool {
    u64::try_from(file_system.f_type).ok() == u64::try_from(magic).ok()
}

/// The ports that the kernel gives to outgoing connections (`ip_local_port_range` in `ip(7)`).
pub(crate) fn ephemeral_port_range() -> Option<(u16, u16)> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ports = range.split_ascii_whitespace().map(str::parse);
    match (ports.next()?, ports.next()?) {
        (Ok(first), Ok(last)) if first <= last => Some((first, last)),
        _ => None,
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
    queues: &'a [u8],
    uid: &'a [u8],
    inode: &'a [u8],
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
        let queues = field()?;
        let (_timer, _retransmits) = (field()?, field()?);
        let uid = field()?;
        let _timeout = field()?;
        let inode = field()?;
        let status = (slot.ends_with(b":") && state.len() == 2)
            .then(|| hex(state))
            .flatten()
            .and_then(|number| u8::try_from(number).ok())
            .and_then(|number| ConnectionStatus::from_linux(connection_type.protocol(), number))
            .ok_or_else(|| garbled(line))?;
        Ok(Self { connection_type, status, local, remote, queues, uid, inode })
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

fn decimal<T: FromStr>(digits: &[u8]) -> Result<T, Error> {
    let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| garbled(digits))
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

    fn queues(&self) -> Result<(u32, u32), Error> {
        // `tx:rx`, both hexadecimal
        let mut queues = self.queues.split(|b| *b == b':').map(hex);
        match (queues.next().flatten(), queues.next().flatten()) {
            (Some(send), Some(receive)) => Ok((receive, send)),
            _ => Err(garbled(self.queues)),
        }
    }

    fn inode(&self) -> Result<u64, Error> {
        decimal(self.inode)
    }

    fn uid(&self) -> Result<Option<u32>, Error> {
        Ok(owner(self.status, self.inode()?, decimal(self.uid)?))
    }
}
