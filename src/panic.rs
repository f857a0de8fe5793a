//! Panics as errors: even after a bug in this program the caller gets an answer in the usual form.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::error::Error;

thread_local! {
    // The initial value is constant, which clippy does not see for Windows.
    #[cfg_attr(windows, allow(clippy::missing_const_for_thread_local))]
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`. A panic in it becomes an error and writes nothing.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    quieten();
    let outer = CAUGHT.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(outer);
    done.map_err(|panic| Error::Internal(cause(&*panic)))
}

/// Silences the default hook, which writes to standard error: a plugin keeps that clean. The new
/// hook is installed once for all threads: a hook that each run installs and removes would also see
/// panics of other threads.
fn quieten() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CAUGHT.try_with(Cell::get).unwrap_or(false) {
                before(info);
            }
        }));
    });
}

fn cause(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_panic_is_one_line() {
        for catch_panic in [
            catch_panic(|| panic!("lost\nmy mind")),
            catch_panic(|| panic!("{}\n{}", "lost", "my mind")),
        ] {
            let error = catch_panic.map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(error, "Internal error, please report it: lost my mind");
        }
    }

    #[test]
    fn a_thread_is_silent_only_inside_catch_panic() {
        let silent = || CAUGHT.get();
        assert!(!silent());
        let inside = catch_panic(|| {
            let lost: Result<(), _> = catch_panic(|| panic!("lost"));
            (lost.is_err(), silent(), thread::spawn(silent).join().ok())
        });
        assert!(matches!(inside, Ok((true, true, Some(false)))));
        assert!(!silent());
    }
}
