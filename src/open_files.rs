//! Open files: the numbers and limits of all processes, and the files of one process.

#[cfg(not(target_os = "linux"))]
mod none;
pub mod tables;

#[cfg(target_os = "linux")]
pub use crate::linux::open_files::{holder, read, sees_whole_host};
#[cfg(not(target_os = "linux"))]
pub use none::{holder, read, sees_whole_host};
