//! Kernel work without the GIL.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::error::Error;
use crate::panic::catch_panic;
use crate::python::logging::connect_logging;

/// The time between two checks for a signal that Python must handle. Each check takes the GIL.
const SIGNALS: Duration = Duration::from_millis(100);

/// A number that no file descriptor has.
const NO_FILE: i32 = i32::MAX;

/// Does work for Python. A panic becomes an ordinary exception.
pub fn guarded<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_panic(work)?
}

/// Runs kernel work without the GIL. A signal handler that raises, as the handler of Ctrl-C does,
/// ends the work.
///
/// The work must not touch Python: without the GIL, the interpreter may end meanwhile. Signals are
/// checked only in its main thread, and it does not end while that thread is in here.
pub fn released<T: Send>(
    py: Python<'_>,
    work: impl Send + FnOnce(&dyn Fn() -> bool) -> Result<T, Error>,
) -> PyResult<T> {
    guarded(|| {
        connect_logging(py)?;
        let signals = handles_signals(py)?;
        let (result, raised) = py.detach(|| {
            let raised = RefCell::new(None);
            let checked = Cell::new(Instant::now());
            let result = work(&|| {
                if !signals || checked.get().elapsed() < SIGNALS {
                    return false;
                }
                checked.set(Instant::now());
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
    })
}

/// Whether Python runs signal handlers in this thread.
///
/// `set_wakeup_fd` checks exactly that before it reads its argument. Unlike `threading`, it is
/// there in every program. It is written in C: a daemon thread that runs Python code could be ended
/// there.
fn handles_signals(py: Python<'_>) -> PyResult<bool> {
    static SET_WAKEUP_FD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let asked = SET_WAKEUP_FD.import(py, "_signal", "set_wakeup_fd")?.call1((NO_FILE,));
    Ok(asked.map_or_else(|error| error.is_instance_of::<PyOSError>(py), |_| true))
}
