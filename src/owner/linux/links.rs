//! Reads tables of file descriptors: `/proc/PID/fd` has a link for each (`proc_pid_fd(5)`).
//!
//! Links are read relative to the open directory: a path from the root costs twice as much, and there
//! may be a million links.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::{ControlFlow, Range};
use std::os::fd::OwnedFd;

use rustix::fs::{RawDir, readlinkat_raw};
use rustix::io::Errno;
use rustix::path::DecInt;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::{Seen, look, open_directory};
use crate::linux::proc_text::{inode, is_ring};
use crate::linux::processes::ENTRIES;

/// The number of descriptors from one sample of a large table to the next.
const STEP: usize = 64;

/// The number of descriptors that are tried for a sample: some are free, or no sockets.
const TRIES: usize = 4;

/// The file of a descriptor: the inode number of its socket if it is one, and whether it is an
/// `io_uring`.
type Link = (Option<u64>, bool);

/// Takes a descriptor, the inode number of its socket if it is one, and whether it is an `io_uring`.
type OnLink<'a> = dyn FnMut(&CStr, Option<u64>, bool) -> ControlFlow<()> + 'a;

/// Reads a table of file descriptors, and hands over each descriptor, the inode number of its socket
/// if it is one, and whether it is an `io_uring`, until `found` wants no more. Returns the number of
/// descriptors that were read.
pub fn read_links(
    table: &str,
    deadline: &Deadline,
    found: &mut OnLink,
) -> Result<Seen<usize>, Error> {
    let directory = match open_directory(table, table, deadline)?.ok_or_status() {
        Ok(directory) => directory,
        Err(seen) => return Ok(seen),
    };
    let mut space = Vec::with_capacity(ENTRIES);
    let mut entries = RawDir::new(&directory, space.spare_capacity_mut());
    let mut size = 0;
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => {
                deadline.check()?;
                continue;
            }
            entry => match Seen::of(table, entry)? {
                Seen::There(entry) => entry,
                Seen::Gone(error) => return Ok(Seen::Gone(error)),
                Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
            },
        };
        let name = entry.file_name();
        // `.` and `..` are directories.
        if name.to_bytes().starts_with(b".") {
            continue;
        }
        size += 1;
        match link(&directory, name, table, deadline)? {
            Seen::There((inode, is_ring)) => {
                if found(name, inode, is_ring).is_break() {
                    break;
                }
            }
            // The descriptor was closed meanwhile.
            Seen::Gone(_) => {}
            Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
        }
    }
    Ok(Seen::There(size))
}

/// Reads these descriptors of a table, and hands over the inode numbers of the sockets among them, until
/// `found` wants no more. A table that may not be read, or is gone, has none.
pub fn read_part(
    table: &str,
    descriptors: Range<usize>,
    deadline: &Deadline,
    found: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(), Error> {
    let Some(directory) = open_directory(table, table, deadline)?.found() else {
        return Ok(());
    };
    for descriptor in descriptors {
        if let Some(inode) = socket(&directory, descriptor, table, deadline)?
            && found(inode).is_break()
        {
            break;
        }
    }
    Ok(())
}

/// A descriptor now and then of a table with `size` descriptors, and the inode number of its socket. A
/// table that may not be read, or is gone, has none.
pub fn samples(table: &str, size: usize, deadline: &Deadline) -> Result<Vec<(usize, u64)>, Error> {
    let mut samples = Vec::new();
    let Some(directory) = open_directory(table, table, deadline)?.found() else {
        return Ok(samples);
    };
    for first in (0..size).step_by(STEP) {
        for descriptor in first..first + TRIES {
            if let Some(inode) = socket(&directory, descriptor, table, deadline)? {
                samples.push((descriptor, inode));
                break;
            }
        }
    }
    Ok(samples)
}

/// A part of a table that may have wanted sockets.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The descriptors.
    pub descriptors: Range<usize>,
    /// The wanted inode numbers per million of the inode numbers that the part may have.
    pub density: u64,
}

/// The parts between the samples of a table with `size` descriptors that may have sockets with these
/// sorted inode numbers. The kernel numbers sockets in the order in which they are made, and a process
/// mostly has its sockets in this order.
pub fn parts(samples: &[(usize, u64)], size: usize, wanted: &[u64]) -> Vec<Part> {
    // Descriptors and inode numbers before the first sample and behind the last one.
    let (first, last) = ((0, 0), (size + STEP, u64::MAX));
    let marks: Vec<_> = [first].iter().chain(samples).chain([&last]).copied().collect();
    let part = |(place, ends): (usize, &[(usize, u64)])| {
        let [(from, _), (to, _)] = *ends else {
            return None;
        };
        // A part between others has sockets in another order too: as old and as new as its neighbours'.
        let around = marks.get(place.saturating_sub(1)..(place + 3).min(marks.len()))?;
        let density = density(ends, wanted).max(density(around, wanted))?;
        Some(Part { descriptors: from..to, density })
    };
    marks.windows(2).enumerate().filter_map(part).collect()
}

/// The wanted inode numbers per million of the inode numbers between the lowest and the highest of some
/// samples; `None` where there is none.
fn density(samples: &[(usize, u64)], wanted: &[u64]) -> Option<u64> {
    const MILLION: u64 = 1_000_000;
    let inodes = || samples.iter().map(|(_, inode)| *inode);
    let (low, high) = (inodes().min()?, inodes().max()?);
    let before = |limit: u64| wanted.partition_point(|inode| *inode < limit) as u64;
    let within = before(high.saturating_add(1)) - before(low);
    (within > 0).then(|| within.saturating_mul(MILLION) / (high - low).max(1))
}

/// The inode number of the socket of a descriptor; `None` where it is free or another file.
fn socket(
    directory: &OwnedFd,
    descriptor: usize,
    table: &str,
    deadline: &Deadline,
) -> Result<Option<u64>, Error> {
    let link = link(directory, DecInt::new(descriptor).as_c_str(), table, deadline)?;
    Ok(link.found().and_then(|(inode, _)| inode))
}

fn link(
    directory: &OwnedFd,
    name: &CStr,
    table: &str,
    deadline: &Deadline,
) -> Result<Seen<Link>, Error> {
    let mut target = [MaybeUninit::uninit(); 64];
    look(table, deadline, || {
        match readlinkat_raw(directory, name, &mut target) {
            // A file with a path that is too long for the kernel is no socket.
            Err(Errno::NAMETOOLONG) => Ok((None, false)),
            outcome => outcome.map(|(target, _)| (inode(target), is_ring(target))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_whose_sockets_are_as_old_as_the_wanted_ones() {
        let samples = [(3, 1_000), (64, 1_100), (128, 1_200), (192, 1_300), (256, 1_400)];
        let found = |wanted: &[u64]| {
            let mut parts = parts(&samples, 300, wanted);
            parts.sort_by_key(|part| std::cmp::Reverse(part.density));
            parts.into_iter().map(|part| part.descriptors).collect::<Vec<_>>()
        };
        assert_eq!(found(&[]), []);
        // The part itself, and its neighbours.
        assert_eq!(found(&[1_150]).first(), Some(&(64..128)));
        assert!(found(&[1_250, 1_260, 1_370]).starts_with(&[128..192, 192..256]));
        // Before the first sample, and behind the last one.
        assert_eq!(found(&[7]), [0..3, 3..64]);
        assert_eq!(found(&[9_999]).len(), 2);
        assert!(found(&[9_999]).contains(&(256..364)));
        // A table without a sample is one part.
        assert_eq!(parts(&[], 1_000, &[5]), [Part { descriptors: 0..1_064, density: 0 }]);
    }
}
