//! The network namespaces that are looked at: this thread's own, or those that are asked for.

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
