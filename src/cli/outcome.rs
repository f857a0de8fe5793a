//! The output and the exit code of the command, also after a panic.

use crate::format::Format;
use crate::judge::state::State;
use crate::panic::catch_panic;

/// The output and the exit code of the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The text for standard output, with its line end.
    pub stdout: String,
    /// The text for standard error: the usage after a usage error, or hints for a terminal.
    pub stderr: String,
    /// The exit code, 0 to 3.
    pub code: u8,
}

impl Outcome {
    /// The outcome UNKNOWN, with this line.
    #[must_use]
    pub fn unknown(line: &str) -> Self {
        Self { stdout: format!("{line}\n"), stderr: String::new(), code: State::Unknown as u8 }
    }
}

/// Turns a panic into one line and exit code 3, an answer that monitoring systems understand.
pub fn guard(run: impl FnOnce() -> Outcome) -> Outcome {
    catch_panic(run).unwrap_or_else(|error| Outcome::unknown(&Format::Plugin.failure(&error, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line_and_unknown() {
        for outcome in
            [guard(|| panic!("lost\nmy | mind")), guard(|| panic!("{}\n{}", "lost", "my | mind"))]
        {
            assert_eq!(outcome.stdout, "Internal error, please report it: lost my ! mind\n");
            assert_eq!(outcome.code, 3);
            assert!(outcome.stderr.is_empty());
        }
    }
}
