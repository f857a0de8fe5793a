//! Kernel work without the GIL.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::error::Error;
use crate::panic::catch_panic;
use crate::python::logging::connect_logging;

/// How often a run looks whether Python has a signal to handle, which takes the GIL.
const SIGNALS: Duration = Duration::from_millis(100);

/// A number that no file descriptor has.
const NO_FILE: i32 = i32::MAX;

/// Does what Python asks for; a panic is an ordinary exception.
pub fn guarded<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_panic(work)?
}

/// Runs kernel work without the GIL; a signal handler that raises, as Ctrl-C's does, ends it.
///
/// Without the GIL nothing of Python may be touched: it may end meanwhile. Not while its main
/// thread is in here, which alone handles signals.
pub fn released<T: Send>(
    py: Python<'_>,
    work: impl Send + FnOnce(&dyn Fn() -> bool) -> Result<T, Error>,
) -> PyResult<T> {
    guarded(|| {
        connect_logging(py)?;
        let signals = handles_signals(py)?;
        let (result, raised) = py.detach(|| {
            let raised = RefCell::new(None);
            let looked = Cell::new(Instant::now());
            let result = work(&|| {
                if !signals || looked.get().elapsed() < SIGNALS {
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
    })
}

/// Whether Python runs signal handlers in this thread.
///
/// `set_wakeup_fd` asks exactly that before it looks at its argument. Unlike what `threading` has
/// it is there in every program, and is no Python code, in which Python would end daemon threads.
fn handles_signals(py: Python<'_>) -> PyResult<bool> {
    static SET_WAKEUP_FD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let asked = SET_WAKEUP_FD.import(py, "_signal", "set_wakeup_fd")?.call1((NO_FILE,));
    Ok(asked.map_or_else(|error| error.is_instance_of::<PyOSError>(py), |_| true))
}
