//! Errors as Python's exceptions.

use pyo3::PyErr;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyTimeoutError, PyValueError};

use crate::cli::options::{keyword_name, name_of};
use crate::error::Error;

/// `EIO`, for a wrong answer of the kernel that comes without an error number.
const EIO: i32 = 5;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let error = error.with_names(|field| name_of(field, keyword_name));
        let text = error.to_string();
        exception(&error, text)
    }
}

fn exception(error: &Error, text: String) -> PyErr {
    match error {
        Error::Range(_)
        | Error::Argument(_)
        | Error::Value { .. }
        | Error::Conflict { .. }
        | Error::Fixture(_)
        | Error::Unsupported(_) => PyValueError::new_err(text),
        Error::Timeout(_) => PyTimeoutError::new_err(text),
        Error::Memory => PyMemoryError::new_err(text),
        Error::Internal(_) => PyRuntimeError::new_err(text),
        Error::System { .. }
        | Error::Garbled(_)
        | Error::Moved(_)
        | Error::Sources { .. }
        | Error::Interrupted => PyOSError::new_err((error.errno().unwrap_or(EIO), text)),
        Error::Namespace { error, .. } => exception(error, text),
    }
}
