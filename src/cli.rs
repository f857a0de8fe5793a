//! The command line: every option defined once, read, run. Behind the wheel's commands and the
//! native one alike.

pub mod completions;
mod help;
pub mod man;
mod reader;

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::path::{Component, Path, PathBuf, Prefix};
use std::str::FromStr;
use std::time::Duration;

use crate::check::{Check, NoMatch, Report, State};
use crate::connection::{ConnectionStatus, ConnectionType};
use crate::deadline;
use crate::error::Error;
use crate::group::GroupBy;
use crate::report::Format;
use crate::selection::{ALL, Choice, Named, Selection, named};
use crate::source::{self, SourceName};
use crate::threshold::Thresholds;

pub use help::{help, version};
pub use reader::{Arguments, UsageError, read};

/// The command's name.
pub const NAME: &str = "network-connections";

/// What the command does, for `--help` and for whoever lists plugins.
pub const DESCRIPTION: &str = "Counts this host's TCP and UDP sockets by family and state, and \
alerts on any group whose number leaves a range. The counts are the kernel's own, for every \
user's sockets, and need no privileges.";

/// How an option takes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Prints the help and exits.
    Help,
    /// Prints the version and exits.
    Version,
    /// Takes no value.
    Switch,
    /// Takes one value; the last one given counts.
    Single,
    /// Takes one value, as often as it is given.
    Repeated,
}

/// The functions of the API that have an option as a keyword, each value with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    /// `connections()`, and all that follow: what is selected, and how it is read.
    Connections,
    /// `count_connections()`: also what is counted.
    Count,
    /// `check()`: also what is judged and printed.
    Check,
    /// None: a matter of the command alone.
    None,
}

/// One option.
#[derive(Debug)]
pub struct Opt {
    /// The long name, with its dashes.
    pub long: &'static str,
    /// The short name, with its dash.
    pub short: Option<&'static str>,
    /// How it takes its value.
    pub kind: Kind,
    /// The name of its value, which is also its destination in `argparse`.
    pub metavar: &'static str,
    /// The values it takes, where they can be listed.
    pub choices: Option<fn() -> Vec<String>>,
    /// The value where it is not given.
    pub default: Option<&'static str>,
    /// Whether the help keeps silent about it.
    pub hidden: bool,
    /// Whether the reference plugin has it, so that its abbreviations keep their meaning.
    pub reference: bool,
    /// Which functions of the API have it as a keyword.
    pub api: Api,
    /// What it does.
    pub help: &'static str,
}

/// What most options have in common.
const OPT: Opt = Opt {
    long: "",
    short: None,
    kind: Kind::Single,
    metavar: "",
    choices: None,
    default: None,
    hidden: false,
    reference: false,
    api: Api::Check,
    help: "",
};

/// Every option, in the order of the help.
pub static OPTIONS: &[Opt] = &[
    Opt {
        long: "--help",
        short: Some("-h"),
        kind: Kind::Help,
        metavar: "HELP",
        reference: true,
        api: Api::None,
        help: "Print this help and exit.",
        ..OPT
    },
    Opt {
        long: "--version",
        short: Some("-V"),
        kind: Kind::Version,
        metavar: "VERSION",
        reference: true,
        api: Api::None,
        help: "Print name, version and the sources this build has, and exit.",
        ..OPT
    },
    Opt {
        long: "--always-ok",
        kind: Kind::Switch,
        metavar: "ALWAYS_OK",
        reference: true,
        help: "Exit with 0 (OK) whatever the thresholds say. What cannot be counted is still \
               UNKNOWN.",
        ..OPT
    },
    Opt {
        long: "--conn-status",
        kind: Kind::Repeated,
        metavar: "CONN_STATUS",
        choices: Some(statuses),
        default: Some(ALL),
        reference: true,
        api: Api::Connections,
        help: "Count only connections in this status. UDP sockets have the status \"none\".",
        ..OPT
    },
    Opt {
        long: "--conn-type",
        kind: Kind::Repeated,
        metavar: "CONN_TYPE",
        choices: Some(types),
        default: Some(ALL),
        reference: true,
        api: Api::Connections,
        help: "Count only connections of this type.",
        ..OPT
    },
    Opt {
        long: "--critical",
        short: Some("-c"),
        metavar: "CRIT",
        reference: true,
        help: "CRITICAL where the number of a group lies outside this Nagios range. With keys, \
               as in \"5000,CLOSE_WAIT=100,total=30000\", a group, status, type or the total \
               has a range of its own.",
        ..OPT
    },
    Opt {
        long: "--format",
        metavar: "FORMAT",
        choices: Some(names::<Format>),
        default: Some("plugin"),
        api: Api::None,
        help: "What is printed: a Nagios plugin's line, one JSON object, or Prometheus' text \
               exposition format.",
        ..OPT
    },
    Opt {
        long: "--group-by",
        metavar: "GROUP_BY",
        choices: Some(names::<GroupBy>),
        default: Some("type-status"),
        api: Api::Count,
        help: "What is counted, judged and printed: the connections of each of these.",
        ..OPT
    },
    Opt {
        long: "--lengthy",
        kind: Kind::Switch,
        metavar: "LENGTHY",
        help: "Go on below the first line with who has the connections of each group in alert \
               state, or of the largest one where all is fine, and which peers they lead to.",
        ..OPT
    },
    Opt {
        long: "--local-address",
        kind: Kind::Repeated,
        metavar: "LOCAL_ADDRESS",
        default: Some("any"),
        api: Api::Connections,
        help: "Count only connections from this local address or network, as in 192.0.2.7, \
               192.0.2.0/24 or 2001:db8::/32.",
        ..OPT
    },
    Opt {
        long: "--local-port",
        kind: Kind::Repeated,
        metavar: "LOCAL_PORT",
        default: Some("any"),
        api: Api::Connections,
        help: "Count only connections from this local port or range of ports, as in 443 or \
               8000-8099.",
        ..OPT
    },
    Opt {
        long: "--no-match-severity",
        metavar: "NO_MATCH_SEVERITY",
        choices: Some(names::<NoMatch>),
        default: Some("ok"),
        help: "The state where no connection is found.",
        ..OPT
    },
    Opt {
        long: "--no-perfdata",
        kind: Kind::Switch,
        metavar: "NO_PERFDATA",
        reference: true,
        help: "Leave out the performance data.",
        ..OPT
    },
    Opt {
        long: "--remote-address",
        kind: Kind::Repeated,
        metavar: "REMOTE_ADDRESS",
        default: Some("any"),
        api: Api::Connections,
        help: "Count only connections to this remote address or network. An IPv4 network has \
               the IPv4-mapped peers of IPv6 sockets too.",
        ..OPT
    },
    Opt {
        long: "--remote-port",
        kind: Kind::Repeated,
        metavar: "REMOTE_PORT",
        default: Some("any"),
        api: Api::Connections,
        help: "Count only connections to this remote port or range of ports.",
        ..OPT
    },
    Opt {
        long: "--source",
        metavar: "SOURCE",
        choices: Some(sources),
        default: Some(source::AUTO),
        api: Api::Connections,
        help: "Where the connections are read from. \"auto\" takes the best source that answers \
               completely; a source named here is the only one asked.",
        ..OPT
    },
    Opt {
        long: "--strict",
        kind: Kind::Switch,
        metavar: "STRICT",
        api: Api::None,
        help: "Refuse unknown options and stray words instead of ignoring them.",
        ..OPT
    },
    Opt {
        long: "--test",
        metavar: "TEST",
        hidden: true,
        reference: true,
        api: Api::None,
        help: "Count the connections of a fixture: PATH[,STDERR[,RC]].",
        ..OPT
    },
    Opt {
        long: "--timeout",
        metavar: "TIMEOUT",
        default: Some("8"),
        api: Api::Connections,
        help: "Give up after this many seconds.",
        ..OPT
    },
    Opt {
        long: "--top",
        metavar: "TOP",
        help: "Print at most this many groups. Without it, 10 ports or addresses, but all types \
               and statuses.",
        ..OPT
    },
    Opt {
        long: "--warning",
        short: Some("-w"),
        metavar: "WARN",
        reference: true,
        help: "WARNING where the number of a group lies outside this Nagios range. Takes keys as \
               --critical does.",
        ..OPT
    },
    Opt {
        long: "--zero",
        kind: Kind::Switch,
        metavar: "ZERO",
        api: Api::Count,
        help: "Report and judge selected types and statuses without connections as 0.",
        ..OPT
    },
];

fn lower_case<T: Named>(values: impl Iterator<Item = T>) -> Vec<String> {
    let mut names: Vec<_> =
        values.map(|value| value.name().to_ascii_lowercase()).chain([ALL.to_owned()]).collect();
    names.sort_unstable();
    names
}

fn types() -> Vec<String> {
    lower_case(ConnectionType::ALL.into_iter())
}

/// The reference's choices: not the states that only Solaris and Windows know.
fn statuses() -> Vec<String> {
    use ConnectionStatus::{Bound, DeleteTcb, Idle};
    lower_case(
        ConnectionStatus::ALL
            .into_iter()
            .filter(|status| !matches!(status, Idle | Bound | DeleteTcb)),
    )
}

fn sources() -> Vec<String> {
    let available = SourceName::AVAILABLE.iter().map(|source| source.name());
    [source::AUTO].into_iter().chain(available).map(str::to_owned).collect()
}

/// The names of an enumeration's values.
fn names<T: Named>() -> Vec<String> {
    T::VALUES.iter().map(|value| value.name().to_owned()).collect()
}

/// What a run of the command leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For standard output, with its line end.
    pub stdout: String,
    /// For standard error: the usage after a usage error, and nothing else.
    pub stderr: String,
    /// The exit code, 0 to 3.
    pub code: u8,
}

impl Outcome {
    fn unknown(line: &str) -> Self {
        Self { stdout: format!("{line}\n"), stderr: String::new(), code: State::Unknown as u8 }
    }
}

/// Runs the command. `program` is the file that is running, beside which fixtures are looked for;
/// `arguments` are those after the program's name.
#[must_use]
pub fn run(program: &Path, arguments: &[OsString], interrupted: &dyn Fn() -> bool) -> Outcome {
    guard(|| {
        let arguments: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
        let arguments = match read(&arguments) {
            Ok(arguments) => arguments,
            Err(usage) => return usage_error(&usage.to_string()),
        };
        match arguments.terminal {
            Some(Kind::Help) => return Outcome::unknown(&help()),
            Some(_) => return Outcome::unknown(&version()),
            None => {}
        }
        if let (true, Some(stray)) = (arguments.has("--strict"), arguments.strays.first()) {
            let what = if stray.starts_with('-') { "option" } else { "word" };
            return usage_error(&format!(
                "Unknown {what} {stray:?} (see --help for what there is)"
            ));
        }
        let format: Format =
            arguments.value("--format").and_then(|f| named(f).ok()).unwrap_or_default();
        match execute(program, &arguments, interrupted) {
            Ok(report) => Outcome {
                stdout: format!("{}\n", format.report(&report)),
                stderr: String::new(),
                code: report.state() as u8,
            },
            Err(error) => Outcome::unknown(&format.failure(&error)),
        }
    })
}

fn usage_error(message: &str) -> Outcome {
    Outcome {
        stderr: help::usage(),
        ..Outcome::unknown(&Format::Plugin.failure(&Error::Argument(message.to_owned())))
    }
}

fn execute(
    program: &Path,
    arguments: &Arguments,
    interrupted: &dyn Fn() -> bool,
) -> Result<Report, Error> {
    let check = check(arguments)?;
    match arguments.value("--test").map(|value| fixture(program, value)).transpose()? {
        None => check.run(interrupted),
        Some(Fixture::File(file)) => check.run_fixture(BufReader::new(file), interrupted),
        Some(Fixture::Text(text)) => check.run_fixture(text.as_bytes(), interrupted),
    }
}

/// The check that the arguments ask for.
pub fn check(arguments: &Arguments) -> Result<Check, Error> {
    let selection = selection(arguments)?;
    let group_by: GroupBy = value(arguments, "--group-by", named)?.unwrap_or_default();
    let zero = arguments.has("--zero");
    if zero && !group_by.is_small() {
        return Err(Error::Option {
            option: "--zero",
            problem: format!(
                "the groups by {} cannot be listed (valid: --group-by=type-status, type or status)",
                group_by.name()
            ),
        });
    }
    let thresholds =
        |option| value(arguments, option, |text| Thresholds::parse(text, group_by, &selection));
    // Where both are wrong the critical one is named.
    let critical = thresholds("--critical")?;
    let warning = thresholds("--warning")?;
    Ok(Check {
        group_by,
        top: value(arguments, "--top", top)?,
        zero,
        no_match: value(arguments, "--no-match-severity", named)?.unwrap_or_default(),
        source: value(arguments, "--source", source::parse)?.flatten(),
        timeout: value(arguments, "--timeout", timeout)?.unwrap_or(crate::check::TIMEOUT),
        warning,
        critical,
        always_ok: arguments.has("--always-ok"),
        perfdata: !arguments.has("--no-perfdata"),
        lengthy: arguments.has("--lengthy"),
        every_name: arguments
            .value("--format")
            .is_none_or(|format| format != Format::Plugin.name()),
        selection,
    })
}

/// The selection that the arguments ask for.
fn selection(arguments: &Arguments) -> Result<Selection, Error> {
    Ok(Selection {
        types: choice(arguments, "--conn-type")?,
        statuses: choice(arguments, "--conn-status")?,
        local_ports: parsed(arguments, "--local-port")?,
        remote_ports: parsed(arguments, "--remote-port")?,
        local_addresses: parsed(arguments, "--local-address")?,
        remote_addresses: parsed(arguments, "--remote-address")?,
    })
}

/// The value of an option, where it is given.
fn value<T>(
    arguments: &Arguments,
    option: &'static str,
    parse: impl FnOnce(&str) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    arguments.value(option).map(parse).transpose().map_err(|error| error.of_option(option))
}

/// Every value of an option.
fn parsed<T: FromStr<Err = Error>>(
    arguments: &Arguments,
    option: &'static str,
) -> Result<Vec<T>, Error> {
    let values = match arguments.values(option) {
        None => return Ok(Vec::new()),
        // Only the API can say so: no value at all must not mean any.
        Some([]) => Err(Error::Argument("no value is given".to_owned())),
        Some(values) => values.iter().map(|value| value.parse()).collect(),
    };
    values.map_err(|error: Error| error.of_option(option))
}

fn choice<T: Named>(arguments: &Arguments, option: &'static str) -> Result<Choice<T>, Error> {
    match arguments.values(option) {
        None => Ok(Choice::default()),
        Some(names) => Choice::parse(names).map_err(|error| error.of_option(option)),
    }
}

fn timeout(text: &str) -> Result<Duration, Error> {
    text.trim().parse().ok().and_then(deadline::timeout).ok_or_else(|| {
        Error::Argument(format!(
            "{text:?} is not a positive number of seconds, for example 8 or 0.5"
        ))
    })
}

fn top(text: &str) -> Result<usize, Error> {
    text.trim()
        .parse()
        .ok()
        .filter(|top| *top > 0)
        .ok_or_else(|| Error::Argument(format!("{text:?} is not a whole number from 1 up")))
}

/// Where a fixture comes from.
enum Fixture {
    File(File),
    Text(String),
}

/// Reads `PATH[,STDERR[,RC]]` as the collection's test helper does.
///
/// The check may run as root: PATH is read only if it resolves to a regular file inside the real
/// directory `unit-test` beside the running program. Anything else is the fixture's text itself.
fn fixture(program: &Path, value: &str) -> Result<Fixture, Error> {
    let mut parts = value.split(',').map(str::trim);
    let text = parts.next().unwrap_or("");
    let code = parts.nth(1).unwrap_or("");
    if !code.is_empty() && code.parse::<i64>().is_err() {
        return Err(Error::Argument(format!(
            "--test: the return code {code:?} is not a whole number"
        )));
    }
    match confined(program, text) {
        Some(path) => File::open(&path)
            .map(Fixture::File)
            .map_err(|error| Error::system(format!("fixture {}", path.display()), error)),
        None => Ok(Fixture::Text(text.to_owned())),
    }
}

fn confined(program: &Path, name: &str) -> Option<PathBuf> {
    let directory = program.canonicalize().ok()?.parent()?.join("unit-test");
    if name.is_empty()
        || is_foreign(Path::new(name))
        || directory.symlink_metadata().ok()?.is_symlink()
    {
        return None;
    }
    let directory = directory.canonicalize().ok()?;
    let path = directory.join(name).canonicalize().ok()?;
    (path.starts_with(&directory) && path.is_file()).then_some(path)
}

/// Whether a path of Windows leads to another host, a pipe or a device, which only to look at would
/// mean to open it.
fn is_foreign(path: &Path) -> bool {
    let Some(Component::Prefix(prefix)) = path.components().next() else { return false };
    !matches!(prefix.kind(), Prefix::Disk(_) | Prefix::VerbatimDisk(_))
}

/// Turns a panic into one line and exit code 3: whatever happens, the monitoring system gets an
/// answer it understands.
pub fn guard(run: impl FnOnce() -> Outcome) -> Outcome {
    let hook = std::panic::take_hook();
    // The default hook writes to standard error, which plugins keep clean.
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    std::panic::set_hook(hook);
    outcome.unwrap_or_else(|panic| {
        let cause = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Outcome::unknown(
            &Format::Plugin
                .failure(&Error::Argument(format!("Internal error, please report it: {cause}"))),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line_and_unknown() {
        for outcome in
            [guard(|| panic!("lost\nmy | mind")), guard(|| panic!("{}\n{}", "lost", "my | mind"))]
        {
            assert_eq!(outcome.stdout, "Internal error, please report it: lost my ! mind\n");
            assert_eq!(outcome.code, 3);
            assert!(outcome.stderr.is_empty());
        }
    }

    #[cfg(windows)]
    #[test]
    fn what_looking_at_would_open_is_no_fixture() {
        for name in [r"\\host\share\a", "//host/share/a", r"\\.\pipe\a", r"\\?\UNC\host\share\a"] {
            assert!(is_foreign(Path::new(name)), "{name}");
        }
        for name in ["a", r"below\a", "below/../a", r"\a", r"C:\a", "C:a", r"\\?\C:\a", "[]", ""] {
            assert!(!is_foreign(Path::new(name)), "{name}");
        }
    }
}
