//! Errors as Python's exceptions.

use pyo3::PyErr;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTimeoutError, PyValueError};

use crate::cli::options::OPTIONS;
use crate::error::Error;

/// `EIO`, where the kernel's answer was wrong without an error of its own.
const EIO: i32 = 5;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match in_python(error) {
            error @ (Error::Range(_)
            | Error::Argument(_)
            | Error::Option { .. }
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

/// The same error about keywords instead of options.
fn in_python(error: Error) -> Error {
    match error {
        Error::Option { option, problem } => Error::Option { option: keyword(option), problem },
        Error::Conflict { option, problem, other, valid } => {
            Error::Conflict { option: keyword(option), problem, other: keyword(other), valid }
        }
        error => error,
    }
}

fn keyword(option: &'static str) -> &'static str {
    let named = OPTIONS.iter().find(|other| other.long == option);
    named.and_then(|option| option.keyword).map_or(option, |keyword| keyword.name)
}
