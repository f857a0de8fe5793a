//! The processes that have sockets, in a table for a million sockets.

use std::collections::HashMap;
use std::sync::Arc;

use crate::owner::process::{Process, Processes};

/// The processes that have sockets, by the keys of the sockets. Sockets with the same processes
/// share one list.
#[derive(Clone, Debug)]
pub struct Holders {
    // Sorted, without duplicates.
    keys: Vec<u64>,
    // For each key, the place of its list in `lists`. The first list is empty.
    list_of: Vec<u32>,
    lists: Vec<Processes>,
    // For each list, the number of keys that have it; `free` has the places of lists without a key.
    uses: Vec<u32>,
    free: Vec<u32>,
}

impl Default for Holders {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

const EMPTY_LIST: u32 = 0;

impl Holders {
    /// A table of these keys, without any process.
    #[must_use]
    pub fn new(mut keys: Vec<u64>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        let list_of = vec![EMPTY_LIST; keys.len()];
        let uses = vec![u32::try_from(keys.len()).unwrap_or(u32::MAX)];
        Self { keys, list_of, lists: vec![Arc::from([])], uses, free: Vec::new() }
    }

    /// The keys, sorted.
    #[must_use]
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// The place of a key; `None` where the key is not in the table. The sockets of a process
    /// mostly follow each other: `last` is the place of the previous key.
    #[inline]
    #[must_use]
    pub fn place(&self, key: u64, last: usize) -> Option<usize> {
        let next = last + 1;
        if self.keys.get(next) == Some(&key) {
            return Some(next);
        }
        self.keys.binary_search(&key).ok()
    }

    /// Adds a process to the sockets at these places, behind the processes that they have.
    pub fn add(&mut self, process: &Process, places: Vec<usize>) {
        self.join(places, |list| list.iter().chain([process]).cloned().collect());
    }

    /// Adds a process to the sockets at these places, by its id, where they do not have it yet.
    pub fn add_sorted(&mut self, process: &Process, places: Vec<usize>) {
        self.join(places, |list| {
            if list.iter().any(|one| one.pid == process.pid) {
                return list.into();
            }
            let (lower, higher) = list.split_at(list.partition_point(|one| one.pid < process.pid));
            lower.iter().chain([process]).chain(higher).cloned().collect()
        });
    }

    /// Gives the sockets at these places the list of processes that `joined` makes of theirs.
    fn join(&mut self, mut places: Vec<usize>, join: impl Fn(&[Process]) -> Processes) {
        places.sort_unstable();
        places.dedup();
        let mut joined: HashMap<u32, u32> = HashMap::new();
        for place in places {
            let Some(before) = self.list_of.get(place).copied() else {
                continue;
            };
            let after = *joined.entry(before).or_insert_with(|| {
                let all = join(self.list(before));
                self.insert_list(all)
            });
            if let Some(list) = self.list_of.get_mut(place) {
                *list = after;
            }
            self.change_uses(after, 1);
            self.change_uses(before, -1);
        }
    }

    /// Whether the socket at this place has no process yet, or only process 1, which may have made
    /// the socket for another process.
    #[must_use]
    pub fn is_open(&self, place: usize) -> bool {
        let list = self.list_of.get(place).map_or(&[][..], |list| self.list(*list));
        list.iter().all(|process| process.pid == 1)
    }

    /// Whether the socket at this place has no process yet.
    #[must_use]
    pub fn is_missing(&self, place: usize) -> bool {
        self.list_of.get(place).is_none_or(|list| *list == EMPTY_LIST)
    }

    /// The places of all keys.
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.keys.len()
    }

    /// The processes that have the socket with this key; empty where no process can be seen.
    #[must_use]
    pub fn processes(&self, key: u64) -> Processes {
        let place = self.keys.binary_search(&key).ok();
        let list = place.and_then(|place| self.list_of.get(place)).copied().unwrap_or(EMPTY_LIST);
        self.lists.get(list as usize).cloned().unwrap_or_default()
    }

    /// Whether the processes of this key were searched for.
    #[must_use]
    pub fn covers(&self, key: u64) -> bool {
        self.keys.binary_search(&key).is_ok()
    }

    /// The number of the list of a key's processes; `None` where the key is not in the table. `last` is
    /// the place of the previous key, and then that of this one.
    #[must_use]
    pub fn list_of(&self, key: u64, last: &mut usize) -> Option<u32> {
        *last = self.place(key, *last)?;
        self.list_of.get(*last).copied()
    }

    /// Counts sorted keys by list of processes. Each result is one key of a list and the number of
    /// its keys.
    #[must_use]
    pub fn count_lists(&self, keys: &[u64]) -> Vec<(u64, u64)> {
        let mut counts: Vec<(u64, u64)> = vec![(0, 0); self.lists.len()];
        let mut place = 0;
        for key in keys {
            while self.keys.get(place).is_some_and(|known| known < key) {
                place += 1;
            }
            let list = self.list_of.get(place).copied().unwrap_or(EMPTY_LIST);
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

    fn insert_list(&mut self, processes: Processes) -> u32 {
        if let Some(free) = self.free.pop()
            && let Some(list) = self.lists.get_mut(free as usize)
        {
            *list = processes;
            return free;
        }
        self.lists.push(processes);
        self.uses.push(0);
        u32::try_from(self.lists.len() - 1).unwrap_or(EMPTY_LIST)
    }

    fn change_uses(&mut self, list: u32, more: i32) {
        if let Some(uses) = self.uses.get_mut(list as usize) {
            *uses = uses.saturating_add_signed(more);
            if *uses == 0 && list != EMPTY_LIST {
                self.free.push(list);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> Process {
        Process::new(pid, "x")
    }

    fn pids(holders: &Holders, key: u64) -> Vec<u32> {
        holders.processes(key).iter().map(|process| process.pid).collect()
    }

    #[test]
    fn processes_of_a_socket_are_in_the_order_of_their_addition() {
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
        let mut by_id = holders.clone();
        by_id.add_sorted(&process(3), vec![one]);
        by_id.add_sorted(&process(3), vec![one]);
        assert_eq!(pids(&by_id, 10), [1, 3, 5]);
        assert!(!holders.is_open(one) && holders.is_missing(place(&holders, 40)));
        assert!(holders.covers(40) && !holders.covers(50));
        // A key may be repeated, and a key may have no process.
        let mut counts = holders.count_lists(&[10, 10, 20, 30, 40]);
        counts.sort_unstable();
        assert_eq!(counts, [(10, 2), (20, 1), (30, 1), (40, 1)]);
    }

    #[test]
    fn lists_without_a_socket_are_reused() {
        let mut holders = Holders::new((0..100).collect());
        for pid in 1..=50 {
            holders.add(&process(pid), (0..100).collect());
        }
        assert_eq!(pids(&holders, 99).len(), 50);
        assert!(holders.lists.len() <= 3, "{}", holders.lists.len());
        assert_eq!(holders.count_lists(&[5, 6]), [(5, 2)]);
    }
}
