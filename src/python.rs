//! The `network_connections._core` module: converts arguments, releases the GIL around the kernel
//! work and maps errors. No logic.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Once;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyOSError, PyTimeoutError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString, PyTuple};
use pyo3_log::{Caching, Logger};

use crate::check::{Check, Report};
use crate::cli::{self, Kind, OPTIONS};
use crate::deadline;
use crate::error::Error;
use crate::selection::{Choice, Named, Selection};
use crate::source;

/// Counts a host's TCP and UDP sockets; see the package `network_connections`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::{CheckResult, Range, check, count_connections, options, run};

    #[pymodule_export]
    const DESCRIPTION: &str = crate::cli::DESCRIPTION;

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}

/// How often a run looks whether Python has a signal to handle, which takes the GIL.
const SIGNALS: Duration = Duration::from_millis(100);

/// Runs kernel work without the GIL; a signal handler that raises, as Ctrl-C's does, ends it.
fn released<T: Send>(
    py: Python<'_>,
    work: impl Send + FnOnce(&dyn Fn() -> bool) -> Result<T, Error>,
) -> PyResult<T> {
    connect_logging(py)?;
    let (result, raised) = py.detach(|| {
        let raised = RefCell::new(None);
        let looked = Cell::new(Instant::now());
        let result = work(&|| {
            if looked.get().elapsed() < SIGNALS {
                return false;
            }
            looked.set(Instant::now());
            #[allow(clippy::redundant_closure_for_method_calls)] // lifetimes differ
            let signal = Python::attach(|py| py.check_signals());
            signal.map_err(|error| raised.replace(Some(error))).is_err()
        });
        (result, raised.into_inner())
    });
    match raised {
        Some(error) => Err(error),
        None => result.map_err(PyErr::from),
    }
}

/// Connects Rust's log records with Python's `logging`, once the program itself has imported it.
fn connect_logging(py: Python<'_>) -> PyResult<()> {
    static CONNECTED: Once = Once::new();
    if CONNECTED.is_completed() || !py.import("sys")?.getattr("modules")?.contains("logging")? {
        return Ok(());
    }
    // Levels are not cached: one that is changed later takes effect.
    let logger = Logger::new(py, Caching::Loggers)?.filter(log::LevelFilter::Debug);
    // Somebody else's logger in this process is not replaced.
    CONNECTED.call_once(|| drop(logger.install()));
    Ok(())
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        /// `EIO`, where the kernel's answer was wrong without an error of its own.
        const EIO: i32 = 5;
        let message = error.to_string();
        match error {
            Error::Range(_) | Error::Argument(_) | Error::Fixture(_) | Error::Unsupported(_) => {
                PyValueError::new_err(message)
            }
            Error::Timeout(_) => PyTimeoutError::new_err(message),
            error => PyOSError::new_err((error.errno().unwrap_or(EIO), message)),
        }
    }
}

/// None, one name or an iterable of names.
fn choice<T: Named>(names: Option<&Bound<'_, PyAny>>) -> PyResult<Choice<T>> {
    let Some(names) = names else {
        return Ok(Choice::default());
    };
    let names: Vec<String> = match names.cast::<PyString>() {
        Ok(name) => vec![name.extract()?],
        Err(_) => names.try_iter()?.map(|name| name?.extract()).collect::<PyResult<_>>()?,
    };
    Ok(Choice::parse(&names)?)
}

/// None, a `Range`, its text, or a number.
fn threshold(range: Option<&Bound<'_, PyAny>>) -> PyResult<Option<crate::Range>> {
    let Some(range) = range else {
        return Ok(None);
    };
    if let Ok(range) = range.cast::<Range>() {
        return Ok(Some(range.get().0.clone()));
    }
    let number = range.is_instance_of::<PyInt>() || range.is_instance_of::<PyFloat>();
    if !number && !range.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(format!(
            "a threshold is a Range, a str or a number, not {}",
            range.get_type().name()?
        )));
    }
    let text: String = range.str()?.extract()?;
    Ok(Some(text.parse().map_err(Error::Range)?))
}

fn timeout(seconds: f64) -> PyResult<Duration> {
    deadline::timeout(seconds).ok_or_else(|| {
        PyValueError::new_err(format!("timeout: {seconds} is not a positive number of seconds"))
    })
}

/// Counts this host's connections per type and status, the largest group first.
#[pyfunction]
#[pyo3(signature = (types=None, statuses=None, *, source="auto", timeout=8.0))]
fn count_connections<'py>(
    py: Python<'py>,
    types: Option<&Bound<'py, PyAny>>,
    statuses: Option<&Bound<'py, PyAny>>,
    source: &str,
    timeout: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let check = Check {
        selection: Selection { types: choice(types)?, statuses: choice(statuses)? },
        source: source::parse(source)?,
        timeout: self::timeout(timeout)?,
        ..Check::default()
    };
    let counts = released(py, |interrupted| check.count(interrupted))?;
    let dict = PyDict::new(py);
    for (group, count) in counts.groups() {
        dict.set_item(group.to_string(), count)?;
    }
    Ok(dict)
}

/// Counts this host's connections and judges every group by the thresholds.
#[pyfunction]
#[pyo3(signature = (
    types=None, statuses=None, *, warning=None, critical=None, always_ok=false, perfdata=true,
    source="auto", timeout=8.0
))]
#[allow(clippy::too_many_arguments)]
fn check<'py>(
    py: Python<'py>,
    types: Option<&Bound<'py, PyAny>>,
    statuses: Option<&Bound<'py, PyAny>>,
    warning: Option<&Bound<'py, PyAny>>,
    critical: Option<&Bound<'py, PyAny>>,
    always_ok: bool,
    perfdata: bool,
    source: &str,
    timeout: f64,
) -> PyResult<CheckResult> {
    let check = Check {
        selection: Selection { types: choice(types)?, statuses: choice(statuses)? },
        source: source::parse(source)?,
        timeout: self::timeout(timeout)?,
        critical: threshold(critical)?,
        warning: threshold(warning)?,
        always_ok,
        perfdata,
    };
    let counts = released(py, |interrupted| check.count(interrupted))?;
    Ok(CheckResult::from(&check.judge(&counts)))
}

/// The outcome of a check.
#[pyclass(module = "network_connections", frozen, eq, hash)]
#[derive(PartialEq, Eq, Hash)]
struct CheckResult {
    #[pyo3(get)]
    state: u8,
    #[pyo3(get)]
    message: String,
    #[pyo3(get)]
    perfdata: String,
    counts: Vec<(String, u64)>,
}

impl From<&Report> for CheckResult {
    fn from(report: &Report) -> Self {
        Self {
            state: report.state() as u8,
            message: report.message(),
            perfdata: report.perfdata(),
            counts: report
                .groups
                .iter()
                .map(|judged| (judged.group.to_string(), judged.count))
                .collect(),
        }
    }
}

#[pymethods]
impl CheckResult {
    #[new]
    fn new(
        state: u8,
        message: String,
        perfdata: String,
        counts: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        Ok(Self {
            state,
            message,
            perfdata,
            counts: counts
                .iter()
                .map(|(label, count)| Ok((label.extract()?, count.extract()?)))
                .collect::<PyResult<_>>()?,
        })
    }

    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (label, count) in &self.counts {
            dict.set_item(label, count)?;
        }
        Ok(dict)
    }

    fn __str__(&self) -> String {
        crate::report::line(&self.message, &self.perfdata)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let result = slf.get();
        Ok(format!(
            "CheckResult(state={}, message={}, perfdata={}, counts={})",
            result.state,
            PyString::new(slf.py(), &result.message).repr()?,
            PyString::new(slf.py(), &result.perfdata).repr()?,
            result.counts(slf.py())?.repr()?
        ))
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let result = slf.get();
        let arguments = (result.state, &result.message, &result.perfdata, result.counts(slf.py())?);
        Ok((slf.get_type().into_any(), arguments.into_pyobject(slf.py())?))
    }
}

/// A Nagios threshold range: `value in Range("10:20")` is true where the value is fine.
#[pyclass(module = "network_connections", frozen, eq, hash)]
#[derive(PartialEq, Eq, Hash)]
struct Range(crate::Range);

#[pymethods]
impl Range {
    #[new]
    fn new(text: &str) -> PyResult<Self> {
        Ok(Self(text.parse().map_err(Error::Range)?))
    }

    fn __contains__(&self, value: f64) -> bool {
        self.0.contains(value)
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let text = PyString::new(slf.py(), &slf.get().0.to_string());
        Ok(format!("Range({})", text.repr()?))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (String,)) {
        (slf.get_type().into_any(), (slf.get().0.to_string(),))
    }
}

/// Runs the command line: what to print on standard output and standard error, and the exit code.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)]
fn run(
    py: Python<'_>,
    program: PathBuf,
    arguments: Vec<OsString>,
) -> PyResult<(String, String, u8)> {
    let outcome = released(py, |interrupted| Ok(cli::run(&program, &arguments, interrupted)));
    outcome.map(|outcome| (outcome.stdout, outcome.stderr, outcome.code))
}

/// One option: names, destination, action, choices, default, hidden, help, and whether its
/// abbreviations come first.
type OptionRow = (
    Vec<&'static str>,
    &'static str,
    &'static str,
    Option<Vec<String>>,
    Option<&'static str>,
    bool,
    &'static str,
    bool,
);

/// The option table, for `plugin.parse_args()`.
#[pyfunction]
fn options() -> Vec<OptionRow> {
    OPTIONS
        .iter()
        .map(|option| {
            (
                option.short.into_iter().chain([option.long]).collect(),
                option.metavar,
                match option.kind {
                    Kind::Help => "help",
                    Kind::Version => "version",
                    Kind::Switch => "store_true",
                    Kind::Single => "store",
                    Kind::Repeated => "append",
                },
                option.choices.map(|choices| choices()),
                option.default,
                option.hidden,
                option.help,
                option.reference,
            )
        })
        .collect()
}
