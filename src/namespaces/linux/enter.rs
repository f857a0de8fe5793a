//! Moving this thread into a namespace, and reading it there or through a process.

use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::{Seen, look};
use crate::linux::rights::{Right, missing};
use crate::namespaces::linux::discover::{Scan, mounted, scan};
use crate::namespaces::linux::identity::{Identity, Namespace, THREAD, Task, inode, tcp};
use crate::namespaces::linux::nsfs::{file, no_network, to_open};
use crate::namespaces::linux::reach::{Access, Denial, Entered, Reached, Searched};
use crate::namespaces::view::View;
use crate::os_error;
use crate::printable::printable;

/// The most further looks at all processes for one namespace: it may have only one process at a
/// time, which starts another and ends.
const SCANS: usize = 20;

/// The most further looks of a whole run: others may make namespaces come and go.
const MOST_SCANS: usize = 200;

/// The most namespaces whose files a further look holds open.
const HELD: usize = 16;

/// Further looks at all processes. One look serves all namespaces that were not found again.
#[derive(Default)]
pub struct Search {
    latest: Scan,
    taken: usize,
}

/// The kernel's namespaces, as this thread may reach them.
pub struct Kernel<'a> {
    /// The time that is left.
    pub deadline: &'a Deadline<'a>,
    /// The further looks at all processes so far.
    pub search: &'a mut Search,
    /// The inode numbers of `net/tcp` of the namespaces that were read.
    pub read: &'a mut HashSet<u64>,
    /// The function that is called in each namespace, or for a process in it.
    pub visit: &'a mut dyn FnMut(&View, &Deadline) -> Result<(), Error>,
}

impl Access for Kernel<'_> {
    fn enter(&mut self, link: &Path, identity: &Identity) -> Result<Entered, Error> {
        enter(link, identity, self.deadline)
    }

    fn enter_held(&mut self, file: &OwnedFd) -> Result<Entered, Error> {
        set_namespace(file, "a network namespace", self.deadline)
    }

    fn mounted(&mut self, identity: &Identity) -> Result<Option<Namespace>, Error> {
        if identity.inode.is_none() {
            return Ok(None);
        }
        let mut mounted = mounted(self.deadline)?.into_iter();
        Ok(mounted.find(|mounted| mounted.identity.inode == identity.inode))
    }

    fn table(&mut self, task: &str, identity: &Identity) -> Result<Option<u64>, Error> {
        let shown = tcp(task, self.deadline)?.found();
        Ok(match (identity.tcp, identity.inode) {
            (Some(known), _) => shown.filter(|shown| *shown == known),
            (None, Some(known)) if inode(task, self.deadline)? == Some(known) => shown,
            (None, _) => None,
        })
    }

    fn search(
        &mut self,
        namespace: &Namespace,
        tried: &HashSet<String>,
    ) -> Result<Searched, Error> {
        let Search { latest, taken } = &mut *self.search;
        for _ in 0..SCANS {
            if let Some(found) = latest.find(namespace) {
                // A file that is held is tried once.
                let again = Namespace { held: found.held.take(), ..found.clone() };
                let is_new = |task: &Task| !tried.contains(&task.directory);
                if again.held.is_some() || again.tasks.iter().any(is_new) {
                    return Ok(Searched::Found(again));
                }
            } else if latest.complete {
                return Ok(Searched::Empty);
            }
            if *taken == MOST_SCANS {
                break;
            }
            *taken += 1;
            *latest = scan(HELD, self.deadline)?;
        }
        Ok(Searched::Unclear)
    }

    fn read_inside(&mut self) -> Result<Reached, Error> {
        let table = tcp(THREAD, self.deadline)?.found();
        if table.is_some_and(|table| !self.read.insert(table)) {
            return Ok(Reached::Again);
        }
        (self.visit)(&View::Inside, self.deadline)?;
        Ok(Reached::Read { inside: true })
    }

    fn read_through(
        &mut self,
        task: &str,
        table: u64,
        identity: &Identity,
    ) -> Result<Option<Reached>, Error> {
        if self.read.contains(&table) {
            return Ok(Some(Reached::Again));
        }
        let view = View::Process { directory: task.to_owned(), tcp: table };
        match (self.visit)(&view, self.deadline) {
            Ok(()) => {
                self.read.insert(table);
                Ok(Some(Reached::Read { inside: false }))
            }
            Err(error) if error.is_final() => Err(error),
            // The process has ended meanwhile, or moved.
            Err(error)
                if error.is_of_another_namespace()
                    || self.table(task, identity)? != Some(table) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Moves this thread into the namespace that a file stands for, if `identity` is its identity.
fn enter(link: &Path, identity: &Identity, deadline: &Deadline) -> Result<Entered, Error> {
    let shown = printable(link.as_os_str().as_bytes());
    let file = match file(link, deadline)? {
        Seen::There(file) => file,
        Seen::Gone(_) => return Ok(Entered::Gone),
        Seen::Hidden(error) => return denied(Some(link), error, deadline),
    };
    let inode = fstat(&file).map_err(|error| os_error::of_file(&shown, error))?.st_ino;
    if identity.inode.is_some_and(|known| known != inode) {
        return Ok(Entered::Gone);
    }
    // `setns(2)` refuses a file that was opened as a path only (`O_PATH`).
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    match look(&shown, deadline, || open(&*path, flags, Mode::empty()))? {
        Seen::There(file) => set_namespace(&file, &shown, deadline),
        Seen::Gone(_) => Ok(Entered::Gone),
        Seen::Hidden(error) => denied(Some(link), error, deadline),
    }
}

/// Moves this thread into the namespace of an open file, which errors call `shown`.
fn set_namespace(file: &OwnedFd, shown: &str, deadline: &Deadline) -> Result<Entered, Error> {
    // `EINVAL` means a namespace of another kind, whatever rights the caller has.
    let entered = look(shown, deadline, || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
    });
    match entered {
        Ok(Seen::There(())) => Ok(Entered::Inside),
        Ok(Seen::Gone(_)) => Ok(Entered::Gone),
        Ok(Seen::Hidden(error)) => denied(None, error, deadline),
        Err(Error::System { error, .. })
            if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) =>
        {
            Err(no_network(shown))
        }
        Err(error) => Err(error),
    }
}

/// The denial of a way whose file may not be opened, or whose namespace may not be entered.
fn denied(closed: Option<&Path>, error: Errno, deadline: &Deadline) -> Result<Entered, Error> {
    let mut rights = vec![Right::Admin];
    if let Some(link) = closed {
        rights.push(to_open(link, deadline)?);
    }
    Ok(Entered::Denied(Denial { missing: missing(&rights, deadline)?, error }))
}
