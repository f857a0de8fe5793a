//! What Windows' sources and owners share.

use std::io;

use winsafe::co;

/// What the system said.
pub fn said(error: co::ERROR) -> io::Error {
    io::Error::from_raw_os_error(error.raw().cast_signed())
}
