//! The message and performance data of a Nagios plugin.

use std::borrow::Cow;
use std::fmt;

use crate::check::{Judged, Report, State};
use crate::error::Error;
use crate::threshold::TOTAL;

impl Report {
    /// The message: everything before the performance data.
    #[must_use]
    pub fn message(&self) -> String {
        let mut parts = Vec::new();
        if let Some(state) = self.total_state {
            parts.push(format!("{TOTAL}: {}{}", self.total, mark(state)));
        }
        let (shown, left_out) = self.shown();
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
        let mut label = judged.group.to_string();
        if self.check.group_by.is_small() {
            label = label.replace('_', " ");
        }
        format!("{label}: {}{}", judged.count, mark(judged.state))
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
    let line: String =
        error.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    neutralised(&line).into_owned()
}

/// Replaces what would end the message or be read as markup: `|` begins performance data, and a
/// web interface that sees one HTML tag renders the whole output as HTML.
fn neutralised(message: &str) -> Cow<'_, str> {
    if !message.contains(['|', '<']) {
        return Cow::Borrowed(message);
    }
    let mut safe = String::with_capacity(message.len());
    for (at, c) in message.char_indices() {
        match c {
            '|' => safe.push('!'),
            '<' if opens_tag(message.get(at + 1..).unwrap_or("")) => safe.push_str("&lt;"),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Whether what follows a `<` makes it a tag to Icinga Web: a word, then either `>` or one blank, an
/// attribute and somewhere a `>` (`PluginOutput` in its library icingadb-web).
fn opens_tag(after: &str) -> bool {
    let word =
        |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let rest = after.get(word(after)..).unwrap_or("");
    if rest.len() == after.len() {
        return false;
    }
    let mut chars = rest.chars();
    match chars.next() {
        Some('>') => true,
        Some(blank) if blank.is_whitespace() => {
            let attribute = chars.as_str();
            let value = attribute.get(word(attribute)..).unwrap_or("");
            value.len() < attribute.len() && value.starts_with('=') && value.contains('>')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfdata_separators_and_tags_are_neutralised() {
        for (message, safe) in [
            ("a|b", "a!b"),
            ("<b>", "&lt;b>"),
            ("<a href=x>", "&lt;a href=x>"),
            ("<a href=x", "<a href=x"),
            ("<= 10 < 5 <5.3>", "<= 10 < 5 <5.3>"),
            ("</b>", "</b>"),
            ("<a  b=c>", "<a  b=c>"),
            ("<é>|", "&lt;é>!"),
        ] {
            assert_eq!(neutralised(message), safe);
        }
    }

    #[test]
    fn a_failure_is_one_line() {
        let error = Error::Argument("a\nb\r\u{1b}[31m|".to_owned());
        assert_eq!(failure(&error), "a b  [31m!");
    }
}
