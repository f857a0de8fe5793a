//! Rust's log records, kept for Python's `logging`.

use std::cell::RefCell;
use std::sync::Once;

use log::{Level, LevelFilter, Log, Metadata};
use pyo3::prelude::*;

/// The maximum number of records that are kept until Python takes them, more than any call makes.
const LIMIT: usize = 1000;

/// A logger's name, the level's number, file, line and message.
type Record = (String, u8, String, u32, String);

thread_local! {
    // The value is a constant; on some systems clippy does not see that.
    #[cfg_attr(windows, allow(clippy::missing_const_for_thread_local))]
    static RECORDS: RefCell<Vec<Record>> = const { RefCell::new(Vec::new()) };
}

struct BufferedLogger;

impl Log for BufferedLogger {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        let name = record.target().replace("::", ".");
        let file = record.file().unwrap_or_default().to_owned();
        let line = record.line().unwrap_or_default();
        let record = (name, number(record.level()), file, line, record.args().to_string());
        // A thread that is ending has lost its records.
        let _ = RECORDS.try_with(|records| {
            let mut records = records.borrow_mut();
            if records.len() < LIMIT {
                records.push(record);
            }
        });
    }

    fn flush(&self) {}
}

/// Python's number of a level.
fn number(level: Level) -> u8 {
    match level {
        Level::Error => 40,
        Level::Warn => 30,
        Level::Info => 20,
        Level::Debug => 10,
        Level::Trace => 5,
    }
}

/// Keeps records from now on, if the program itself has imported `logging`.
pub fn connect_logging(py: Python<'_>) -> PyResult<()> {
    static CONNECTED: Once = Once::new();
    if !CONNECTED.is_completed() && py.import("sys")?.getattr("modules")?.contains("logging")? {
        CONNECTED.call_once(|| {
            // Another logger of this process stays.
            if log::set_logger(&BufferedLogger).is_ok() {
                log::set_max_level(LevelFilter::Debug);
            }
        });
    }
    Ok(())
}

/// The records of this thread since the last call.
#[pyfunction]
pub fn records() -> Vec<Record> {
    RECORDS.take()
}
