//! What a run of the command leaves behind, whatever happens.

use crate::format::Format;
use crate::judge::state::State;
use crate::panic::catch_panic;

/// What a run of the command leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For standard output, with its line end.
    pub stdout: String,
    /// For standard error: the usage after a usage error, and nothing else.
    pub stderr: String,
    /// The exit code, 0 to 3.
    pub code: u8,
}

impl Outcome {
    /// One line, and no answer.
    #[must_use]
    pub fn unknown(line: &str) -> Self {
        Self { stdout: format!("{line}\n"), stderr: String::new(), code: State::Unknown as u8 }
    }
}

/// Turns a panic into one line and exit code 3: whatever happens, the monitoring system gets an
/// answer it understands.
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
