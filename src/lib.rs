//! Counts a host's TCP and UDP sockets by family and state, and alerts on Nagios ranges.
//!
//! ```text
//! argv ──cli──▶ Selection ──source──▶ connections ──counts──▶ Counts ──check──▶ Report ──report──▶ text
//! ```

pub mod check;
pub mod cli;
pub mod connection;
pub mod counts;
pub mod deadline;
mod error;
pub mod group;
pub mod lengthy;
pub mod owner;
mod printable;
mod range;
mod report;
pub mod selection;
pub mod sockets;
pub mod source;
pub mod threshold;

pub use check::{Check, Report, State};
pub use connection::{Connection, ConnectionStatus, ConnectionType, Protocol};
pub use counts::Counts;
pub use error::Error;
pub use group::{Group, GroupBy};
pub use range::{Range, RangeError};
pub use report::Format;
pub use selection::Selection;
pub use threshold::Thresholds;

#[cfg(feature = "python")]
mod python;
