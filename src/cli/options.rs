//! The option table. It defines every option once: its names, its values, its effect and its help.

use crate::check::{Check, TIMEOUT};
use crate::cli::values;
use crate::error::Error;
use crate::field::Field;
use crate::format::Format;
use crate::group::GroupBy;
use crate::judge::state::NoMatch;
use crate::judge::threshold::ThresholdSpec;
use crate::measure::Measure;
use crate::name::{Named, named, named_enum, names};
use crate::selection::{ALL, Choice, choices};
use crate::vocabulary::{ConnectionStatus, ConnectionType, Direction, SourceName};

/// The request of a command line.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The check.
    pub check: Check,
    /// The output format.
    pub format: Format,
    /// The value of the label `check` on all Prometheus series; empty for no label.
    pub name: String,
    /// Whether unknown options and stray words are refused.
    pub strict: bool,
    /// Whether the connections themselves are printed, and nothing is judged.
    pub list: bool,
    /// The fixture whose connections are counted instead of this host's.
    pub fixture: Option<String>,
}

/// An option.
#[derive(Debug)]
pub struct Opt {
    /// The long name, with its dashes.
    pub long: &'static str,
    /// The section of the help.
    pub section: Section,
    /// The short name, with its dash.
    pub short: Option<&'static str>,
    /// The name of its value, which is also its destination in `argparse`.
    pub metavar: &'static str,
    /// How it takes a value, and the function that sets the value.
    pub takes: Takes,
    /// The default value, as the help shows it.
    pub default: Option<fn() -> String>,
    /// Whether the help leaves it out.
    pub hidden: bool,
    /// Whether the reference has it: its abbreviations keep their meaning.
    pub reference: bool,
    /// The field of a check that it sets, if a plan may refuse that field.
    pub field: Option<Field>,
    /// Its keyword in the API, if it has one.
    pub keyword: Option<Keyword>,
    /// Its description.
    pub help: &'static str,
}

named_enum! {
    /// A section of the help.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Section("section") {
        /// The connections that are counted.
        Select = "Select connections",
        /// The groups and their numbers.
        Group = "Group",
        /// The state.
        Judge = "Judge",
        /// The output.
        Show = "Show",
        /// The way to the numbers.
        Advanced = "Advanced",
    }
}

/// How an option takes a value, and the function that sets the value.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// Prints the help and exits.
    Help,
    /// Prints the version and exits.
    Version,
    /// Takes no value.
    Switch(fn(&mut Command)),
    /// Takes one value. If the option is repeated, the last value counts.
    Single(Value, fn(&mut Command, &str) -> Result<(), Error>),
    /// Takes one value. If the option is repeated, all values count.
    Several(Value, fn(&mut Command, &[String]) -> Result<(), Error>),
}

/// The form of a value.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// One of these names.
    Choice(fn() -> Vec<String>),
    /// A range, or several with keys.
    Range,
    /// A port, or ports as in 8000-8099.
    Port,
    /// An address or a network.
    Address,
    /// A network namespace: its name or path, a process in it, or all.
    Netns,
    /// Seconds of being stuck, as in 300 or unread:60.
    Stuck,
    /// Any text.
    Text,
    /// A whole number.
    Whole,
    /// A number of seconds.
    Seconds,
    /// A fixture in the form of the collection's test helper: `PATH[,STDERR[,RC]]`.
    Fixture,
}

/// An option as a keyword of the API.
#[derive(Clone, Copy, Debug)]
pub struct Keyword {
    /// Its name.
    pub name: &'static str,
    /// The first function that has it. All functions after that one in [`Api`] have it too.
    pub of: Api,
    /// Whether it is the opposite of the option: `--no-perfdata` is `perfdata=False`.
    pub inverted: bool,
    /// Its description, where the option's help fits the command alone.
    pub help: Option<&'static str>,
    /// The names that it takes besides the option's choices.
    pub also: fn() -> Vec<String>,
}

/// The functions of the API that take options as keywords. Each function also takes the keywords of
/// all functions before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    /// `connections()`: keywords for the selection and the source.
    Connections,
    /// `count_connections()`: also keywords for the groups.
    Count,
    /// `check()`: also keywords for the measure, the thresholds and the message.
    Check,
}

impl Api {
    /// The function's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Count => "count_connections",
            Self::Check => "check",
        }
    }
}

impl Opt {
    /// The form of its value, where it takes a value.
    #[must_use]
    pub const fn value(&self) -> Option<Value> {
        match self.takes {
            Takes::Single(value, _) | Takes::Several(value, _) => Some(value),
            Takes::Help | Takes::Version | Takes::Switch(_) => None,
        }
    }

    /// Whether its answer is for a person, and is no state of a check: no monitoring system gets it.
    #[must_use]
    pub fn is_for_people(&self) -> bool {
        match self.takes {
            Takes::Help | Takes::Version => true,
            Takes::Switch(_) | Takes::Single(..) | Takes::Several(..) => self.long == LIST,
        }
    }

    /// The values that it takes, where they can be listed.
    #[must_use]
    pub fn choices(&self) -> Option<Vec<String>> {
        match self.value() {
            Some(Value::Choice(choices)) => Some(choices()),
            _ => None,
        }
    }
}

pub(super) const FORMAT: &str = "--format";
pub(super) const NAME: &str = "--name";
const LIST: &str = "--list";

/// The defaults of an entry in the table.
const OPT: Opt = Opt {
    long: "",
    section: Section::Advanced,
    short: None,
    metavar: "",
    takes: Takes::Help,
    default: None,
    hidden: false,
    reference: false,
    field: None,
    keyword: None,
    help: "",
};

/// Every option, in the order of the help.
pub static OPTIONS: &[Opt] = &[
    Opt {
        long: "--help",
        section: Section::Show,
        short: Some("-h"),
        metavar: "HELP",
        takes: Takes::Help,
        reference: true,
        help: "Print this help and exit.",
        ..OPT
    },
    Opt {
        long: "--version",
        section: Section::Show,
        short: Some("-V"),
        metavar: "VERSION",
        takes: Takes::Version,
        reference: true,
        help: "Print name, version and the sources this build has, and exit.",
        ..OPT
    },
    Opt {
        long: "--always-ok",
        section: Section::Judge,
        metavar: "ALWAYS_OK",
        takes: Takes::Switch(|c| c.check.policy.always_ok = true),
        reference: true,
        keyword: Some(Keyword {
            help: Some("Make the states WARNING and CRITICAL OK. UNKNOWN stays UNKNOWN."),
            ..keyword("always_ok", Api::Check)
        }),
        help: "Exit with 0 (OK) instead of 1 (WARNING) or 2 (CRITICAL). UNKNOWN stays 3.",
        ..OPT
    },
    Opt {
        long: "--conn-status",
        section: Section::Select,
        metavar: "CONN_STATUS",
        takes: Takes::Several(Value::Choice(statuses), |c, names| {
            set(&mut c.check.query.selection.statuses, Choice::parse(names))
        }),
        reference: true,
        default: Some(all),
        field: Some(Field::Statuses),
        keyword: Some(Keyword {
            also: names_of::<ConnectionStatus>,
            ..keyword("statuses", Api::Connections)
        }),
        help: "Count only connections in this status. UDP sockets have the status \"none\". !VALUE excludes.",
        ..OPT
    },
    Opt {
        long: "--conn-type",
        section: Section::Select,
        metavar: "CONN_TYPE",
        takes: Takes::Several(Value::Choice(choices_of_types), |c, names| {
            set(&mut c.check.query.selection.types, Choice::parse(names))
        }),
        reference: true,
        default: Some(all),
        field: Some(Field::Types),
        keyword: Some(keyword("types", Api::Connections)),
        help: "Count only connections of this type. \"unix\" is for accept queues alone: unix sockets are \
               not counted. !VALUE excludes.",
        ..OPT
    },
    Opt {
        long: "--critical",
        section: Section::Judge,
        short: Some("-c"),
        metavar: "CRIT",
        takes: Takes::Single(Value::Range, |c, text| {
            set(&mut c.check.policy.critical, ThresholdSpec::parse(text).map(Some))
        }),
        reference: true,
        field: Some(Field::Critical),
        keyword: Some(keyword("critical", Api::Check)),
        help: "CRITICAL where the number of a group lies outside this Nagios range. With keys, \
               as in \"5000,CLOSE_WAIT=100,total=30000\", a group, status, type or the total \
               has a range of its own.",
        ..OPT
    },
    Opt {
        long: "--direction",
        section: Section::Select,
        metavar: "DIRECTION",
        takes: Takes::Single(Value::Choice(names_of::<Direction>), |c, name| {
            set(&mut c.check.query.selection.direction, named(name).map(Some))
        }),
        field: Some(Field::Direction),
        keyword: Some(keyword("direction", Api::Connections)),
        help: "Count only connections to a local address and port that is listened on (\"in\"), or all others \
               (\"out\").",
        ..OPT
    },
    Opt {
        long: FORMAT,
        metavar: "FORMAT",
        takes: Takes::Single(Value::Choice(names_of::<Format>), |c, name| {
            set(&mut c.format, named(name))
        }),
        default: Some(default::<Format>),
        help: "What is printed: a Nagios plugin's line, one JSON object, or Prometheus' text \
               exposition format.",
        ..OPT
    },
    Opt {
        long: "--group-by",
        section: Section::Group,
        metavar: "GROUP_BY",
        takes: Takes::Single(Value::Choice(names_of::<GroupBy>), |c, name| {
            set(&mut c.check.query.group_by, named(name).map(Some))
        }),
        default: Some(default::<GroupBy>),
        field: Some(Field::GroupBy),
        keyword: Some(keyword("group_by", Api::Count)),
        help: "What is counted, judged and printed: the connections of each of these.",
        ..OPT
    },
    Opt {
        long: "--lengthy",
        section: Section::Show,
        metavar: "LENGTHY",
        takes: Takes::Switch(|c| c.check.presentation.lengthy = true),
        keyword: Some(Keyword {
            help: Some(
                "Add tables to the message: who has the connections of each group in alert state, or \
                 of the largest one where all is fine, and which peers they lead to. Reads \
                 /proc/PID/fd.",
            ),
            ..keyword("lengthy", Api::Check)
        }),
        help: "Go on below the first line with who has the connections of each group in alert \
               state, or of the largest one where all is fine, and which peers they lead to.",
        ..OPT
    },
    Opt {
        long: LIST,
        section: Section::Show,
        metavar: "LIST",
        takes: Takes::Switch(|c| c.list = true),
        help: "Print the selected connections themselves, one in each row, the longest stuck first, and \
               judge nothing: at most 20, or as many as --top says. With --format=json, an array.",
        ..OPT
    },
    Opt {
        long: "--local-address",
        section: Section::Select,
        metavar: "LOCAL_ADDRESS",
        takes: Takes::Several(Value::Address, |c, networks| {
            set(&mut c.check.query.selection.local_addresses, values::among(networks))
        }),
        default: Some(any),
        field: Some(Field::LocalAddresses),
        keyword: Some(keyword("local_address", Api::Connections)),
        help: "Count only connections from this local address or network, as in 192.0.2.7, \
               192.0.2.0/24 or 2001:db8::/32. !VALUE, or ^VALUE, excludes.",
        ..OPT
    },
    Opt {
        long: "--local-port",
        section: Section::Select,
        metavar: "LOCAL_PORT",
        takes: Takes::Several(Value::Port, |c, ports| {
            set(&mut c.check.query.selection.local_ports, values::among(ports))
        }),
        default: Some(any),
        field: Some(Field::LocalPorts),
        keyword: Some(keyword("local_port", Api::Connections)),
        help: "Count only connections from this local port or range of ports, as in 443 or \
               8000-8099. !VALUE excludes.",
        ..OPT
    },
    Opt {
        long: "--measure",
        section: Section::Group,
        metavar: "MEASURE",
        takes: Takes::Single(Value::Choice(names_of::<Measure>), |c, name| {
            set(&mut c.check.query.measure, named(name))
        }),
        default: Some(default::<Measure>),
        field: Some(Field::Measure),
        keyword: Some(keyword("measure", Api::Check)),
        help: "What is judged: connections, the number of each group. In percent of a limit: accept-queue \
               of each TCP or unix listener, syn-queue of each TCP listener, receive-buffer of each UDP \
               socket, ephemeral-ports towards each destination, open-files of each process and of the \
               host, host-limits of the kernel for all programs. stuck: the seconds for which the longest \
               connection of each kind has been stuck. exhaustion: all that runs out, with built-in \
               thresholds.",
        ..OPT
    },
    Opt {
        long: NAME,
        metavar: "NAME",
        takes: Takes::Single(Value::Text, |c, text| {
            text.clone_into(&mut c.name);
            Ok(())
        }),
        help: "What this check is called among others of a host: in Prometheus' text exposition \
               format every series has it as the label \"check\".",
        ..OPT
    },
    Opt {
        long: "--netns",
        section: Section::Select,
        metavar: "NETNS",
        takes: Takes::Several(Value::Netns, |c, names| {
            set(&mut c.check.query.netns, values::each(names))
        }),
        default: Some(|| "own".to_owned()),
        field: Some(Field::Netns),
        keyword: Some(keyword("netns", Api::Connections)),
        help: "Look into this network namespace instead of the own one: a name below /run/netns, a \
               path as in /proc/1/ns/net, the id of a process in it, or \"all\" for every one that \
               can be seen. Where it may not be entered, /proc shows what a process in it has.",
        ..OPT
    },
    Opt {
        long: "--no-match-severity",
        section: Section::Judge,
        metavar: "NO_MATCH_SEVERITY",
        takes: Takes::Single(Value::Choice(names_of::<NoMatch>), |c, name| {
            set(&mut c.check.policy.no_match, named(name))
        }),
        default: Some(default::<NoMatch>),
        keyword: Some(keyword("no_match_severity", Api::Check)),
        help: "The state where no connection is found.",
        ..OPT
    },
    Opt {
        long: "--no-perfdata",
        section: Section::Show,
        metavar: "NO_PERFDATA",
        takes: Takes::Switch(|c| c.check.presentation.perfdata = false),
        reference: true,
        keyword: Some(Keyword {
            inverted: true,
            help: Some("Give the result performance data."),
            ..keyword("perfdata", Api::Check)
        }),
        help: "Leave out the performance data.",
        ..OPT
    },
    Opt {
        long: "--remote-address",
        section: Section::Select,
        metavar: "REMOTE_ADDRESS",
        takes: Takes::Several(Value::Address, |c, networks| {
            set(&mut c.check.query.selection.remote_addresses, values::among(networks))
        }),
        default: Some(any),
        field: Some(Field::RemoteAddresses),
        keyword: Some(keyword("remote_address", Api::Connections)),
        help: "Count only connections to this remote address or network. An IPv4 network has \
               the IPv4-mapped peers of IPv6 sockets too. !VALUE excludes.",
        ..OPT
    },
    Opt {
        long: "--remote-port",
        section: Section::Select,
        metavar: "REMOTE_PORT",
        takes: Takes::Several(Value::Port, |c, ports| {
            set(&mut c.check.query.selection.remote_ports, values::among(ports))
        }),
        default: Some(any),
        field: Some(Field::RemotePorts),
        keyword: Some(keyword("remote_port", Api::Connections)),
        help: "Count only connections to this remote port or range of ports. !VALUE excludes.",
        ..OPT
    },
    Opt {
        long: "--source",
        section: Section::Advanced,
        metavar: "SOURCE",
        takes: Takes::Single(Value::Choice(sources), |c, name| {
            set(&mut c.check.query.source, named(name))
        }),
        default: Some(default::<Option<SourceName>>),
        field: Some(Field::Source),
        // The sources of other systems have names in the API, too.
        keyword: Some(Keyword {
            also: names_of::<Option<SourceName>>,
            ..keyword("source", Api::Connections)
        }),
        help: "Where the connections are read from. \"auto\" takes the best source that answers \
               completely; a source named here is the only one asked. \"counters\" is quicker where \
               most connections are established: it asks the kernel only for the others.",
        ..OPT
    },
    Opt {
        long: "--strict",
        section: Section::Judge,
        metavar: "STRICT",
        takes: Takes::Switch(|c| c.strict = true),
        help: "Refuse unknown options and stray words instead of ignoring them, and thresholds that \
               never alert or are empty.",
        ..OPT
    },
    Opt {
        long: "--stuck",
        section: Section::Select,
        metavar: "STUCK",
        takes: Takes::Several(Value::Stuck, |c, times| {
            set(&mut c.check.query.selection.stuck, values::each(times))
        }),
        field: Some(Field::Stuck),
        keyword: Some(keyword("stuck", Api::Connections)),
        help: "Count only connections that have been stuck for at least so many seconds: the peer has \
               closed and the program has not, data is not read, the peer does not answer, or the \
               peer does not read. \"unread:60\" is one kind alone, and \"idle:7200\" is the kind \
               that has to be named.",
        ..OPT
    },
    Opt {
        long: "--test",
        section: Section::Advanced,
        metavar: "TEST",
        takes: Takes::Single(Value::Fixture, |c, text| {
            c.fixture = Some(text.to_owned());
            Ok(())
        }),
        hidden: true,
        reference: true,
        help: "Count the connections of a fixture: PATH[,STDERR[,RC]].",
        ..OPT
    },
    Opt {
        long: "--timeout",
        section: Section::Advanced,
        metavar: "TIMEOUT",
        takes: Takes::Single(Value::Seconds, |c, text| {
            set(&mut c.check.query.timeout, values::seconds(text))
        }),
        default: Some(|| TIMEOUT.as_secs_f64().to_string()),
        keyword: Some(keyword("timeout", Api::Connections)),
        help: "Give up after this many seconds.",
        ..OPT
    },
    Opt {
        long: "--top",
        section: Section::Group,
        metavar: "TOP",
        takes: Takes::Single(Value::Whole, |c, text| {
            set(&mut c.check.presentation.top, values::whole(text).map(Some))
        }),
        keyword: Some(keyword("top", Api::Check)),
        help: "Print at most this many groups. Without it, 10 ports or addresses, but all types \
               and statuses.",
        ..OPT
    },
    Opt {
        long: "--warning",
        section: Section::Judge,
        short: Some("-w"),
        metavar: "WARN",
        takes: Takes::Single(Value::Range, |c, text| {
            set(&mut c.check.policy.warning, ThresholdSpec::parse(text).map(Some))
        }),
        reference: true,
        field: Some(Field::Warning),
        keyword: Some(keyword("warning", Api::Check)),
        help: "WARNING where the number of a group lies outside this Nagios range. Takes keys as \
               --critical does.",
        ..OPT
    },
    Opt {
        long: "--zero",
        section: Section::Group,
        metavar: "ZERO",
        takes: Takes::Switch(|c| c.check.query.zero = true),
        field: Some(Field::Zero),
        keyword: Some(keyword("zero", Api::Count)),
        help: "Report and judge selected types and statuses without connections as 0.",
        ..OPT
    },
];

/// A function that returns the name of an option in errors.
pub type Naming = fn(&Opt) -> &'static str;

/// The long name, for the command.
#[must_use]
pub fn long_name(option: &Opt) -> &'static str {
    option.long
}

/// The keyword, for the Python module.
#[must_use]
pub fn keyword_name(option: &Opt) -> &'static str {
    option.keyword.map_or(option.long, |keyword| keyword.name)
}

/// The name of the option that sets a field.
#[must_use]
pub fn name_of(field: Field, naming: Naming) -> &'static str {
    OPTIONS.iter().find(|option| option.field == Some(field)).map_or(field.name(), naming)
}

const fn keyword(name: &'static str, of: Api) -> Keyword {
    Keyword { name, of, inverted: false, help: None, also: Vec::new }
}

fn set<T, E: Into<Error>>(field: &mut T, value: Result<T, E>) -> Result<(), Error> {
    *field = value.map_err(Into::into)?;
    Ok(())
}

fn all() -> String {
    ALL.to_owned()
}

fn any() -> String {
    "any".to_owned()
}

fn default<T: Named + Default>() -> String {
    T::default().name().to_owned()
}

fn names_of<T: Named>() -> Vec<String> {
    names::<T>().into_iter().map(str::to_owned).collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

fn choices_of_types() -> Vec<String> {
    sorted(choices::<ConnectionType>(|_| true))
}

/// The choices of the reference, without the states that only Solaris and Windows have.
fn statuses() -> Vec<String> {
    use ConnectionStatus::{Bound, DeleteTcb, Idle};
    sorted(choices::<ConnectionStatus>(|status| !matches!(status, Idle | Bound | DeleteTcb)))
}

fn sources() -> Vec<String> {
    let choices = SourceName::CHOICES.iter().copied().map(Some);
    [None].into_iter().chain(choices).map(|source| source.name().to_owned()).collect()
}
