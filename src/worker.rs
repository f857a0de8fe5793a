//! Runs work that cannot be interrupted in a separate thread. After the deadline the caller no
//! longer waits for it.

use std::collections::VecDeque;
use std::mem;
use std::process;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::thread;
use std::time::Duration;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::os_error;
use crate::panic::catch_panic;

/// The interval at which a wait checks the deadline and the caller's request to stop.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The time for a result after which another thread helps.
const QUICK: Duration = Duration::from_millis(50);

/// The interval between attempts to lock the queue while another thread uses it.
const RETRY: Duration = Duration::from_millis(1);

/// Runs `work` in a thread that ends with it, and waits for the result. Changes to the thread, such
/// as entering a namespace, affect no other thread. `work` must check its deadline.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) fn run_in_thread<T: Send>(
    deadline: &Deadline,
    work: impl FnOnce(&Deadline) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let (limit, stopped) = (deadline.limit(), AtomicBool::new(false));
    thread::scope(|scope| {
        let (done, result) = mpsc::channel();
        let stopped = &stopped;
        let work = move || {
            let interrupted = || stopped.load(Relaxed);
            let result = catch_panic(|| work(&limit.deadline(&interrupted)));
            let _ = done.send(result.and_then(|result| result));
        };
        thread::Builder::new()
            .spawn_scoped(scope, work)
            .map_err(|error| os_error::of_call("starting a thread", error))?;
        loop {
            match result.recv_timeout(CHECK_INTERVAL) {
                Ok(result) => return result,
                // Passes on only Ctrl-C: `work` checks the time itself.
                Err(RecvTimeoutError::Timeout) => {
                    stopped.fetch_or(matches!(deadline.check(), Err(Error::Interrupted)), Relaxed);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(ended());
                }
            }
        }
    })
}

fn ended() -> Error {
    Error::Internal("a thread has ended".to_owned())
}

/// The results of a piece of work, in their order.
pub(crate) struct Work<T> {
    found: Receiver<T>,
    // Exists as long as the caller wants results.
    _wanted: Arc<()>,
}

impl<T> Work<T> {
    /// The next result; `None` once the work has ended.
    pub(crate) fn next(&self, deadline: &Deadline) -> Result<Option<T>, Error> {
        loop {
            match self.found.recv_timeout(deadline.remaining()?.min(CHECK_INTERVAL)) {
                Ok(found) => return Ok(Some(found)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// A thread that runs pieces of work one after the other: work that hangs costs a process one
/// thread, however often it is started. Without work there is no thread.
pub(crate) struct Worker {
    // The process that uses a queue, and the index of that queue: the id times `QUEUES`, plus the
    // index. One number, because a fork may come between two.
    current: AtomicUsize,
    queues: [Mutex<Queue>; QUEUES],
}

/// The number of queues. A fork copies a lock that another thread holds, but not that thread: nobody
/// releases the copy, so each process takes another queue than its parent. Descendants come back to
/// queues of their ancestors, except those that are locked for ever.
const QUEUES: usize = 8;

type Job = Box<dyn FnOnce() + Send>;

struct Queue {
    // The id of the process that has the thread: a fork does not copy threads.
    process: u32,
    running: bool,
    waiting: VecDeque<(Weak<()>, Job)>,
}

impl Queue {
    const fn new() -> Self {
        Self { process: 0, running: false, waiting: VecDeque::new() }
    }
}

impl Worker {
    pub(crate) const fn new() -> Self {
        let queues = [const { Mutex::new(Queue::new()) }; QUEUES];
        Self { current: AtomicUsize::new(0), queues }
    }

    /// Queues `work`, which sends its results. It may stop once sending fails: then the caller
    /// wants no more results.
    pub(crate) fn start<T: Send + 'static>(
        &'static self,
        deadline: &Deadline,
        work: impl FnOnce(&Sender<T>) + Send + 'static,
    ) -> Result<Work<T>, Error> {
        let (sender, found) = mpsc::channel();
        let wanted = Arc::new(());
        let work = (Arc::downgrade(&wanted), Box::new(move || work(&sender)) as Box<_>);
        let of_process = self.queue();
        let mut queue = lock(of_process, deadline)?;
        if queue.process != process::id() {
            // Not dropped: dropping it could wait for locks that were held during the fork.
            mem::forget(mem::take(&mut queue.waiting));
            queue.process = process::id();
            queue.running = false;
        }
        queue.waiting.retain(|(wanted, _)| wanted.strong_count() > 0);
        queue.waiting.push_back(work);
        if !queue.running {
            let started = thread::Builder::new().spawn(|| run(of_process));
            if let Err(error) = started {
                queue.waiting.clear();
                return Err(os_error::of_call("starting a thread", error));
            }
            queue.running = true;
        }
        Ok(Work { found, _wanted: wanted })
    }

    /// Runs `work` in the worker, and waits for its result.
    #[cfg_attr(all(target_os = "linux", not(test)), allow(dead_code))]
    pub(crate) fn ask<T: Send + 'static>(
        &'static self,
        deadline: &Deadline,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let work = self.start(deadline, move |found| drop(found.send(work())))?;
        work.next(deadline)?.ok_or_else(ended)
    }

    /// The queue of this process.
    fn queue(&self) -> &Mutex<Queue> {
        let process = process::id() as usize;
        // Only the first call in a process changes anything.
        let _ = self.current.fetch_update(Relaxed, Relaxed, |current| {
            (current / QUEUES != process).then(|| {
                let mut others = (current + 1..current + QUEUES).map(|index| index % QUEUES);
                let usable = others.find(|index| !is_locked(self.at(*index)));
                process * QUEUES + usable.unwrap_or_default()
            })
        });
        self.at(self.current.load(Relaxed) % QUEUES)
    }

    fn at(&self, index: usize) -> &Mutex<Queue> {
        let [first, ..] = &self.queues;
        self.queues.get(index).unwrap_or(first)
    }
}

/// Several workers that share lists of items. The others start only if the first one is slow.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) struct Workers<const THREADS: usize>([Worker; THREADS]);

#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
impl<const THREADS: usize> Workers<THREADS> {
    pub(crate) const fn new() -> Self {
        Self([const { Worker::new() }; THREADS])
    }

    /// Runs `work` for each item, and calls `found` with each result. Ends with an error where no
    /// result comes for `patience`. An item whose work hangs does not hold up the others, unless it
    /// is one of as many as there are threads.
    pub(crate) fn each<I: Send + 'static, T: Send + 'static>(
        &'static self,
        items: impl IntoIterator<Item = I>,
        work: impl Fn(I) -> T + Send + Sync + 'static,
        patience: Duration,
        deadline: &Deadline,
        mut found: impl FnMut(T),
    ) -> Result<(), Error> {
        let items: VecDeque<I> = items.into_iter().collect();
        let mut missing = items.len();
        let items = Arc::new(Mutex::new(items));
        let next = |items: &Mutex<VecDeque<I>>| {
            items.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
        };
        let work = Arc::new(work);
        let (sender, results) = mpsc::channel();
        let mut workers = self.0.iter();
        let mut started = Vec::new();
        let mut limit = deadline.sooner(patience);
        while missing > 0 {
            let are_waiting = !items.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
            if are_waiting && let Some(worker) = workers.next() {
                let (items, work, sender) = (Arc::clone(&items), Arc::clone(&work), sender.clone());
                let helper = worker.start(&limit, move |_: &Sender<()>| {
                    while let Some(item) = next(&items) {
                        if sender.send(work(item)).is_err() {
                            break;
                        }
                    }
                });
                match helper {
                    Ok(helper) => started.push(helper),
                    Err(error) if error.is_final() || started.is_empty() => return Err(error),
                    Err(_) => workers = [].iter(),
                }
            }
            while let Ok(result) = results.recv_timeout(limit.remaining()?.min(QUICK)) {
                found(result);
                missing -= 1;
                limit = deadline.sooner(patience);
                if missing == 0 {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn is_locked(queue: &Mutex<Queue>) -> bool {
    matches!(queue.try_lock(), Err(TryLockError::WouldBlock))
}

/// Locks a queue, which takes a moment while another thread uses it.
fn lock<'a>(queue: &'a Mutex<Queue>, deadline: &Deadline) -> Result<MutexGuard<'a, Queue>, Error> {
    loop {
        match queue.try_lock() {
            Ok(queue) => return Ok(queue),
            Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => thread::sleep(deadline.remaining()?.min(RETRY)),
        }
    }
}

/// The worker's thread: runs the work in the queue until there is none.
fn run(queue: &Mutex<Queue>) {
    loop {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((wanted, work)) = queue.waiting.pop_front() else {
            queue.running = false;
            return;
        };
        drop(queue);
        if wanted.strong_count() > 0 {
            // Work that panics has no further results.
            let _ = catch_panic(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn work_that_hangs_blocks_no_caller_and_uses_one_thread() {
        static WORKER: Worker = Worker::new();
        let (release, released) = mpsc::channel::<()>();
        let deadline = Deadline::new(PATIENCE, &|| false);
        let hanging = WORKER.start(&deadline, move |found| {
            let _ = found.send(thread::current().id());
            let _ = released.recv();
        });
        let hanging = hanging.unwrap_or_else(|e| panic!("{e}"));
        let first = hanging.next(&deadline).unwrap_or_else(|e| panic!("{e}"));
        for _ in 0..100 {
            let unwanted = WORKER.start(&deadline, |_: &Sender<()>| panic!("nobody waits"));
            let unwanted = unwanted.unwrap_or_else(|e| panic!("{e}"));
            let soon = deadline.sooner(Duration::from_millis(1));
            assert!(matches!(unwanted.next(&soon), Err(Error::Timeout(_))));
        }
        let next =
            WORKER.start(&deadline, |found| assert!(found.send(thread::current().id()).is_ok()));
        let next = next.unwrap_or_else(|e| panic!("{e}"));
        drop(release);
        let second = next.next(&deadline).unwrap_or_else(|e| panic!("{e}"));
        assert!(first.is_some());
        assert_eq!(first, second);
        assert!(matches!(hanging.next(&deadline), Ok(None)));
    }

    #[test]
    fn run_in_thread_waits_and_returns_errors() {
        let deadline = Deadline::new(PATIENCE, &|| false);
        let here = thread::current().id();
        let there = run_in_thread(&deadline, |_| Ok(thread::current().id()));
        assert!(there.is_ok_and(|there| there != here));
        let panicking: Result<(), _> = run_in_thread(&deadline, |_| panic!("lost"));
        assert!(matches!(panicking, Err(Error::Internal(cause)) if cause == "lost"));
        let until_stopped = |deadline: &Deadline| -> Result<(), Error> {
            run_in_thread(deadline, |deadline| {
                loop {
                    deadline.check()?;
                    thread::sleep(RETRY);
                }
            })
        };
        let soon = deadline.sooner(2 * RETRY);
        assert!(matches!(until_stopped(&soon), Err(Error::Timeout(_))));
        let interrupted = Deadline::new(PATIENCE, &|| true);
        assert!(matches!(until_stopped(&interrupted), Err(Error::Interrupted)));
    }

    #[test]
    fn a_child_needs_no_lock_that_its_parent_held() {
        static WORKER: Worker = Worker::new();
        let deadline = Deadline::new(PATIENCE, &|| false);
        for generation in 0..3 * QUEUES {
            assert!(matches!(WORKER.ask(&deadline, || 7), Ok(7)), "{generation}");
            if generation % 4 == 0 {
                mem::forget(lock(WORKER.queue(), &deadline));
            }
            // A fork, as far as the child sees one: the queue belongs to another process.
            WORKER.current.fetch_add(QUEUES, Relaxed);
        }
    }

    #[test]
    fn workers_help_where_one_is_slow_or_hangs() {
        static WORKERS: Workers<3> = Workers::new();
        let deadline = Deadline::new(PATIENCE, &|| false);
        let each = |hanging: &'static [u32], patience| {
            let mut found = Vec::new();
            let work = move |item| {
                while hanging.contains(&item) {
                    thread::park();
                }
                (item, thread::current().id())
            };
            let done = WORKERS.each(0..9, work, patience, &deadline, |result| found.push(result));
            (done.is_ok(), found)
        };
        // A quick thread does everything.
        let (done, found) = each(&[], PATIENCE);
        assert!(done && found.iter().map(|(item, _)| *item).eq(0..9), "{found:?}");
        assert!(found.iter().all(|(_, thread)| Some(thread) == found.first().map(|f| &f.1)));
        // An item that hangs holds up no other, also in what comes later.
        for hanging in [&[0][..], &[4]] {
            let (done, mut found) = each(hanging, 4 * QUICK);
            found.sort_unstable_by_key(|(item, _)| *item);
            let expected = (0..9).filter(|item| !hanging.contains(item));
            assert!(!done && found.iter().map(|(item, _)| *item).eq(expected), "{found:?}");
        }
        let (done, found) = each(&[], PATIENCE);
        assert_eq!((done, found.len()), (true, 9));
        // Until every thread hangs.
        assert_eq!(each(&[0], 4 * QUICK).1.len(), 0);
        assert_eq!(each(&[], 4 * QUICK), (false, Vec::new()));
    }

    #[test]
    fn a_panic_ends_only_its_own_work() {
        static WORKER: Worker = Worker::new();
        let deadline = Deadline::new(PATIENCE, &|| false);
        let lost = WORKER.start(&deadline, |_: &Sender<()>| panic!("lost"));
        assert!(matches!(lost.map(|work| work.next(&deadline)), Ok(Ok(None))));
        let next = WORKER.start(&deadline, |found| assert!(found.send(7).is_ok()));
        assert!(matches!(next.map(|work| work.next(&deadline)), Ok(Ok(Some(7)))));
        let lost: Result<(), _> = WORKER.ask(&deadline, || panic!("lost"));
        assert!(matches!(lost, Err(Error::Internal(_))));
        assert!(matches!(WORKER.ask(&deadline, || 8), Ok(8)));
    }
}
