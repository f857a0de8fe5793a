//! Sends one byte to and fro over loopback for some time: prints the quantiles of the round trips
//! in seconds, as JSON.
//!
//! ```text
//! pingpong SECONDS
//! ```

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const WARM_UP: Duration = Duration::from_millis(200);

/// More round trips than loopback manages: their list never grows while they are measured.
const PER_SECOND: f64 = 200_000.0;

fn main() -> Result<(), Box<dyn Error>> {
    let seconds: f64 = std::env::args().nth(1).ok_or("usage: pingpong SECONDS")?.parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    thread::spawn(move || echo(server));

    ping(&client, WARM_UP, &mut Vec::new())?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let mut trips = Vec::with_capacity((seconds * PER_SECOND) as usize);
    ping(&client, Duration::from_secs_f64(seconds), &mut trips)?;

    trips.sort_unstable();
    let quantile = |per_mille: usize| {
        trips
            .get(trips.len().saturating_sub(1) * per_mille / 1000)
            .map_or(0.0, Duration::as_secs_f64)
    };
    println!(
        r#"{{"trips": {}, "p50": {:.9}, "p99": {:.9}, "p999": {:.9}, "longest": {:.9}}}"#,
        trips.len(),
        quantile(500),
        quantile(990),
        quantile(999),
        quantile(1000),
    );
    Ok(())
}

fn ping(mut stream: &TcpStream, time: Duration, trips: &mut Vec<Duration>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let end = Instant::now() + time;
    let mut byte = [0];
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(());
        }
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
        trips.push(start.elapsed());
    }
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut byte = [0];
    while stream.read(&mut byte)? > 0 {
        stream.write_all(&byte)?;
    }
    Ok(())
}
