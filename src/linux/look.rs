//! Looking at files that may go away meanwhile, or be closed to us. What goes wrong otherwise says
//! nothing about owners, so that it is an error.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, Result as Outcome, read};
use rustix::path::Arg;

use crate::deadline::Deadline;
use crate::error::Error;

/// What came of looking at a file.
#[derive(Debug)]
pub enum Seen<T> {
    /// It was there.
    There(T),
    /// It is no more.
    Gone(Errno),
    /// It is there, but not for us to see.
    Hidden(Errno),
}

impl<T> Seen<T> {
    /// What a call that was made for this file says of it.
    pub fn of(file: &str, outcome: Outcome<T>) -> Result<Self, Error> {
        match outcome {
            Ok(there) => Ok(Self::There(there)),
            Err(error @ (Errno::NOENT | Errno::SRCH)) => Ok(Self::Gone(error)),
            Err(error @ (Errno::ACCESS | Errno::PERM)) => Ok(Self::Hidden(error)),
            Err(error) => Err(Error::system(file, error)),
        }
    }

    /// The same of something that follows from what is there.
    pub fn map<U>(self, follows: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::There(there) => Seen::There(follows(there)),
            Self::Gone(error) => Seen::Gone(error),
            Self::Hidden(error) => Seen::Hidden(error),
        }
    }

    /// What is there; else the same as what came of looking at something else.
    pub fn ok_or_status<U>(self) -> Result<T, Seen<U>> {
        match self {
            Self::There(there) => Ok(there),
            Self::Gone(error) => Err(Seen::Gone(error)),
            Self::Hidden(error) => Err(Seen::Hidden(error)),
        }
    }

    /// What is there, if anything.
    pub fn found(self) -> Option<T> {
        match self {
            Self::There(there) => Some(there),
            Self::Gone(_) | Self::Hidden(_) => None,
        }
    }

    /// What is there: with this file it is an error that there is nothing.
    pub fn there(self, file: &str) -> Result<T, Error> {
        match self {
            Self::There(there) => Ok(there),
            Self::Gone(error) | Self::Hidden(error) => Err(Error::system(file, error)),
        }
    }
}

/// Makes a call for a file, again where it was interrupted.
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

/// Opens the directory that messages call `file`.
pub fn open_directory(
    path: impl Arg + Copy,
    file: &str,
    deadline: &Deadline,
) -> Result<Seen<OwnedFd>, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    look(file, deadline, || open(path, flags, Mode::empty()))
}

/// What a file begins with, at most as much as there is room for.
pub fn beginning<'a>(
    path: &str,
    room: &'a mut [u8],
    deadline: &Deadline,
) -> Result<Seen<&'a [u8]>, Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = match look(path, deadline, || open(path, flags, Mode::empty()))?.ok_or_status() {
        Ok(file) => file,
        Err(seen) => return Ok(seen),
    };
    let mut length = 0;
    while let Some(rest) = room.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match look(path, deadline, || read(&file, &mut *rest))? {
            Seen::There(0) => break,
            Seen::There(more) => length += more,
            Seen::Gone(error) => return Ok(Seen::Gone(error)),
            Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
        }
    }
    Ok(Seen::There(room.get(..length).unwrap_or(&[])))
}
