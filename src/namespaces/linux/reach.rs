//! Chooses a way into a network namespace, and reads the namespace by that way.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;

use crate::error::Error;
use crate::linux::look::Seen;
use crate::namespaces::linux::identity::{Identity, Namespace};

/// The result of trying to read a namespace.
#[derive(Debug)]
pub enum Reached {
    /// The namespace was read: from inside, or through one of its processes.
    Read { inside: bool },
    /// The namespace was read before.
    Again,
    /// The namespace no longer exists.
    Gone,
    /// No process that is in the namespace was found again. It may still exist: a process may have
    /// started another one and ended, again and again.
    Lost,
    /// The namespace exists, but may neither be entered nor be read through a process.
    Denied(Error),
}

/// The operations by which [`reach`] enters or reads a namespace. A `task` is the directory of a
/// process or thread in `/proc`.
pub trait Access {
    /// Moves this thread into the namespace that the file `link` stands for. Returns `Gone` if
    /// `identity` has an inode number and the file has a different inode number.
    fn enter(&mut self, link: &Path, identity: &Identity) -> Result<Seen<()>, Error>;

    /// Moves this thread into the namespace of an open file.
    fn enter_held(&mut self, file: &OwnedFd) -> Result<Seen<()>, Error>;

    /// Whether the namespace is mounted now, also where the mount point is covered.
    fn is_mounted(&mut self, identity: &Identity) -> Result<bool, Error>;

    /// The inode number of a process's `net/tcp`; `None` where the process is not in the namespace
    /// of `identity`.
    fn table(&mut self, task: &str, identity: &Identity) -> Result<Option<u64>, Error>;

    /// Searches all processes for a process in the namespace. Skips the processes in `tried`.
    fn search(
        &mut self,
        namespace: &Namespace,
        tried: &HashSet<String>,
    ) -> Result<Option<String>, Error>;

    /// Reads the namespace that this thread was moved into.
    fn read_inside(&mut self) -> Result<Reached, Error>;

    /// Reads a namespace through a process whose `net/tcp` has the inode number `table`; `None`
    /// where the process has ended, or has moved to another namespace.
    fn read_through(
        &mut self,
        task: &str,
        table: u64,
        identity: &Identity,
    ) -> Result<Option<Reached>, Error>;
}

/// Tries the ways into a namespace, and reads the namespace by the first way that works: mounts,
/// then known processes, then processes that a search finds. This thread enters a namespace through
/// a mount or through the `ns/net` of a process. With `processes`, a process whose `ns/net` cannot
/// be entered is read through its `net` directory.
pub fn reach(
    namespace: &Namespace,
    processes: bool,
    access: &mut dyn Access,
) -> Result<Reached, Error> {
    let identity = &namespace.identity;
    let mut denied = None;
    if let Some(held) = &namespace.held {
        match access.enter_held(held)? {
            Seen::There(()) => return access.read_inside(),
            Seen::Gone(_) => {}
            Seen::Hidden(error) => denied = Some(error),
        }
    }
    for mount in namespace.mounts_by_name() {
        match access.enter(mount, identity)? {
            Seen::There(()) => return access.read_inside(),
            Seen::Gone(_) => {}
            Seen::Hidden(error) => denied = Some(error),
        }
    }
    if namespace.searched && namespace.tasks.is_empty() {
        // The discovery has already read all processes. A search would read them again for every
        // such namespace.
        if let Some(error) = denied {
            return Ok(Reached::Denied(why_denied(namespace, error)));
        }
        if access.is_mounted(identity)? {
            return Ok(Reached::Denied(covered(namespace)));
        }
    }
    let mut tried = HashSet::new();
    let mut known = namespace.tasks_by_readability().map(str::to_owned);
    while let Some(task) = match known.next() {
        Some(task) => Some(task),
        None => access.search(namespace, &tried)?,
    } {
        let entered = access.enter(&Path::new(&task).join("ns/net"), identity)?;
        if let Seen::There(()) = entered {
            return access.read_inside();
        }
        match (access.table(&task, identity)?, entered) {
            (Some(table), _) if processes => {
                if let Some(reached) = access.read_through(&task, table, identity)? {
                    return Ok(reached);
                }
            }
            (Some(_), Seen::Hidden(error)) => denied = Some(error),
            (Some(_) | None, _) => {}
        }
        tried.insert(task);
    }
    if let Some(error) = denied {
        Ok(Reached::Denied(why_denied(namespace, error)))
    } else if access.is_mounted(identity)? {
        Ok(Reached::Denied(covered(namespace)))
    } else if namespace.tasks.is_empty() {
        Ok(Reached::Gone)
    } else {
        Ok(Reached::Lost)
    }
}

/// The error for a namespace whose mount points are covered by other mounts.
fn covered(namespace: &Namespace) -> Error {
    let mount = namespace.mounts_by_name().next().map(|path| path.display().to_string());
    let mount = mount.unwrap_or_default();
    Error::Unsupported(format!(
        "Network namespace {mount} cannot be entered: another mount covers its mount point"
    ))
}

/// The error for a namespace that may neither be entered nor be read through a process.
fn why_denied(namespace: &Namespace, error: Errno) -> Error {
    let mount = namespace.mounts_by_name().next().map(|path| path.display().to_string());
    let task = namespace.tasks_by_readability().next().map(str::to_owned);
    let name = namespace.asked.clone().or(mount).or(task).unwrap_or_default();
    Error::system(
        format!(
            "Network namespace {name} can be entered with CAP_SYS_ADMIN only, and no process is \
             known that shows it"
        ),
        error,
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::namespaces::linux::identity::Task;

    /// A fake kernel: a link can be entered, is denied or is gone, and a process may have a table.
    #[derive(Default)]
    struct Fake {
        links: HashMap<&'static str, Seen<()>>,
        tables: HashMap<&'static str, u64>,
        // Processes that only a search finds.
        hidden: Vec<&'static str>,
        // Processes that end while they are read.
        ending: Vec<&'static str>,
        // Whether the namespace is mounted, covered or not.
        mounted: bool,
        steps: Vec<String>,
    }

    impl Access for Fake {
        fn enter_held(&mut self, _: &OwnedFd) -> Result<Seen<()>, Error> {
            self.steps.push("enter held".to_owned());
            Ok(Seen::There(()))
        }

        fn is_mounted(&mut self, _: &Identity) -> Result<bool, Error> {
            Ok(self.mounted)
        }

        fn enter(&mut self, link: &Path, _: &Identity) -> Result<Seen<()>, Error> {
            let link = link.to_string_lossy().into_owned();
            self.steps.push(format!("enter {link}"));
            Ok(match self.links.get(&*link) {
                Some(Seen::There(())) => Seen::There(()),
                Some(Seen::Hidden(error)) => Seen::Hidden(*error),
                Some(Seen::Gone(_)) | None => Seen::Gone(Errno::NOENT),
            })
        }

        fn table(&mut self, task: &str, _: &Identity) -> Result<Option<u64>, Error> {
            Ok(self.tables.get(task).copied())
        }

        fn search(
            &mut self,
            _: &Namespace,
            tried: &HashSet<String>,
        ) -> Result<Option<String>, Error> {
            self.steps.push("search".to_owned());
            let found = self.hidden.iter().find(|task| !tried.contains(**task));
            Ok(found.map(|task| (*task).to_owned()))
        }

        fn read_inside(&mut self) -> Result<Reached, Error> {
            Ok(Reached::Read { inside: true })
        }

        fn read_through(
            &mut self,
            task: &str,
            table: u64,
            _: &Identity,
        ) -> Result<Option<Reached>, Error> {
            self.steps.push(format!("read {task} {table}"));
            let ends = self.ending.contains(&task);
            Ok((!ends).then_some(Reached::Read { inside: false }))
        }
    }

    fn namespace(mounts: &[&str], tasks: &[(&str, bool)]) -> Namespace {
        let task = |(directory, readable): &(&str, bool)| Task {
            directory: (*directory).to_owned(),
            readable: *readable,
        };
        Namespace {
            mounts: mounts.iter().map(Into::into).collect(),
            tasks: tasks.iter().map(task).collect(),
            ..Namespace::default()
        }
    }

    const DENIED: Seen<()> = Seen::Hidden(Errno::PERM);

    fn reached(namespace: &Namespace, processes: bool, fake: &mut Fake) -> String {
        match reach(namespace, processes, fake) {
            Ok(Reached::Denied(error)) => format!("denied: {error}"),
            reached => format!("{reached:?}"),
        }
    }

    #[test]
    fn the_first_way_that_leads_inside_is_taken() {
        let namespace =
            namespace(&["/mnt/a", "/run/netns/a"], &[("/proc/7", false), ("/proc/8", true)]);
        let links = |links: &[&'static str]| {
            let links = links.iter().map(|link| (*link, Seen::There(()))).collect();
            Fake { links, ..Fake::default() }
        };
        for (open, steps) in [
            (&["/mnt/a", "/run/netns/a"][..], &["enter /run/netns/a"][..]),
            (&["/mnt/a"], &["enter /run/netns/a", "enter /mnt/a"]),
            (
                &["/proc/7/ns/net", "/proc/8/ns/net"],
                &["enter /run/netns/a", "enter /mnt/a", "enter /proc/8/ns/net"],
            ),
        ] {
            let mut fake = links(open);
            assert_eq!(reached(&namespace, true, &mut fake), "Ok(Read { inside: true })");
            assert_eq!(fake.steps, steps);
        }
    }

    #[test]
    fn a_namespace_that_may_not_be_entered_is_read_through_a_process() {
        let namespace = namespace(&[], &[("/proc/7", false), ("/proc/8", false)]);
        let fake = |ending: &[&'static str]| Fake {
            links: ["/proc/7/ns/net", "/proc/8/ns/net"].map(|link| (link, DENIED)).into(),
            tables: [("/proc/7", 5), ("/proc/8", 5), ("/proc/9", 5)].into(),
            hidden: vec!["/proc/9"],
            ending: ending.to_vec(),
            ..Fake::default()
        };
        let read = |ending: &[&'static str], processes| {
            let mut fake = fake(ending);
            let reached = reached(&namespace, processes, &mut fake);
            fake.steps.retain(|step| step.starts_with("read"));
            (reached, fake.steps)
        };
        let through = "Ok(Read { inside: false })".to_owned();
        assert_eq!(read(&[], true), (through.clone(), vec!["read /proc/7 5".to_owned()]));
        let ended = read(&["/proc/7", "/proc/8"], true);
        assert_eq!(ended.0, through);
        assert_eq!(ended.1.last().map(String::as_str), Some("read /proc/9 5"));
        // Without `processes`, the namespace must be entered. Every source except procfs needs
        // this.
        let (denied, steps) = read(&[], false);
        assert!(denied.starts_with("denied: Network namespace /proc/7 can be entered"), "{denied}");
        assert_eq!(steps, [""; 0]);
    }

    #[test]
    fn a_namespace_without_ways_is_gone_and_a_closed_mount_is_denied() {
        let mut nothing = Fake::default();
        assert_eq!(reached(&namespace(&["/run/netns/a"], &[]), true, &mut nothing), "Ok(Gone)");
        assert_eq!(nothing.steps, ["enter /run/netns/a", "search"]);
        let mut closed = Fake { links: [("/run/netns/a", DENIED)].into(), ..Fake::default() };
        let searched = Namespace { searched: true, ..namespace(&["/run/netns/a"], &[]) };
        let denied = reached(&searched, true, &mut closed);
        assert!(denied.starts_with("denied: Network namespace /run/netns/a"), "{denied}");
        // No search: all processes were read during discovery.
        assert_eq!(closed.steps, ["enter /run/netns/a"]);
    }

    #[test]
    fn a_held_file_leads_inside_before_any_other_way() {
        let file = std::fs::File::open("/proc/self/comm").unwrap_or_else(|e| panic!("{e}"));
        let held = Some(std::sync::Arc::new(file.into()));
        let namespace = Namespace { held, ..namespace(&["/run/netns/a"], &[("/proc/7", true)]) };
        let mut fake = Fake::default();
        assert_eq!(reached(&namespace, true, &mut fake), "Ok(Read { inside: true })");
        assert_eq!(fake.steps, ["enter held"]);
    }

    #[test]
    fn a_covered_mount_is_denied_unless_another_way_leads_inside() {
        let covered = || Fake { mounted: true, ..Fake::default() };
        let searched = Namespace { searched: true, ..namespace(&["/run/netns/a"], &[]) };
        let denied = reached(&searched, true, &mut covered());
        assert!(denied.ends_with("another mount covers its mount point"), "{denied}");
        let elsewhere = namespace(&["/run/netns/a", "/mnt/a"], &[]);
        let mut open = Fake { links: [("/mnt/a", Seen::There(()))].into(), ..covered() };
        assert_eq!(reached(&elsewhere, true, &mut open), "Ok(Read { inside: true })");
        let of_process = namespace(&["/run/netns/a"], &[("/proc/7", false)]);
        let denied = reached(&of_process, true, &mut covered());
        assert!(denied.starts_with("denied"), "{denied}");
    }

    #[test]
    fn a_namespace_whose_processes_are_not_found_again_is_lost() {
        let of_process = namespace(&[], &[("/proc/7", true)]);
        let mut fake = Fake::default();
        assert_eq!(reached(&of_process, true, &mut fake), "Ok(Lost)");
        assert_eq!(fake.steps, ["enter /proc/7/ns/net", "search"]);
    }
}
