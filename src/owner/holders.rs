//! Which processes have which sockets, for a million of them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::owner::process::{Process, Processes};

/// The processes that have sockets, by the key that a socket has. Sockets with the same holders share
/// one list of them.
#[derive(Clone, Debug)]
pub struct Holders {
    // In order, each once.
    keys: Vec<u64>,
    // The list that each has, by its place in `lists`; the first one is empty.
    of: Vec<u32>,
    lists: Vec<Processes>,
    // How many keys have each list, and those that none has any more.
    uses: Vec<u32>,
    free: Vec<u32>,
}

impl Default for Holders {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

const NOBODY: u32 = 0;

impl Holders {
    /// Nobody has these yet.
    #[must_use]
    pub fn new(mut keys: Vec<u64>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        let of = vec![NOBODY; keys.len()];
        let uses = vec![u32::try_from(keys.len()).unwrap_or(u32::MAX)];
        Self { keys, of, lists: vec![Arc::from([])], uses, free: Vec::new() }
    }

    /// The place of a key, where it is wanted. Those of one process mostly follow each other:
    /// `last` is the place of the one before.
    #[inline]
    #[must_use]
    pub fn place(&self, key: u64, last: usize) -> Option<usize> {
        let next = last + 1;
        if self.keys.get(next) == Some(&key) {
            return Some(next);
        }
        self.keys.binary_search(&key).ok()
    }

    /// Makes a process one of the holders of what has these places.
    pub fn add(&mut self, process: &Process, mut places: Vec<usize>) {
        places.sort_unstable();
        places.dedup();
        let mut joined: HashMap<u32, u32> = HashMap::new();
        for place in places {
            let Some(before) = self.of.get(place).copied() else {
                continue;
            };
            let after = *joined.entry(before).or_insert_with(|| {
                let all = self.list(before).iter().chain([process]).cloned().collect();
                self.keep(all)
            });
            if let Some(of) = self.of.get_mut(place) {
                *of = after;
            }
            self.count(after, 1);
            self.count(before, -1);
        }
    }

    /// Whether nobody has what has this place, or the first process alone, which may only have made it
    /// for somebody else.
    #[must_use]
    pub fn is_open(&self, place: usize) -> bool {
        let list = self.of.get(place).map_or(&[][..], |list| self.list(*list));
        list.iter().all(|process| process.pid == 1)
    }

    /// Whether nobody has what has this place.
    #[must_use]
    pub fn is_missing(&self, place: usize) -> bool {
        self.of.get(place).is_none_or(|list| *list == NOBODY)
    }

    /// Every place there is.
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.keys.len()
    }

    /// The processes that have a key; empty where none can be seen.
    #[must_use]
    pub fn processes(&self, key: u64) -> Processes {
        let place = self.keys.binary_search(&key).ok();
        let list = place.and_then(|place| self.of.get(place)).copied().unwrap_or(NOBODY);
        self.lists.get(list as usize).cloned().unwrap_or_default()
    }

    /// Whether it was looked for who has a key.
    #[must_use]
    pub fn covers(&self, key: u64) -> bool {
        self.keys.binary_search(&key).is_ok()
    }

    /// How many of these, which are in order, each list of processes has: one of the keys, and
    /// how many.
    #[must_use]
    pub fn count_lists(&self, keys: &[u64]) -> Vec<(u64, u64)> {
        let mut counts: Vec<(u64, u64)> = vec![(0, 0); self.lists.len()];
        let mut place = 0;
        for key in keys {
            while self.keys.get(place).is_some_and(|known| known < key) {
                place += 1;
            }
            let list = self.of.get(place).copied().unwrap_or(NOBODY);
            if let Some((first, count)) = counts.get_mut(list as usize) {
                if *count == 0 {
                    *first = *key;
                }
                *count += 1;
            }
        }
        counts.retain(|(_, count)| *count > 0);
        counts
    }

    fn list(&self, list: u32) -> &[Process] {
        self.lists.get(list as usize).map_or(&[], |list| list)
    }

    fn keep(&mut self, processes: Processes) -> u32 {
        if let Some(free) = self.free.pop()
            && let Some(list) = self.lists.get_mut(free as usize)
        {
            *list = processes;
            return free;
        }
        self.lists.push(processes);
        self.uses.push(0);
        u32::try_from(self.lists.len() - 1).unwrap_or(NOBODY)
    }

    fn count(&mut self, list: u32, more: i32) {
        if let Some(uses) = self.uses.get_mut(list as usize) {
            *uses = uses.saturating_add_signed(more);
            if *uses == 0 && list != NOBODY {
                self.free.push(list);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> Process {
        Process { pid, name: "x".into() }
    }

    fn pids(holders: &Holders, key: u64) -> Vec<u32> {
        holders.processes(key).iter().map(|process| process.pid).collect()
    }

    #[test]
    fn each_socket_has_its_processes_in_the_order_they_came() {
        let mut holders = Holders::new(vec![30, 10, 20, 10, 40]);
        let place = |holders: &Holders, key| holders.place(key, 0).unwrap_or(usize::MAX);
        assert_eq!(holders.places(), 0..4);
        assert_eq!(
            (holders.place(10, 0), holders.place(20, 0), holders.place(15, 0)),
            (Some(0), Some(1), None)
        );
        assert_eq!(holders.place(40, 7), Some(3));
        let shared = vec![place(&holders, 20), place(&holders, 10), place(&holders, 20)];
        holders.add(&process(1), shared);
        let one = place(&holders, 10);
        assert!(holders.is_open(one) && !holders.is_missing(one));
        let places = vec![place(&holders, 10), place(&holders, 30)];
        holders.add(&process(5), places);
        assert_eq!(pids(&holders, 10), [1, 5]);
        assert_eq!(pids(&holders, 20), [1]);
        assert_eq!(pids(&holders, 30), [5]);
        assert_eq!(pids(&holders, 40), [0; 0]);
        assert_eq!(pids(&holders, 50), [0; 0]);
        assert!(!holders.is_open(one) && holders.is_missing(place(&holders, 40)));
        assert!(holders.covers(40) && !holders.covers(50));
        // A number may be there twice, and one that nobody looked for has nobody.
        let mut counts = holders.count_lists(&[10, 10, 20, 30, 40]);
        counts.sort_unstable();
        assert_eq!(counts, [(10, 2), (20, 1), (30, 1), (40, 1)]);
    }

    #[test]
    fn a_list_that_no_socket_has_any_more_makes_room() {
        let mut holders = Holders::new((0..100).collect());
        for pid in 1..=50 {
            holders.add(&process(pid), (0..100).collect());
        }
        assert_eq!(pids(&holders, 99).len(), 50);
        assert!(holders.lists.len() <= 3, "{}", holders.lists.len());
        assert_eq!(holders.count_lists(&[5, 6]), [(5, 2)]);
    }
}
