//! Work that nothing can interrupt, in a thread of its own: past the deadline nobody waits for it.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::deadline::Deadline;
use crate::error::Error;

/// How often the deadline, and the caller's wish to stop, are looked at during a wait.
const PACE: Duration = Duration::from_millis(100);

/// What a thread finds, one after the other.
pub(crate) struct Worker<T>(Receiver<T>);

impl<T: Send + 'static> Worker<T> {
    /// Starts `work`, which sends what it finds and may stop where that fails: nobody listens then.
    pub(crate) fn start(work: impl FnOnce(Sender<T>) + Send + 'static) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new()
            .spawn(move || work(sender))
            .map_err(|error| Error::system("starting a thread", error))?;
        Ok(Self(receiver))
    }

    /// What it finds next; `None` once it has ended.
    pub(crate) fn next(&self, deadline: &Deadline) -> Result<Option<T>, Error> {
        loop {
            match self.0.recv_timeout(deadline.remaining()?.min(PACE)) {
                Ok(found) => return Ok(Some(found)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}
