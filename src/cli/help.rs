//! The texts of `--help`, `--version` and usage errors, made from the option table.

use std::fmt::Write;

use super::{DESCRIPTION, Kind, NAME, OPTIONS, Opt};
use crate::source::{self, SourceName};

const WIDTH: usize = 79;
const INDENT: usize = 24;

/// The text of `--version`: name, version, sources.
#[must_use]
pub fn version() -> String {
    format!(
        "{NAME} {} (sources: {})",
        env!("CARGO_PKG_VERSION"),
        source::names(SourceName::AVAILABLE)
    )
}

/// The usage, as it stands above the help and on standard error after a usage error.
#[must_use]
pub fn usage() -> String {
    let words = visible().map(|option| match (option.short, value(option)) {
        (Some(short), Some(value)) => format!("[{short} {value}]"),
        (Some(short), None) => format!("[{short}]"),
        (None, Some(value)) => format!("[{} {value}]", option.long),
        (None, None) => format!("[{}]", option.long),
    });
    let start = format!("usage: {NAME} ");
    let indent = start.len();
    filled(&start, indent, words)
}

/// The text of `--help`, without its last line end.
#[must_use]
pub fn help() -> String {
    let mut text = usage();
    text.push('\n');
    text.push_str(&filled("", 0, DESCRIPTION.split(' ').map(str::to_owned)));
    text.push_str("\noptions:\n");
    for option in visible() {
        let mut names = String::from("  ");
        if let Some(short) = option.short {
            let _ = write!(names, "{short}, ");
        }
        names.push_str(option.long);
        if let Some(value) = value(option) {
            let _ = write!(names, " {value}");
        }
        let start = if names.len() + 2 > INDENT {
            text.push_str(&names);
            text.push('\n');
            " ".repeat(INDENT)
        } else {
            format!("{names:INDENT$}")
        };
        text.push_str(&filled(&start, INDENT, explanation(option).split(' ').map(str::to_owned)));
    }
    text.push_str(
        "\nA range is fine from 0 to 10 with \"10\", from 10 up with \"10:\", up to 10 with\n\
         \"~:10\", from 10 to 20 with \"10:20\", and outside of that with \"@10:20\".\n\
         Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also for wrong arguments).",
    );
    text
}

/// The options that people are told of.
pub(super) fn visible() -> impl Iterator<Item = &'static Opt> {
    OPTIONS.iter().filter(|option| !option.hidden)
}

/// What an option's value is called, where it takes one.
pub(super) fn value(option: &Opt) -> Option<&'static str> {
    matches!(option.kind, Kind::Single | Kind::Repeated).then_some(option.metavar)
}

/// What the help says of an option: its help, its choices, how often, its default.
pub(super) fn explanation(option: &Opt) -> String {
    let mut text = option.help.to_owned();
    if let Some(choices) = option.choices {
        let _ = write!(text, " One of: {}.", choices().join(", "));
    }
    if option.kind == Kind::Repeated {
        text.push_str(" Can be given several times.");
    }
    if value(option).is_some() {
        let _ = write!(text, " Default: {}.", option.default.unwrap_or("none"));
    }
    text
}

/// Fills lines with words after `start`; further lines are indented.
pub(super) fn filled(start: &str, indent: usize, words: impl Iterator<Item = String>) -> String {
    let mut text = start.to_owned();
    let mut column = start.len();
    let mut first = true;
    for word in words {
        if !first && column + 1 + word.len() > WIDTH {
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else if !first {
            text.push(' ');
            column += 1;
        }
        text.push_str(&word);
        column += word.len();
        first = false;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_within_80_columns() {
        for line in help().lines() {
            assert!(line.len() <= 80, "{line}");
        }
    }

    #[test]
    fn every_visible_option_and_its_default_is_explained() {
        let help = help();
        for option in visible() {
            assert!(help.contains(option.long), "{}", option.long);
            if let Some(default) = option.default {
                assert!(help.contains(&format!("Default: {default}.")), "{}", option.long);
            }
        }
        assert!(!help.contains("--test"));
    }
}
