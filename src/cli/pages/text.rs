//! Texts that several pages have in common.

use std::fmt::Write;

use crate::cli::options::{OPTIONS, Opt, Takes};

/// The command's name.
pub const NAME: &str = "network-connections";

/// The address of the project: `homepage` of Cargo.toml, empty while there is none.
pub const HOMEPAGE: &str = env!("CARGO_PKG_HOMEPAGE");

/// The description of the command, for `--help` and for lists of plugins.
pub const DESCRIPTION: &str = "Counts this host's TCP and UDP sockets by family and state, and \
alerts on any group whose number leaves a range. The counts are the kernel's own, for every \
user's sockets, and need no privileges.";

/// A sentence about the options that take several values.
pub const SEVERAL: &str = "Can be given several times.";

/// Examples: the purpose, and the arguments.
pub const EXAMPLES: [(&str, &str); 3] = [
    (
        "Alert on connections that programs do not close, with the programs and peers",
        "--conn-status=close_wait --group-by=unit -c100 --lengthy",
    ),
    (
        "Alert where nothing listens on a port any more",
        "--conn-status=listen --local-port=443 -c total=1:",
    ),
    ("Alert on listeners that accept too slowly", "--measure=accept-queue -w 70 -c 90"),
];

const WIDTH: usize = 79;

/// The options that the help shows.
pub fn visible() -> impl Iterator<Item = &'static Opt> {
    OPTIONS.iter().filter(|option| !option.hidden)
}

/// The name of an option's value, where the option takes a value.
#[must_use]
pub fn value(option: &Opt) -> Option<&'static str> {
    option.value().map(|_| option.metavar)
}

/// The default of an option, where it has one.
#[must_use]
pub fn default(option: &Opt) -> Option<String> {
    option.default.map(|default| default())
}

/// The description of an option: its help, its choices, whether it can be repeated, its default.
#[must_use]
pub fn explanation(option: &Opt) -> String {
    let mut text = option.help.to_owned();
    if let Some(choices) = option.choices() {
        let _ = write!(text, " One of: {}.", choices.join(", "));
    }
    if matches!(option.takes, Takes::Several(..)) {
        let _ = write!(text, " {SEVERAL}");
    }
    if value(option).is_some() {
        let _ = write!(text, " Default: {}.", default(option).as_deref().unwrap_or("none"));
    }
    text
}

/// Fills lines with words after `start`; further lines are indented.
pub fn filled(start: &str, indent: usize, words: impl Iterator<Item = String>) -> String {
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
