//! Chooses a way into a network namespace, and reads the namespace by that way.

use std::collections::{BTreeSet, HashSet};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;

use crate::error::Error;
use crate::linux::rights::{Right, needed};
use crate::namespaces::linux::identity::{Identity, Namespace};
use crate::os_error;
use crate::printable::{bounded, printable};

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
    Denied(Denial),
    /// The namespace exists, but other mounts cover its mount points.
    Covered,
}

/// A way into a namespace that is closed.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The rights that would open it.
    pub missing: BTreeSet<Right>,
    /// The system's error.
    pub error: Errno,
}

/// The result of trying to enter a namespace.
#[derive(Debug)]
pub enum Entered {
    /// This thread is in the namespace.
    Inside,
    /// The way leads there no longer.
    Gone,
    /// The way is closed.
    Denied(Denial),
}

/// The result of searching for a process in a namespace.
#[derive(Debug)]
pub enum Searched {
    /// The namespace, with processes that are in it now.
    Found(Namespace),
    /// No process is in the namespace.
    Empty,
    /// No process was found, but some ended before they could be looked at.
    Unclear,
}

/// The operations by which [`reach`] enters or reads a namespace. A `task` is the directory of a
/// process or thread in `/proc`.
pub trait Access {
    /// Moves this thread into the namespace that the file `link` stands for. Returns `Gone` if
    /// `identity` has an inode number and the file has a different inode number.
    fn enter(&mut self, link: &Path, identity: &Identity) -> Result<Entered, Error>;

    /// Moves this thread into the namespace of an open file.
    fn enter_held(&mut self, file: &OwnedFd) -> Result<Entered, Error>;

    /// The namespace with its present mount points, also where they are covered; `None` where it is
    /// not mounted.
    fn mounted(&mut self, identity: &Identity) -> Result<Option<Namespace>, Error>;

    /// The inode number of a process's `net/tcp`; `None` where the process is not in the namespace
    /// of `identity`.
    fn table(&mut self, task: &str, identity: &Identity) -> Result<Option<u64>, Error>;

    /// Searches all processes for processes in the namespace, other than those in `tried`.
    fn search(&mut self, namespace: &Namespace, tried: &HashSet<String>)
    -> Result<Searched, Error>;

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

/// Tries the ways into a namespace, and reads the namespace by the first way that works: an open
/// file, mounts, then known processes, then processes that a search finds. This thread enters a
/// namespace through a mount or through the `ns/net` of a process. With `processes`, a process whose
/// `ns/net` cannot be entered is read through its `net` directory.
pub fn reach(
    namespace: &Namespace,
    processes: bool,
    access: &mut dyn Access,
) -> Result<Reached, Error> {
    let identity = &namespace.identity;
    let mut ways = Ways {
        identity,
        processes,
        denied: None,
        exists: false,
        shown: false,
        tried: HashSet::new(),
    };
    if let Some(reached) = ways.take(namespace, access)? {
        return Ok(reached);
    }
    // Where the discovery has already read all processes, a search would read them again for every
    // such namespace.
    let known = namespace.searched && namespace.tasks.is_empty();
    if known && let Some(reached) = ways.take_mounts(access)? {
        return Ok(reached);
    }
    let mut unclear = false;
    if !(ways.shown || known && ways.exists) {
        loop {
            match access.search(namespace, &ways.tried)? {
                Searched::Found(found) => {
                    if let Some(reached) = ways.take(&found, access)? {
                        return Ok(reached);
                    }
                }
                Searched::Empty => break,
                Searched::Unclear => {
                    unclear = true;
                    break;
                }
            }
        }
        if let Some(reached) = ways.take_mounts(access)? {
            return Ok(reached);
        }
    }
    Ok(match ways.denied {
        Some(denial) if ways.exists => Reached::Denied(denial),
        None if ways.exists => Reached::Covered,
        _ if unclear => Reached::Lost,
        _ => Reached::Gone,
    })
}

/// The looks at the present mount points of a namespace.
const LOOKS: usize = 3;

/// The ways into one namespace that were tried.
struct Ways<'a> {
    identity: &'a Identity,
    processes: bool,
    denied: Option<Denial>,
    // Whether a mount or process shows that the namespace exists. An open file keeps it alive, so that
    // it shows nothing.
    exists: bool,
    // Whether a process shows it, and other processes would show no more.
    shown: bool,
    tried: HashSet<String>,
}

impl Ways<'_> {
    /// Takes the ways of `namespace`; `None` where none of them works.
    fn take(
        &mut self,
        namespace: &Namespace,
        access: &mut dyn Access,
    ) -> Result<Option<Reached>, Error> {
        if let Some(held) = &namespace.held {
            match access.enter_held(held)? {
                Entered::Inside => return access.read_inside().map(Some),
                Entered::Gone => {}
                Entered::Denied(denial) => self.note(denial),
            }
        }
        for mount in namespace.mounts_by_name() {
            match access.enter(mount, self.identity)? {
                Entered::Inside => return access.read_inside().map(Some),
                Entered::Gone => {}
                Entered::Denied(denial) => {
                    self.exists = true;
                    self.note(denial);
                }
            }
        }
        for task in namespace.tasks_by_readability() {
            if self.tried.contains(task) {
                continue;
            }
            let entered = access.enter(&Path::new(task).join("ns/net"), self.identity)?;
            if let Entered::Inside = entered {
                return access.read_inside().map(Some);
            }
            match (access.table(task, self.identity)?, entered) {
                (Some(table), entered) if self.processes => {
                    let read = access.read_through(task, table, self.identity);
                    if let Some(reached) = read.map_err(|error| outside(error, &entered))? {
                        return Ok(Some(reached));
                    }
                }
                (Some(_), Entered::Denied(denial)) => {
                    (self.exists, self.shown) = (true, true);
                    self.note(denial);
                }
                (Some(_) | None, _) => {}
            }
            self.tried.insert(task.to_owned());
        }
        Ok(None)
    }

    /// Takes the present mount points, unless it is known that the namespace exists. It does where it
    /// is still mounted after that: another mount covers each mount point. Mounts may come and go, and
    /// a new namespace may have the number of an old one, so that several looks are needed.
    fn take_mounts(&mut self, access: &mut dyn Access) -> Result<Option<Reached>, Error> {
        for _ in 0..LOOKS {
            if self.exists {
                return Ok(None);
            }
            let Some(mounted) = access.mounted(self.identity)? else {
                return Ok(None);
            };
            if let Some(reached) = self.take(&mounted, access)? {
                return Ok(Some(reached));
            }
        }
        self.exists = true;
        Ok(None)
    }

    /// Keeps the denial that the fewest rights would end.
    fn note(&mut self, denial: Denial) {
        let fewer = |known: &Denial| denial.missing.len() < known.missing.len();
        if self.denied.as_ref().is_none_or(fewer) {
            self.denied = Some(denial);
        }
    }
}

/// An error of a namespace that is read from outside, with the rights that entering it takes.
fn outside(error: Error, entered: &Entered) -> Error {
    let needed = match entered {
        Entered::Denied(denial) => needed(&denial.missing),
        Entered::Inside | Entered::Gone => None,
    };
    match needed {
        Some(needed) => error.with_remedy(&format!("{needed} to enter the network namespace")),
        None => error,
    }
}

/// The name of a namespace in errors: the user's own words for it, else a way that leads there.
pub fn shown(namespace: &Namespace) -> String {
    let mount = || namespace.mounts_by_name().next().map(Path::as_os_str);
    let mount = || mount().map(|path| printable(path.as_encoded_bytes()));
    let task = || namespace.tasks_by_readability().next().map(str::to_owned);
    let name = namespace.asked.clone().or_else(mount).or_else(task).unwrap_or_default();
    bounded(&name).into_owned()
}

/// The error for a namespace whose mount points are covered by other mounts.
pub fn covered(namespace: &Namespace) -> Error {
    Error::Unsupported(format!(
        "Network namespace {} cannot be entered: another mount covers its mount point",
        shown(namespace)
    ))
}

/// The error for a namespace that may neither be entered nor, with `processes`, be read through a
/// process.
pub fn closed(namespace: &Namespace, processes: bool, denial: &Denial) -> Error {
    let needed = needed(&denial.missing).map(|needed| format!(" ({needed})"));
    let needed = needed.unwrap_or_default();
    let also = if processes { ", and no process is known that shows it" } else { "" };
    let place = format!("Network namespace {} cannot be entered{needed}{also}", shown(namespace));
    os_error::of_call(place, denial.error)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::namespaces::linux::identity::Task;

    /// A fake kernel: a link can be entered, is denied or is gone, and a process may have a table.
    #[derive(Default)]
    struct Fake {
        links: HashMap<&'static str, Option<BTreeSet<Right>>>,
        // The rights that are missing to enter an open file.
        held: BTreeSet<Right>,
        tables: HashMap<&'static str, u64>,
        // Processes that only a search finds.
        hidden: Vec<&'static str>,
        // Processes that end while they are read.
        ending: Vec<&'static str>,
        // Whether the namespace is mounted, covered or not.
        mounted: bool,
        // Whether processes end before a search has looked at them.
        unclear: bool,
        steps: Vec<String>,
    }

    impl Access for Fake {
        fn enter_held(&mut self, _: &OwnedFd) -> Result<Entered, Error> {
            self.steps.push("enter held".to_owned());
            let missing = self.held.clone();
            let denial = Denial { missing, error: Errno::PERM };
            Ok(if denial.missing.is_empty() { Entered::Inside } else { Entered::Denied(denial) })
        }

        fn mounted(&mut self, _: &Identity) -> Result<Option<Namespace>, Error> {
            Ok(self.mounted.then(|| namespace(&["/run/netns/a"], &[])))
        }

        fn enter(&mut self, link: &Path, _: &Identity) -> Result<Entered, Error> {
            let link = link.to_string_lossy().into_owned();
            self.steps.push(format!("enter {link}"));
            Ok(match self.links.get(&*link) {
                Some(None) => Entered::Inside,
                Some(Some(missing)) => {
                    Entered::Denied(Denial { missing: missing.clone(), error: Errno::PERM })
                }
                None => Entered::Gone,
            })
        }

        fn table(&mut self, task: &str, _: &Identity) -> Result<Option<u64>, Error> {
            Ok(self.tables.get(task).copied())
        }

        fn search(&mut self, _: &Namespace, tried: &HashSet<String>) -> Result<Searched, Error> {
            self.steps.push("search".to_owned());
            let found = self.hidden.iter().find(|task| !tried.contains(**task));
            Ok(match found {
                Some(task) => Searched::Found(namespace(&[], &[(task, false)])),
                None if self.unclear => Searched::Unclear,
                None => Searched::Empty,
            })
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

    fn open_file() -> OwnedFd {
        std::fs::File::open("/proc/self/comm").unwrap_or_else(|e| panic!("{e}")).into()
    }

    fn needs(rights: &[Right]) -> BTreeSet<Right> {
        rights.iter().copied().collect()
    }

    fn reached(namespace: &Namespace, processes: bool, fake: &mut Fake) -> String {
        match reach(namespace, processes, fake) {
            Ok(Reached::Denied(denial)) => {
                format!("denied: {}", closed(namespace, processes, &denial))
            }
            reached => format!("{reached:?}"),
        }
    }

    #[test]
    fn the_first_way_that_leads_inside_is_taken() {
        let namespace =
            namespace(&["/mnt/a", "/run/netns/a"], &[("/proc/7", false), ("/proc/8", true)]);
        let links = |links: &[&'static str]| {
            let links = links.iter().map(|link| (*link, None)).collect();
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
            links: ["/proc/7/ns/net", "/proc/8/ns/net"]
                .map(|link| (link, Some(needs(&[Right::Admin]))))
                .into(),
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
        let expected =
            "denied: Network namespace /proc/7 cannot be entered (CAP_SYS_ADMIN is needed): ";
        assert!(denied.starts_with(expected), "{denied}");
        assert_eq!(steps, [""; 0]);
    }

    #[test]
    fn a_namespace_without_ways_is_gone_and_a_closed_mount_is_denied() {
        let mut nothing = Fake::default();
        assert_eq!(reached(&namespace(&["/run/netns/a"], &[]), true, &mut nothing), "Ok(Gone)");
        assert_eq!(nothing.steps, ["enter /run/netns/a", "search"]);
        let mut closed = Fake {
            links: [("/run/netns/a", Some(needs(&[Right::Admin])))].into(),
            ..Fake::default()
        };
        let searched = Namespace { searched: true, ..namespace(&["/run/netns/a"], &[]) };
        let denied = reached(&searched, true, &mut closed);
        assert!(denied.starts_with("denied: Network namespace /run/netns/a"), "{denied}");
        // No search: all processes were read during discovery.
        assert_eq!(closed.steps, ["enter /run/netns/a"]);
    }

    #[test]
    fn a_held_file_leads_inside_before_any_other_way() {
        let held = Some(std::sync::Arc::new(open_file()));
        let namespace = Namespace { held, ..namespace(&["/run/netns/a"], &[("/proc/7", true)]) };
        let mut fake = Fake::default();
        assert_eq!(reached(&namespace, true, &mut fake), "Ok(Read { inside: true })");
        assert_eq!(fake.steps, ["enter held"]);
    }

    #[test]
    fn a_covered_mount_is_denied_unless_another_way_leads_inside() {
        let covered = || Fake { mounted: true, ..Fake::default() };
        let searched = Namespace { searched: true, ..namespace(&["/run/netns/a"], &[]) };
        assert_eq!(reached(&searched, true, &mut covered()), "Ok(Covered)");
        let elsewhere = namespace(&["/run/netns/a", "/mnt/a"], &[]);
        let mut open = Fake { links: [("/mnt/a", None)].into(), ..covered() };
        assert_eq!(reached(&elsewhere, true, &mut open), "Ok(Read { inside: true })");
        let of_process = namespace(&["/run/netns/a"], &[("/proc/7", false)]);
        assert_eq!(reached(&of_process, true, &mut covered()), "Ok(Covered)");
    }

    #[test]
    fn a_namespace_without_processes_is_gone_only_if_all_of_them_were_read() {
        let of_process = namespace(&[], &[("/proc/7", true)]);
        for (unclear, expected) in [(true, "Ok(Lost)"), (false, "Ok(Gone)")] {
            let mut fake = Fake { unclear, ..Fake::default() };
            assert_eq!(reached(&of_process, true, &mut fake), expected);
            assert_eq!(fake.steps, ["enter /proc/7/ns/net", "search"]);
        }
    }

    #[test]
    fn the_way_that_needs_the_fewest_rights_is_named() {
        let both = needs(&[Right::Search, Right::Admin]);
        let links = [("/run/netns/a", Some(both)), ("/mnt/a", Some(needs(&[Right::Search])))];
        let mut fake = Fake { links: links.into(), mounted: true, ..Fake::default() };
        let searched = Namespace { searched: true, ..namespace(&["/run/netns/a", "/mnt/a"], &[]) };
        let denied = reached(&searched, true, &mut fake);
        let expected = "denied: Network namespace /run/netns/a cannot be entered \
                        (CAP_DAC_READ_SEARCH is needed), and no process is known that shows it: ";
        assert!(denied.starts_with(expected), "{denied}");
    }

    #[test]
    fn a_held_file_that_may_not_be_entered_does_not_show_that_its_namespace_exists() {
        let held = || Some(std::sync::Arc::new(open_file()));
        let of_process = || Namespace { held: held(), ..namespace(&[], &[("/proc/7", true)]) };
        for (mounted, expected) in [(false, "Ok(Gone)"), (true, "denied: ")] {
            let mut fake = Fake { held: needs(&[Right::Admin]), mounted, ..Fake::default() };
            let reached = reached(&of_process(), true, &mut fake);
            assert!(reached.starts_with(expected), "{reached}");
        }
    }
}
