//! The names of user ids, from the system's user database.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use log::warn;
use nix::unistd::{Uid, User};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::proc_text::{maps_every_id, number};
use crate::printable::printable;
use crate::worker::Worker;

/// How long the user database is waited for: it may ask a directory server that is down, and a
/// number says as much.
const PATIENCE: Duration = Duration::from_millis(500);

/// The kernel's own choice of the id that stands for whoever has none (`DEFAULT_OVERFLOWUID` in `linux/highuid.h`).
const OVERFLOW: u32 = 65534;

/// Names by id, and ids of which nobody can tell whose they are.
pub type Users = (HashMap<u32, Arc<str>>, HashSet<u32>);

/// One for all calls: a database that is silent keeps no more than one thread waiting.
static DATABASE: Worker = Worker::new();

/// The names of these ids, as far as they have one and it comes in time, and the ids of which nobody
/// can tell whose they are.
pub fn names(ids: HashSet<u32>, deadline: &Deadline) -> Result<Users, Error> {
    let patience = deadline.sooner((deadline.remaining()? / 2).min(PATIENCE));
    let mut unknown = ids.clone();
    let mut names = HashMap::new();
    let looked_up = look_up(ids, &patience, |id, name| {
        unknown.remove(&id);
        names.extend(name.map(|name| (id, name)));
    });
    match looked_up {
        Ok(()) => {}
        Err(error @ Error::Interrupted) => return Err(error),
        Err(Error::Timeout(_)) => {
            warn!("the user database does not answer: numbers instead of names");
        }
        Err(error) => {
            warn!("the user database cannot be asked: numbers instead of names: {error}");
        }
    }
    unknown.extend(anybody());
    Ok((names, unknown))
}

/// The id that stands for whoever has none in this namespace of users (`user_namespaces(7)`); `None`
/// where all have one.
fn anybody() -> Option<u32> {
    let map = fs::read("/proc/self/uid_map").unwrap_or_default();
    if maps_every_id(&map) {
        return None;
    }
    let id = fs::read("/proc/sys/kernel/overflowuid").unwrap_or_default();
    Some(number(&id).unwrap_or(OVERFLOW))
}

fn look_up(
    ids: HashSet<u32>,
    patience: &Deadline,
    mut found: impl FnMut(u32, Option<Arc<str>>),
) -> Result<(), Error> {
    // In order: where one of them is not answered, those before it always are.
    let ids: BTreeSet<u32> = ids.into_iter().collect();
    let work = DATABASE.start(patience, move |answers| {
        for id in ids {
            let name = User::from_uid(Uid::from_raw(id)).ok().flatten();
            let name = name.map(|user| Arc::from(printable(user.name.as_bytes())));
            if answers.send((id, name)).is_err() {
                break;
            }
        }
    })?;
    while let Some((id, name)) = work.next(patience)? {
        found(id, name);
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
