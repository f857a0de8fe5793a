//! The tables `/proc/net/{tcp,tcp6,udp,udp6}` (`proc_net(5)`): pure functions over bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::error::Error;
use crate::socket::Socket;
use crate::vocabulary::{ConnectionStatus, ConnectionType};

/// Joins chunks of a table into rows, wherever the chunks are cut.
#[derive(Debug, Default)]
pub struct Lines {
    // The beginning of a line whose end is in a later chunk.
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
        while let Some(end) = line_end(rest) {
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

    /// The number of rows at the end of the table. An error where the header or the end of the last
    /// line is missing.
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

fn line_end(bytes: &[u8]) -> Option<usize> {
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
    full: bool,
}

impl<'a> Row<'a> {
    /// Splits a row into its fields: slot, local, remote, state, queues, timer, retransmits, uid,
    /// timeout, inode, references and pointer. The row of a full socket has more fields.
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
        // The row of a mini-socket ends here: of a timewait socket, in TIME_WAIT or FIN_WAIT2, and
        // of a request socket.
        let (_references, _pointer) = (fields.next(), fields.next());
        let full = fields.next().is_some();
        let status = (slot.ends_with(b":") && state.len() == 2)
            .then(|| hex(state))
            .flatten()
            .and_then(|number| u8::try_from(number).ok())
            .and_then(|number| ConnectionStatus::from_linux(connection_type.protocol(), number))
            .ok_or_else(|| garbled(line))?;
        Ok(Self { connection_type, status, local, remote, queues, uid, inode, full })
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

/// The number of up to eight hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

fn decimal<T: FromStr>(digits: &[u8]) -> Result<T, Error> {
    let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| garbled(digits))
}

#[cold]
fn garbled(what: &[u8]) -> Error {
    Error::Garbled(format!("cannot read {:?}", String::from_utf8_lossy(what)))
}

impl Socket for Row<'_> {
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

    fn is_full(&self) -> Result<bool, Error> {
        Ok(self.full || self.inode()? != 0)
    }

    fn uid(&self) -> Result<Option<u32>, Error> {
        let uid = decimal(self.uid)?;
        Ok(self.is_full()?.then_some(uid))
    }
}
