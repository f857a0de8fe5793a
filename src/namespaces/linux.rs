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

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use log::{debug, warn};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::namespaces::linux::discover::{everything, of_file, of_name, of_process};
use crate::namespaces::linux::enter::{Kernel, MOST_SEARCHES};
use crate::namespaces::linux::identity::Namespace;
use crate::namespaces::linux::reach::{Reached, reach};
use crate::namespaces::view::{NetnsCoverage, View, Visit};
use crate::netns::Netns;
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
}

impl Default for Namespaces {
    /// This thread's own namespace.
    fn default() -> Self {
        Self { reads_own: true, own: None, others: Vec::new() }
    }
}

impl Namespaces {
    /// Finds the requested namespaces; without a request, this thread's own.
    pub fn find(asked: &[Netns], deadline: &Deadline) -> Result<Self, Error> {
        if asked.is_empty() {
            return Ok(Self::default());
        }
        let own = Some(Namespace::of_thread(deadline)?);
        let mut found = Self { reads_own: false, own, others: Vec::new() };
        for asked in asked {
            match asked {
                Netns::All => {
                    for namespace in everything(deadline)? {
                        found.add(namespace)?;
                    }
                }
                Netns::Process(pid) => found.add(of_process(*pid, deadline)?)?,
                Netns::File(path) => {
                    found.add(of_file(path, &path.to_string_lossy(), deadline)?)?;
                }
                Netns::Name(name) => found.add(of_name(name, deadline)?)?,
            }
        }
        Ok(found)
    }

    fn add(&mut self, namespace: Namespace) -> Result<(), Error> {
        if let Some(own) = self.own.as_mut().filter(|own| own.is(&namespace)) {
            own.learn(namespace);
            self.reads_own = true;
        } else if let Some(known) = self.others.iter_mut().find(|known| known.is(&namespace)) {
            known.learn(namespace);
        } else if self.others.len() < usize::from(u16::MAX) {
            self.others.push(namespace);
        } else {
            let most = u16::MAX;
            return Err(Error::Unsupported(format!("More than {most} network namespaces")));
        }
        Ok(())
    }

    /// Whether namespaces were requested.
    #[must_use]
    pub fn are_asked_for(&self) -> bool {
        self.own.is_some()
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
            // The number of namespaces that were read through a process and could not be matched to
            // a mount.
            let (mut unmatched, mut searches) = (0, MOST_SEARCHES);
            for (netns, namespace) in self.others() {
                let mut visit = |view: &View, deadline: &Deadline| visit(netns, view, deadline);
                let (read, searches) = (&mut read, &mut searches);
                let mut kernel = Kernel { deadline, searches, read, visit: &mut visit };
                match reach(namespace, processes, &mut kernel)? {
                    Reached::Read { inside } => {
                        coverage.read += 1;
                        let is_known = inside || namespace.identity.inode.is_some();
                        unmatched += usize::from(!is_known);
                    }
                    Reached::Again => {}
                    Reached::Lost if namespace.asked.is_none() => {
                        warn!("a network namespace was not found again: {namespace:?}");
                        coverage.skipped += 1;
                    }
                    Reached::Gone | Reached::Lost => match &namespace.asked {
                        None => debug!("a network namespace is gone: {namespace:?}"),
                        Some(asked) => {
                            return Err(Error::Argument(format!(
                                "The network namespace {asked} is gone"
                            )));
                        }
                    },
                    // The source needs the inside of a namespace that most likely has sockets.
                    Reached::Denied(error)
                        if namespace.asked.is_some()
                            || !(processes || namespace.tasks.is_empty()) =>
                    {
                        return Err(error);
                    }
                    Reached::Denied(error) => {
                        warn!("{error}");
                        coverage.skipped += 1;
                        coverage.denied += usize::from(matches!(error, Error::System { .. }));
                    }
                }
            }
            coverage.maybe_read = coverage.skipped.min(unmatched);
            Ok(coverage)
        })
    }

    /// The names of namespaces: the container that a namespace belongs to, its name below
    /// `/run/netns`, or the first process in it.
    pub fn names(
        &self,
        wanted: &HashSet<NetnsIndex>,
        deadline: &Deadline,
    ) -> Result<HashMap<NetnsIndex, Arc<str>>, Error> {
        let mut namespaces = HashMap::new();
        if wanted.contains(&NetnsIndex::OWN) {
            let own = self.own.clone().map_or_else(|| Namespace::of_thread(deadline), Ok)?;
            namespaces.insert(NetnsIndex::OWN, own);
        }
        let others = self.others().filter(|(netns, _)| wanted.contains(netns));
        namespaces.extend(others.map(|(netns, namespace)| (netns, namespace.clone())));
        name::names(namespaces, deadline)
    }
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
        let mut found =
            Namespaces { reads_own: false, own: Some(namespace(1)), others: Vec::new() };
        let mut several = Vec::new();
        for inode in [2, 1, 2, 3] {
            found.add(namespace(inode)).unwrap_or_else(|e| panic!("{e}"));
            several.push((found.reads_own, found.others.len(), found.are_several()));
        }
        let expected = [(false, 1, false), (true, 1, true), (true, 1, true), (true, 2, true)];
        assert_eq!(several, expected);
        // The way that was asked for names it.
        let task = Task { directory: "/proc/7".to_owned(), readable: true };
        let asked = Namespace { tasks: vec![task], ..namespace(1) };
        found.add(asked.clone()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(found.own.as_ref().map(|own| &own.tasks), Some(&asked.tasks));
        let indices: Vec<_> = found.others().map(|(netns, _)| netns.0).collect();
        assert_eq!(indices, [1, 2]);
        assert!(found.are_asked_for() && !Namespaces::default().are_asked_for());
    }
}
