//! Reads tables of file descriptors: `/proc/PID/fd` has a link for each (`proc_pid_fd(5)`).
//!
//! Links are read relative to the open directory: a path from the root costs twice as much, and there
//! may be a million links.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::{ControlFlow, Range};
use std::os::fd::OwnedFd;

use rustix::fs::{RawDir, SeekFrom, readlinkat_raw, seek};
use rustix::io::Errno;
use rustix::path::DecInt;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::{Seen, look, open_directory};
use crate::linux::proc_text::{inode, is_ring, number};
use crate::linux::processes::ENTRIES;

/// The number of descriptors from one sample of a large table to the next.
const STEP: usize = 64;

/// The number of descriptors that are tried for a sample: some are free, or no sockets.
const TRIES: usize = 4;

/// The smallest number of listed descriptors behind which further ones are read without a list.
const MANY: u64 = 256;

/// The number of free descriptors in a row behind which descriptors are listed again.
const FREE: u64 = 16;

/// The file of a descriptor: the inode number of its socket if it is one, and whether it is an
/// `io_uring`.
type Link = (Option<u64>, bool);

/// Takes a descriptor, the inode number of its socket if it is one, and whether it is an `io_uring`.
type OnLink<'a> = dyn FnMut(&CStr, Option<u64>, bool) -> ControlFlow<()> + 'a;

/// Reads a table of file descriptors, and hands over each descriptor, the inode number of its socket
/// if it is one, and whether it is an `io_uring`, until `found` wants no more. Returns the number of
/// descriptors that were read.
///
/// A quarter of the time goes into the list of the descriptors. Where descriptors follow each other
/// without gaps, the next ones are read without a list, until some are free.
pub fn read_links(
    table: &str,
    deadline: &Deadline,
    found: &mut OnLink,
) -> Result<Seen<usize>, Error> {
    let directory = match open_directory(table, table, deadline)?.ok_or_status() {
        Ok(directory) => directory,
        Err(seen) => return Ok(seen),
    };
    let mut reader = Reader { directory: &directory, table, deadline, found, size: 0 };
    let mut space = Vec::with_capacity(ENTRIES);
    loop {
        let listed = match reader.read_listed(space.spare_capacity_mut())? {
            ControlFlow::Continue(listed) => listed,
            ControlFlow::Break(seen) => return Ok(seen),
        };
        if listed.is_without_gaps() {
            let next = match reader.read_numbered(listed.last + 1)? {
                ControlFlow::Continue(next) => next,
                ControlFlow::Break(seen) => return Ok(seen),
            };
            let place = SeekFrom::Start(listed.end + (next - listed.last - 1));
            look(table, deadline, || seek(&directory, place))?.there(table)?;
        }
    }
}

/// `Break` with the result where nothing more is to be read.
type Step<T> = Result<ControlFlow<Seen<usize>, T>, Error>;

struct Reader<'a, 'b> {
    directory: &'a OwnedFd,
    table: &'a str,
    deadline: &'a Deadline<'a>,
    found: &'a mut OnLink<'b>,
    // The number of descriptors that were read.
    size: usize,
}

impl Reader<'_, '_> {
    /// Reads the descriptors that one call lists.
    fn read_listed(&mut self, space: &mut [MaybeUninit<u8>]) -> Step<Listed> {
        let mut listed = Listed::default();
        let mut entries = RawDir::new(self.directory, space);
        loop {
            let entry = match entries.next() {
                None => return Ok(ControlFlow::Break(Seen::There(self.size))),
                Some(Err(Errno::INTR)) => {
                    self.deadline.check()?;
                    continue;
                }
                Some(entry) => match Seen::of(self.table, entry)?.ok_or_status() {
                    Ok(entry) => entry,
                    Err(seen) => return Ok(ControlFlow::Break(seen)),
                },
            };
            // `.` and `..` are directories.
            if let Some(descriptor) = number(entry.file_name().to_bytes()) {
                listed.add(descriptor, entry.next_entry_cookie());
                if let ControlFlow::Break(seen) = self.read(entry.file_name())? {
                    return Ok(ControlFlow::Break(seen));
                }
            }
            if entries.is_buffer_empty() {
                return Ok(ControlFlow::Continue(listed));
            }
        }
    }

    /// Reads the descriptors from this one on, until several are free. Returns the next one.
    fn read_numbered(&mut self, first: u64) -> Step<u64> {
        let (mut next, mut free) = (first, 0);
        while free < FREE {
            free = match self.read(DecInt::new(next).as_c_str())? {
                ControlFlow::Continue(true) => 0,
                ControlFlow::Continue(false) => free + 1,
                ControlFlow::Break(seen) => return Ok(ControlFlow::Break(seen)),
            };
            next += 1;
        }
        Ok(ControlFlow::Continue(next))
    }

    /// Reads one descriptor. Returns `false` where it is free, or was closed meanwhile.
    fn read(&mut self, name: &CStr) -> Step<bool> {
        Ok(match link(self.directory, name, self.table, self.deadline)? {
            Seen::There((inode, is_ring)) => {
                self.size += 1;
                match (self.found)(name, inode, is_ring) {
                    ControlFlow::Continue(()) => ControlFlow::Continue(true),
                    ControlFlow::Break(()) => ControlFlow::Break(Seen::There(self.size)),
                }
            }
            Seen::Gone(_) => ControlFlow::Continue(false),
            Seen::Hidden(error) => ControlFlow::Break(Seen::Hidden(error)),
        })
    }
}

/// Descriptors that one call has listed.
#[derive(Default)]
struct Listed {
    count: u64,
    first: u64,
    last: u64,
    // The places behind the first and the last descriptor in the directory.
    begin: u64,
    end: u64,
}

impl Listed {
    fn add(&mut self, descriptor: u64, end: u64) {
        if self.count == 0 {
            (self.first, self.begin) = (descriptor, end);
        }
        (self.last, self.end) = (descriptor, end);
        self.count += 1;
    }

    /// Whether these are many descriptors, nearly all of them between the first and the last one, and
    /// whether their places in the directory follow each other as their numbers do.
    fn is_without_gaps(&self) -> bool {
        let numbers = self.last.saturating_sub(self.first);
        self.count >= MANY
            && numbers < self.count + self.count / 8
            && self.end.checked_sub(self.begin) == Some(numbers)
    }
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
