//! The command line: read, run. Behind the wheel's commands and the native one alike.

mod fixture;
pub mod options;
pub mod outcome;
pub mod pages;
pub mod reader;
mod values;

use std::ffi::OsString;
use std::io::BufReader;
use std::path::Path;

use crate::check::Check;
use crate::cli::fixture::{Fixture, fixture};
use crate::cli::options::{
    CONN_STATUS, CONN_TYPE, Command, FORMAT, GROUP_BY, LOCAL_PORT, MEASURE, NAME, OPTIONS,
    REMOTE_ADDRESS, REMOTE_PORT, Takes, ZERO,
};
use crate::cli::outcome::{Outcome, guard};
use crate::cli::pages::help::{help, usage, version};
use crate::cli::reader::{Arguments, Terminal, read};
use crate::error::Error;
use crate::group::GroupBy;
use crate::measure::Measure;
use crate::name::Named;
use crate::report::Report;
use crate::run;
use crate::vocabulary::Protocol;

/// Runs the command. `program` is the file that is running, beside which fixtures are looked for;
/// `arguments` are those after the program's name. `prepare` sees the check before anything is read.
#[must_use]
pub fn run(
    program: &Path,
    arguments: &[OsString],
    prepare: &dyn Fn(&Check),
    interrupted: &dyn Fn() -> bool,
) -> Outcome {
    guard(|| {
        let arguments: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
        let arguments = match read(&arguments) {
            Ok(arguments) => arguments,
            Err(usage) => return usage_error(&asked(&arguments), &usage.to_string()),
        };
        match arguments.terminal {
            Some(Terminal::Help) => return Outcome::unknown(&help()),
            Some(Terminal::Version) => return Outcome::unknown(&version()),
            None => {}
        }
        let (command, read) = command(&arguments);
        if let (true, Some(stray)) = (command.strict, arguments.strays.first()) {
            let what = if stray.starts_with('-') { "option" } else { "word" };
            let message = format!("Unknown {what} {stray:?} (see --help for what there is)");
            return usage_error(&command, &message);
        }
        let (format, name) = (command.format, command.name.clone());
        // A fixture takes no rights, whatever is asked of it.
        let asked = if command.fixture.is_some() { &Check::default() } else { &command.check };
        prepare(asked);
        match read.and_then(|()| execute(program, command, interrupted)) {
            Ok(report) => Outcome {
                stdout: format!("{}\n", format.report(&report, &name)),
                stderr: String::new(),
                code: report.state() as u8,
            },
            Err(error) => Outcome::unknown(&format.failure(&error, &name)),
        }
    })
}

fn usage_error(asked: &Command, message: &str) -> Outcome {
    let failure = asked.format.failure(&Error::Argument(message.to_owned()), &asked.name);
    Outcome { stderr: usage(), ..Outcome::unknown(&failure) }
}

/// How an answer is asked for among arguments that cannot be read as a whole.
fn asked<S: AsRef<str>>(arguments: &[S]) -> Command {
    let end = arguments.iter().position(|argument| argument.as_ref() == "--");
    let arguments = arguments.get(..end.unwrap_or(arguments.len())).unwrap_or(arguments);
    let given = |option| {
        let given = (0..arguments.len()).rev().find_map(|start| {
            // The option alone, or with the word after it.
            let one = |words| arguments.get(start..start + words).and_then(|w| read(w).ok());
            one(1).or_else(|| one(2)).filter(|arguments| arguments.has(option))
        });
        given.map_or_else(Command::default, |arguments| command(&arguments).0)
    };
    Command { format: given(FORMAT).format, name: given(NAME).name, ..Command::default() }
}

fn execute(
    program: &Path,
    command: Command,
    interrupted: &dyn Fn() -> bool,
) -> Result<Report, Error> {
    match command.fixture.map(|value| fixture(program, &value)).transpose()? {
        None => run::check(command.check, interrupted),
        Some(Fixture::File(file)) => run::fixture(command.check, BufReader::new(file), interrupted),
        Some(Fixture::Text(text)) => run::fixture(command.check, text.as_bytes(), interrupted),
    }
}

/// What the arguments ask for, and the first value that is none: what could be read of the rest
/// still holds, so that an error is printed as it is wanted.
pub fn command(arguments: &Arguments) -> (Command, Result<(), Error>) {
    let mut command = Command::default();
    let mut read = Ok(());
    for option in OPTIONS {
        let Some(values) = arguments.of(option) else {
            continue;
        };
        let set = match option.takes {
            Takes::Help | Takes::Version => Ok(()),
            Takes::Switch(set) => {
                set(&mut command);
                Ok(())
            }
            Takes::Single(_, set) => values.last().map_or(Ok(()), |value| set(&mut command, value)),
            Takes::Several(_, set) => set(&mut command, values),
        };
        read = read.and(set.map_err(|error| error.of_option(option.long)));
    }
    let read = read.and_then(|()| together(&command, arguments));
    command.check.query.be_measured();
    (command, read)
}

/// Refuses what cannot go together.
fn together(command: &Command, arguments: &Arguments) -> Result<(), Error> {
    let query = &command.check.query;
    if let Some(meaning) = query.measure.meaning() {
        let groups = meaning.groups;
        if let Some(option) = meaningless(query.measure).iter().find(|option| arguments.has(option))
        {
            return Err(Error::Conflict {
                option,
                problem: format!("has no meaning where {groups} are measured"),
                other: MEASURE,
                valid: Measure::Connections.name().to_owned(),
            });
        }
        if query.selection.types_of(Protocol::Tcp).next().is_none() {
            return Err(Error::Conflict {
                option: CONN_TYPE,
                problem: format!("only TCP has {groups}"),
                other: CONN_TYPE,
                valid: "tcp or tcp6".to_owned(),
            });
        }
    }
    if query.zero && !query.group_by.is_fixed() {
        let fixed: Vec<_> = GroupBy::VALUES.iter().filter(|by| by.is_fixed()).collect();
        let names: Vec<_> = fixed.iter().map(|by| by.name()).collect();
        return Err(Error::Conflict {
            option: ZERO,
            problem: format!("the groups by {} cannot be listed", query.group_by.name()),
            other: GROUP_BY,
            valid: alternatives(&names),
        });
    }
    Ok(())
}

/// The options that say nothing of what is measured.
const fn meaningless(measure: Measure) -> &'static [&'static str] {
    match measure {
        Measure::Connections => &[],
        Measure::AcceptQueue => &[GROUP_BY, ZERO, CONN_STATUS, REMOTE_ADDRESS, REMOTE_PORT],
        Measure::EphemeralPorts => &[GROUP_BY, ZERO, CONN_STATUS, LOCAL_PORT],
    }
}

/// `a, b or c`
fn alternatives(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} or {last}", names.join(", ")),
    }
}
