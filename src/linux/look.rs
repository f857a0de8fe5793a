//! File access in which a missing and a forbidden file are expected results (`ENOENT`, `ESRCH`,
//! `EACCES`, `EPERM`). Any other errno is an error.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, open, openat};
use rustix::io::{Errno, Result as Outcome, read};
use rustix::path::Arg;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::os_error;

/// The result of an attempt to access a file.
#[derive(Debug)]
pub enum Seen<T> {
    /// The file is there, with this value.
    There(T),
    /// The file does not exist, or no longer exists.
    Gone(Errno),
    /// The file exists, but this process may not access it.
    Hidden(Errno),
}

impl<T> Seen<T> {
    /// Sorts the outcome of a call for `file`.
    pub fn of(file: &str, outcome: Outcome<T>) -> Result<Self, Error> {
        match outcome {
            Ok(there) => Ok(Self::There(there)),
            Err(error @ (Errno::NOENT | Errno::SRCH)) => Ok(Self::Gone(error)),
            Err(error @ (Errno::ACCESS | Errno::PERM)) => Ok(Self::Hidden(error)),
            Err(error) => Err(os_error::of_file(file, error)),
        }
    }

    /// Applies a function to the value of `There`.
    pub fn map<U>(self, follows: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::There(there) => Seen::There(follows(there)),
            Self::Gone(error) => Seen::Gone(error),
            Self::Hidden(error) => Seen::Hidden(error),
        }
    }

    /// The value of `There`. `Gone` and `Hidden` are returned as the error, for a value of any
    /// type.
    pub fn ok_or_status<U>(self) -> Result<T, Seen<U>> {
        match self {
            Self::There(there) => Ok(there),
            Self::Gone(error) => Err(Seen::Gone(error)),
            Self::Hidden(error) => Err(Seen::Hidden(error)),
        }
    }

    /// The value of `There`, else `None`.
    pub fn found(self) -> Option<T> {
        match self {
            Self::There(there) => Some(there),
            Self::Gone(_) | Self::Hidden(_) => None,
        }
    }

    /// The value of `There`. `Gone` and `Hidden` are errors, for a file that must be accessible.
    pub fn there(self, file: &str) -> Result<T, Error> {
        match self {
            Self::There(there) => Ok(there),
            Self::Gone(error) | Self::Hidden(error) => Err(os_error::of_file(file, error)),
        }
    }
}

/// Makes a call for a file, and repeats it after `EINTR`.
pub fn look<T>(
    file: &str,
    deadline: &Deadline,
    mut call: impl FnMut() -> Outcome<T>,
) -> Result<Seen<T>, Error> {
    loop {
        deadline.check()?;
        match call() {
            Err(Errno::INTR) => {}
            outcome => return Seen::of(file, outcome),
        }
    }
}

/// Opens a directory. Error messages call it `file`.
pub fn open_directory(
    path: impl Arg + Copy,
    file: &str,
    deadline: &Deadline,
) -> Result<Seen<OwnedFd>, Error> {
    open_directory_in(CWD, path, file, deadline)
}

/// Opens a directory by its path below a parent directory. Error messages call it `file`.
pub fn open_directory_in(
    parent: impl AsFd + Copy,
    path: impl Arg + Copy,
    file: &str,
    deadline: &Deadline,
) -> Result<Seen<OwnedFd>, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    look(file, deadline, || openat(parent, path, flags, Mode::empty()))
}

/// Reads the beginning of a file, at most as many bytes as `room` has. A file whose content has a path
/// that is too long for the kernel (`ENAMETOOLONG`), such as `/proc/PID/cgroup`, counts as forbidden.
pub fn beginning<'a>(
    path: &str,
    room: &'a mut [u8],
    deadline: &Deadline,
) -> Result<Seen<&'a [u8]>, Error> {
    let file = match open_file(path, deadline)?.ok_or_status() {
        Ok(file) => file,
        Err(seen) => return Ok(seen),
    };
    let length = fill(&file, path, room, deadline)?;
    Ok(length.map(|length| room.get(..length).unwrap_or(&[])))
}

/// Reads the part of a file that one call returns. The kernel prints small files of `/proc` as a whole
/// (`single_open` in `linux/seq_file.h`), so that this is all of such a file.
pub fn first_part<'a>(
    parent: impl AsFd + Copy,
    path: &str,
    room: &'a mut [u8],
    deadline: &Deadline,
) -> Result<Seen<&'a [u8]>, Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = look(path, deadline, || openat(parent, path, flags, Mode::empty()))?;
    let file = match file.ok_or_status() {
        Ok(file) => file,
        Err(seen) => return Ok(seen),
    };
    let length = look(path, deadline, || read(&file, &mut *room))?;
    Ok(length.map(|length| room.get(..length).unwrap_or(&[])))
}

/// Reads a whole file. Other users may decide its length: a file of more than `most` bytes counts as
/// forbidden.
pub fn whole(path: &str, most: usize, deadline: &Deadline) -> Result<Seen<Vec<u8>>, Error> {
    const PIECE: usize = 64 * 1024;
    let file = match open_file(path, deadline)?.ok_or_status() {
        Ok(file) => file,
        Err(seen) => return Ok(seen),
    };
    let mut text = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        match fill(&file, path, &mut piece, deadline)?.ok_or_status() {
            Ok(length) => {
                text.extend_from_slice(piece.get(..length).unwrap_or(&[]));
                if length < PIECE {
                    return Ok(Seen::There(text));
                }
                if text.len() > most {
                    return Ok(Seen::Hidden(Errno::FBIG));
                }
            }
            Err(seen) => return Ok(seen),
        }
    }
}

fn open_file(path: &str, deadline: &Deadline) -> Result<Seen<OwnedFd>, Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    look(path, deadline, || open(path, flags, Mode::empty()))
}

/// Reads from a file until `room` is full or the file ends. Returns the number of bytes.
fn fill(
    file: &OwnedFd,
    path: &str,
    room: &mut [u8],
    deadline: &Deadline,
) -> Result<Seen<usize>, Error> {
    let mut length = 0;
    while let Some(rest) = room.get_mut(length..).filter(|rest| !rest.is_empty()) {
        let more = look(path, deadline, || match read(file, &mut *rest) {
            Err(Errno::NAMETOOLONG) => Err(Errno::ACCESS),
            outcome => outcome,
        })?;
        match more {
            Seen::There(0) => break,
            Seen::There(more) => length += more,
            Seen::Gone(error) => return Ok(Seen::Gone(error)),
            Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
        }
    }
    Ok(Seen::There(length))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn errors_have_at_most_200_bytes_of_a_path() {
        let deadline = Deadline::new(Duration::from_secs(20), &|| false);
        let long = format!("/begin{}/end", "/x".repeat(4000));
        let failed = open_directory(&*long, &long, &deadline).map(|_| ());
        let text = failed.map_or_else(|error| error.to_string(), |()| String::new());
        assert!(text.starts_with("/begin") && text.contains("/end: "), "{text}");
        assert!(text.ends_with("(os error 36)"), "{text}");
        assert!(text.len() < 250, "{text}");
        let text = Seen::<()>::Gone(Errno::NOENT).there(&long).map_err(|error| error.to_string());
        assert!(text.is_err_and(|text| text.contains("/end: ") && text.len() < 260));
    }
}
