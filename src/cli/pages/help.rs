//! The texts of `--help`, `--version` and usage errors, made from the option table.

use std::fmt::Write;

use crate::cli::options::{Opt, Section};
use crate::cli::pages::text::{
    DESCRIPTION, EXAMPLES, HOMEPAGE, NAME, explanation, filled, value, visible,
};
use crate::exhaustion::table;
use crate::name::Named;
use crate::vocabulary::SourceName;

const INDENT: usize = 24;

/// The text of `--version`: name, version, sources.
#[must_use]
pub fn version() -> String {
    format!(
        "{NAME} {} (sources: {})",
        env!("CARGO_PKG_VERSION"),
        SourceName::join(SourceName::AVAILABLE)
    )
}

/// The usage. The help begins with it, and a usage error prints it on standard error.
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
    for section in Section::VALUES {
        let _ = write!(text, "\n{}:\n", section.name());
        for option in visible().filter(|option| option.section == *section) {
            text.push_str(&entry(option));
        }
    }
    text.push_str("\nExamples:\n");
    for (purpose, line) in EXAMPLES {
        let _ = write!(text, "  {purpose}:\n    {NAME} {line}\n");
    }
    text.push_str(
        "\nA range is fine from 0 to 10 with \"10\", from 10 up with \"10:\", up to 10 with\n\
         \"~:10\", from 10 to 20 with \"10:20\", and outside of that with \"@10:20\".\n\
         Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also for wrong arguments).",
    );
    text.push_str(&thresholds());
    text.push_str(&homepage(HOMEPAGE));
    text
}

/// The built-in thresholds of `--measure=exhaustion`.
fn thresholds() -> String {
    let mut text = format!(
        "\n\nBuilt-in thresholds of --measure=exhaustion. Keys change or remove them, as in\n\
         -w open-files=90,host-limits:conntrack=60,stuck=~:\n  {:47}{:>8}{:>9}",
        "", "WARNING", "CRITICAL"
    );
    for [name, warning, critical] in table() {
        let _ = write!(text, "\n  {name:47}{warning:>8}{critical:>9}");
    }
    text
}

/// Where the project is to be found; nothing while it has no address.
fn homepage(address: &str) -> String {
    if address.is_empty() { String::new() } else { format!("\nHome page: {address}") }
}

/// The names of an option with its explanation.
fn entry(option: &Opt) -> String {
    let mut text = String::new();
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
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pages::text::default;

    #[test]
    fn lines_stay_within_80_columns() {
        for line in help().lines() {
            assert!(line.len() <= 80, "{line}");
        }
    }

    #[test]
    fn every_visible_option_and_its_default_is_explained() {
        // Line breaks do not count.
        let help = help().split_whitespace().collect::<Vec<_>>().join(" ");
        for option in visible() {
            assert!(help.contains(option.long), "{}", option.long);
            if let Some(default) = default(option) {
                assert!(help.contains(&format!("Default: {default}.")), "{}", option.long);
            }
        }
        assert!(!help.contains("--test"));
    }
}
