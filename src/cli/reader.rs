//! Reads arguments as Python's `argparse.parse_known_args` does. A first pass decides for every
//! argument whether it is an option, a second pass consumes the arguments. Unknown options and
//! stray words are kept, not refused.

use std::collections::BTreeMap;

use crate::cli::options::{OPTIONS, Opt, Takes, Value};
use crate::name::{did_you_mean, is_name_of, suggestion};
use crate::nearest::nearest;
use crate::selection::EXCLUDING;

/// The reason why arguments cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

/// The arguments of a command line, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    values: BTreeMap<&'static str, Vec<String>>,
    /// Unknown options and stray words, in order.
    pub strays: Vec<String>,
    /// Options that are given again with another value, each with the value that no longer counts.
    pub replaced: Vec<(&'static str, String)>,
    /// The help or the version, where one is asked for. The arguments after it are not read.
    pub terminal: Option<Terminal>,
}

/// A text that is printed instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// The help.
    Help,
    /// The version.
    Version,
}

impl Arguments {
    /// Replaces the values of an option. A switch is on with any value.
    pub fn set(&mut self, option: &'static Opt, values: Vec<String>) {
        self.values.insert(option.long, values);
    }

    /// Whether the option of this name is given.
    #[must_use]
    pub fn has(&self, long: &str) -> bool {
        self.values.contains_key(long)
    }

    /// Every value of an option, `None` where it is not given. A switch has one empty value.
    #[must_use]
    pub fn of(&self, option: &Opt) -> Option<&[String]> {
        self.values.get(option.long).map(Vec::as_slice)
    }
}

/// The class of an argument.
enum Class {
    /// A known option in any of its spellings, and the text that is attached to it.
    Known(&'static Opt, Option<String>),
    /// An unknown option.
    Unknown,
    /// A value, or a stray word.
    Word,
    /// The first `--`. All arguments after it are words.
    Separator,
}

/// Reads the arguments after the program's name.
pub fn read<S: AsRef<str>>(arguments: &[S]) -> Result<Arguments, UsageError> {
    let mut options_end = false;
    let mut classes = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let class = match argument.as_ref() {
            _ if options_end => Class::Word,
            "--" => {
                options_end = true;
                Class::Separator
            }
            argument => classify(argument)?,
        };
        classes.push((argument.as_ref(), class));
    }
    let mut read = Arguments::default();
    let mut rest = classes.into_iter().peekable();
    while let Some((argument, class)) = rest.next() {
        let (option, attached) = match class {
            Class::Known(option, attached) => (option, attached),
            Class::Separator => continue,
            Class::Unknown | Class::Word => {
                read.strays.push(argument.to_owned());
                continue;
            }
        };
        let value = match (option.takes, attached) {
            (Takes::Single(..) | Takes::Several(..), Some(attached)) => attached,
            (Takes::Single(..) | Takes::Several(..), None) => rest
                .next_if(|(_, class)| matches!(class, Class::Word))
                .map(|(word, _)| word.to_owned())
                .ok_or_else(|| needs_a_value(option, rest.peek()))?,
            (Takes::Switch(_), None) => String::new(),
            (Takes::Help, attached) if is_flag(option, argument, attached.as_deref()) => {
                read.terminal = Some(Terminal::Help);
                return Ok(read);
            }
            (Takes::Version, attached) if is_flag(option, argument, attached.as_deref()) => {
                read.terminal = Some(Terminal::Version);
                return Ok(read);
            }
            (Takes::Help | Takes::Version | Takes::Switch(_), attached) => {
                return Err(UsageError(format!(
                    "{} takes no value, but {:?} is given",
                    option.long,
                    attached.unwrap_or_default()
                )));
            }
        };
        choose(option, &value)?;
        let values = read.values.entry(option.long).or_default();
        if !matches!(option.takes, Takes::Several(..))
            && let Some(before) = values.pop()
            && before != value
        {
            read.replaced.push((option.long, before));
        }
        values.push(value);
    }
    Ok(read)
}

/// Whether a flag may have this attached text: none, or further known short options as in `-hV` and
/// `-Vw5`. Only the last short option may take a value, and the value must be attached, too.
fn is_flag(option: &Opt, argument: &str, attached: Option<&str>) -> bool {
    let Some(attached) = attached else {
        return true;
    };
    if argument.starts_with("--") || option.short.is_none() {
        return false;
    }
    let mut letters = attached.chars();
    while let Some(letter) = letters.next() {
        let short = format!("-{letter}");
        match OPTIONS.iter().find(|o| o.short == Some(short.as_str())).map(|o| o.takes) {
            None => return false,
            Some(Takes::Single(..) | Takes::Several(..)) => return !letters.as_str().is_empty(),
            Some(Takes::Help | Takes::Version | Takes::Switch(_)) => {}
        }
    }
    !attached.is_empty()
}

/// The error for an option without a value. A value that begins with a dash looks like an option.
fn needs_a_value(option: &Opt, next: Option<&(&str, Class)>) -> UsageError {
    let long = option.long;
    let Some(value) = option.value() else {
        return UsageError(format!("{long} needs a value"));
    };
    let example = match value {
        Value::Choice(choices) => {
            return UsageError(format!(
                "{long} needs a value (choose from {})",
                choices().join(", ")
            ));
        }
        Value::Range => "10",
        Value::Port => "443",
        Value::Address => "192.0.2.0/24",
        Value::Netns => "all",
        Value::Stuck => "300",
        Value::Text => "web",
        Value::Whole => "20",
        Value::Seconds => "8",
        Value::Fixture => "PATH",
    };
    UsageError(match next {
        Some((next, Class::Unknown)) => format!(
            "{long} needs a value, and {next:?} begins like an option (valid: {long}=VALUE, for \
             example {long}={example})"
        ),
        _ => format!("{long} needs a value (valid: for example {long}={example})"),
    })
}

fn choose(option: &Opt, value: &str) -> Result<(), UsageError> {
    let Some(choices) = option.choices() else {
        return Ok(());
    };
    let is_choice = |part: &str| choices.iter().any(|choice| is_name_of(part.trim(), choice));
    let name = match option.takes {
        Takes::Several(..) => value.strip_prefix(EXCLUDING).unwrap_or(value),
        Takes::Single(..) | Takes::Switch(_) | Takes::Help | Takes::Version => value,
    };
    if is_choice(name) && name == name.trim() {
        return Ok(());
    }
    let hint = if is_list(option, value) {
        AGAIN.to_owned()
    } else if value.contains(',') && value.split(',').all(is_choice) {
        ", give one value".to_owned()
    } else {
        did_you_mean(name, &choices)
    };
    Err(UsageError(format!(
        "{}: invalid value {value:?}{hint} (choose from {})",
        option.long,
        choices.join(", ")
    )))
}

/// A hint about a list of values.
pub const AGAIN: &str = ", give the option again for each value";

/// Whether a value is a list, and the option takes one value each time that it is given.
#[must_use]
pub fn is_list(option: &Opt, value: &str) -> bool {
    matches!(option.takes, Takes::Several(..)) && value.contains(',')
}

fn classify(argument: &str) -> Result<Class, UsageError> {
    if argument.len() < 2 || !argument.starts_with('-') {
        return Ok(Class::Word);
    }
    let exact = |name: &str| OPTIONS.iter().find(|o| o.long == name || o.short == Some(name));
    if let Some(option) = exact(argument) {
        return Ok(Class::Known(option, None));
    }
    let split = argument.split_once('=');
    if let Some((name, value)) = split
        && let Some(option) = exact(name)
    {
        return Ok(Class::Known(option, Some(value.to_owned())));
    }
    if argument.starts_with("--") {
        let (name, value) = split.map_or((argument, None), |(name, value)| (name, Some(value)));
        if let Some(option) = abbreviated(name)? {
            return Ok(Class::Known(option, value.map(str::to_owned)));
        }
    } else if let Some((end, _)) = argument.char_indices().nth(2)
        && let (name, value) = argument.split_at(end)
        && let Some(option) = OPTIONS.iter().find(|o| o.short == Some(name))
    {
        return Ok(Class::Known(option, Some(value.to_owned())));
    }
    if is_negative_number(argument) || argument.contains(' ') {
        return Ok(Class::Word);
    }
    Ok(Class::Unknown)
}

/// Options of other checks, `ss` and `netstat`, each with the options here that may be meant.
const OF_OTHERS: &[(&[&str], &str)] = &[
    (&["-p", "--port", "--ports"], "\"--local-port\" or \"--remote-port\""),
    (&["-a", "--address", "--ip"], "\"--local-address\" or \"--remote-address\""),
    (&["-s", "--state", "--status"], "\"--conn-status\""),
    (&["-t"], "\"--timeout\" or \"--conn-type\""),
    (&["-u", "--type", "--protocol"], "\"--conn-type\""),
    (&["-v", "--verbose"], "\"--lengthy\""),
];

/// Options of other checks that name a host.
const OF_HOSTS: &[&str] = &["-H", "--host", "--hostname"];

/// The part of an error about an unknown option that suggests the nearest one.
#[must_use]
pub fn nearest_option(stray: &str) -> String {
    let name = stray.split_once('=').map_or(stray, |(name, _)| name);
    // The value of a short option may be attached.
    let short = if name.starts_with("--") { None } else { name.get(..2) };
    let is_one_of = |names: &[&str]| names.iter().any(|n| *n == name || Some(*n) == short);
    if is_one_of(OF_HOSTS) {
        return ", the check counts the connections of the host that it runs on".to_owned();
    }
    if let Some((_, meant)) = OF_OTHERS.iter().find(|(names, _)| is_one_of(names)) {
        return format!(", did you mean {meant}?");
    }
    // The dashes would make any two names alike.
    let bare = |name: &'static str| name.trim_start_matches('-');
    let names = OPTIONS.iter().filter(|o| !o.hidden).map(|o| (bare(o.long), o.long));
    suggestion(nearest(name.trim_start_matches('-'), names))
}

/// The option that this name abbreviates. An abbreviation of an option of the reference means that
/// option, although newer options may begin with it, too.
fn abbreviated(name: &str) -> Result<Option<&'static Opt>, UsageError> {
    let begun: Vec<_> = OPTIONS.iter().filter(|o| o.long.starts_with(name)).collect();
    let reference: Vec<_> = begun.iter().copied().filter(|o| o.reference).collect();
    match (reference.as_slice(), begun.as_slice()) {
        ([option], _) | ([], [option]) => Ok(Some(option)),
        ([], []) => Ok(None),
        ([], candidates) | (candidates, _) => Err(UsageError(format!(
            "{name} is ambiguous: it could be {}",
            candidates.iter().map(|o| o.long).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// Whether an argument is a number like `-5`, `-.5` or `-5.5`. It is a value then: options never
/// look like numbers.
fn is_negative_number(argument: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let Some(number) = argument.strip_prefix('-') else {
        return false;
    };
    match number.split_once('.') {
        None => !number.is_empty() && digits(number),
        Some((whole, fraction)) => digits(whole) && !fraction.is_empty() && digits(fraction),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Options and their values.
    type Values = Vec<(&'static str, Vec<String>)>;

    /// Each given option with its values, and the stray words.
    fn parsed(arguments: &[&str]) -> Result<(Values, Vec<String>), String> {
        let read = read(arguments).map_err(|e| e.to_string())?;
        assert_eq!(read.terminal, None);
        Ok((read.values.into_iter().collect(), read.strays))
    }

    fn values(arguments: &[&str]) -> Result<Values, String> {
        parsed(arguments).map(|(values, strays)| {
            assert_eq!(strays, [""; 0], "{arguments:?}");
            values
        })
    }

    fn one(option: &'static str, value: &str) -> Values {
        vec![(option, vec![value.to_owned()])]
    }

    #[test]
    fn an_option_is_given_by_every_spelling_of_argparse() {
        for arguments in [
            &["--critical", "5"][..],
            &["--critical=5"],
            &["--crit=5"],
            &["--crit", "5"],
            &["-c", "5"],
            &["-c5"],
            &["-c=5"],
            &["-c", "4", "-c", "5"],
        ] {
            assert_eq!(values(arguments), Ok(one("--critical", "5")), "{arguments:?}");
        }
        assert_eq!(values(&["--zero"]), Ok(one("--zero", "")));
        assert_eq!(values(&["--conn-type=tcp"]), Ok(one("--conn-type", "tcp")));
        let both = vec!["tcp".to_owned(), "udp".to_owned()];
        let twice = values(&["--conn-type=tcp", "--conn-type", "udp"]);
        assert_eq!(twice, Ok(vec![("--conn-type", both)]));
        // Options of the reference keep their abbreviations.
        assert_eq!(values(&["--te=x"]), Ok(one("--test", "x")));
        assert_eq!(values(&["--str"]), Ok(one("--strict", "")));
    }

    #[test]
    fn values_are_distinguished_from_options() {
        for value in ["5", "-", "", "-5", "-.5", "-5.5", "-a b", "word", "--a b"] {
            assert_eq!(values(&["-w", value]), Ok(one("--warning", value)), "{value:?}");
        }
        for other in ["-x", "-5.", "-.", "-5x", "-x.5", "-5.x", "-x5", "--bogus", "--zero", "--"] {
            let refused = values(&["-w", other]);
            assert!(refused.is_err_and(|e| e.starts_with("--warning needs a value")), "{other:?}");
        }
    }

    #[test]
    fn unknown_options_and_all_arguments_after_two_dashes_are_strays() {
        let (read, strays) = parsed(&["a", "-x", "--bogus=1", "-c5", "--", "-w", "--", "b"])
            .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(read, [("--critical", vec!["5".to_owned()])]);
        assert_eq!(strays, ["a", "-x", "--bogus=1", "-w", "--", "b"]);
    }

    #[test]
    fn usage_errors_name_the_reason() {
        for (arguments, message) in [
            (&["--conn"][..], "--conn is ambiguous: it could be --conn-status, --conn-type"),
            (&["-w"], "--warning needs a value (valid: for example --warning=10)"),
            (
                &["-w", "-1:5"],
                "--warning needs a value, and \"-1:5\" begins like an option (valid: \
                 --warning=VALUE, for example --warning=10)",
            ),
            (
                &["--conn-type"],
                "--conn-type needs a value (choose from all, tcp, tcp6, udp, udp6, unix)",
            ),
            (
                &["--measure=connections,accept-queue"],
                "--measure: invalid value \"connections,accept-queue\", give one value (choose from \
                 connections, accept-queue, syn-queue, receive-buffer, ephemeral-ports, \
                 open-files, stuck, host-limits, exhaustion)",
            ),
            (&["--zero=1"], "--zero takes no value, but \"1\" is given"),
            (&["--help=V"], "--help takes no value, but \"V\" is given"),
            (&["-h="], "--help takes no value, but \"\" is given"),
            (&["-hx"], "--help takes no value, but \"x\" is given"),
            (&["-hw"], "--help takes no value, but \"w\" is given"),
            (&["-Vx"], "--version takes no value, but \"x\" is given"),
        ] {
            assert_eq!(parsed(arguments), Err(message.to_owned()));
        }
        let wrong = parsed(&["--conn-type=sctp"]);
        assert!(wrong.is_err_and(|e| e.starts_with("--conn-type: invalid value \"sctp\" (choose")));
    }

    #[test]
    fn a_value_that_no_longer_counts_is_known() {
        let read = read(&["-w5", "-w5", "-w", "7", "--zero", "--zero", "-w8"]);
        let read = read.unwrap_or_else(|e| panic!("{e}"));
        let expected = ["5", "7"].map(|value| ("--warning", value.to_owned()));
        assert_eq!(read.replaced, expected);
    }

    #[test]
    fn options_of_other_checks_have_their_counterparts() {
        for (stray, hint) in [
            ("--local-prot=443", ", did you mean \"--local-port\"?"),
            ("--port=443", ", did you mean \"--local-port\" or \"--remote-port\"?"),
            ("-p443", ", did you mean \"--local-port\" or \"--remote-port\"?"),
            ("--state", ", did you mean \"--conn-status\"?"),
            ("-H", ", the check counts the connections of the host that it runs on"),
            ("-é", ""),
            ("-local-port", ", did you mean \"--local-port\"?"),
            ("--quiet", ""),
            ("--nonsense", ""),
        ] {
            assert_eq!(nearest_option(stray), hint, "{stray}");
        }
    }

    #[test]
    fn help_and_version_end_the_reading() {
        for (arguments, terminal) in [
            (&["--help"][..], Terminal::Help),
            (&["--he"], Terminal::Help),
            (&["-h"], Terminal::Help),
            (&["-hV"], Terminal::Help),
            (&["-h=V"], Terminal::Help),
            (&["-hw5"], Terminal::Help),
            (&["-h", "--conn"], Terminal::Help),
            (&["--version"], Terminal::Version),
            (&["-Vh"], Terminal::Version),
            (&["-w5", "-V"], Terminal::Version),
        ] {
            match (arguments, read(arguments)) {
                // The first pass sees all arguments, and refuses the ambiguous option.
                (["-h", "--conn"], read) => assert!(read.is_err()),
                (_, read) => {
                    assert_eq!(read.map(|read| read.terminal), Ok(Some(terminal)), "{arguments:?}");
                }
            }
        }
    }

    #[test]
    fn values_can_be_set() {
        let option = OPTIONS.iter().find(|option| option.long == "--top");
        let option = option.unwrap_or_else(|| panic!("no such option"));
        let mut arguments = Arguments::default();
        assert_eq!((arguments.has("--top"), arguments.of(option)), (false, None));
        arguments.set(option, vec!["3".to_owned(), "4".to_owned()]);
        assert_eq!(arguments.of(option), Some(&["3".to_owned(), "4".to_owned()][..]));
        assert_eq!(["--top", "--zero"].map(|long| arguments.has(long)), [true, false]);
    }
}
