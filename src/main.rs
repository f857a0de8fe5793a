//! The native command: `cli.rs`, and the outcome of a run that cannot be delivered.

use std::fmt;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::process::ExitCode;

use network_connections::cli::command_line;

/// The exit code of a run whose answer cannot be delivered.
const UNDELIVERED: u8 = 3;

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{OFlags, fcntl_getfl};

    static NO_STDOUT: AtomicBool = AtomicBool::new(false);

    ctor::declarative::ctor! {
        /// Runs before the runtime of Rust, which opens closed standard streams on `/dev/null`: after
        /// that a closed stream looks like one that the caller has thrown away. The runtime also
        /// passes over a stream that is open for reading only.
        #[ctor(unsafe)]
        fn look_at_stdout() {
            let is_writable =
                |flags: OFlags| !flags.contains(OFlags::PATH) && flags & OFlags::RWMODE != OFlags::RDONLY;
            let flags = fcntl_getfl(rustix::stdio::stdout());
            NO_STDOUT.store(!flags.is_ok_and(is_writable), Ordering::Relaxed);
        }
    }

    /// Whether standard output was closed when the command started, or takes no text.
    pub fn has_no_stdout() -> bool {
        NO_STDOUT.load(Ordering::Relaxed)
    }

    /// Makes the end of a run without memory UNKNOWN. The runtime says so on standard error, and
    /// aborts.
    pub fn exit_where_memory_ends() {
        let always = Arc::new(AtomicBool::new(true));
        // Without it, the run ends by the signal.
        let _ = signal_hook::flag::register_conditional_shutdown(
            signal_hook::consts::SIGABRT,
            super::UNDELIVERED.into(),
            always,
        );
    }
}

/// Standard output, and its first error.
struct Stdout<'a> {
    to: BufWriter<StdoutLock<'a>>,
    written: io::Result<()>,
}

impl fmt::Write for Stdout<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.written.is_ok() {
            self.written = self.to.write_all(text.as_bytes());
        }
        self.written.as_ref().map_err(|_| fmt::Error).copied()
    }
}

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    linux::exit_where_memory_ends();
    let mut stdout = Stdout { to: BufWriter::new(io::stdout().lock()), written: Ok(()) };
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let outcome = match command_line(&arguments) {
        Err(answer) => answer,
        Ok(run) => {
            #[cfg(target_os = "linux")]
            network_connections::rights::give_up(run.host_plan());
            // A caller can forge argv[0].
            let program = std::env::current_exe().unwrap_or_default();
            run.written(&program, &|| false, &mut stdout)
        }
    };
    let _ = fmt::Write::write_str(&mut stdout, &outcome.stdout);
    let written = stdout.written.and_then(|()| stdout.to.flush());
    #[cfg(target_os = "linux")]
    let written =
        if linux::has_no_stdout() { Err(io::ErrorKind::BrokenPipe.into()) } else { written };
    // Written after the answer: Icinga merges both streams, and shows the first line.
    let _ = io::stderr().write_all(outcome.stderr.as_bytes());
    match written {
        Ok(()) => ExitCode::from(outcome.code),
        Err(_) => ExitCode::from(UNDELIVERED),
    }
}
