//! The names of user ids, from the system's user database.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use log::warn;
use nix::unistd::{Uid, User};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::printable::printable;
use crate::worker::Worker;

/// How long the user database is waited for: it may ask a directory server that is down, and a
/// number says as much.
const PATIENCE: Duration = Duration::from_millis(500);

/// The names of these ids, as far as they have one and it comes in time.
pub fn names(ids: HashSet<u32>, deadline: &Deadline) -> Result<HashMap<u32, Arc<str>>, Error> {
    // In order: where one of them is not answered, those before it always are.
    let ids: BTreeSet<u32> = ids.into_iter().collect();
    let patience = deadline.sooner((deadline.remaining()? / 2).min(PATIENCE));
    let worker = Worker::start(move |found| {
        for id in ids {
            if let Ok(Some(user)) = User::from_uid(Uid::from_raw(id))
                && found.send((id, Arc::from(printable(user.name.as_bytes())))).is_err()
            {
                break;
            }
        }
    })?;
    let mut names = HashMap::new();
    loop {
        match worker.next(&patience) {
            Ok(Some((id, name))) => names.insert(id, name),
            Ok(None) => return Ok(names),
            Err(Error::Timeout(_)) => {
                warn!("the user database does not answer: numbers instead of names");
                return Ok(names);
            }
            Err(error) => return Err(error),
        };
    }
}

/// The id of a name, `None` where there is no such user.
pub fn id(name: &str, deadline: &Deadline) -> Result<Option<u32>, Error> {
    let patience = deadline.sooner(PATIENCE);
    let asked = name.to_owned();
    let worker = Worker::start(move |found| {
        if let Ok(Some(user)) = User::from_name(&asked) {
            let _ = found.send(user.uid.as_raw());
        }
    })?;
    worker.next(&patience).map_err(|error| match error {
        Error::Timeout(_) => Error::Argument(format!(
            "the user database does not answer for {name:?} (valid: the user's id)"
        )),
        error => error,
    })
}
