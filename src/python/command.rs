//! The command line as a function, and its options.

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::cli;
use crate::cli::options::{OPTIONS, Opt, Takes, Value};
use crate::cli::pages::text::default;
use crate::python::gil::{guarded, released};

/// Runs the command line: what to print on standard output and standard error, and the exit code.
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

/// The option table, for `plugin.parse_args()` and for tests: every option as a dictionary.
#[pyfunction]
pub fn options(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    guarded(|| OPTIONS.iter().map(|option| row(py, option)).collect())
}

fn row<'py>(py: Python<'py>, option: &Opt) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("names", option.short.into_iter().chain([option.long]).collect::<Vec<_>>())?;
    row.set_item("dest", option.metavar)?;
    row.set_item("action", action(option.takes))?;
    row.set_item("value", option.value().map(kind))?;
    row.set_item("choices", option.choices())?;
    row.set_item("default", default(option))?;
    row.set_item("hidden", option.hidden)?;
    row.set_item("reference", option.reference)?;
    row.set_item("keyword", option.keyword.map(|keyword| keyword.name))?;
    row.set_item("function", option.keyword.map(|keyword| keyword.of.name()))?;
    row.set_item("help", option.help)?;
    Ok(row)
}

/// What argparse calls it.
fn action(takes: Takes) -> &'static str {
    match takes {
        Takes::Help => "help",
        Takes::Version => "version",
        Takes::Switch(_) => "store_true",
        Takes::Single(..) => "store",
        Takes::Several(..) => "append",
    }
}

fn kind(value: Value) -> &'static str {
    match value {
        Value::Choice(_) => "choice",
        Value::Range => "range",
        Value::Port => "port",
        Value::Address => "address",
        Value::Netns => "netns",
        Value::Text => "text",
        Value::Whole => "whole",
        Value::Seconds => "seconds",
        Value::Fixture => "fixture",
    }
}
