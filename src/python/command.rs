//! The command line as a function, and its options.

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::prelude::*;

use crate::cli;
use crate::cli::pages::table;
use crate::python::gil::{guarded, released};
use crate::selection::spelled;

/// Runs the command line; returns standard output, standard error and the exit code.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)]
pub fn run(
    py: Python<'_>,
    program: PathBuf,
    arguments: Vec<OsString>,
) -> PyResult<(String, String, u8)> {
    let outcome = released(py, |interrupted| Ok(cli::run(&program, &arguments, interrupted)));
    outcome.map(|outcome| (outcome.stdout, outcome.stderr, outcome.code))
}

/// The choice that a text means in any spelling, behind `!` where it is taken away. A text that means no
/// choice stays as it is.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)]
pub fn choice(text: &str, choices: Vec<String>) -> String {
    spelled(text, choices.iter().map(String::as_str))
}

/// The option table, for `plugin.parse_args()` and tests: a list with a dictionary for each option.
#[pyfunction]
pub fn options(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    guarded(|| py.import("json")?.call_method1("loads", (table::rows().to_string(),)))
}
