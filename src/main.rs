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
            // Not argv[0], which a caller can forge.
            let program = std::env::current_exe().unwrap_or_default();
            run.outcome(&program, &|| false)
        }
    };
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(outcome.stdout.as_bytes()).and_then(|()| stdout.flush());
    // After the answer: who merges both streams, as Icinga does, shows the first line.
    let _ = io::stderr().write_all(outcome.stderr.as_bytes());
    match written {
        Ok(()) => ExitCode::from(outcome.code),
        // Nobody got the answer.
        Err(_) => ExitCode::from(3),
    }
}
