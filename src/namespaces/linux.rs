//! Linux: namespaces that processes are in (`proc_pid_ns(5)`) or that are mounted.
//!
//! Who may enter a namespace asks in it as in its own. Of any other `/proc/PID/net` shows to everybody
//! what the namespace of that process has, and the inode numbers there tell namespaces apart also for
//! those who may not read `/proc/PID/ns`.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::{debug, warn};
use rustix::fs::{Mode, OFlags, fstat, fstatfs, open, stat};
use rustix::io::Errno;
use rustix::path::Arg;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::file_system::is_of_type;
use crate::linux::look::{Seen, beginning, look};
use crate::linux::mounts::{Mount, mounts};
use crate::linux::processes::{name, other_threads, pids, sees_every_process};
use crate::linux::units::container_of;
use crate::name::Unknown;
use crate::namespaces::view::{NetnsCoverage, View, Visit};
use crate::netns::{NAMED, Netns};
use crate::printable::printable;
use crate::vocabulary::NetnsIndex;
use crate::worker::run_in_thread;

/// What the namespace is called that the first process of the whole system is in.
const HOST: &str = "host";

/// This very thread: `/proc/self` is the process's first one, which may be elsewhere.
const THREAD: &str = "/proc/thread-self";

/// `NSFS_MAGIC` in `linux/magic.h`; since Linux 3.19.
const NSFS: rustix::fs::FsWord = 0x6e73_6673;

/// Longer than what `/proc/PID/cgroup` has of one process.
const LONGEST_CGROUPS: usize = 16 * 1024;

/// The namespaces that are looked at.
#[derive(Debug, Default)]
pub struct Namespaces {
    // By number; the first one is this thread's own.
    all: Vec<Namespace>,
    // Whether the own one is not among those that are asked for.
    abroad: bool,
}

/// What is known of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Namespace {
    // Its inode number, where `/proc/PID/ns` may be read or it is mounted.
    inode: Option<u64>,
    // The inode number of its table of TCP.
    tcp: Option<u64>,
    // The directory of the first process that is in it, or of one of its threads.
    process: Option<String>,
    // The same of one by which it may be entered, where that is another one.
    entrance: Option<String>,
    // Where it is mounted.
    mounted: Option<PathBuf>,
    // What it was asked for by.
    asked: Option<String>,
    // Whether every process was looked at, and none known to be in it.
    searched: bool,
}

/// What came of looking at a namespace.
enum Looked {
    Seen { inside: bool },
    // It was looked at before.
    Again,
    Gone,
    Denied(Error),
}

impl Namespaces {
    /// Those that are asked for; this thread's own where none is.
    pub fn find(asked: &[Netns], deadline: &Deadline) -> Result<Self, Error> {
        if asked.is_empty() {
            return Ok(Self::default());
        }
        let mut found = Self { all: vec![Namespace::own(deadline)?], abroad: true };
        for asked in asked {
            match asked {
                Netns::All => {
                    for namespace in everything(deadline)? {
                        found.add(namespace)?;
                    }
                }
                Netns::Process(pid) => found.add(Namespace::of_process(*pid, deadline)?)?,
                Netns::File(path) => {
                    found.add(Namespace::of_file(path, &path.to_string_lossy(), deadline)?)?;
                }
                Netns::Name(name) => found.add(Namespace::of_name(name, deadline)?)?,
            }
        }
        Ok(found)
    }

    fn add(&mut self, namespace: Namespace) -> Result<(), Error> {
        if let Some((number, known)) =
            self.all.iter_mut().enumerate().find(|(_, known)| known.is(&namespace))
        {
            known.learn(namespace);
            self.abroad &= number != 0;
            return Ok(());
        }
        if self.all.len() > usize::from(u16::MAX) {
            let most = u16::MAX;
            return Err(Error::Unsupported(format!("More than {most} network namespaces")));
        }
        self.all.push(namespace);
        Ok(())
    }

    /// Whether any were named.
    #[must_use]
    pub fn are_asked_for(&self) -> bool {
        !self.all.is_empty()
    }

    /// Whether there may be more than one.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.others().count() + usize::from(!self.abroad) > 1
    }

    /// The numbers of all.
    pub fn numbers(&self) -> impl Iterator<Item = NetnsIndex> {
        let own = (!self.abroad).then_some(NetnsIndex::OWN);
        own.into_iter().chain(self.others().map(|(net, _)| net))
    }

    fn others(&self) -> impl Iterator<Item = (NetnsIndex, &Namespace)> {
        (0..=u16::MAX).map(NetnsIndex).zip(&self.all).skip(1)
    }

    /// Does something in each that is `wanted`: where it may be entered, inside of it, in a thread of
    /// its own that ends with it; else, where `processes` may stand for it, by what is shown of them.
    pub fn visit(
        &self,
        processes: bool,
        wanted: &dyn Fn(NetnsIndex) -> bool,
        deadline: &Deadline,
        visit: &mut Visit,
    ) -> Result<NetnsCoverage, Error> {
        let mut coverage = NetnsCoverage::default();
        if !self.abroad && wanted(NetnsIndex::OWN) {
            visit(NetnsIndex::OWN, &View::Inside, deadline)?;
            coverage.read += 1;
        }
        let others: Vec<_> = self.others().filter(|(net, _)| wanted(*net)).collect();
        if others.is_empty() {
            return Ok(coverage);
        }
        let mut known = HashSet::new();
        if coverage.read > 0 {
            known.extend(self.all.first().and_then(|own| own.tcp));
        }
        run_in_thread(deadline, |deadline| {
            // Seen by a process of which it is not told which mounted one it is in.
            let mut nameless = 0;
            for (net, namespace) in others {
                match namespace.look(processes, &mut known, deadline, &mut |view, deadline| {
                    visit(net, view, deadline)
                })? {
                    Looked::Seen { inside } => {
                        coverage.read += 1;
                        nameless += usize::from(!inside && namespace.inode.is_none());
                    }
                    Looked::Again => {}
                    Looked::Gone => match &namespace.asked {
                        None => debug!("a network namespace is gone: {namespace:?}"),
                        Some(asked) => {
                            return Err(Error::Argument(format!(
                                "The network namespace {asked} is gone"
                            )));
                        }
                    },
                    // One that has processes has sockets, most likely.
                    Looked::Denied(error)
                        if namespace.asked.is_some() || namespace.process.is_some() =>
                    {
                        return Err(error);
                    }
                    Looked::Denied(error) => {
                        warn!("{error}");
                        coverage.skipped += 1;
                    }
                }
            }
            coverage.maybe_read = coverage.skipped.min(nameless);
            Ok(coverage)
        })
    }

    /// What people call them: the container that a namespace is of, its name below `/run/netns`, or
    /// the first process in it.
    pub fn names(
        &self,
        wanted: &HashSet<NetnsIndex>,
        deadline: &Deadline,
    ) -> Result<HashMap<NetnsIndex, Arc<str>>, Error> {
        let own = [Namespace::own(deadline)?];
        let all = if self.all.is_empty() { &own[..] } else { &self.all };
        let mut wanted: HashMap<NetnsIndex, Namespace> = (0..=u16::MAX)
            .map(NetnsIndex)
            .zip(all.iter().cloned())
            .filter(|(net, _)| wanted.contains(net))
            .collect();
        // What is not known yet of some.
        let unknown = wanted.values().any(|namespace| namespace.process.is_none());
        let processes = if unknown { of_processes(deadline)? } else { Vec::new() };
        for seen in processes.into_iter().chain(mounted()?) {
            for namespace in wanted.values_mut().filter(|namespace| namespace.is(&seen)) {
                namespace.learn(seen.clone());
            }
        }
        let host =
            if sees_every_process(deadline)? { tcp("/proc/1", deadline)?.found() } else { None };
        let label = |(net, namespace): (NetnsIndex, Namespace)| {
            let label = match namespace.tcp {
                Some(tcp) if host == Some(tcp) => HOST.to_owned(),
                Some(_) | None => namespace.label(deadline)?,
            };
            Ok((net, Arc::from(label)))
        };
        wanted.into_iter().map(label).collect()
    }
}

impl Namespace {
    /// This thread's own.
    fn own(deadline: &Deadline) -> Result<Self, Error> {
        let tcp = tcp(THREAD, deadline)?.found();
        Ok(Self { inode: inode(THREAD, deadline)?, tcp, ..Self::default() })
    }

    /// The one that a process is in.
    fn of_process(pid: u32, deadline: &Deadline) -> Result<Self, Error> {
        let namespace = match in_process(pid, deadline)? {
            Seen::There(namespace) => namespace,
            Seen::Gone(_) => {
                return Err(Error::Argument(format!(
                    "Network namespace {pid}: no process of this id can be seen"
                )));
            }
            Seen::Hidden(error) => {
                return Err(Error::system(format!("Network namespace {pid}: /proc/{pid}"), error));
            }
        };
        Ok(Self { asked: Some(pid.to_string()), ..namespace })
    }

    /// The one that has a name below `/run/netns`.
    fn of_name(name: &str, deadline: &Deadline) -> Result<Self, Error> {
        let path = Path::new(NAMED).join(name);
        if let Seen::Gone(_) = look(NAMED, deadline, || stat(&path))? {
            let mut names: Vec<String> = std::fs::read_dir(NAMED)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| printable(entry.file_name().as_bytes()))
                .collect();
            names.sort_unstable();
            return Err(match &*names {
                [] => Error::Argument(format!(
                    "unknown network namespace {name:?} (there is none below {NAMED}; valid: all, \
                     a path, a process id)"
                )),
                names => Unknown::new("network namespace", name, names).into(),
            });
        }
        Self::of_file(&path, name, deadline)
    }

    /// The one that a file stands for. Nothing else may be done with any other file: the caller may
    /// be no other user's equal, as with sudo.
    fn of_file(path: &Path, asked: &str, deadline: &Deadline) -> Result<Self, Error> {
        let shown = printable(asked.as_bytes());
        match file(path, deadline) {
            Ok(Seen::There(file)) => {
                let inode = fstat(&file).map_err(|error| Error::system(&*shown, error))?.st_ino;
                let mounted = Some(path.to_owned());
                Ok(Self { inode: Some(inode), mounted, asked: Some(shown), ..Self::default() })
            }
            Ok(Seen::Hidden(error)) => {
                // What it may not be read of, `/proc` may show.
                let process = path.to_str().and_then(|path| path.strip_suffix("/ns/net"));
                let process = process.map(str::to_owned);
                match process.as_ref().map(|process| tcp(process, deadline)).transpose()? {
                    Some(Seen::There(tcp)) => {
                        Ok(Self { tcp: Some(tcp), process, asked: Some(shown), ..Self::default() })
                    }
                    Some(Seen::Gone(_) | Seen::Hidden(_)) | None => Err(Error::system(
                        format!("Network namespace {shown}: CAP_SYS_PTRACE may be needed"),
                        error,
                    )),
                }
            }
            Ok(Seen::Gone(NO_NAMESPACE)) => Err(no_network(&shown)),
            Ok(Seen::Gone(error)) => {
                Err(Error::system(format!("Network namespace {shown}"), error))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether both are the same, as far as is known.
    fn is(&self, other: &Self) -> bool {
        match (self.inode, other.inode) {
            (Some(one), Some(other)) => one == other,
            (Some(_), None) | (None, _) => self.tcp.is_some() && self.tcp == other.tcp,
        }
    }

    /// Takes in what is known of the same one.
    fn learn(&mut self, other: Self) {
        self.inode = self.inode.or(other.inode);
        self.tcp = self.tcp.or(other.tcp);
        self.process = self.process.take().or(other.process);
        self.entrance = self.entrance.take().or(other.entrance);
        // What has a name goes by that.
        if self.mounted.as_deref().is_none_or(|path| !is_named(path)) {
            self.mounted = other.mounted.or(self.mounted.take());
        }
        self.asked = self.asked.take().or(other.asked);
    }

    /// Does something in it, where it is not among the `known` ones.
    fn look(
        &self,
        processes: bool,
        known: &mut HashSet<u64>,
        deadline: &Deadline,
        visit: &mut dyn FnMut(&View, &Deadline) -> Result<(), Error>,
    ) -> Result<Looked, Error> {
        let mut denied = None;
        if let Some(mounted) = &self.mounted {
            match self.enter(mounted, deadline)? {
                Seen::There(()) => return inside(known, deadline, visit),
                Seen::Gone(_) => {}
                // Looking again for each would take the square of their number.
                Seen::Hidden(error) if self.searched && self.process.is_none() => {
                    return Ok(Looked::Denied(self.denied(error)));
                }
                Seen::Hidden(error) => denied = Some(error),
            }
        }
        let mut tried = HashSet::new();
        let mut next = self.entrance.clone().or_else(|| self.process.clone());
        while let Some(process) =
            next.take().map_or_else(|| self.another(&tried, deadline), |n| Ok(Some(n)))?
        {
            let entered = self.enter(&Path::new(&process).join("ns/net"), deadline)?;
            if let Seen::There(()) = entered {
                return inside(known, deadline, visit);
            }
            match (self.seen_by(&process, deadline)?, entered) {
                (Some(tcp), _) if processes => {
                    if known.contains(&tcp) {
                        return Ok(Looked::Again);
                    }
                    let view = View::Process { directory: process.clone(), tcp };
                    match visit(&view, deadline) {
                        Ok(()) => {
                            known.insert(tcp);
                            return Ok(Looked::Seen { inside: false });
                        }
                        Err(error) if error.is_final() => return Err(error),
                        // It has ended meanwhile, or moved.
                        Err(error)
                            if error.is_of_another_namespace()
                                || self.seen_by(&process, deadline)? != Some(tcp) => {}
                        Err(error) => return Err(error),
                    }
                }
                (Some(_), Seen::Hidden(error)) => denied = Some(error),
                (Some(_) | None, _) => {}
            }
            tried.insert(process);
        }
        Ok(denied.map_or(Looked::Gone, |error| Looked::Denied(self.denied(error))))
    }

    /// What is said where it may not be entered, and nothing else shows it.
    fn denied(&self, error: Errno) -> Error {
        let mounted = self.mounted.as_ref().map(|path| path.display().to_string());
        let name = [&self.asked, &mounted, &self.process].into_iter().flatten().next();
        let name = name.map_or("", String::as_str);
        Error::system(
            format!(
                "Network namespace {name} can be entered with CAP_SYS_ADMIN only, and no process is \
                 known that shows it"
            ),
            error,
        )
    }

    /// Moves this thread into it by a link that is still one to it.
    fn enter(&self, link: &Path, deadline: &Deadline) -> Result<Seen<()>, Error> {
        let shown = link.display().to_string();
        let file = match file(link, deadline)?.ok_or_status() {
            Ok(file) => file,
            Err(seen) => return Ok(seen),
        };
        let inode = fstat(&file).map_err(|error| Error::system(&*shown, error))?.st_ino;
        if self.inode.is_some_and(|known| known != inode) {
            return Ok(Seen::Gone(Errno::NOENT));
        }
        // What was opened as a path only cannot be entered.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let file = match look(&shown, deadline, || {
            open(&*path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        })?
        .ok_or_status()
        {
            Ok(file) => file,
            Err(seen) => return Ok(seen),
        };
        // Of another kind it is not entered: INVAL, whoever asks.
        let entered = look(&shown, deadline, || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        });
        match entered {
            Err(Error::System { error, .. })
                if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) =>
            {
                Err(no_network(&shown))
            }
            entered => entered,
        }
    }

    /// The inode number of the table that a process shows of this namespace; `None` where it is not
    /// in it.
    fn seen_by(&self, process: &str, deadline: &Deadline) -> Result<Option<u64>, Error> {
        let shown = tcp(process, deadline)?.found();
        Ok(match self.tcp {
            Some(known) => shown.filter(|shown| *shown == known),
            None if self.inode.is_some() && inode(process, deadline)? == self.inode => shown,
            None => None,
        })
    }

    /// A process that is in it, of those that were not tried yet.
    fn another(
        &self,
        tried: &HashSet<String>,
        deadline: &Deadline,
    ) -> Result<Option<String>, Error> {
        for pid in pids(deadline)? {
            if let Seen::There(found) = in_process(pid, deadline)?
                && self.is(&found)
                && let Some(process) = found.process.filter(|process| !tried.contains(process))
            {
                return Ok(Some(process));
            }
        }
        Ok(None)
    }

    /// What people call it.
    fn label(&self, deadline: &Deadline) -> Result<String, Error> {
        if let Some(process) = &self.process {
            let mut room = vec![0; LONGEST_CGROUPS];
            let cgroups = beginning(&format!("{process}/cgroup"), &mut room, deadline)?;
            if let Some(container) = cgroups.found().and_then(of_cgroups) {
                return Ok(container);
            }
        }
        let mounted = self.mounted.as_deref();
        if let Some(path) = mounted.filter(|path| is_named(path)) {
            return Ok(printable(path.file_name().unwrap_or_default().as_bytes()));
        }
        if let Some(process) = &self.process {
            let (whole, _) = process.split_once("/task/").unwrap_or((process, ""));
            let (_, pid) = whole.rsplit_once('/').unwrap_or(("", whole));
            if let Some(name) = name(whole, process, deadline)?.found() {
                return Ok(format!("{name} ({pid})"));
            }
        }
        let inode = || self.inode.map_or_else(|| "(gone)".to_owned(), |i| format!("net:[{i}]"));
        Ok(mounted.map_or_else(inode, |path| printable(path.as_os_str().as_bytes())))
    }
}

/// Does something in the namespace that this thread has just entered.
fn inside(
    known: &mut HashSet<u64>,
    deadline: &Deadline,
    visit: &mut dyn FnMut(&View, &Deadline) -> Result<(), Error>,
) -> Result<Looked, Error> {
    let tcp = tcp(THREAD, deadline)?.found();
    if tcp.is_some_and(|tcp| !known.insert(tcp)) {
        return Ok(Looked::Again);
    }
    visit(&View::Inside, deadline)?;
    Ok(Looked::Seen { inside: true })
}

/// What is said of a file that stands for none; before and after it is mounted it is such a file.
const NO_NAMESPACE: Errno = Errno::INVAL;

/// A file that stands for a namespace, opened so that nothing is done with any other.
fn file(path: &Path, deadline: &Deadline) -> Result<Seen<OwnedFd>, Error> {
    let shown = printable(path.as_os_str().as_bytes());
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = match look(&shown, deadline, || open(path, flags, Mode::empty()))? {
        Seen::There(file) => file,
        seen => return Ok(seen),
    };
    let file_system = fstatfs(&file).map_err(|error| Error::system(&*shown, error))?;
    let is_one = is_of_type(&file_system, NSFS);
    Ok(if is_one { Seen::There(file) } else { Seen::Gone(NO_NAMESPACE) })
}

fn no_network(shown: &str) -> Error {
    Error::Argument(format!(
        "{shown} is no network namespace (valid: a file as /proc/PID/ns/net or below {NAMED})"
    ))
}

/// The inode number of the namespace that a process is in, where it may be read.
fn inode(process: &str, deadline: &Deadline) -> Result<Option<u64>, Error> {
    let link = format!("{process}/ns/net");
    Ok(look(&link, deadline, || stat(&link))?.map(|stat| stat.st_ino).found())
}

/// The inode number of the table of TCP that `/proc` shows of a process.
fn tcp(process: &str, deadline: &Deadline) -> Result<Seen<u64>, Error> {
    let table = format!("{process}/net/tcp");
    Ok(look(&table, deadline, || stat(&table))?.map(|stat| stat.st_ino))
}

/// The namespace that a process is in: once its first thread has ended, that of another one.
fn in_process(pid: u32, deadline: &Deadline) -> Result<Seen<Namespace>, Error> {
    let mut process = format!("/proc/{pid}");
    let mut found = tcp(&process, deadline)?;
    if let Seen::Gone(_) = found {
        for thread in other_threads(pid, deadline)?.found().unwrap_or_default() {
            found = tcp(&thread, deadline)?;
            if let Seen::There(_) = found {
                process = thread;
                break;
            }
        }
    }
    let inode = inode(&process, deadline)?;
    Ok(found.map(|tcp| Namespace {
        inode,
        tcp: Some(tcp),
        process: Some(process),
        ..Namespace::default()
    }))
}

/// Every namespace that a process is in.
fn of_processes(deadline: &Deadline) -> Result<Vec<Namespace>, Error> {
    let mut found: Vec<Namespace> = Vec::new();
    let mut numbers: HashMap<u64, usize> = HashMap::new();
    for pid in pids(deadline)? {
        let process = format!("/proc/{pid}");
        // Most processes are in one that is known.
        if let Seen::There(tcp) = tcp(&process, deadline)?
            && let Some(known) = numbers.get(&tcp).and_then(|number| found.get_mut(*number))
        {
            if known.inode.is_none() {
                known.inode = inode(&process, deadline)?;
                known.entrance = known.inode.map(|_| process);
            }
            continue;
        }
        match in_process(pid, deadline)? {
            Seen::There(namespace) => {
                if let Some(tcp) = namespace.tcp
                    && let Entry::Vacant(number) = numbers.entry(tcp)
                {
                    number.insert(found.len());
                    found.push(namespace);
                }
            }
            Seen::Gone(_) => {}
            Seen::Hidden(error) => return Err(hidden(&process, error)),
        }
    }
    Ok(found)
}

/// Every namespace that is mounted somewhere.
fn mounted() -> Result<Vec<Namespace>, Error> {
    let mut found: Vec<Namespace> = Vec::new();
    for mount in mounts()? {
        let Mount { root, point, kind, .. } = mount?;
        let inode = root.to_str().and_then(|root| root.strip_prefix("net:[")?.strip_suffix(']'));
        let inode = inode.filter(|_| kind == "nsfs").and_then(|inode| inode.parse().ok());
        if inode.is_some() {
            let namespace = Namespace { inode, mounted: Some(point), ..Namespace::default() };
            match found.iter_mut().find(|known| known.inode == inode) {
                Some(known) => known.learn(namespace),
                None => found.push(namespace),
            }
        }
    }
    Ok(found)
}

/// Every namespace that there is to see.
fn everything(deadline: &Deadline) -> Result<Vec<Namespace>, Error> {
    refuse_hidepid(deadline)?;
    let mut found = of_processes(deadline)?;
    let numbers: HashMap<_, _> = found
        .iter()
        .enumerate()
        .filter_map(|(number, namespace)| Some((namespace.inode?, number)))
        .collect();
    for namespace in mounted()? {
        let known = namespace.inode.and_then(|inode| numbers.get(&inode));
        match known.and_then(|number| found.get_mut(*number)) {
            Some(known) => known.learn(namespace),
            None => found.push(Namespace { searched: true, ..namespace }),
        }
    }
    Ok(found)
}

/// Refuses a `/proc` that does not show every process: a namespace could be left out.
fn refuse_hidepid(deadline: &Deadline) -> Result<(), Error> {
    const FIRST: &str = "/proc/1";
    match look(FIRST, deadline, || stat(FIRST))? {
        Seen::There(_) => {}
        Seen::Gone(error) | Seen::Hidden(error) => return Err(hidden(FIRST, error)),
    }
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let groups = rustix::process::getgroups().unwrap_or_default();
    let is_ours = |group: u32| {
        let all = groups.iter().copied().chain([rustix::process::getegid()]);
        all.into_iter().any(|own| own.as_raw() == group)
    };
    for mount in mounts()? {
        let Mount { point, kind, options, .. } = mount?;
        if kind == "proc" && point == Path::new("/proc") && hides_processes(&options, &is_ours) {
            return Err(hidden(&format!("/proc ({options})"), Errno::ACCESS));
        }
    }
    Ok(())
}

/// Whether the options of `/proc` keep processes from being seen by whose groups these are
/// (`proc(5)`).
fn hides_processes(options: &str, is_ours: &dyn Fn(u32) -> bool) -> bool {
    let value = |name| options.split(',').find_map(|option| option.strip_prefix(name));
    let group = || value("gid=").map_or(Some(0), |group| group.parse().ok());
    match value("hidepid=") {
        None | Some("0" | "off") => false,
        // Who may trace it sees a process.
        Some("4" | "ptraceable") => true,
        Some(_) => !group().is_some_and(is_ours),
    }
}

fn hidden(what: &str, error: Errno) -> Error {
    Error::system(
        format!(
            "Not every process can be seen, so that network namespaces could be left out (root \
             sees them, and who has CAP_SYS_PTRACE, and the group that /proc is mounted with): \
             {what}"
        ),
        error,
    )
}

/// Whether `ip netns` knows it by name.
fn is_named(path: &Path) -> bool {
    path.parent().is_some_and(|parent| [NAMED, "/var/run/netns"].map(Path::new).contains(&parent))
}

/// The container that the cgroups of a process are of (`cgroups(7)`): in whichever hierarchy.
fn of_cgroups(text: &[u8]) -> Option<String> {
    let mut lines = text.split(|byte| *byte == b'\n').map(printable);
    lines.find_map(|line| container_of(line.splitn(3, ':').nth(2)?))
}
