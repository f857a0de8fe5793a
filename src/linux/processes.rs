//! Processes in `/proc` (`proc_pid(5)`).

use std::ffi::CStr;

use rustix::fs::{RawDir, major, minor, readlink, stat};
use rustix::io::Errno;
use rustix::process::{getegid, getgroups};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::initial::{PIDS, is_in_initial};
use crate::linux::look::{Seen, beginning, look, open_directory};
use crate::linux::mount_text::{ShownTo, shown_to};
use crate::linux::mounts::mounts;
use crate::linux::proc_text::{full, line, number, program};
use crate::linux::rights::Right;
use crate::printable::{bounded, printable};

const PROC: &str = "/proc";

/// The size of a buffer for directory entries.
pub const ENTRIES: usize = 16 * 1024;

/// Longer than any name in `/proc/PID/comm`.
pub const LONGEST_COMM: usize = 256;

/// `PATH_MAX` in `linux/limits.h`: a program cannot be started by a longer path.
const LONGEST_PATH: usize = 4096;

/// Whether `/proc` lists every process of the host to this process: this process is in the initial
/// PID namespace, and nothing is hidden. Whether the files of a process may be read, a look at them
/// shows.
pub fn sees_every_process(deadline: &Deadline) -> Result<bool, Error> {
    Ok(is_in_initial(PIDS, deadline)? && hidden_processes(deadline)?.is_none())
}

/// A reason why `/proc` may leave out processes.
#[derive(Debug)]
pub struct Hiding {
    /// The reason, with the right that is missing.
    pub reason: String,
    /// The system's error for a hidden process.
    pub error: Errno,
}

/// The reason why `/proc` may leave out processes of its PID namespace for this process; `None`
/// where it lists every process.
///
/// The mount option `hidepid` decides (`proc(5)`), not the user id: `hidepid=ptraceable` hides
/// processes from root without `CAP_SYS_PTRACE`, and `CAP_SYS_PTRACE` shows them to any user. Inside a
/// user namespace a capability or group counts for nothing outside of it.
pub fn hidden_processes(deadline: &Deadline) -> Result<Option<Hiding>, Error> {
    const FIRST: &str = "/proc/1";
    let options = match proc_options(deadline)? {
        Seen::There(options) => options,
        Seen::Gone(error) | Seen::Hidden(error) => {
            return Ok(Some(Hiding { reason: format!("{PROC} is not the kernel's"), error }));
        }
    };
    let (trace, host) = (Right::Trace, Right::Host);
    let needed = match shown_to(&options) {
        ShownTo::Everybody => None,
        ShownTo::Group(_) | ShownTo::Tracers if !host.is_held(deadline)? => {
            Some(host.name().to_owned())
        }
        ShownTo::Group(_) | ShownTo::Tracers if trace.is_held(deadline)? => None,
        ShownTo::Group(Some(group)) if has_group(group) => None,
        ShownTo::Group(Some(group)) => Some(format!("{} or the group {group}", trace.name())),
        ShownTo::Group(None) | ShownTo::Tracers => Some(trace.name().to_owned()),
    };
    if let Some(needed) = needed {
        let reason = format!("{PROC} is mounted with {} ({needed} is needed)", bounded(&options));
        return Ok(Some(Hiding { reason, error: Errno::ACCESS }));
    }
    // A security module may hide processes, too.
    Ok(match look(FIRST, deadline, || stat(FIRST))? {
        Seen::There(_) => None,
        Seen::Gone(error) | Seen::Hidden(error) => {
            Some(Hiding { reason: format!("{FIRST} is hidden"), error })
        }
    })
}

/// The options that `/proc` is mounted with. There may be several mounts at this place: the device
/// number identifies the mount in use.
fn proc_options(deadline: &Deadline) -> Result<Seen<String>, Error> {
    let device = match look(PROC, deadline, || stat(PROC))?.ok_or_status() {
        Ok(stat) => (major(stat.st_dev), minor(stat.st_dev)),
        Err(seen) => return Ok(seen),
    };
    for mount in mounts(deadline)? {
        let mount = mount?;
        if mount.device == device && mount.kind == "proc" {
            return Ok(Seen::There(mount.options));
        }
    }
    Ok(Seen::Hidden(Errno::ACCESS))
}

fn has_group(group: u32) -> bool {
    let groups = getgroups().unwrap_or_default();
    groups.into_iter().chain([getegid()]).any(|own| own.as_raw() == group)
}

/// The ids of all visible processes, the lowest first.
pub fn pids(deadline: &Deadline) -> Result<Vec<u32>, Error> {
    numbers(PROC, deadline)?.there(PROC)
}

/// The directories of a process's threads, without its first thread.
pub fn other_threads(pid: u32, deadline: &Deadline) -> Result<Seen<Vec<String>>, Error> {
    let path = format!("/proc/{pid}/task");
    let ids = match look(&path, deadline, || stat(&path))? {
        // The directory has two links, like every directory, and another one for each thread.
        Seen::There(stat) if stat.st_nlink > 3 => numbers(&path, deadline)?,
        Seen::There(_) => Seen::There(Vec::new()),
        Seen::Gone(error) => Seen::Gone(error),
        Seen::Hidden(error) => Seen::Hidden(error),
    };
    let other = |id: &u32| *id != pid;
    Ok(ids.map(|ids| ids.into_iter().filter(other).map(|id| format!("{path}/{id}")).collect()))
}

/// The numbers among the entries of a directory, the lowest first.
fn numbers(path: &str, deadline: &Deadline) -> Result<Seen<Vec<u32>>, Error> {
    let directory = match open_directory(path, path, deadline)?.ok_or_status() {
        Ok(directory) => directory,
        Err(seen) => return Ok(seen),
    };
    let mut space = Vec::with_capacity(ENTRIES);
    let mut entries = RawDir::new(&directory, space.spare_capacity_mut());
    let mut numbers = Vec::new();
    while let Some(entry) = entries.next() {
        deadline.check()?;
        let entry = match entry {
            Err(Errno::INTR) => continue,
            entry => match Seen::of(path, entry)? {
                Seen::There(entry) => entry,
                Seen::Gone(error) => return Ok(Seen::Gone(error)),
                Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
            },
        };
        numbers.extend(number::<u32>(entry.file_name().to_bytes()));
    }
    numbers.sort_unstable();
    Ok(Seen::There(numbers))
}

/// The names of a process, made printable.
#[derive(Debug)]
pub struct ProcessNames {
    /// Its name: `comm`, completed by `cmdline` where the kernel has cut it short.
    pub name: String,
    /// The program that it runs.
    pub program: String,
    /// Other names of the program.
    pub others: Vec<String>,
}

/// The names of a process and of its program, read from the directory of the process and from the
/// directory of a thread that still exists.
pub fn names(
    process: &str,
    thread: &str,
    deadline: &Deadline,
) -> Result<Seen<ProcessNames>, Error> {
    let (mut comm, mut cmdline) = ([0; LONGEST_COMM], [0; LONGEST_PATH]);
    let comm = match beginning(&format!("{process}/comm"), &mut comm, deadline)?.ok_or_status() {
        Ok(comm) => line(comm),
        Err(seen) => return Ok(seen),
    };
    let cmdline = beginning(&format!("{thread}/cmdline"), &mut cmdline, deadline)?;
    let cmdline = match cmdline.ok_or_status() {
        Ok(cmdline) => cmdline,
        Err(seen) => return Ok(seen),
    };
    let link = format!("{thread}/exe");
    let exe = look(&link, deadline, || match readlink(&*link, Vec::new()) {
        // The path is longer than the kernel can print.
        Err(Errno::NAMETOOLONG) => Err(Errno::ACCESS),
        outcome => outcome,
    })?;
    let exe = exe.found();
    let of = program(comm, exe.as_deref().map(CStr::to_bytes), cmdline);
    let shown = |name: &[u8]| printable(name.trim_ascii_end());
    Ok(Seen::There(ProcessNames {
        name: shown(full(comm, cmdline)),
        program: shown(of.name),
        others: of.others.into_iter().flatten().map(shown).collect(),
    }))
}
