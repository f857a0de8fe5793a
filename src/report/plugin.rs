//! The message and performance data of a Nagios plugin.

use std::fmt;

use crate::check::{Judged, Report, State};
use crate::error::Error;
use crate::printable::{is_invisible, neutralised, shortened};
use crate::report::tables::{room, tables};
use crate::threshold::TOTAL;

impl Report {
    /// The message: everything before the performance data; below its first line the details, where
    /// they were asked for.
    #[must_use]
    pub fn message(&self) -> String {
        if self.details.is_empty() {
            return self.first_line(self.shown());
        }
        // Fewer groups where all of them leave no room.
        let mut shown = self.shown();
        let mut line = self.first_line(shown.clone());
        while room(self, line.len()).is_none() && shown.0.len() > 1 {
            shown = self.shown_at_most(shown.0.len() / 2);
            line = self.first_line(shown.clone());
        }
        let left = room(self, line.len()).unwrap_or(0);
        line + &tables(self, left)
    }

    fn first_line(&self, (shown, left_out): (Vec<&Judged>, usize)) -> String {
        let mut parts = Vec::new();
        if let Some(state) = self.total_state {
            parts.push(format!("{TOTAL}: {}{}", self.total, mark(state)));
        }
        parts.extend(shown.into_iter().map(|judged| self.part(judged)));
        if left_out > 0 {
            parts.push(format!("and {left_out} more"));
        }
        if self.groups.is_empty() {
            parts.push(self.nothing());
        }
        let mut message = parts.join(", ");
        if self.check.always_ok {
            message.push_str(" (always ok)");
        }
        neutralised(&message).into_owned()
    }

    fn part(&self, judged: &Judged) -> String {
        let label = self.spaced(&judged.label);
        format!("{label}: {}{}", judged.count, mark(judged.state))
    }

    /// A label as the message shows it.
    pub(super) fn spaced(&self, label: &str) -> String {
        if self.check.group_by.is_small() { label.replace('_', " ") } else { shortened(label) }
    }

    fn nothing(&self) -> String {
        let selection = &self.check.selection;
        format!(
            "No connections of type \"{}\" in status \"{}\" found.{}",
            selection.types.label(),
            selection.statuses.label(),
            mark(self.check.no_match.0)
        )
    }

    /// The performance data, empty where there is none: every group where they are few, else only
    /// how many there are, so that no store is flooded.
    #[must_use]
    pub fn perfdata(&self) -> String {
        if !self.check.perfdata {
            return String::new();
        }
        let small = self.check.group_by.is_small();
        let mut metrics = Vec::new();
        if !small {
            let largest = self.groups.first().map_or(0, |judged| judged.count);
            metrics.push(format!("'groups'={}", self.groups.len()));
            metrics.push(format!("'largest'={largest}"));
        }
        if !small || self.total_state.is_some() {
            metrics.push(format!("'{TOTAL}'={}", self.total));
        }
        if small {
            let metric = |judged: &Judged| format!("'{}'={}", judged.group, judged.count);
            metrics.extend(self.groups.iter().map(metric));
        }
        metrics.join(" ")
    }
}

/// What follows a number that is not fine.
fn mark(state: State) -> String {
    if state == State::Ok { String::new() } else { format!(" [{}]", state.name()) }
}

/// The line that the command prints.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(&self.message(), &self.perfdata()))
    }
}

/// A message and its performance data, put together.
pub(crate) fn line(message: &str, perfdata: &str) -> String {
    let separator = if perfdata.is_empty() { "" } else { "|" };
    format!("{message}{separator}{perfdata}")
}

/// The line that the command prints instead of a report.
#[must_use]
pub fn failure(error: &Error) -> String {
    let visible = |c: char| match c {
        c if c.is_control() => ' ',
        c if is_invisible(c) => '?',
        c => c,
    };
    let line: String = error.to_string().chars().map(visible).collect();
    neutralised(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_and_hides_nothing() {
        let error = Error::Argument("a\nb\r\u{1b}[31m|\u{202e}\u{200b}".to_owned());
        assert_eq!(failure(&error), "a b  [31m!??");
    }
}
