//! Ranges as Python objects.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::error::Error;
use crate::python::gil::guarded;
use crate::range;

/// A Nagios threshold range: `value in Range("10:20")` is true where the value is fine.
#[pyclass(module = "network_connections", frozen, eq, hash)]
#[derive(PartialEq, Eq, Hash)]
pub struct Range(range::Range);

#[pymethods]
impl Range {
    #[new]
    fn new(text: &str) -> PyResult<Self> {
        guarded(|| Ok(Self(text.parse().map_err(Error::Range)?)))
    }

    fn __contains__(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        guarded(|| Ok(self.0.contains(number(value)?)))
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

/// The value of a number. A number beyond the range of f64 counts as infinity, with its sign.
fn number(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    match value.extract::<f64>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
            Ok(if value.lt(0)? { f64::NEG_INFINITY } else { f64::INFINITY })
        }
        number => Ok(number?),
    }
}
