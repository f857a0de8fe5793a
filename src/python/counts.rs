//! Counts and checks as Python objects.

use std::hash::{Hash, Hasher};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::cli::options::Api;
use crate::format::{json, plugin, prometheus};
use crate::python::arguments;
use crate::python::gil::{guarded, released};
use crate::run;

fn dictionary<'py, 'a>(
    py: Python<'py>,
    counts: impl Iterator<Item = (&'a str, u64)>,
) -> PyResult<Bound<'py, PyDict>> {
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
local_address=None, remote_address=None, netns=None, group_by='type-status', zero=False, \
source='auto', timeout=8.0)"
)]
pub fn count_connections<'py>(
    py: Python<'py>,
    types: Option<&Bound<'py, PyAny>>,
    statuses: Option<&Bound<'py, PyAny>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    guarded(|| {
        let plan = arguments::plan(Api::Count, types, statuses, keywords)?;
        let counts = released(py, |interrupted| run::counts(&plan, interrupted))?;
        dictionary(py, counts.iter().map(|group| (group.label(), group.count)))
    })
}

/// Counts this host's connections and judges every group by the thresholds.
///
/// Keywords are as in `count_connections`. Never exits the process, never returns a guess.
#[pyfunction]
#[pyo3(
    signature = (types=None, statuses=None, **keywords),
    text_signature = "(types=None, statuses=None, *, warning=None, critical=None, \
always_ok=False, perfdata=True, lengthy=False, local_port=None, remote_port=None, local_address=None, \
remote_address=None, netns=None, measure='connections', group_by='type-status', top=None, \
zero=False, no_match_severity='ok', source='auto', timeout=8.0)"
)]
pub fn check<'py>(
    py: Python<'py>,
    types: Option<&Bound<'py, PyAny>>,
    statuses: Option<&Bound<'py, PyAny>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<CheckResult> {
    guarded(|| {
        let plan = arguments::plan(Api::Check, types, statuses, keywords)?;
        // What is printed too: a million groups take their time.
        released(py, |interrupted| {
            let report = run::check(plan, interrupted)?;
            Ok(CheckResult {
                state: report.state() as u8,
                message: plugin::message(&report),
                perfdata: plugin::perfdata(&report),
                counts: report.groups.iter().map(|j| (j.label.clone(), j.count)).collect(),
                json: json::report(&report),
                prometheus: prometheus::report(&report, ""),
            })
        })
    })
}

/// The outcome of a check.
#[pyclass(module = "network_connections", frozen, eq, hash)]
pub struct CheckResult {
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
        guarded(|| {
            let counts = counts.iter();
            let counts = counts.map(|(label, count)| Ok((label.extract()?, count.extract()?)));
            let counts = counts.collect::<PyResult<_>>()?;
            Ok(Self { state, message, perfdata, counts, json, prometheus })
        })
    }

    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.counts.iter().map(|(label, count)| (label.as_str(), *count));
        guarded(|| dictionary(py, counts))
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
        plugin::line(&self.message, &self.perfdata)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let result = slf.get();
        guarded(|| {
            Ok(format!(
                "<CheckResult state={} message={} counts={}>",
                result.state,
                PyString::new(slf.py(), &result.message).repr()?,
                result.counts(slf.py())?.repr()?
            ))
        })
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
