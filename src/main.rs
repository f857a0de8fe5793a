//! The native command: `cli.rs` and nothing else.

use std::io::{self, Write};
use std::process::ExitCode;

use network_connections::cli::command_line;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let outcome = match command_line(&arguments) {
        Err(answer) => answer,
        Ok(run) => {
            #[cfg(target_os = "linux")]
            network_connections::rights::give_up(run.host_plan());
            // A caller can forge argv[0].
            let program = std::env::current_exe().unwrap_or_default();
            run.outcome(&program, &|| false)
        }
    };
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(outcome.stdout.as_bytes()).and_then(|()| stdout.flush());
    // Written after the answer: Icinga merges both streams, and shows the first line.
    let _ = io::stderr().write_all(outcome.stderr.as_bytes());
    match written {
        Ok(()) => ExitCode::from(outcome.code),
        // The answer could not be delivered.
        Err(_) => ExitCode::from(3),
    }
}
