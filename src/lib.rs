//! Counts a host's TCP and UDP sockets by family and state, and alerts on Nagios ranges.
//!
//! ```text
//! argv ──cli──▶ Check ──plan──▶ Plan ──run──▶ Report ──format──▶ text
//!
//! run: Selection ──source──▶ sockets ──collect──▶ counts ──owner──▶ names ──judge──▶ Report
//! ```
//!
//! The comments use two short names. *The collection* is the Linuxfabrik Monitoring Plugins
//! (<https://github.com/Linuxfabrik/monitoring-plugins>). *The reference* is its plugin
//! `network-connections`. This plugin replaces the reference.
//!
//! # For other crates
//!
//! A [`Check`] has three parts: a [`Query`] for the numbers, a [`Policy`] with the thresholds, and
//! a [`Presentation`] for the message. A [`Plan`] is a validated check. Every function in [`run`]
//! takes a plan: [`run::check`] and [`run::fixture`] return a [`Report`], [`run::counts`] returns
//! the groups with their numbers, and [`run::connections`] returns the connections. [`Format`]
//! prints a report.
//!
//! Hidden modules are public only for the command, the Python module, tests and fuzzing. They change
//! without notice.

mod address;
mod check;
#[doc(hidden)]
pub mod cli;
mod collect;
mod deadline;
mod details;
mod ephemeral;
mod error;
mod exhaustion;
mod field;
mod format;
mod group;
mod group_name;
mod host_limit;
mod judge;
#[cfg(target_os = "linux")]
mod linux;
mod listeners;
mod many_groups;
mod measure;
mod name;
mod named_group;
mod namespaces;
mod nearest;
mod netns;
mod open_files;
mod os_error;
mod owner;
mod panic;
mod plan;
mod printable;
mod range;
mod report;
// The command drops capabilities that its plan does not need. A library must not do this: the
// capabilities belong to the process of its caller.
#[cfg(target_os = "linux")]
#[doc(hidden)]
pub mod rights;
pub mod run;
mod selection;
mod socket;
#[doc(hidden)]
pub mod source;
mod stuck;
mod survey;
mod vocabulary;
#[cfg(windows)]
mod windows;
mod worker;

pub use address::{Address, Endpoint};
pub use check::{Check, Policy, Presentation, Query, TIMEOUT};
pub use collect::columns::{ConnectionTable, Named as NamedColumn, Rows};
pub use collect::connections::Connection;
pub use details::{Detail, OwnerRow, PeerRow};
pub use error::Error;
pub use field::Field;
pub use format::Format;
pub use group::{Group, GroupBy};
pub use group_name::GroupName;
pub use host_limit::HostLimit;
pub use judge::GroupState;
pub use judge::state::{NoMatch, State};
pub use judge::threshold::ThresholdSpec;
pub use measure::Measure;
pub use measure::share::Share;
pub use name::{Named, named, names};
pub use named_group::NamedGroup;
pub use namespaces::NetnsCoverage;
pub use netns::Netns;
pub use owner::{Process, Processes};
pub use plan::Plan;
pub use range::{Range, RangeError};
pub use report::{LimitRow, List, Part, Report};
pub use selection::{Among, Choice, Network, Ports, Selection, StuckFor, UnixListeners};
pub use socket::Socket;
#[doc(hidden)]
pub use socket::Wanted;
pub use stuck::{StuckKind, Timer, Wait};
pub use vocabulary::{
    ConnectionStatus, ConnectionType, Direction, NetnsIndex, Protocol, SourceName,
};

#[cfg(feature = "python")]
mod python;
