//! The network namespaces to read: this thread's own, or the requested ones.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod none;
mod view;

#[cfg(target_os = "linux")]
pub use linux::Namespaces;
#[cfg(not(target_os = "linux"))]
pub use none::Namespaces;
pub use view::{NetnsCoverage, View};
