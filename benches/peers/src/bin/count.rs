//! Measures a count inside a process that runs already: prints the CPU time and the wall time of
//! one call in seconds and the number of sockets, as JSON.
//!
//! ```text
//! count CALLS
//! ```

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use network_connections::{Check, Plan, Query, run};
use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Box<dyn Error>> {
    let calls: u32 = std::env::args().nth(1).ok_or("usage: count CALLS")?.parse()?;
    let query = Query { timeout: Duration::MAX, ..Query::default() };
    let plan = Plan::new(Check { query, ..Check::default() })?;
    let mut sockets = 0;
    let (cpu, wall) = (cpu_time()?, Instant::now());
    for _ in 0..calls {
        let counts = run::counts(black_box(&plan), &|| false)?;
        sockets = counts.iter().map(|group| group.count).sum();
    }
    let (cpu, wall) = (cpu_time()?.saturating_sub(cpu), wall.elapsed());
    println!(
        r#"{{"cpu": {:.9}, "wall": {:.9}, "sockets": {sockets}}}"#,
        (cpu / calls).as_secs_f64(),
        (wall / calls).as_secs_f64(),
    );
    Ok(())
}

/// The CPU time of this thread.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
}
