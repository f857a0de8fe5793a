//! Windows: helpers for both sources and owners.

use std::io;

use winsafe::co;

/// The system's error as an [`io::Error`].
pub fn said(error: co::ERROR) -> io::Error {
    io::Error::from_raw_os_error(error.raw().cast_signed())
}
