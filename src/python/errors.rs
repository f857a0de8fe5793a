//! Errors as Python's exceptions.

use pyo3::PyErr;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTimeoutError, PyValueError};

use crate::cli::options::{keyword_name, name_of};
use crate::error::Error;

/// `EIO`, for a wrong answer of the kernel that comes without an error number.
const EIO: i32 = 5;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error.with_names(|field| name_of(field, keyword_name)) {
            error @ (Error::Range(_)
            | Error::Argument(_)
            | Error::Value { .. }
            | Error::Conflict { .. }
            | Error::Fixture(_)
            | Error::Unsupported(_)) => PyValueError::new_err(error.to_string()),
            error @ Error::Timeout(_) => PyTimeoutError::new_err(error.to_string()),
            error @ Error::Internal(_) => PyRuntimeError::new_err(error.to_string()),
            error @ (Error::System { .. }
            | Error::Garbled(_)
            | Error::Moved(_)
            | Error::Sources { .. }
            | Error::Interrupted) => {
                PyOSError::new_err((error.errno().unwrap_or(EIO), error.to_string()))
            }
        }
    }
}
