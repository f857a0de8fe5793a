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

use crate::cli::fixture::{Fixture, fixture};
use crate::cli::options::{
    CONN_TYPE, Command, FORMAT, GROUP_BY, MEASURE, NAME, OPTIONS, Takes, ZERO,
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
use crate::selection::Choice;
use crate::vocabulary::Protocol;

/// Runs the command. `program` is the file that is running, beside which fixtures are looked for;
/// `arguments` are those after the program's name.
#[must_use]
pub fn run(program: &Path, arguments: &[OsString], interrupted: &dyn Fn() -> bool) -> Outcome {
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
    if let Some(meaning) = command.check.question.measure.meaning() {
        let selection = &mut command.check.question.selection;
        selection.types = Choice::of(&selection.types_of(Protocol::Tcp).collect::<Vec<_>>());
        command.check.question.group_by = meaning.group_by;
        if let Some(status) = meaning.status {
            command.check.question.selection.statuses = Choice::of(&[status]);
        }
    }
    (command, read)
}

/// Refuses what cannot go together.
fn together(command: &Command, arguments: &Arguments) -> Result<(), Error> {
    let question = &command.check.question;
    if let Some(meaning) = question.measure.meaning() {
        let conflict = |option, problem: &str, other, valid: &str| Error::Conflict {
            option,
            problem: problem.to_owned(),
            other,
            valid: valid.to_owned(),
        };
        if let Some(option) = meaning.without.iter().find(|option| arguments.has(option)) {
            let problem = format!("has no meaning where {} are measured", meaning.groups.1);
            return Err(conflict(option, &problem, MEASURE, Measure::Connections.name()));
        }
        if question.selection.types_of(Protocol::Tcp).next().is_none() {
            let problem = format!("only TCP has {}", meaning.groups.1);
            return Err(conflict(CONN_TYPE, &problem, CONN_TYPE, "tcp or tcp6"));
        }
    }
    if question.zero && !question.group_by.is_fixed() {
        let fixed: Vec<_> = GroupBy::VALUES.iter().filter(|by| by.is_fixed()).collect();
        let names: Vec<_> = fixed.iter().map(|by| by.name()).collect();
        return Err(Error::Conflict {
            option: ZERO,
            problem: format!("the groups by {} cannot be listed", question.group_by.name()),
            other: GROUP_BY,
            valid: alternatives(&names),
        });
    }
    Ok(())
}

/// `a, b or c`
fn alternatives(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} or {last}", names.join(", ")),
    }
}
