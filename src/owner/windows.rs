//! Windows: the processes that sockets belong to, by the ids that the system keeps with sockets.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use winsafe::{HPROCESSLIST, SysResult, co};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::owner::holders::Holders;
use crate::owner::process::Process;
use crate::printable::printable;
use crate::windows::said;
use crate::worker::Worker;

/// Who has the sockets of these processes, and whether there is somebody we cannot see: nobody, for
/// every user is shown every process and its name.
pub fn processes(ids: Vec<u64>, _: &[u32], deadline: &Deadline) -> Result<(Holders, bool), Error> {
    let mut holders = Holders::new(ids);
    for (pid, name) in running(deadline)? {
        if let Some(place) = holders.place(pid.into(), 0) {
            holders.add(&Process { pid, name: Arc::from(printable(name.as_bytes())) }, vec![place]);
        }
    }
    Ok((holders, false))
}

/// The ids and names of all processes. They come by calls that nothing interrupts.
fn running(deadline: &Deadline) -> Result<Vec<(u32, String)>, Error> {
    static SNAPSHOTS: Worker = Worker::new();
    let running = SNAPSHOTS.ask(deadline, snapshot)?;
    running.map_err(|error| Error::system("the list of processes", said(error)))
}

/// `CreateToolhelp32Snapshot` in `tlhelp32.h`.
fn snapshot() -> SysResult<Vec<(u32, String)>> {
    let mut list = HPROCESSLIST::CreateToolhelp32Snapshot(co::TH32CS::SNAPPROCESS, None)?;
    list.iter_processes()
        .map(|process| process.map(|process| (process.th32ProcessID, process.szExeFile())))
        .collect()
}

// The rest has the signatures of `owner/linux.rs`.

/// No source of Windows reports the users of sockets.
#[allow(clippy::type_complexity, clippy::unnecessary_wraps)]
pub fn users(
    _: HashSet<u32>,
    _: &Deadline,
) -> Result<(HashMap<u32, Arc<str>>, HashSet<u32>), Error> {
    Ok((HashMap::new(), HashSet::new()))
}

/// Cgroups are Linux's.
#[allow(clippy::unnecessary_wraps)]
pub fn units(_: HashSet<u64>, _: &Deadline) -> Result<HashMap<u64, Arc<str>>, Error> {
    Ok(HashMap::new())
}

/// The members of cgroups.
#[allow(clippy::unnecessary_wraps)]
pub fn members(_: HashSet<u64>, _: &Deadline) -> Result<Vec<u32>, Error> {
    Ok(Vec::new())
}

/// The id of a user name: Windows has other ids, and no source reports them.
#[allow(clippy::unnecessary_wraps)]
pub fn user_id(_: &str, _: &Deadline) -> Result<Option<u32>, Error> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_process_has_the_name_of_its_file_and_one_that_is_gone_has_none() {
        // Ids are multiples of four.
        const NOBODY: u32 = u32::MAX;
        let deadline = Deadline::new(Duration::from_secs(20), &|| false);
        let own = std::process::id();
        let (holders, hidden) = processes(vec![own.into(), NOBODY.into()], &[], &deadline)
            .unwrap_or_else(|e| panic!("{e}"));
        let file = env::current_exe().unwrap_or_else(|e| panic!("{e}"));
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let found = holders.processes(own.into());
        let found: Vec<_> = found.iter().map(|process| (process.pid, &*process.name)).collect();
        assert_eq!(found, [(own, name.as_deref().unwrap_or_default())]);
        assert!(holders.covers(NOBODY.into()) && holders.processes(NOBODY.into()).is_empty());
        assert!(!hidden);
    }

    #[test]
    fn who_has_no_time_gets_no_names() {
        let deadline = Deadline::new(Duration::from_nanos(1), &|| false);
        let done = processes(vec![4], &[], &deadline);
        assert!(matches!(done, Err(Error::Timeout(_))), "{done:?}");
    }
}
