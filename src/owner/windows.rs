//! Windows: the processes that sockets belong to, by the ids that the system keeps with sockets.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use winsafe::{HPROCESSLIST, SysResult, co};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::os_error;
use crate::owner::found::{Units, UserId, id_in};
use crate::owner::holders::Holders;
use crate::owner::process::Process;
use crate::owner::unseen::Unseen;
use crate::printable::printable;
use crate::windows::said;
use crate::worker::Worker;

/// The processes with these ids, and the label of processes that cannot be seen: always `None`,
/// because Windows shows every process and its name to every user.
pub fn processes(
    ids: Vec<u64>,
    _: &[u32],
    deadline: &Deadline,
) -> Result<(Holders, Option<&'static str>), Error> {
    let mut holders = Holders::new(ids);
    for (pid, name) in running(deadline)? {
        if let Some(place) = holders.place(pid.into(), 0) {
            holders.add(&Process::new(pid, printable(name.as_bytes())), vec![place]);
        }
    }
    Ok((holders, None))
}

/// The ids and names of all processes, read by a worker: the calls cannot be interrupted.
fn running(deadline: &Deadline) -> Result<Vec<(u32, String)>, Error> {
    static SNAPSHOTS: Worker = Worker::new();
    let running = SNAPSHOTS.ask(deadline, snapshot)?;
    running.map_err(|error| os_error::of_call("the list of processes", said(error)))
}

/// `CreateToolhelp32Snapshot` in `tlhelp32.h`.
fn snapshot() -> SysResult<Vec<(u32, String)>> {
    let mut list = HPROCESSLIST::CreateToolhelp32Snapshot(co::TH32CS::SNAPPROCESS, None)?;
    list.iter_processes()
        .map(|process| process.map(|process| (process.th32ProcessID, process.szExeFile())))
        .collect()
}

// The following functions have the signatures of `owner/linux.rs`.

/// The process of each socket: the key is its id, and sockets have no descriptors.
#[allow(clippy::unnecessary_wraps)]
pub fn descriptors(ids: &[u64], _: &Deadline) -> Result<Vec<Option<(u32, i32)>>, Error> {
    let of = |id: &u64| u32::try_from(*id).ok().filter(|id| *id != 0).map(|id| (id, -1));
    Ok(ids.iter().map(of).collect())
}

/// The names of no process: the measure that needs them does not exist on Windows.
#[allow(clippy::unnecessary_wraps)]
pub fn by_id(_: &[(u32, Option<u32>)], _: &Deadline) -> Result<(Holders, u64), Error> {
    Ok((Holders::default(), 0))
}

/// No source of Windows reports the users of sockets.
#[allow(clippy::type_complexity, clippy::unnecessary_wraps)]
pub fn users(
    _: HashSet<u32>,
    _: &Deadline,
) -> Result<(HashMap<u32, Arc<str>>, HashSet<u32>), Error> {
    Ok((HashMap::new(), HashSet::new()))
}

/// Windows shows every process to every user.
#[allow(clippy::unnecessary_wraps)]
pub fn needed(_: Unseen, _: &Deadline) -> Result<Option<String>, Error> {
    Ok(None)
}

/// Windows has no cgroups.
#[allow(clippy::unnecessary_wraps)]
pub fn units(_: HashSet<u64>, _: &Deadline) -> Result<Units, Error> {
    Ok(Units::default())
}

/// Windows has no units.
#[allow(clippy::unnecessary_wraps)]
pub fn unit_of_process(_: u32, _: &Deadline) -> Result<Option<String>, Error> {
    Ok(None)
}

/// The members of cgroups: Windows has no cgroups.
#[allow(clippy::unnecessary_wraps)]
pub fn members(_: HashSet<u64>, _: &Deadline) -> Result<Vec<u32>, Error> {
    Ok(Vec::new())
}

/// The user of an id; names have no such ids on Windows, and no source reports users.
#[allow(clippy::unnecessary_wraps)]
pub fn user_id(text: &str, _: &Deadline) -> Result<Option<UserId>, Error> {
    Ok(id_in(text).map(|id| UserId { id, is_told: true }))
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_process_has_the_name_of_its_file_and_an_unknown_id_has_none() {
        // Process ids are multiples of four.
        const NONE: u32 = u32::MAX;
        let deadline = Deadline::new(Duration::from_secs(20), &|| false);
        let own = std::process::id();
        let (holders, hidden) = processes(vec![own.into(), NONE.into()], &[], &deadline)
            .unwrap_or_else(|e| panic!("{e}"));
        let file = env::current_exe().unwrap_or_else(|e| panic!("{e}"));
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let found = holders.processes(own.into());
        let found: Vec<_> = found.iter().map(|process| (process.pid, &*process.name)).collect();
        assert_eq!(found, [(own, name.as_deref().unwrap_or_default())]);
        assert!(holders.covers(NONE.into()) && holders.processes(NONE.into()).is_empty());
        assert_eq!(hidden, None);
    }

    #[test]
    fn without_time_there_are_no_names() {
        let deadline = Deadline::new(Duration::from_nanos(1), &|| false);
        let done = processes(vec![4], &[], &deadline);
        assert!(matches!(done, Err(Error::Timeout(_))), "{done:?}");
    }
}
