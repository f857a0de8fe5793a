//! Output formats. Each format is a function of a report, and only these functions format output.

mod exhaustion;
pub mod exposition;
pub mod json;
pub mod list;
pub mod plugin;
pub mod prometheus;
mod tables;
mod words;

use std::fmt;

use crate::error::Error;
use crate::name::named_enum;
use crate::report::{List, Report};

named_enum! {
    /// An output format.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Format("format") {
        /// A Nagios plugin's line.
        #[default]
        Plugin = "plugin",
        /// One JSON object.
        Json = "json",
        /// The Prometheus text exposition format.
        Prometheus = "prometheus",
    }
}

impl Format {
    /// A report in this format, without its last line end. `name` is the name of the check.
    #[must_use]
    pub fn report(self, report: &Report, name: &str) -> String {
        match self {
            Self::Plugin => plugin::report(report),
            Self::Json => json::report(report),
            Self::Prometheus => prometheus::report(report, name),
        }
    }

    /// Writes a report in this format, without its last line end. JSON is written group by group: there may
    /// be a million.
    pub fn write(self, report: &Report, name: &str, to: &mut dyn fmt::Write) -> fmt::Result {
        match self {
            Self::Plugin | Self::Prometheus => to.write_str(&self.report(report, name)),
            Self::Json => json::write(report, to),
        }
    }

    /// Whether the format has lists of connections.
    #[must_use]
    pub const fn has_lists(self) -> bool {
        match self {
            Self::Plugin | Self::Json => true,
            Self::Prometheus => false,
        }
    }

    /// Whether it has every group of a report, and not only those that are printed.
    #[must_use]
    pub fn has_every_group(self) -> bool {
        match self {
            Self::Json => true,
            Self::Plugin | Self::Prometheus => false,
        }
    }

    /// A list of connections in this format, without its last line end; `None` for a format that has
    /// no lists.
    #[must_use]
    pub fn list(self, connections: &List) -> Option<String> {
        match self {
            Self::Plugin => Some(list::text(connections)),
            Self::Json => Some(list::json(connections)),
            Self::Prometheus => None,
        }
    }

    /// An error in this format, without its last line end.
    #[must_use]
    pub fn failure(self, error: &Error, name: &str) -> String {
        let message = plugin::failure(error);
        match self {
            Self::Plugin => message,
            Self::Json => json::failure(&message),
            Self::Prometheus => prometheus::failure(&message, name),
        }
    }
}
