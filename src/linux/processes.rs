//! Processes in `/proc` (`proc_pid(5)`).

use std::ffi::CStr;
use std::mem::MaybeUninit;

use rustix::fs::{RawDir, readlink, readlinkat_raw, stat};
use rustix::io::Errno;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::{Seen, beginning, look, open_directory};
use crate::linux::proc_text::{full, line, may_be_cut, number, program};
use crate::printable::printable;

/// The size of a buffer for directory entries.
pub const ENTRIES: usize = 16 * 1024;

/// Longer than any name in `/proc/PID/comm`.
const LONGEST_COMM: usize = 256;

/// `PATH_MAX` in `linux/limits.h`: a program cannot be started by a longer path.
const LONGEST_PATH: usize = 4096;

/// Whether this process is in the initial PID namespace, which has every process. Its inode number
/// is `PROC_PID_INIT_INO` in `linux/proc_ns.h`.
pub fn sees_every_process(deadline: &Deadline) -> Result<bool, Error> {
    const LINK: &str = "/proc/self/ns/pid";
    let mut target = [MaybeUninit::uninit(); 64];
    let target = look(LINK, deadline, || {
        let (target, _) = readlinkat_raw(rustix::fs::CWD, LINK, &mut target)?;
        Ok(*target == *b"pid:[4026531836]")
    })?;
    match target {
        Seen::There(first) => Ok(first),
        Seen::Gone(_) | Seen::Hidden(_) => Ok(false),
    }
}

/// The ids of all visible processes, the lowest first.
pub fn pids(deadline: &Deadline) -> Result<Vec<u32>, Error> {
    const ALL: &str = "/proc";
    numbers(ALL, deadline)?.there(ALL)
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

/// The name of a process: `comm` in the directory of the process, completed by `cmdline` in the
/// directory of a thread that still exists.
pub fn name(process: &str, thread: &str, deadline: &Deadline) -> Result<Seen<String>, Error> {
    let mut room = [0; LONGEST_COMM];
    let comm = match beginning(&format!("{process}/comm"), &mut room, deadline)?.ok_or_status() {
        Ok(comm) => line(comm),
        Err(seen) => return Ok(seen),
    };
    if !may_be_cut(comm) {
        return Ok(Seen::There(printable(comm.trim_ascii_end())));
    }
    let mut room = [0; LONGEST_PATH];
    Ok(match beginning(&format!("{thread}/cmdline"), &mut room, deadline)? {
        Seen::There(cmdline) => Seen::There(printable(full(comm, cmdline).trim_ascii_end())),
        Seen::Gone(error) => Seen::Gone(error),
        Seen::Hidden(error) => Seen::Hidden(error),
    })
}

/// The names of a process, made printable.
#[derive(Debug)]
pub struct ProcessNames {
    /// Its name, as [`name`] returns it.
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
