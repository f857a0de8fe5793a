//! Linux: namespaces that processes are in (`proc_pid_ns(5)`) or that are mounted.
//!
//! A namespace that may be entered is read from inside, like this thread's own. Any other namespace
//! is read through `/proc/PID/net` of a process in it, which every user may read.

mod discover;
mod enter;
mod identity;
mod name;
mod nsfs;
mod reach;
mod text;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use log::{debug, warn};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::group_name::NetnsName;
use crate::linux::rights::{Right, needed};
use crate::namespaces::linux::discover::{everything, named, of_file, of_name, of_process};
use crate::namespaces::linux::enter::{Kernel, Search};
use crate::namespaces::linux::identity::{Namespace, Places};
use crate::namespaces::linux::reach::{Reached, closed, covered, reach, shown};
use crate::namespaces::view::{NetnsCoverage, View, Visit};
use crate::netns::Netns;
use crate::printable::bounded;
use crate::vocabulary::NetnsIndex;
use crate::worker::run_in_thread;

/// The namespaces to read.
#[derive(Debug)]
pub struct Namespaces {
    // Whether to read this thread's own namespace.
    reads_own: bool,
    // This thread's own namespace, where namespaces were requested.
    own: Option<Namespace>,
    // All other namespaces to read; their indices begin at 1.
    others: Vec<Namespace>,
    places: Places,
    // The number of namespaces that have no index.
    beyond: usize,
}

impl Default for Namespaces {
    /// This thread's own namespace.
    fn default() -> Self {
        Self { reads_own: true, ..Self::of_others(None) }
    }
}

impl Namespaces {
    fn of_others(own: Option<Namespace>) -> Self {
        let places = Places::default();
        Self { reads_own: false, own, others: Vec::new(), places, beyond: 0 }
    }

    /// Finds the requested namespaces; without a request, this thread's own.
    pub fn find(asked: &[Netns], deadline: &Deadline) -> Result<Self, Error> {
        if asked.is_empty() {
            return Ok(Self::default());
        }
        let mut found = Self::of_others(Some(Namespace::of_thread(deadline)?));
        for asked in asked {
            match asked {
                Netns::All => {
                    for namespace in everything(deadline)? {
                        found.add(namespace);
                    }
                }
                Netns::Process(pid) => found.add(of_process(*pid, deadline)?),
                Netns::File(path) => {
                    found.add(of_file(path, &path.to_string_lossy(), deadline)?);
                }
                Netns::Name(name) => found.add(of_name(name, deadline)?),
            }
        }
        Ok(found)
    }

    fn add(&mut self, namespace: Namespace) {
        if let Some(own) = self.own.as_mut().filter(|own| own.is(&namespace)) {
            own.learn(namespace);
            self.reads_own = true;
            return;
        }
        let place = if let Some(place) = self.places.of(&namespace.identity)
            && let Some(known) = self.others.get_mut(place)
            && known.is(&namespace)
        {
            known.learn(namespace);
            place
        } else if self.others.len() < usize::from(u16::MAX) {
            self.others.push(namespace);
            self.others.len() - 1
        } else {
            self.beyond += 1;
            return;
        };
        if let Some(known) = self.others.get(place) {
            self.places.insert(&known.identity, place);
        }
    }

    /// Whether namespaces were requested.
    #[must_use]
    pub fn are_asked_for(&self) -> bool {
        self.own.is_some()
    }

    /// The number of namespaces with a name that nobody has asked for.
    #[must_use]
    pub fn named_others(&self, deadline: &Deadline) -> usize {
        if self.are_asked_for() { 0 } else { named(deadline) }
    }

    /// Whether there is more than one namespace to read.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.others.len() + usize::from(self.reads_own) > 1
    }

    fn others(&self) -> impl Iterator<Item = (NetnsIndex, &Namespace)> {
        (1..=u16::MAX).map(NetnsIndex).zip(&self.others)
    }

    /// Calls `visit` once for each namespace. A separate thread, which ends with the visits, enters
    /// the other namespaces and calls `visit` inside. A namespace that may not be entered is
    /// visited through one of its processes, if `processes` is true.
    ///
    /// An error in a namespace that was requested by name ends the visits. An error in another one
    /// is its own: others may have made it.
    pub fn visit(
        &self,
        processes: bool,
        deadline: &Deadline,
        visit: &mut Visit,
    ) -> Result<NetnsCoverage, Error> {
        let mut coverage = NetnsCoverage::default();
        let mut read = HashSet::new();
        if self.reads_own {
            visit(NetnsIndex::OWN, &View::Inside, deadline)?;
            coverage.read += 1;
            read.extend(self.own.as_ref().and_then(|own| own.identity.tcp));
        }
        if self.others.is_empty() {
            return Ok(coverage);
        }
        run_in_thread(deadline, |deadline| {
            let walk = Walk {
                processes,
                // The rest is for names, and for an alert that stands.
                patience: &deadline.sooner(deadline.remaining()? / 4 * 3),
                read,
                search: Search::default(),
                coverage,
                unmatched: 0,
                closed: 0,
                missing: BTreeSet::new(),
                covered: false,
                lost: false,
            };
            walk.through(self, deadline, visit)
        })
    }

    /// The names of namespaces.
    pub fn names(
        &self,
        wanted: &HashSet<NetnsIndex>,
        deadline: &Deadline,
    ) -> Result<HashMap<NetnsIndex, Arc<NetnsName>>, Error> {
        let mut namespaces = Vec::new();
        if wanted.contains(&NetnsIndex::OWN) {
            let own = self.own.clone().map_or_else(|| Namespace::of_thread(deadline), Ok)?;
            namespaces.push((NetnsIndex::OWN, own));
        }
        let others = self.others().filter(|(netns, _)| wanted.contains(netns));
        namespaces.extend(others.map(|(netns, namespace)| (netns, namespace.clone())));
        name::names(namespaces, deadline)
    }
}

/// A walk through the namespaces other than this thread's own.
struct Walk<'a> {
    processes: bool,
    // The time for namespaces that were not requested by name.
    patience: &'a Deadline<'a>,
    // The inode numbers of `net/tcp` of the namespaces that were read.
    read: HashSet<u64>,
    search: Search,
    coverage: NetnsCoverage,
    // The number of namespaces that were read through a process and could not be matched to a
    // mount, and of those that are not open to this process.
    unmatched: usize,
    closed: usize,
    missing: BTreeSet<Right>,
    covered: bool,
    lost: bool,
}

impl Walk<'_> {
    fn through(
        mut self,
        namespaces: &Namespaces,
        deadline: &Deadline,
        visit: &mut Visit,
    ) -> Result<NetnsCoverage, Error> {
        let mut late = 0;
        for (netns, namespace) in namespaces.others() {
            let visit = &mut |view: &View, deadline: &Deadline| {
                let visited = visit(netns, view, deadline);
                visited.map_err(|error| of_namespace(namespace, error))
            };
            if namespace.asked.is_some() {
                self.read(namespace, deadline, visit)?;
            } else if self.patience.check().is_err() {
                deadline.check()?;
                late += 1;
            } else {
                match self.read(namespace, self.patience, visit) {
                    Ok(()) => {}
                    Err(error @ Error::Interrupted) => return Err(error),
                    Err(Error::Timeout(_)) => {
                        deadline.check()?;
                        late += 1;
                    }
                    Err(error) => {
                        warn!("a network namespace could not be read: {error}: {namespace:?}");
                        let name = match self.coverage.failed {
                            0 => name::of_one(netns, namespace, deadline)?,
                            _ => String::new(),
                        };
                        self.coverage.add_failed(1, || {
                            format!("{}: {}", bounded(&name), bounded(&error.to_string()))
                        });
                    }
                }
            }
        }
        let mut coverage = self.coverage;
        coverage.add_failed(late, || "no time was left".to_owned());
        let most = u16::MAX;
        coverage.add_failed(namespaces.beyond, || format!("there are more than {most}"));
        coverage.maybe_read = self.closed.min(self.unmatched);
        let covered = self.covered.then(|| "another mount covers the mount point".to_owned());
        let lost = self.lost.then(|| "processes end before they are read".to_owned());
        coverage.reasons = [needed(&self.missing), covered, lost].into_iter().flatten().collect();
        Ok(coverage)
    }

    /// Reads one namespace.
    fn read(
        &mut self,
        namespace: &Namespace,
        deadline: &Deadline,
        visit: &mut dyn FnMut(&View, &Deadline) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (search, read) = (&mut self.search, &mut self.read);
        let mut kernel = Kernel { deadline, search, read, visit };
        let reached = reach(namespace, self.processes, &mut kernel)?;
        let is_asked = namespace.asked.is_some();
        match reached {
            Reached::Read { inside } => {
                self.coverage.read += 1;
                self.unmatched += usize::from(!inside && namespace.identity.inode.is_none());
            }
            Reached::Again => {}
            Reached::Gone | Reached::Lost if is_asked => {
                let name = shown(namespace);
                return Err(Error::Argument(format!("The network namespace {name} is gone")));
            }
            Reached::Gone => debug!("a network namespace is gone: {namespace:?}"),
            Reached::Lost => {
                warn!("a network namespace was not found again: {namespace:?}");
                self.lost = true;
                self.coverage.skipped += 1;
            }
            Reached::Covered => {
                let error = covered(namespace);
                if is_asked {
                    return Err(error);
                }
                warn!("{error}");
                self.covered = true;
                self.skip();
            }
            Reached::Denied(denial) => {
                let error = closed(namespace, self.processes, &denial);
                // The source needs the inside of a namespace that most likely has sockets.
                if is_asked || !(self.processes || namespace.tasks.is_empty()) {
                    return Err(error);
                }
                warn!("{error}");
                self.missing.extend(denial.missing);
                self.skip();
            }
        }
        Ok(())
    }

    /// Counts a namespace that is not open to this process.
    fn skip(&mut self) {
        self.coverage.skipped += 1;
        self.closed += 1;
    }
}

/// Adds the name of a namespace that was requested by it to an error.
fn of_namespace(namespace: &Namespace, error: Error) -> Error {
    if namespace.asked.is_none() || error.is_final() {
        return error;
    }
    Error::Namespace { name: shown(namespace), error: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespaces::linux::identity::{Identity, Task};

    fn namespace(inode: u64) -> Namespace {
        let identity = Identity { inode: Some(inode), tcp: None };
        Namespace { identity, ..Namespace::default() }
    }

    #[test]
    fn each_namespace_is_listed_once_and_the_own_one_separately() {
        let mut found = Namespaces::of_others(Some(namespace(1)));
        let mut several = Vec::new();
        for inode in [2, 1, 2, 3] {
            found.add(namespace(inode));
            several.push((found.reads_own, found.others.len(), found.are_several()));
        }
        let expected = [(false, 1, false), (true, 1, true), (true, 1, true), (true, 2, true)];
        assert_eq!(several, expected);
        // The way that was asked for names it.
        let task = Task { directory: "/proc/7".to_owned(), readable: true };
        let asked = Namespace { tasks: vec![task], ..namespace(1) };
        found.add(asked.clone());
        assert_eq!(found.own.as_ref().map(|own| &own.tasks), Some(&asked.tasks));
        let indices: Vec<_> = found.others().map(|(netns, _)| netns.0).collect();
        assert_eq!(indices, [1, 2]);
        assert!(found.are_asked_for() && !Namespaces::default().are_asked_for());
    }
}
