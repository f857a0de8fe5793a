//! What is printed of a report: the only place that formats output.

use std::borrow::Cow;
use std::fmt::{self, Write};

use crate::check::{Report, State};
use crate::error::Error;

impl Report {
    /// The message: everything before the performance data.
    #[must_use]
    pub fn message(&self) -> String {
        let mut message = String::new();
        for judged in &self.groups {
            let separator = if message.is_empty() { "" } else { ", " };
            let group = judged.group.to_string().replace('_', " ");
            let _ = write!(message, "{separator}{group}: {}", judged.count);
            if judged.state != State::Ok {
                let _ = write!(message, " [{}]", judged.state.name());
            }
        }
        if message.is_empty() {
            let selection = &self.check.selection;
            message = format!(
                "No connections of type \"{}\" in status \"{}\" found.",
                selection.types.label(),
                selection.statuses.label()
            );
        }
        if self.check.always_ok {
            message.push_str(" (always ok)");
        }
        neutralised(&message).into_owned()
    }

    /// The performance data, empty where there is none.
    #[must_use]
    pub fn perfdata(&self) -> String {
        if !self.check.perfdata {
            return String::new();
        }
        self.groups
            .iter()
            .map(|judged| format!("'{}'={}", judged.group, judged.count))
            .collect::<Vec<_>>()
            .join(" ")
    }
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
