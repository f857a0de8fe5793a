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

/// One for all calls: a database that is silent keeps no more than one thread waiting.
static DATABASE: Worker = Worker::new();

/// The names of these ids, as far as they have one and it comes in time.
pub fn names(ids: HashSet<u32>, deadline: &Deadline) -> Result<HashMap<u32, Arc<str>>, Error> {
    let patience = deadline.sooner((deadline.remaining()? / 2).min(PATIENCE));
    let mut names = HashMap::new();
    match look_up(ids, &mut names, &patience) {
        Ok(()) => {}
        Err(error @ Error::Interrupted) => return Err(error),
        Err(Error::Timeout(_)) => {
            warn!("the user database does not answer: numbers instead of names");
        }
        Err(error) => {
            warn!("the user database cannot be asked: numbers instead of names: {error}");
        }
    }
    Ok(names)
}

fn look_up(
    ids: HashSet<u32>,
    names: &mut HashMap<u32, Arc<str>>,
    patience: &Deadline,
) -> Result<(), Error> {
    // In order: where one of them is not answered, those before it always are.
    let ids: BTreeSet<u32> = ids.into_iter().collect();
    let work = DATABASE.start(patience, move |found| {
        for id in ids {
            let name = User::from_uid(Uid::from_raw(id)).ok().flatten();
            let name = name.map(|user| Arc::from(printable(user.name.as_bytes())));
            if found.send((id, name)).is_err() {
                break;
            }
        }
    })?;
    while let Some((id, name)) = work.next(patience)? {
        names.extend(name.map(|name| (id, name)));
    }
    Ok(())
}

/// The id of a name, `None` where there is no such user.
pub fn id(name: &str, deadline: &Deadline) -> Result<Option<u32>, Error> {
    let patience = deadline.sooner(PATIENCE);
    let asked = name.to_owned();
    let work = DATABASE.start(&patience, move |found| {
        if let Ok(Some(user)) = User::from_name(&asked) {
            let _ = found.send(user.uid.as_raw());
        }
    });
    work.and_then(|work| work.next(&patience)).map_err(|error| match error {
        Error::Timeout(_) => Error::Argument(format!(
            "the user database does not answer for {name:?} (valid: the user's id)"
        )),
        Error::System { call, error } => Error::system(
            format!(
                "the user database cannot be asked for {name:?} (valid: the user's id): {call}"
            ),
            error,
        ),
        error => error,
    })
}
