//! Makes sockets in the states that both ends of a connection can be brought into, prints the
//! number of each kind as one JSON object, and holds the sockets until standard input ends.
//!
//! The tests run it on systems without another tool for that, as on Windows. No other program may
//! have sockets there. `sockets N` makes N more connections. `sockets N SECONDS` opens N
//! connections over so many seconds, one after the other, and then ends.

use std::collections::BTreeMap;
use std::io::{Read, Result, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// The number of sockets of each kind, IPv4 first. All numbers differ, so that a test cannot
/// confuse two kinds.
const LISTEN: [usize; 2] = [1, 2];
const ESTABLISHED: [usize; 2] = [3, 4];
const HALF_CLOSED: [usize; 2] = [5, 6];
const TIME_WAIT: [usize; 2] = [7, 8];
const UDP: [usize; 2] = [9, 10];

const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// The sockets that are kept open.
#[derive(Default)]
struct Held {
    listeners: Vec<TcpListener>,
    streams: Vec<TcpStream>,
    datagrams: Vec<UdpSocket>,
}

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(number), Some(seconds)) => slowly(number, Duration::from_secs(seconds.into())),
        (more, _) => hold(more.unwrap_or(0)),
    }
}

fn hold(more: u32) -> Result<()> {
    let mut held = Held::default();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (family, localhost) in LOCALHOST.into_iter().enumerate() {
        let of = |numbers: [usize; 2]| numbers.get(family).copied().unwrap_or(0);
        let suffix = if localhost.is_ipv6() { "6" } else { "" };
        for _ in 0..of(LISTEN) {
            held.listeners.push(TcpListener::bind((localhost, 0))?);
        }
        for _ in 0..of(ESTABLISHED) {
            let (local, remote) = pair(localhost)?;
            held.streams.extend([local, remote]);
        }
        for _ in 0..of(HALF_CLOSED) {
            let (local, remote) = pair(localhost)?;
            // This end is in FIN_WAIT2, the other end in CLOSE_WAIT.
            local.shutdown(Shutdown::Write)?;
            at_end(&remote)?;
            held.streams.extend([local, remote]);
        }
        for _ in 0..of(TIME_WAIT) {
            let (local, remote) = pair(localhost)?;
            local.shutdown(Shutdown::Write)?;
            at_end(&remote)?;
            drop(remote);
            at_end(&local)?;
        }
        for _ in 0..of(UDP) {
            held.datagrams.push(UdpSocket::bind((localhost, 0))?);
        }
        for (state, number) in [
            ("LISTEN", of(LISTEN)),
            ("ESTABLISHED", 2 * of(ESTABLISHED)),
            ("FIN_WAIT2", of(HALF_CLOSED)),
            ("CLOSE_WAIT", of(HALF_CLOSED)),
            ("TIME_WAIT", of(TIME_WAIT)),
        ] {
            counts.insert(format!("tcp{suffix}_{state}"), number);
        }
        counts.insert(format!("udp{suffix}_NONE"), of(UDP));
    }
    let mut pairs = Pairs::default();
    for _ in 0..more {
        let (local, remote) = pairs.next()?;
        held.streams.extend([local, remote]);
        *counts.entry("tcp_ESTABLISHED".to_owned()).or_insert(0) += 2;
    }
    drop(pairs);
    let counts: Vec<_> =
        counts.iter().map(|(group, number)| format!("{group:?}: {number}")).collect();
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{{{}}}", counts.join(", "))?;
    stdout.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(held);
    Ok(())
}

fn slowly(number: u32, time: Duration) -> Result<()> {
    let (mut pairs, mut held) = (Pairs::default(), Vec::new());
    let start = Instant::now();
    for made in 0..number {
        held.push(pairs.next()?);
        let due = time * made / number;
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    Ok(())
}

/// Makes any number of connections. A listener has 10,000 at most, as each takes an ephemeral port.
#[derive(Default)]
struct Pairs {
    listener: Option<TcpListener>,
    made: u32,
}

impl Pairs {
    fn next(&mut self) -> Result<(TcpStream, TcpStream)> {
        let listener = match self.listener.take().filter(|_| !self.made.is_multiple_of(10_000)) {
            Some(listener) => listener,
            None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        };
        self.made += 1;
        ends(self.listener.insert(listener))
    }
}

/// Both ends of a connection whose listener is closed.
fn pair(localhost: IpAddr) -> Result<(TcpStream, TcpStream)> {
    ends(&TcpListener::bind((localhost, 0))?)
}

fn ends(listener: &TcpListener) -> Result<(TcpStream, TcpStream)> {
    let local = TcpStream::connect(listener.local_addr()?)?;
    let (remote, _) = listener.accept()?;
    Ok((local, remote))
}

/// Waits until the other end has closed.
fn at_end(mut stream: &TcpStream) -> Result<()> {
    stream.read_to_end(&mut Vec::new()).map(drop)
}
