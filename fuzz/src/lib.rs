//! The fuzz targets. Each function takes an input and asserts properties that hold for every input.
//! The fuzzers call it with inputs that they make up, `tests/corpus.rs` with the kept inputs.

// Here a panic is the finding.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

mod output;
#[cfg(target_os = "linux")]
mod wire;

use std::ffi::OsString;
use std::io::{BufReader, Read};
use std::path::Path;

use network_connections::Choice;
use network_connections::cli;
use network_connections::cli::options::long_name;
use network_connections::cli::reader;
use network_connections::run;
use network_connections::{Check, Query, TIMEOUT};
use network_connections::{
    ConnectionStatus, ConnectionType, Error, Format, Group, GroupBy, Named, Plan, Range,
    RangeError, Report, Selection, State,
};

#[cfg(target_os = "linux")]
pub use wire::{netlink, procfs};

/// A function that takes an input and panics where a property does not hold.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: &[(&str, Target)] = &[
    #[cfg(target_os = "linux")]
    ("netlink", netlink),
    #[cfg(target_os = "linux")]
    ("procfs", procfs),
    ("range", range),
    ("fixture", fixture),
    ("arguments", arguments),
];

fn never_interrupted() -> bool {
    false
}

/// A threshold range.
pub fn range(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let range: Range = match text.parse() {
        Ok(range) => range,
        Err(RangeError::Reversed(start, end)) => return assert!(start > end),
        Err(_) => return,
    };
    assert_eq!(range.to_string(), text);
    assert_eq!(text.parse(), Ok(range.clone()));

    // A range is an interval, or the complement of one.
    let mut probes = vec![f64::NEG_INFINITY, -1.0, 0.0, 0.5, 1.0, 10.0, 1e300, f64::INFINITY];
    let bounds = text.split(['@', ':', '\\', '%']).filter_map(|bound| bound.trim().parse().ok());
    probes.extend(bounds.filter(|bound: &f64| !bound.is_nan()));
    probes.extend(probes.clone().iter().flat_map(|probe| [probe.next_down(), probe.next_up()]));
    probes.sort_by(f64::total_cmp);
    let inside: Vec<_> = probes.iter().map(|probe| range.contains(*probe)).collect();
    assert!(inside.windows(2).filter(|pair| pair[0] != pair[1]).count() <= 2);

    let same = |text: String| assert_eq!(text.parse(), Ok(range.clone()), "{text:?}");
    same(format!("\\{text}"));
    let spec = text.trim_start_matches('\\');
    same(spec.to_owned());
    if let Some(rest) = spec.strip_prefix('@') {
        let kept = if rest.is_empty() { "0:" } else { rest };
        if !rest.starts_with('\\') {
            let kept: Range = kept.parse().unwrap();
            assert!(probes.iter().all(|probe| kept.contains(*probe) != range.contains(*probe)));
        }
    } else if !spec.is_empty() && !spec.eq_ignore_ascii_case("none") {
        let inverted: Range = format!("@{spec}").parse().unwrap();
        assert!(probes.iter().all(|probe| inverted.contains(*probe) != range.contains(*probe)));
        assert_ne!(inverted, range);
    }
}

/// A recorded list of connections.
pub fn fixture(data: &[u8]) {
    let run = |check: Check, text: &mut dyn Read| {
        Plan::of_fixture(check).and_then(|plan| run::fixture(plan, text, &never_interrupted))
    };
    let report = match run(Check::default(), &mut &data[..]) {
        Ok(report) => report,
        Err(error) => {
            assert!(matches!(error, Error::Fixture(_)), "{error:?}");
            output::failure(&error);
            // The text is refused byte by byte, too.
            assert!(run(Check::default(), &mut BufReader::with_capacity(1, data)).is_err());
            return;
        }
    };
    output::report(&report);
    let counted = |report: &Report| -> Vec<(Group, u64)> {
        report.groups.iter().map(|judged| (judged.group.unwrap(), judged.count)).collect()
    };
    let again = run(Check::default(), &mut BufReader::with_capacity(1, data)).unwrap();
    assert_eq!(counted(&again), counted(&report));

    // serde_json counts the same in the same text. It is stricter about parts that the check skips.
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) {
        let entries = value.as_array().unwrap();
        assert_eq!(report.total, u64::try_from(entries.len()).unwrap());
        for (group, count) in counted(&report) {
            let is = |entry: &&serde_json::Value| match group {
                Group::TypeStatus(t, status) => {
                    entry["proto"] == t.name() && entry["status"] == status.name()
                }
                _ => false,
            };
            assert_eq!(u64::try_from(entries.iter().filter(is).count()).unwrap(), count);
        }
    }

    // The counts of all types, and of all statuses, add up to the total.
    let of = |selection: Selection| {
        let query = Query { selection, ..Query::default() };
        run(Check { query, ..Check::default() }, &mut &data[..]).unwrap().total
    };
    let types = ConnectionType::COUNTED
        .iter()
        .map(|t| of(Selection { types: Choice::of(&[*t]), ..Selection::default() }));
    assert_eq!(types.sum::<u64>(), report.total);
    let statuses = ConnectionStatus::VALUES
        .iter()
        .map(|status| of(Selection { statuses: Choice::of(&[*status]), ..Selection::default() }));
    assert_eq!(statuses.sum::<u64>(), report.total);
    // A fixture does not tell directions.
    let is_told = |by: &&GroupBy| by.is_counted() && **by != GroupBy::Direction;
    for group_by in GroupBy::VALUES.iter().filter(is_told) {
        let query = Query { group_by: Some(*group_by), ..Query::default() };
        match run(Check { query, ..Check::default() }, &mut &data[..]) {
            Ok(grouped) => {
                assert_eq!(grouped.total, report.total);
                output::report(&grouped);
            }
            // Some fixtures lack addresses.
            Err(error) => {
                assert!(matches!(error, Error::Fixture(_)), "{error:?}");
                assert!(!group_by.is_fixed());
            }
        }
    }
}

/// The fixture that the arguments are tried on.
const RECORDED: &str = r#"[
    {"proto": "tcp", "status": "LISTEN", "local": "0.0.0.0:443", "remote": "0.0.0.0:0"},
    {"proto": "tcp", "status": "ESTABLISHED", "local": "192.0.2.1:443", "remote": "192.0.2.7:5"},
    {"proto": "tcp", "status": "TIME_WAIT", "local": "192.0.2.1:443", "remote": "192.0.2.8:6"},
    {"proto": "tcp6", "status": "ESTABLISHED", "local": "::ffff:192.0.2.1:443",
     "remote": "::ffff:192.0.2.7:7"},
    {"proto": "tcp6", "status": "CLOSE_WAIT", "local": "[2001:db8::1]:443",
     "remote": "[2001:db8::2]:8"},
    {"proto": "udp", "status": "NONE", "local": "0.0.0.0:53", "remote": "0.0.0.0:0"},
    {"proto": "udp6", "status": "NONE", "local": "[::]:53", "remote": "[::]:0"}
]"#;

/// The command's arguments, separated by zero bytes.
pub fn arguments(data: &[u8]) {
    let arguments: Vec<String> =
        data.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    command(&arguments);
    let Ok(read) = reader::read(&arguments) else {
        return;
    };
    assert!(read.strays.len() <= arguments.len());
    if read.terminal.is_some() {
        return;
    }
    let (command, valid) = cli::command(&read, long_name);
    if let Err(error) = valid {
        return output::failure(&error);
    }
    let check = command.check;
    let policy = check.policy.clone();
    let top = check.presentation.top;
    // A short timeout would fail on a slow machine.
    let query = Query { timeout: TIMEOUT, ..check.query };
    let check = Check { query, ..check };
    for thresholds in [&policy.critical, &policy.warning].into_iter().flatten() {
        assert!(arguments.iter().any(|word| word.contains(thresholds.text())));
    }
    let run = |plan| run::fixture(plan, RECORDED.as_bytes(), &never_interrupted);
    match Plan::of_fixture(check).and_then(run) {
        Ok(report) => {
            output::report(&report);
            assert!(report.total <= 7);
            assert!(!policy.always_ok || matches!(report.state(), State::Ok | State::Unknown));
            let shown = report.shown().0.into_iter().filter(|group| !group.unmatched).count();
            assert!(top.is_none_or(|top| shown <= top));
        }
        // The fixture lacks owners, and a key may match no possible group.
        Err(error) => {
            let expected =
                matches!(error, Error::Fixture(_) | Error::Value { .. } | Error::Conflict { .. });
            assert!(expected, "{error:?}");
            output::failure(&error);
        }
    }
}

/// Runs the command as a whole, on an empty fixture unless the arguments have one.
fn command(arguments: &[String]) {
    let mut all = vec![OsString::from("--test=[]")];
    all.extend(arguments.iter().map(OsString::from));
    let outcome = cli::run(Path::new("/nonexistent/program"), &all, &never_interrupted);
    assert!(!outcome.stdout.starts_with("Internal error"), "{}", outcome.stdout);
    assert!(outcome.code <= 3);
    let read = reader::read(arguments);
    let terminal = read.as_ref().is_ok_and(|read| read.terminal.is_some());
    if terminal || read.is_err() || !outcome.stderr.is_empty() {
        assert_eq!(outcome.code, 3);
    }
    let stray = outcome.stdout.contains("(see --help for all options)");
    assert_eq!(read.is_err(), !outcome.stderr.is_empty() && !stray);
    let text = outcome.stdout.strip_suffix('\n').unwrap();
    if terminal {
        return;
    }
    let format = read.as_ref().ok().map(|read| cli::command(read, long_name).0.format);
    match format {
        Some(format) => output::of(format, text),
        // A usage error: the first character shows its format.
        None if text.starts_with('{') => output::of(Format::Json, text),
        None if text.starts_with('#') => output::of(Format::Prometheus, text),
        None => output::of(Format::Plugin, text),
    }
}
