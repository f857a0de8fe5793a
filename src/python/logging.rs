//! Rust's log records, kept until Python's `logging` can take them.

use std::cell::RefCell;
use std::sync::Once;

use log::{Level, LevelFilter, Log, Metadata};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3_log::{Caching, Logger};

/// The maximum number of records that are kept until Python takes them, more than any call makes.
const LIMIT: usize = 1000;

/// A record without references.
struct Record {
    level: Level,
    target: String,
    file: Option<&'static str>,
    line: Option<u32>,
    message: String,
}

thread_local! {
    // The value is a constant; on some systems clippy does not see that.
    #[cfg_attr(windows, allow(clippy::missing_const_for_thread_local))]
    static RECORDS: RefCell<Vec<Record>> = const { RefCell::new(Vec::new()) };
}

struct Keeper;

impl Log for Keeper {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        let record = Record {
            level: record.level(),
            target: record.target().to_owned(),
            file: record.file_static(),
            line: record.line(),
            message: record.args().to_string(),
        };
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

/// Keeps records from now on, if the program itself has imported `logging`.
pub fn connect_logging(py: Python<'_>) -> PyResult<()> {
    static CONNECTED: Once = Once::new();
    if !CONNECTED.is_completed() && py.import("sys")?.getattr("modules")?.contains("logging")? {
        CONNECTED.call_once(|| {
            // Another logger of this process stays.
            if log::set_logger(&Keeper).is_ok() {
                log::set_max_level(LevelFilter::Debug);
            }
        });
    }
    Ok(())
}

/// Whether this thread has records.
#[pyfunction]
pub fn has_records() -> bool {
    RECORDS.with_borrow(|records| !records.is_empty())
}

/// Hands the records of this thread to `logging`. The first exception of a handler is raised, and
/// later records are dropped.
///
/// Handlers are Python code, and Rust waits for them: only for threads that Python does not end
/// there.
#[pyfunction]
pub fn log_records(py: Python<'_>) -> PyResult<()> {
    static LOGGER: PyOnceLock<Logger> = PyOnceLock::new();
    // Levels can change from call to call.
    let logger = LOGGER.get_or_try_init(py, || Logger::new(py, Caching::Loggers))?;
    for Record { level, target, file, line, message } in RECORDS.take() {
        let mut record = log::Record::builder();
        record.level(level).target(&target).file_static(file).line(line);
        logger.log(&record.args(format_args!("{message}")).build());
        // An exception of a handler is left behind by `Logger`, which has no other way to say it.
        if let Some(error) = PyErr::take(py) {
            return Err(error);
        }
    }
    Ok(())
}

/// Takes the records of this thread: the target, the level's name, and the message of each.
#[pyfunction]
pub fn records() -> Vec<(String, &'static str, String)> {
    let records = RECORDS.take().into_iter();
    records.map(|record| (record.target, record.level.as_str(), record.message)).collect()
}
