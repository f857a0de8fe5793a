//! Counts a host's TCP and UDP sockets by family and state, and alerts on Nagios ranges.
//!
//! ```text
//! argv ──cli──▶ Check ──run──▶ Report ──format──▶ text
//!
//! run: Selection ──source──▶ sockets ──collect──▶ counts ──owner──▶ labels ──judge──▶ Report
//! ```
//!
//! *The reference* is the plugin `network-connections` of *the collection*, the Linuxfabrik
//! Monitoring Plugins (<https://github.com/Linuxfabrik/monitoring-plugins>), which this one replaces.

mod address;
pub mod check;
pub mod cli;
pub mod collect;
pub mod deadline;
pub mod details;
mod error;
pub mod format;
pub mod group;
pub mod judge;
pub mod labelled;
#[cfg(target_os = "linux")]
mod linux;
pub mod measure;
pub mod name;
pub mod namespaces;
pub mod netns;
pub mod owner;
mod panic;
mod printable;
mod range;
mod report;
// For the command alone: a library has no business with the rights of its process.
#[cfg(target_os = "linux")]
#[doc(hidden)]
pub mod rights;
pub mod run;
pub mod selection;
mod socket;
pub mod source;
pub mod vocabulary;
mod worker;

pub use address::{Address, Endpoint};
pub use check::Check;
pub use collect::connections::Connection;
pub use error::Error;
pub use format::Format;
pub use group::{Group, GroupBy};
pub use judge::state::State;
pub use judge::threshold::Thresholds;
pub use name::Named;
pub use range::{Range, RangeError};
pub use report::Report;
pub use selection::Selection;
pub use socket::Socket;
pub use vocabulary::{ConnectionStatus, ConnectionType, Protocol};

#[cfg(feature = "python")]
mod python;
