//! The names of user ids, from the system's user database.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use log::warn;
use nix::unistd::{Uid, User};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::proc_text::{maps_every_id, maps_id, number};
use crate::os_error;
use crate::owner::found::{UserId, id_in};
use crate::printable::printable;
use crate::worker::Workers;

/// The longest wait for an answer of the user database, however much time is left: it may ask a
/// directory server that is down.
const LONGEST: Duration = Duration::from_secs(10);

/// The number of threads that ask the database at the same time.
const THREADS: usize = 8;

/// The kernel's default for the id that stands for every unmapped user (`DEFAULT_OVERFLOWUID` in
/// `linux/highuid.h`).
const OVERFLOW: u32 = 65534;

/// Names by id, and the ids whose user cannot be determined.
pub type Users = (HashMap<u32, Arc<str>>, HashSet<u32>);

/// The same threads for all calls: a database that does not answer blocks no more than these.
static DATABASE: Workers<THREADS> = Workers::new();

/// The names of these ids, as far as the database has them and answers in time, and the ids whose
/// user cannot be determined.
pub fn names(ids: HashSet<u32>, deadline: &Deadline) -> Result<Users, Error> {
    let left = deadline.remaining()?;
    let mut unknown = ids.clone();
    let mut names = HashMap::new();
    // Sorted, so that every run asks in the same order.
    let ids: BTreeSet<u32> = ids.into_iter().collect();
    let patience = (left / 4).min(LONGEST);
    let looked_up = DATABASE.each(
        ids,
        |id| (id, name(id)),
        patience,
        &deadline.sooner(left / 2),
        |answer| {
            let (id, name) = answer;
            unknown.remove(&id);
            names.extend(name.map(|name| (id, name)));
        },
    );
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
    unknown.extend(overflow_id());
    Ok((names, unknown))
}

/// The id that stands for every user that is not mapped into this user namespace
/// (`user_namespaces(7)`); `None` where every user is mapped.
fn overflow_id() -> Option<u32> {
    if maps_every_id(&uid_map()) {
        return None;
    }
    let id = fs::read("/proc/sys/kernel/overflowuid").unwrap_or_default();
    Some(number(&id).unwrap_or(OVERFLOW))
}

/// The name of an id, where the database has one.
fn name(id: u32) -> Option<Arc<str>> {
    let user = User::from_uid(Uid::from_raw(id)).ok().flatten();
    user.map(|user| Arc::from(printable(user.name.as_bytes())))
}

/// The user of a name or an id; `None` where there is no user of this name.
pub fn id(text: &str, deadline: &Deadline) -> Result<Option<UserId>, Error> {
    let id = match id_in(text) {
        Some(id) => Some(id),
        None => id_of_name(text, deadline)?,
    };
    Ok(id.map(|id| UserId { id, is_told: is_told(id) }))
}

/// Whether the sockets of this user, and no others, are shown with this id.
fn is_told(id: u32) -> bool {
    overflow_id().is_none_or(|overflow| id != overflow && maps_id(&uid_map(), id))
}

fn uid_map() -> Vec<u8> {
    fs::read("/proc/self/uid_map").unwrap_or_default()
}

fn id_of_name(name: &str, deadline: &Deadline) -> Result<Option<u32>, Error> {
    let patience = (deadline.remaining()? / 2).min(LONGEST);
    let ask = |name: String| User::from_name(&name).ok().flatten().map(|user| user.uid.as_raw());
    let mut id = None;
    let answered = DATABASE.each([name.to_owned()], ask, patience, deadline, |answer| id = answer);
    answered.map_err(|error| match error {
        Error::Timeout(_) => Error::Argument(format!(
            "the user database does not answer for {name:?} (valid: the user's id)"
        )),
        Error::System { call, error, .. } => os_error::of_call(
            format!(
                "the user database cannot be asked for {name:?} (valid: the user's id): {call}"
            ),
            error,
        ),
        error => error,
    })?;
    Ok(id)
}
