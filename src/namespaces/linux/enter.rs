//! Moving this thread into a namespace, and reading it there or through a process.

use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::{Seen, look};
use crate::namespaces::linux::discover::{another_task, mounted};
use crate::namespaces::linux::identity::{Identity, Namespace, THREAD, inode, tcp};
use crate::namespaces::linux::nsfs::{file, no_network};
use crate::namespaces::linux::reach::{Access, Reached};
use crate::namespaces::view::View;

/// How often the processes are searched for one in a namespace that had some: it may have only one
/// at a time, which starts another and ends.
const SEARCHES: usize = 20;

/// The most further searches of a whole run: others may make namespaces come and go.
pub const MOST_SEARCHES: usize = 500;

/// The kernel's namespaces, as this thread may reach them.
pub struct Kernel<'a> {
    /// The time that is left.
    pub deadline: &'a Deadline<'a>,
    /// The further searches that are left.
    pub searches: &'a mut usize,
    /// The inode numbers of `net/tcp` of the namespaces that were read.
    pub read: &'a mut HashSet<u64>,
    /// The function that is called in each namespace, or for a process in it.
    pub visit: &'a mut dyn FnMut(&View, &Deadline) -> Result<(), Error>,
}

impl Access for Kernel<'_> {
    fn enter(&mut self, link: &Path, identity: &Identity) -> Result<Seen<()>, Error> {
        enter(link, identity, self.deadline)
    }

    fn enter_held(&mut self, file: &OwnedFd) -> Result<Seen<()>, Error> {
        set_namespace(file, "a network namespace", self.deadline)
    }

    fn is_mounted(&mut self, identity: &Identity) -> Result<bool, Error> {
        let is_it = |mounted: &Namespace| mounted.identity.inode == identity.inode;
        Ok(identity.inode.is_some() && mounted(self.deadline)?.iter().any(is_it))
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
    ) -> Result<Option<String>, Error> {
        for _ in 0..SEARCHES {
            let found = another_task(namespace, tried, self.deadline)?;
            if found.is_some() || namespace.tasks.is_empty() || *self.searches == 0 {
                return Ok(found);
            }
            *self.searches -= 1;
        }
        Ok(None)
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
fn enter(link: &Path, identity: &Identity, deadline: &Deadline) -> Result<Seen<()>, Error> {
    let shown = link.display().to_string();
    let file = match file(link, deadline)?.ok_or_status() {
        Ok(file) => file,
        Err(seen) => return Ok(seen),
    };
    let inode = fstat(&file).map_err(|error| Error::system(&*shown, error))?.st_ino;
    if identity.inode.is_some_and(|known| known != inode) {
        return Ok(Seen::Gone(Errno::NOENT));
    }
    // `setns(2)` refuses a file that was opened as a path only (`O_PATH`).
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = look(&shown, deadline, || open(&*path, flags, Mode::empty()))?;
    let file = match opened.ok_or_status() {
        Ok(file) => file,
        Err(seen) => return Ok(seen),
    };
    set_namespace(&file, &shown, deadline)
}

/// Moves this thread into the namespace of an open file, which errors call `shown`.
fn set_namespace(file: &OwnedFd, shown: &str, deadline: &Deadline) -> Result<Seen<()>, Error> {
    // `EINVAL` means a namespace of another kind, whatever rights the caller has.
    let entered = look(shown, deadline, || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
    });
    match entered {
        Err(Error::System { error, .. })
            if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) =>
        {
            Err(no_network(shown))
        }
        entered => entered,
    }
}
