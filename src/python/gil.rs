//! Kernel work without the GIL, and Python's logging.

use std::cell::{Cell, RefCell};
use std::sync::Once;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3_log::{Caching, Logger};

use crate::error::Error;

/// How often a run looks whether Python has a signal to handle, which takes the GIL.
const SIGNALS: Duration = Duration::from_millis(100);

/// Runs kernel work without the GIL; a signal handler that raises, as Ctrl-C's does, ends it.
pub fn released<T: Send>(
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
