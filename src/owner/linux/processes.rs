//! Finds the processes that have sockets: `/proc/PID/fd` has the inode numbers of a process's
//! sockets (`proc_pid_fd(5)`).

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::iter;
use std::ops::ControlFlow;
use std::sync::Arc;

use rustix::fs::stat;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::{Seen, look, whole};
use crate::linux::proc_text::{number, ring_sockets};
use crate::linux::processes::{ProcessNames, names, other_threads, pids, sees_every_process};
use crate::owner::holders::Holders;
use crate::owner::linux::links::{parts, read_links, read_part, samples};
use crate::owner::process::Process;
use crate::owner::unseen::{OTHERS, UNREAD, UNSEEN_PROCESSES};

/// The maximum number of file descriptors that are read of threads with a table that is most likely
/// shared. Such a read rarely finds a new socket: 100,000 descriptors take 0.2 seconds, but 500 threads
/// with 10,000 descriptors each would take ten. The sockets of threads that are left out have hidden
/// processes.
const SHARED_BUDGET: usize = 100_000;

/// The maximum number of file descriptors that are read of likely processes once each socket has a
/// process: another process rarely shares it, and a table may have a million descriptors.
const FURTHER_BUDGET: usize = 100_000;

/// The smallest number of file descriptors for which a table is searched by samples first.
const LARGE_TABLE: usize = 1_000;

/// The most bytes of the list of an `io_uring` that are read: 100,000 sockets, say.
const LONGEST_RING: usize = 4 << 20;

/// The number of times that the sockets of an `io_uring` are read, until the kernel shows them.
const RING_TRIES: u32 = 20;

/// Finds the processes that have the sockets with these inode numbers. Also returns the label of
/// sockets whose process was not found; `None` where every process was read.
///
/// Reads the processes in `likely` first: the parts of large tables that most likely have the sockets, then
/// whole tables, the small ones before the others, and once each socket has a process only as many files as
/// [`FURTHER_BUDGET`]. Then reads all other processes for the sockets that still lack a process, or have
/// only process 1. With an empty `likely`, reads every process for every socket: several processes may
/// share a socket, and the result has all of them.
pub fn holders(
    inodes: Vec<u64>,
    likely: &[u32],
    deadline: &Deadline,
) -> Result<(Holders, Option<&'static str>), Error> {
    // `/proc` may lack processes: hidepid hides some, and a PID namespace has only its own processes.
    let sees_all = match sees_every_process(deadline) {
        Err(error) if error.is_final() => return Err(error),
        // Without an answer, some processes may be hidden.
        sees_all => sees_all.unwrap_or(false),
    };
    let hidden = (!sees_all).then_some(OTHERS);
    let found = Holders::new(inodes);
    let last_table = vec![0; found.places().len()];
    let mut search = Search { deadline, found, hidden, tables: 0, last_table };
    let mut known = Vec::new();
    let mut budget = FURTHER_BUDGET;
    let likely_by_size = search.by_size(likely)?;
    search.read_likely_parts(&likely_by_size)?;
    for (size, pid) in likely_by_size {
        if !search.wants_any(Wanted::Undecided) {
            let Some(rest) = budget.checked_sub(size) else {
                break;
            };
            budget = rest;
        }
        known.push((pid, search.read_process(pid, Wanted::All, true)?));
    }
    let wanted = if likely.is_empty() { Wanted::All } else { Wanted::Undecided };
    if search.wants_any(wanted) {
        for pid in pids(deadline)? {
            if !likely.contains(&pid) {
                known.push((pid, search.read_process(pid, wanted, false)?));
            }
        }
    }
    let mut budget = SHARED_BUDGET;
    for (pid, table) in known {
        if !search.wants_any(Wanted::Missing) {
            break;
        }
        search.read_other_threads(pid, &table, &mut budget)?;
    }
    Ok((search.found, search.hidden))
}

/// These processes by their ids, and the number of those whose names may not be read. With each id comes
/// a thread that still exists, where that is not the first one.
pub fn by_id(
    processes: &[(u32, Option<u32>)],
    deadline: &Deadline,
) -> Result<(Holders, u64), Error> {
    let others = iter::once(UNSEEN_PROCESSES);
    let keys = processes.iter().map(|(pid, _)| u64::from(*pid)).chain(others).collect();
    let (mut found, mut unseen) = (Holders::new(keys), 0);
    for (pid, thread) in processes {
        let directory = format!("/proc/{pid}");
        let thread =
            thread.map_or_else(|| directory.clone(), |id| format!("{directory}/task/{id}"));
        match names(&directory, &thread, deadline)? {
            Seen::There(names) => {
                let place = found.place((*pid).into(), 0);
                found.add(&process(*pid, names), place.into_iter().collect());
            }
            Seen::Gone(_) => {}
            Seen::Hidden(_) => unseen += 1,
        }
    }
    Ok((found, unseen))
}

/// For each socket, by its inode number, the process with the highest id that has it, and the lowest
/// descriptor in the table of the first thread of that process. `None` where none can be seen.
pub fn descriptors(inodes: &[u64], deadline: &Deadline) -> Result<Vec<Option<(u32, i32)>>, Error> {
    let keys = Holders::new(inodes.iter().copied().filter(|inode| *inode != 0).collect());
    let mut found = vec![None; keys.places().len()];
    for pid in if found.is_empty() { Vec::new() } else { pids(deadline)? } {
        let mut last = 0;
        // A table that ends or is hidden half-way has shown what it has shown.
        read_links(&format!("/proc/{pid}/fd"), deadline, &mut |name, inode, _| {
            let place = inode.and_then(|inode| keys.place(inode, last));
            let Some((place, descriptor)) = place.zip(number::<i32>(name.to_bytes())) else {
                return ControlFlow::Continue(());
            };
            last = place;
            if let Some(known) = found.get_mut(place) {
                match known {
                    Some((of, lower)) if *of == pid && *lower < descriptor => {}
                    Some(_) | None => *known = Some((pid, descriptor)),
                }
            }
            ControlFlow::Continue(())
        })?;
    }
    let of = |inode: &u64| keys.place(*inode, 0).and_then(|place| found.get(place).copied()?);
    Ok(inodes.iter().map(of).collect())
}

fn process(pid: u32, names: ProcessNames) -> Process {
    let ProcessNames { name, program, others } = names;
    let aliases = others.into_iter().map(Arc::from).collect();
    Process { program: Arc::from(program), aliases, ..Process::new(pid, name) }
}

/// The sockets to search for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    /// Sockets without a process so far, or with process 1 alone, which may have made the socket
    /// for another process.
    Undecided,
    /// Sockets without a process so far.
    Missing,
}

/// A table of file descriptors that was read.
struct Table {
    // The directory of the thread in `/proc`.
    thread: String,
    // The number of descriptors.
    size: usize,
}

struct Search<'a> {
    deadline: &'a Deadline<'a>,
    found: Holders,
    // The label of sockets whose process was not found; `None` as long as no process is hidden.
    hidden: Option<&'static str>,
    // The number of tables that were read, and for each socket the last table that has it.
    tables: u32,
    last_table: Vec<u32>,
}

impl Search<'_> {
    /// Whether at least one socket is still searched for.
    fn wants_any(&self, wanted: Wanted) -> bool {
        self.found.places().any(|place| self.wants(wanted, place))
    }

    fn wants(&self, wanted: Wanted, place: usize) -> bool {
        match wanted {
            Wanted::All => true,
            Wanted::Undecided => self.found.is_open(place),
            Wanted::Missing => self.found.is_missing(place),
        }
    }

    /// Finds the sockets of a process in the table of its first thread. The other threads nearly
    /// always share this table. Once the first thread has ended, its table is empty, and the table
    /// of another thread is read instead.
    ///
    /// With `sorted`, the process comes before the processes with higher ids, else behind the others.
    fn read_process(&mut self, pid: u32, wanted: Wanted, sorted: bool) -> Result<Table, Error> {
        let mut table = Table { thread: format!("/proc/{pid}"), size: 0 };
        let mut sockets = Vec::new();
        let seen = self.read_thread(&table.thread, wanted, &mut sockets)?;
        table.size = seen.unwrap_or(0);
        if seen == Some(0) {
            for thread in self.thread_directories(pid)? {
                let size = self.read_thread(&thread, wanted, &mut sockets)?;
                if let Some(size @ 1..) = size {
                    table = Table { thread, size };
                    break;
                }
            }
        }
        self.add(pid, &table.thread, sockets, sorted)?;
        Ok(table)
    }

    /// Finds missing sockets in the tables of a process's other threads. A thread can have a table
    /// of its own (`CLONE_FILES` in `unshare(2)`). Tables that are most likely shared are read
    /// until `budget` is used up.
    fn read_other_threads(
        &mut self,
        pid: u32,
        known: &Table,
        budget: &mut usize,
    ) -> Result<(), Error> {
        for thread in self.thread_directories(pid)? {
            if !self.wants_any(Wanted::Missing) {
                break;
            }
            if thread == known.thread {
                continue;
            }
            if !self.differ(&thread, &known.thread)? {
                let Some(rest) = budget.checked_sub(known.size) else {
                    self.hidden = Some(UNREAD);
                    continue;
                };
                *budget = rest;
            }
            let mut sockets = Vec::new();
            let seen = self.read_thread(&thread, Wanted::Missing, &mut sockets)?;
            self.add(pid, &thread, sockets, false)?;
            if seen.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Whether two threads certainly have different tables: the sizes of the `fd` directories
    /// differ. Since Linux 6.2 the size is the number of entries. Before Linux 6.2 the size is
    /// always 0.
    fn differ(&self, one: &str, other: &str) -> Result<bool, Error> {
        let (before, size_of_one, after) = (self.size(other)?, self.size(one)?, self.size(other)?);
        // The table of `other` may have changed in between.
        Ok(before == after && size_of_one != before)
    }

    /// The size of the `fd` directory of a thread, or of a process's first thread: see
    /// [`Search::differ`].
    fn size(&self, thread: &str) -> Result<Option<i64>, Error> {
        let path = format!("{thread}/fd");
        Ok(match look(&path, self.deadline, || stat(&path))? {
            Seen::There(stat) => Some(stat.st_size),
            Seen::Gone(_) | Seen::Hidden(_) => None,
        })
    }

    /// The processes with the number of their files, as far as it is known without reading them; those
    /// with the fewest files first.
    fn by_size(&self, pids: &[u32]) -> Result<Vec<(usize, u32)>, Error> {
        let sized = |pid: &u32| {
            let size = match self.size(&format!("/proc/{pid}")) {
                Err(error) if error.is_final() => return Err(error),
                // The order alone depends on it.
                size => size.ok().flatten(),
            };
            Ok((size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0), *pid))
        };
        let mut sized = pids.iter().map(sized).collect::<Result<Vec<_>, Error>>()?;
        sized.sort_unstable();
        Ok(sized)
    }

    /// Finds sockets in the parts of large tables that most likely have them: an alert of 500 among a
    /// million sockets takes 0.6 seconds instead of two. At most a quarter of the descriptors is read, since
    /// sockets that are not found there need the whole tables.
    fn read_likely_parts(&mut self, processes: &[(usize, u32)]) -> Result<(), Error> {
        let large = processes.iter().filter(|(size, _)| *size >= LARGE_TABLE);
        let mut budget = large.clone().map(|(size, _)| size / 4).sum::<usize>();
        if self.found.places().len() > budget / 2 {
            return Ok(());
        }
        let table = |pid: u32| format!("/proc/{pid}/fd");
        let mut likely = Vec::new();
        for (size, pid) in large {
            let samples = samples(&table(*pid), *size, self.deadline)?;
            likely
                .extend(parts(&samples, *size, self.found.keys()).into_iter().map(|of| (of, *pid)));
        }
        likely.sort_unstable_by_key(|(part, _)| Reverse(part.density));
        let mut missing: HashSet<usize> = self.found.places().collect();
        let mut sockets: HashMap<u32, Vec<usize>> = HashMap::new();
        for (part, pid) in likely {
            // A long part may have a lot of other files.
            let Some(rest) = budget.checked_sub(part.descriptors.len()) else {
                continue;
            };
            budget = rest;
            let mut last = 0;
            read_part(&table(pid), part.descriptors, self.deadline, &mut |inode| {
                if let Some(place) = self.found.place(inode, last) {
                    last = place;
                    missing.remove(&place);
                    sockets.entry(pid).or_default().push(place);
                }
                if missing.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if missing.is_empty() {
                break;
            }
        }
        for (pid, sockets) in sockets {
            self.add(pid, &format!("/proc/{pid}"), sockets, true)?;
        }
        Ok(())
    }

    /// The directories of a process's threads, without its first thread.
    fn thread_directories(&mut self, pid: u32) -> Result<Vec<String>, Error> {
        match other_threads(pid, self.deadline)? {
            Seen::There(threads) => Ok(threads),
            Seen::Gone(_) => Ok(Vec::new()),
            Seen::Hidden(_) => {
                self.hidden = self.hidden.or(Some(OTHERS));
                Ok(Vec::new())
            }
        }
    }

    /// Reads the table of a thread, and adds the places (in `found`) of the wanted sockets to
    /// `sockets`. Returns the number of file descriptors: 0 where the thread has ended, `None`
    /// where the table may not be read.
    fn read_thread(
        &mut self,
        thread: &str,
        wanted: Wanted,
        sockets: &mut Vec<usize>,
    ) -> Result<Option<usize>, Error> {
        match self.read_table(&format!("{thread}/fd"), wanted, sockets)? {
            Seen::There(size) => Ok(Some(size)),
            Seen::Gone(_) => Ok(Some(0)),
            Seen::Hidden(_) => {
                self.hidden = self.hidden.or(Some(OTHERS));
                Ok(None)
            }
        }
    }

    /// Adds a process to `sockets`, the places of sockets that one of its threads has.
    fn add(
        &mut self,
        pid: u32,
        thread: &str,
        sockets: Vec<usize>,
        sorted: bool,
    ) -> Result<(), Error> {
        if sockets.is_empty() {
            return Ok(());
        }
        let names = match names(&format!("/proc/{pid}"), thread, self.deadline)? {
            Seen::There(names) => names,
            Seen::Gone(_) => return Ok(()),
            Seen::Hidden(_) => {
                self.hidden = self.hidden.or(Some(OTHERS));
                return Ok(());
            }
        };
        let process = process(pid, names);
        if sorted {
            self.found.add_sorted(&process, sockets);
        } else {
            self.found.add(&process, sockets);
        }
        Ok(())
    }

    /// Reads a table of file descriptors, and adds the places (in `found`) of the wanted sockets to
    /// `sockets`. The rest of a table that has had every socket is left out: there may be a million
    /// descriptors. Returns the number of descriptors that were read.
    ///
    /// Sockets that an `io_uring` keeps (*direct descriptors* in `io_uring_register(2)`) have no
    /// descriptor, but belong to the table too.
    fn read_table(
        &mut self,
        table: &str,
        wanted: Wanted,
        sockets: &mut Vec<usize>,
    ) -> Result<Seen<usize>, Error> {
        let (mut rings, mut last) = (Vec::new(), 0);
        self.tables += 1;
        let (this, mut missing) = (self.tables, self.found.places().len());
        let seen = read_links(table, self.deadline, &mut |name, inode, is_ring| {
            rings.extend(is_ring.then(|| name.to_owned()));
            if let Some(place) = inode.and_then(|inode| self.found.place(inode, last)) {
                last = place;
                sockets.extend(self.wants(wanted, place).then_some(place));
                // A socket may have several descriptors.
                let table =
                    self.last_table.get_mut(place).map(|table| std::mem::replace(table, this));
                missing -= usize::from(table.is_some_and(|table| table != this));
            }
            if missing == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let Seen::There(size) = seen else {
            return Ok(seen);
        };
        for ring in rings {
            self.read_ring(&format!("{table}info/{}", ring.to_string_lossy()), wanted, sockets)?;
        }
        Ok(Seen::There(size))
    }

    /// Adds the places of the wanted sockets that an `io_uring` keeps. Where they cannot be read, a
    /// socket without a process may be among them.
    fn read_ring(
        &mut self,
        fdinfo: &str,
        wanted: Wanted,
        sockets: &mut Vec<usize>,
    ) -> Result<(), Error> {
        // The kernel leaves the list out while the process uses the ring.
        for _ in 0..RING_TRIES {
            let text = match whole(fdinfo, LONGEST_RING, self.deadline)? {
                Seen::There(text) => text,
                Seen::Gone(_) => return Ok(()),
                Seen::Hidden(_) => break,
            };
            if let Some(inodes) = ring_sockets(&text) {
                let places = inodes.filter_map(|inode| self.found.place(inode, 0));
                sockets.extend(places.filter(|place| self.wants(wanted, *place)));
                return Ok(());
            }
            std::thread::yield_now();
        }
        self.hidden = self.hidden.or(Some(UNREAD));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use super::*;
    use crate::linux::proc_text::inode;

    fn of_socket(socket: &impl AsRawFd) -> u64 {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd()));
        let link = link.unwrap_or_else(|e| panic!("{e}"));
        inode(link.as_os_str().as_encoded_bytes()).unwrap_or_else(|| panic!("{link:?}"))
    }

    fn found(inodes: &[u64], likely: &[u32]) -> Vec<Vec<u32>> {
        let deadline = Deadline::new(Duration::from_secs(60), &|| false);
        let (found, _) =
            holders(inodes.to_vec(), likely, &deadline).unwrap_or_else(|e| panic!("{e}"));
        let pids = |inode: &u64| found.processes(*inode).iter().map(|one| one.pid).collect();
        inodes.iter().map(pids).collect()
    }

    #[test]
    fn sockets_belong_to_the_process_that_has_them_open() {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap_or_else(|e| panic!("{e}"));
        let other = UdpSocket::bind(("127.0.0.1", 0)).unwrap_or_else(|e| panic!("{e}"));
        let gone = of_socket(&other);
        drop(other);
        let own = std::process::id();
        let inodes = [of_socket(&socket), gone];
        for likely in [&[][..], &[own]] {
            let found = found(&inodes, likely);
            // A program that another test starts has these files too until it is executed.
            let holds = |pids: &Vec<u32>| pids.contains(&own);
            assert_eq!(found.iter().map(holds).collect::<Vec<_>>(), [true, false], "{likely:?}");
        }
    }

    #[test]
    fn a_table_is_read_until_it_has_had_every_socket() {
        let bind = || UdpSocket::bind(("127.0.0.1", 0)).unwrap_or_else(|e| panic!("{e}"));
        // The first two descriptors are of the same socket.
        let sockets = [bind(), bind()];
        let same = sockets[0].try_clone().unwrap_or_else(|e| panic!("{e}"));
        let last = bind();
        let inodes = [of_socket(&same), of_socket(&last), of_socket(&sockets[1])];
        let found = found(&inodes, &[std::process::id()]);
        assert!(found.iter().all(|pids| pids.contains(&std::process::id())), "{found:?}");
    }

    #[test]
    fn a_likely_process_without_the_socket_does_not_end_the_search() {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap_or_else(|e| panic!("{e}"));
        let parent = std::os::unix::process::parent_id();
        let found = found(&[of_socket(&socket)], &[parent]);
        assert!(found.concat().contains(&std::process::id()), "{found:?}");
    }

    #[test]
    fn files_and_a_process_that_has_ended_are_passed_over() {
        let file = File::open("/proc/self/comm").unwrap_or_else(|e| panic!("{e}"));
        let mut child = std::process::Command::new("true").spawn();
        let ended = child.as_mut().map_or(0, |child| child.id());
        let waited = child.and_then(|mut child| child.wait());
        assert!(waited.is_ok_and(|status| status.success()));
        assert_eq!(found(&[u64::MAX], &[ended]), [[0_u32; 0]]);
        drop(file);
    }
}
