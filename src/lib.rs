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
//!
//! # For other crates
//!
//! [`run`] answers a [`check::Query`]: how many connections each group has, the connections
//! themselves, or a [`Report`] of a [`Check`], which [`mod@format`] prints. What a question is made of
//! is in [`selection`], [`group`], [`measure`], [`netns`] and [`vocabulary`], by its names in
//! [`name`]; what is judged by, in [`judge`]; what comes back, in [`named_group`] and [`details`].
//!
//! What else is public is there for the command, the Python module, tests and fuzzing. It is hidden
//! here, and changes without notice.

mod address;
pub mod check;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod collect;
#[doc(hidden)]
pub mod deadline;
pub mod details;
mod ephemeral;
mod error;
mod field;
pub mod format;
pub mod group;
mod group_name;
pub mod judge;
#[cfg(target_os = "linux")]
mod linux;
pub mod measure;
pub mod name;
pub mod named_group;
#[doc(hidden)]
pub mod namespaces;
pub mod netns;
#[doc(hidden)]
pub mod owner;
mod panic;
mod plan;
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
#[doc(hidden)]
pub mod source;
mod survey;
pub mod vocabulary;
#[cfg(windows)]
mod windows;
mod worker;

pub use address::{Address, Endpoint};
pub use check::Check;
pub use collect::connections::Connection;
pub use error::Error;
pub use field::Field;
pub use format::Format;
pub use group::{Group, GroupBy};
pub use judge::state::State;
pub use judge::threshold::ThresholdSpec;
pub use measure::Measure;
pub use name::Named;
pub use namespaces::NetnsCoverage;
pub use owner::{Process, Processes};
pub use plan::Plan;
pub use range::{Range, RangeError};
pub use report::Report;
pub use selection::Selection;
pub use socket::Socket;
pub use vocabulary::{ConnectionStatus, ConnectionType, Protocol};

#[cfg(feature = "python")]
mod python;
