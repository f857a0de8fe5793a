//! Measures the parsers: prints nanoseconds per netlink message and per /proc line, the least and
//! the median over the repeats, as JSON.
//!
//! ```text
//! micro REPEATS
//! ```

use std::error::Error;
use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use network_connections::source::linux::inet_diag::{Event, requests};
use network_connections::source::linux::proc_table::{Lines, Row};
use network_connections::{ConnectionStatus, ConnectionType, Protocol, Selection, Socket, Wanted};

/// About a megabyte of each input: small enough to measure the parsers and not the memory.
const SOCKETS: u32 = 10_000;

/// The kernel's largest datagram of a dump.
const DATAGRAM: usize = 32 * 1024;

/// The number of bytes that the check reads from a file of /proc at a time.
const CHUNK: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let repeats: u32 = std::env::args().nth(1).ok_or("usage: micro REPEATS")?.parse()?;
    let datagrams = datagrams();
    let table = table()?;
    let lines: Vec<_> =
        table.split(|byte| *byte == b'\n').skip(1).filter(|l| !l.is_empty()).collect();

    let messages = measure(repeats, || messages(&datagrams))?;
    let rows = measure(repeats, || rows(&lines))?;
    let feed = measure(repeats, || feed(&table))?;
    println!(r#"{{"netlink message": {messages}, "/proc row": {rows}, "/proc table": {feed}}}"#);
    Ok(())
}

/// The least and the median time per socket, as JSON.
fn measure(
    repeats: u32,
    parse: impl Fn() -> Result<u32, Box<dyn Error>>,
) -> Result<String, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..repeats.max(1) {
        let start = Instant::now();
        let established = parse()?;
        times.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(SOCKETS));
        if established != SOCKETS {
            return Err(format!("{established} of {SOCKETS} sockets found").into());
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    let (least, median) = (times[0], times[times.len() / 2]);
    Ok(format!(r#"{{"least": {least:.2}, "median": {median:.2}}}"#))
}

fn messages(datagrams: &[Vec<u8>]) -> Result<u32, Box<dyn Error>> {
    let requests = requests(Protocol::Tcp, &Selection::default(), Wanted::default());
    let request = requests.first().ok_or("no request")?;
    let mut established = 0;
    for datagram in datagrams {
        for event in request.messages(black_box(datagram)) {
            if let Event::Message(socket) = event? {
                established += u32::from(is_established(&socket));
            }
        }
    }
    Ok(established)
}

fn rows(lines: &[&[u8]]) -> Result<u32, Box<dyn Error>> {
    let mut established = 0;
    for line in lines {
        let row = Row::new(ConnectionType::Tcp, black_box(line))?;
        established += u32::from(is_established(&row));
    }
    Ok(established)
}

fn feed(table: &[u8]) -> Result<u32, Box<dyn Error>> {
    let mut established = 0;
    let mut lines = Lines::default();
    for chunk in table.chunks(CHUNK) {
        lines.feed(black_box(chunk), |line| {
            established += u32::from(is_established(&Row::new(ConnectionType::Tcp, line)?));
            Ok(())
        })?;
    }
    lines.finish()?;
    Ok(established)
}

fn is_established(socket: &impl Socket) -> bool {
    black_box(socket.connection_type()) == ConnectionType::Tcp
        && socket.status() == ConnectionStatus::Established
}

/// A dump as the kernel answers `TCPDIAG_GETSOCK`: 124 bytes per socket.
fn datagrams() -> Vec<Vec<u8>> {
    const TCPDIAG_GETSOCK: u16 = 18;
    let mut datagrams = vec![Vec::new()];
    for number in 0..SOCKETS {
        let mut payload = vec![2, 1, 0, 0]; // AF_INET, ESTABLISHED, no timer
        payload.extend(endpoints(number));
        payload.resize(52, 0); // interface and cookie
        payload.extend([0; 12]); // expires, queues
        payload.extend(0_u32.to_ne_bytes()); // uid
        payload.extend(number.to_ne_bytes()); // inode
        for (length, kind) in [(1, 8), (4, 15), (8, 21), (2, 22)] {
            attribute(&mut payload, kind, length);
        }
        if datagrams.last().is_none_or(|last| last.len() + 16 + payload.len() > DATAGRAM) {
            datagrams.push(Vec::new());
        }
        let Some(last) = datagrams.last_mut() else { continue };
        last.extend((16 + u32::try_from(payload.len()).unwrap_or(0)).to_ne_bytes());
        last.extend(TCPDIAG_GETSOCK.to_ne_bytes());
        last.extend(2_u16.to_ne_bytes()); // NLM_F_MULTI
        last.extend(1_u32.to_ne_bytes()); // sequence
        last.extend(0_u32.to_ne_bytes()); // port
        last.extend(payload);
    }
    datagrams
}

/// `struct inet_diag_sockid` up to its addresses.
fn endpoints(number: u32) -> Vec<u8> {
    let [_, _, high, low] = number.to_be_bytes();
    let mut bytes = vec![high, low, 1, 187];
    bytes.extend([127, 0, 0, 1]);
    bytes.extend([0; 12]);
    bytes.extend([127, 1, high, low]);
    bytes.extend([0; 12]);
    bytes
}

/// `struct nlattr` and `length` bytes, padded to four.
fn attribute(payload: &mut Vec<u8>, kind: u16, length: u16) {
    payload.extend((4 + length).to_ne_bytes());
    payload.extend(kind.to_ne_bytes());
    payload.resize(payload.len() + usize::from(length).next_multiple_of(4), 0);
}

/// `/proc/net/tcp` as the kernel writes it: 150 bytes per line.
fn table() -> Result<Vec<u8>, std::fmt::Error> {
    let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  \
                  timeout inode";
    let mut table = format!("{header:<149}\n");
    for number in 0..SOCKETS {
        let [_, _, high, low] = number.to_be_bytes();
        let line = format!(
            "{number:4}: {:08X}:{:04X} {:08X}:01BB 01 00000000:00000000 00:00000000 00000000  \
             {:5}        0 {} 1 ffff888012345678 20 4 30 10 -1",
            u32::from_ne_bytes([127, 0, 0, 1]),
            number % 0x1_0000,
            u32::from_ne_bytes([127, 1, high, low]),
            0,
            100_000 + number,
        );
        writeln!(table, "{line:<149}")?;
    }
    Ok(table.into_bytes())
}
