//! Reads a command line and runs it, for the native command and for the wheel's commands.

mod fixture;
pub mod options;
pub mod outcome;
pub mod pages;
pub mod reader;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufReader, IsTerminal};
use std::path::Path;

use crate::cli::fixture::{Fixture, fixture};
use crate::cli::options::{Command, FORMAT, NAME, Naming, OPTIONS, Opt, Takes, long_name, name_of};
use crate::cli::outcome::{Outcome, guard};
use crate::cli::pages::help::{help, usage, version};
use crate::cli::reader::{AGAIN, Arguments, Terminal, is_list, nearest_option, read};
use crate::error::Error;
use crate::format::Format;
use crate::judge::state::State;
use crate::name::suggestion;
use crate::panic::catch_panic;
use crate::plan::Plan;
use crate::range::meant;
use crate::report::Report;
use crate::run;

/// A command line that was read and can be run.
pub struct Run {
    plan: Plan,
    format: Format,
    name: String,
    fixture: Option<String>,
    // The most connections that are listed, where they are listed and not judged.
    list: Option<usize>,
    // A hint about ignored arguments, for standard error.
    hint: String,
}

impl Run {
    /// The plan of a run that reads this host; `None` for a run that reads a fixture.
    #[must_use]
    pub fn host_plan(&self) -> Option<&Plan> {
        self.fixture.is_none().then_some(&self.plan)
    }

    /// Runs the check. `program` is the running executable: the directory beside it has fixtures.
    #[must_use]
    pub fn outcome(self, program: &Path, interrupted: &dyn Fn() -> bool) -> Outcome {
        let mut text = String::new();
        let outcome = self.written(program, interrupted, &mut text);
        text.push_str(&outcome.stdout);
        Outcome { stdout: text, ..outcome }
    }

    /// Runs the check as [`Run::outcome`] does, and writes the text of a report to `stdout` as it is
    /// made. An error of `stdout` ends the text: its caller knows it.
    #[must_use]
    pub fn written(
        self,
        program: &Path,
        interrupted: &dyn Fn() -> bool,
        stdout: &mut dyn fmt::Write,
    ) -> Outcome {
        guard(|| {
            let (format, name, stderr) = (self.format, self.name.clone(), self.hint.clone());
            if let Some(most) = self.list {
                return match run::longest(&self.plan, most, interrupted) {
                    Ok(list) => Outcome {
                        stdout: format!("{}\n", format.list(&list).unwrap_or_default()),
                        stderr,
                        code: State::Ok as u8,
                    },
                    Err(error) => Outcome { stderr, ..failed(error, format, &name) },
                };
            }
            match self.report(program, interrupted) {
                Ok(report) => {
                    let written = format.write(&report, &name, stdout);
                    let _ = written.and_then(|()| stdout.write_char('\n'));
                    Outcome { stdout: String::new(), stderr, code: report.state() as u8 }
                }
                Err(error) => Outcome { stderr, ..failed(error, format, &name) },
            }
        })
    }

    fn report(self, program: &Path, interrupted: &dyn Fn() -> bool) -> Result<Report, Error> {
        match self.fixture.map(|value| fixture(program, &value)).transpose()? {
            None => run::check(self.plan, interrupted),
            Some(Fixture::File(file)) => run::fixture(self.plan, BufReader::new(file), interrupted),
            Some(Fixture::Text(text)) => run::fixture(self.plan, text.as_bytes(), interrupted),
        }
    }
}

/// Reads the arguments after the program's name. Returns a run, or the outcome of a command line
/// that has nothing to run.
pub fn command_line(arguments: &[OsString]) -> Result<Run, Outcome> {
    catch_panic(|| read_line(arguments))
        .unwrap_or_else(|error| Err(failed(error, Format::Plugin, "")))
}

/// Reads the arguments and runs the command.
#[must_use]
pub fn run(program: &Path, arguments: &[OsString], interrupted: &dyn Fn() -> bool) -> Outcome {
    match command_line(arguments) {
        Ok(run) => run.outcome(program, interrupted),
        Err(answer) => answer,
    }
}

fn read_line(arguments: &[OsString]) -> Result<Run, Outcome> {
    let arguments: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
    let arguments = read(&arguments)
        .map_err(|usage| usage_error(&format_of_broken_line(&arguments), &usage.to_string()))?;
    match arguments.terminal {
        Some(Terminal::Help) => return Err(Outcome::unknown(&help())),
        Some(Terminal::Version) => return Err(Outcome::unknown(&version())),
        None => {}
    }
    let (command, read) = command(&arguments, long_name);
    let unknown = arguments.strays.iter().map(|stray| {
        let is_option = stray.starts_with('-');
        let kind = if is_option { "option" } else { "word" };
        let nearest = if is_option { nearest_option(stray) } else { String::new() };
        format!("{kind} {stray:?}{nearest}")
    });
    let mut hint = String::new();
    let is_told = io::stderr().is_terminal();
    if command.strict {
        if let Some(unknown) = unknown.into_iter().next() {
            let message = format!("Unknown {unknown} (see --help for all options)");
            return Err(usage_error(&command, &message));
        }
    } else if is_told {
        hint.extend(unknown.map(|unknown| format!("Ignored, --strict refuses it: {unknown}\n")));
    }
    let Command { mut check, format, name, fixture, strict, list } = command;
    check.presentation.every_name = format.has_every_group();
    let plan = if fixture.is_none() { Plan::new } else { Plan::of_fixture };
    if list {
        let problem = if fixture.is_some() {
            Some("--list: a fixture has no connections of this host")
        } else if format.has_lists() {
            None
        } else {
            Some("--list: Prometheus takes no lists (valid: --format=plugin or json)")
        };
        let refused = problem.map_or(Ok(()), |problem| Err(Error::Argument(problem.to_owned())));
        return match refused.and(read).and_then(|()| Plan::of_listed_check(check)) {
            Ok((plan, most)) => Ok(Run { plan, format, name, fixture, list: Some(most), hint }),
            Err(error) => Err(failed(error, format, &name)),
        };
    }
    let strictly = |plan: Plan| {
        if strict {
            return plan.strict();
        }
        if is_told && let Err(error) = plan.clone().strict() {
            let error = error.with_names(|field| name_of(field, long_name));
            hint.extend([format!("Accepted, --strict refuses it: {error}\n")]);
        }
        Ok(plan)
    };
    match read.and_then(|()| plan(check)).and_then(strictly) {
        Ok(plan) => {
            if is_told {
                hint.extend(arguments.replaced.iter().map(|(option, value)| {
                    format!("{option}: the last value counts, {value:?} does not\n")
                }));
            }
            Ok(Run { plan, format, name, fixture, list: None, hint })
        }
        Err(error) => Err(failed(error, format, &name)),
    }
}

fn failed(error: Error, format: Format, name: &str) -> Outcome {
    Outcome::unknown(&format.failure(&error.with_names(|field| name_of(field, long_name)), name))
}

fn usage_error(command: &Command, message: &str) -> Outcome {
    let failure = command.format.failure(&Error::Argument(message.to_owned()), &command.name);
    Outcome { stderr: usage(), ..Outcome::unknown(&failure) }
}

/// The `--format` and the `--name` of a command line that cannot be read as a whole.
fn format_of_broken_line<S: AsRef<str>>(arguments: &[S]) -> Command {
    let end = arguments.iter().position(|argument| argument.as_ref() == "--");
    let arguments = arguments.get(..end.unwrap_or(arguments.len())).unwrap_or(arguments);
    let given = |option| {
        let given = (0..arguments.len()).rev().find_map(|start| {
            // The option alone, or with the word after it.
            let window = |words| arguments.get(start..start + words).and_then(|w| read(w).ok());
            window(1).or_else(|| window(2)).filter(|arguments| arguments.has(option))
        });
        given.map_or_else(Command::default, |arguments| command(&arguments, long_name).0)
    };
    Command { format: given(FORMAT).format, name: given(NAME).name, ..Command::default() }
}

/// An error about the values of an option, with the name of the option. A range that cannot be read
/// begins with the words of the reference.
fn explained(error: Error, option: &Opt, values: &[String], naming: Naming) -> Error {
    let name = naming(option);
    match error {
        Error::Range(range) => {
            let given = values.last().map_or("", |value| value);
            let hint = suggestion(meant(given));
            Error::Argument(format!("{range}: {name} {given:?}{hint} (valid: {})", range.valid()))
        }
        Error::Argument(problem) if values.iter().any(|value| is_list(option, value)) => {
            Error::Argument(format!("{problem}{AGAIN}")).of_value(name)
        }
        error => error.of_value(name),
    }
}

/// The command that the arguments ask for, and the error of the first invalid value. All valid
/// values are in the command, so that the error is printed in the requested format.
pub fn command(arguments: &Arguments, naming: Naming) -> (Command, Result<(), Error>) {
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
        read = read.and(set.map_err(|error| explained(error, option, values, naming)));
    }
    (command, read)
}
