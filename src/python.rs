//! The `network_connections._core` module: converts arguments, releases the GIL around the kernel
//! work and maps errors. No logic.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Once;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyOSError, PyTimeoutError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString, PyTuple};
use pyo3_log::{Caching, Logger};

use crate::cli::{self, Api, Arguments, Kind, OPTIONS};
use crate::error::Error;

mod sockets;

/// Counts a host's TCP and UDP sockets; see the package `network_connections`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::sockets::{Connection, SocketSummary, connections, socket_summary};
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
    // A log handler may have raised while Rust went on.
    match raised.or_else(|| PyErr::take(py)) {
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
            Error::Option { option, problem } => {
                PyValueError::new_err(format!("{}: {problem}", keyword(option)))
            }
            Error::Range(_) | Error::Argument(_) | Error::Fixture(_) | Error::Unsupported(_) => {
                PyValueError::new_err(message)
            }
            Error::Timeout(_) => PyTimeoutError::new_err(message),
            error => PyOSError::new_err((error.errno().unwrap_or(EIO), message)),
        }
    }
}

/// The keyword of an option: its name, but for those whose name is the reference plugin's.
fn keyword(option: &str) -> String {
    match option {
        "--conn-type" => "types".to_owned(),
        "--conn-status" => "statuses".to_owned(),
        "--no-perfdata" => "perfdata".to_owned(),
        option => option.trim_start_matches('-').replace('-', "_"),
    }
}

/// Reads keywords as the options of the same names, as far as this function has them.
fn arguments(
    api: Api,
    types: Option<&Bound<'_, PyAny>>,
    statuses: Option<&Bound<'_, PyAny>>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<Arguments> {
    let mut arguments = Arguments::default();
    set(&mut arguments, api, "types", types)?;
    set(&mut arguments, api, "statuses", statuses)?;
    for (name, value) in keywords.into_iter().flatten() {
        let name: String = name.extract()?;
        set(&mut arguments, api, &name, Some(&value))?;
    }
    Ok(arguments)
}

fn set(
    arguments: &mut Arguments,
    api: Api,
    name: &str,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let unknown = || PyTypeError::new_err(format!("unexpected keyword argument {name:?}"));
    let option = OPTIONS
        .iter()
        .find(|option| keyword(option.long) == name && option.api <= api)
        .ok_or_else(unknown)?;
    let Some(value) = value.filter(|value| !value.is_none()) else {
        return Ok(());
    };
    let values = match option.kind {
        // The one option that switches something off.
        Kind::Switch if value.is_truthy()? != (option.long == "--no-perfdata") => {
            vec![String::new()]
        }
        Kind::Switch => return Ok(()),
        Kind::Repeated => several(value)?,
        _ => vec![text(value)?],
    };
    arguments.set(option.long, values);
    Ok(())
}

/// The text of what a command line could have said: anything else is not guessed at.
fn text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let plain = value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyInt>()
        || value.is_instance_of::<PyFloat>()
        || value.is_instance_of::<Range>()
        // What the module ipaddress has.
        || value.hasattr("packed")?
        || value.hasattr("network_address")?;
    if plain {
        return value.str()?.extract();
    }
    let kind = value.get_type().name()?;
    Err(PyValueError::new_err(format!(
        "a value is a str, a number, a Range or an address, not {kind}"
    )))
}

/// One value, or an iterable of them. A network is one value, though Python iterates over it.
fn several(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let one = value.is_instance_of::<PyString>() || value.hasattr("network_address")?;
    match value.try_iter() {
        Ok(values) if !one => values.map(|value| text(&value?)).collect(),
        _ => Ok(vec![text(value)?]),
    }
}

fn dictionary<'py>(py: Python<'py>, counts: &[(String, u64)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (label, count) in counts {
        dict.set_item(label, count)?;
    }
    Ok(dict)
}

/// Counts this host's connections per group, the largest first.
///
/// Every keyword is the command's option of that name; `types` and `statuses` are --conn-type and
/// --conn-status. None leaves the default.
#[pyfunction]
#[pyo3(
    signature = (types=None, statuses=None, **keywords),
    text_signature = "(types=None, statuses=None, *, local_port=None, remote_port=None, \
local_address=None, remote_address=None, group_by='type-status', zero=False, source='auto', \
timeout=8.0)"
)]
fn count_connections<'py>(
    py: Python<'py>,
    types: Option<&Bound<'py, PyAny>>,
    statuses: Option<&Bound<'py, PyAny>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    let check = cli::check(&arguments(Api::Count, types, statuses, keywords)?)?;
    dictionary(py, &released(py, |interrupted| check.count(interrupted))?)
}

/// Counts this host's connections and judges every group by the thresholds.
///
/// Keywords are as in `count_connections`. Never exits the process, never returns a guess.
#[pyfunction]
#[pyo3(
    signature = (types=None, statuses=None, **keywords),
    text_signature = "(types=None, statuses=None, *, warning=None, critical=None, \
always_ok=False, perfdata=True, lengthy=False, local_port=None, remote_port=None, local_address=None, \
remote_address=None, group_by='type-status', top=None, zero=False, no_match_severity='ok', \
source='auto', timeout=8.0)"
)]
fn check<'py>(
    py: Python<'py>,
    types: Option<&Bound<'py, PyAny>>,
    statuses: Option<&Bound<'py, PyAny>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<CheckResult> {
    let check = cli::check(&arguments(Api::Check, types, statuses, keywords)?)?;
    let report = released(py, |interrupted| check.run(interrupted))?;
    Ok(CheckResult {
        state: report.state() as u8,
        message: report.message(),
        perfdata: report.perfdata(),
        counts: report.groups.iter().map(|j| (j.label.clone(), j.count)).collect(),
        json: report.to_json(),
        prometheus: report.to_prometheus(),
    })
}

/// The outcome of a check.
#[pyclass(module = "network_connections", frozen, eq, hash)]
struct CheckResult {
    #[pyo3(get)]
    state: u8,
    #[pyo3(get)]
    message: String,
    #[pyo3(get)]
    perfdata: String,
    counts: Vec<(String, u64)>,
    json: String,
    prometheus: String,
}

impl CheckResult {
    /// What makes two results equal: not how long they took.
    fn found(&self) -> (u8, &str, &str, &[(String, u64)]) {
        (self.state, &self.message, &self.perfdata, &self.counts)
    }
}

impl PartialEq for CheckResult {
    fn eq(&self, other: &Self) -> bool {
        self.found() == other.found()
    }
}

impl Hash for CheckResult {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.found().hash(state);
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
        json: String,
        prometheus: String,
    ) -> PyResult<Self> {
        let counts = counts.iter().map(|(label, count)| Ok((label.extract()?, count.extract()?)));
        let counts = counts.collect::<PyResult<_>>()?;
        Ok(Self { state, message, perfdata, counts, json, prometheus })
    }

    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dictionary(py, &self.counts)
    }

    /// The result as one JSON object.
    fn to_json(&self) -> &str {
        &self.json
    }

    /// The result in the Prometheus text exposition format.
    fn to_prometheus(&self) -> String {
        format!("{}\n", self.prometheus)
    }

    fn __str__(&self) -> String {
        crate::report::line(&self.message, &self.perfdata)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let result = slf.get();
        Ok(format!(
            "<CheckResult state={} message={} counts={}>",
            result.state,
            PyString::new(slf.py(), &result.message).repr()?,
            result.counts(slf.py())?.repr()?
        ))
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let result = slf.get();
        let arguments = (
            result.state,
            &result.message,
            &result.perfdata,
            result.counts(slf.py())?,
            &result.json,
            &result.prometheus,
        );
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
