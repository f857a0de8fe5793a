//! The names of user ids, from the system's user database.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use log::warn;
use nix::unistd::{Uid, User};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::printable::printable;

/// How long the user database is waited for: it may ask a directory server that is down, and a
/// number says as much.
const PATIENCE: Duration = Duration::from_millis(500);

/// The names of these ids, as far as they have one and it comes in time.
pub(super) fn names(
    ids: HashSet<u32>,
    deadline: &Deadline,
) -> Result<HashMap<u32, Arc<str>>, Error> {
    // In order: where one of them is not answered, those before it always are.
    let ids: BTreeSet<u32> = ids.into_iter().collect();
    let patience = (deadline.remaining()? / 2).min(PATIENCE);
    let (names, complete) = in_time(patience, move |found| {
        for id in ids {
            if let Ok(Some(user)) = User::from_uid(Uid::from_raw(id)) {
                // Nobody listens any more: too late.
                if found.send((id, Arc::from(printable(user.name.as_bytes())))).is_err() {
                    break;
                }
            }
        }
    });
    if !complete {
        warn!("the user database does not answer: numbers instead of names");
    }
    Ok(names.into_iter().collect())
}

/// The id of a name, `None` where there is no such user.
pub(super) fn id(name: &str) -> Result<Option<u32>, Error> {
    let asked = name.to_owned();
    let (ids, complete) = in_time(PATIENCE, move |found| {
        if let Ok(Some(user)) = User::from_name(&asked) {
            let _ = found.send(user.uid.as_raw());
        }
    });
    match ids.first() {
        None if !complete => Err(Error::Argument(format!(
            "the user database does not answer for {name:?} (valid: the user's id)"
        ))),
        id => Ok(id.copied()),
    }
}

/// What `work` finds within `patience`, and whether that is all. It may go on in its thread; nobody
/// waits for it.
fn in_time<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce(mpsc::Sender<T>) + Send + 'static,
) -> (Vec<T>, bool) {
    let (sender, receiver) = mpsc::channel();
    let end = std::time::Instant::now() + patience;
    std::thread::spawn(move || work(sender));
    let mut found = Vec::new();
    loop {
        match receiver.recv_timeout(end.saturating_duration_since(std::time::Instant::now())) {
            Ok(item) => found.push(item),
            Err(error) => return (found, error == mpsc::RecvTimeoutError::Disconnected),
        }
    }
}
