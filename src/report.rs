//! What is printed of a report: the only place that formats output.

mod json;
mod plugin;
mod prometheus;
mod tables;

use crate::check::Report;
use crate::error::Error;
use crate::selection::Named;

#[cfg(feature = "python")]
pub(crate) use plugin::line;

/// What a report is printed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A Nagios plugin's line.
    #[default]
    Plugin,
    /// One JSON object.
    Json,
    /// The Prometheus text exposition format.
    Prometheus,
}

impl Named for Format {
    const VALUES: &'static [Self] = &[Self::Plugin, Self::Json, Self::Prometheus];
    const WHAT: &'static str = "format";

    fn name(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Json => "json",
            Self::Prometheus => "prometheus",
        }
    }

    fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl Format {
    /// A report in this format, without its last line end.
    #[must_use]
    pub fn report(self, report: &Report) -> String {
        match self {
            Self::Plugin => report.to_string(),
            Self::Json => report.to_json(),
            Self::Prometheus => report.to_prometheus(),
        }
    }

    /// What is printed instead of a report, without its last line end.
    #[must_use]
    pub fn failure(self, error: &Error) -> String {
        let message = plugin::failure(error);
        match self {
            Self::Plugin => message,
            Self::Json => json::failure(&message),
            Self::Prometheus => prometheus::failure(&message),
        }
    }
}
