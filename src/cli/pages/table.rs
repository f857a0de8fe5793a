//! The option table as JSON, for code that is written in Python.

use serde_json::{Value as Json, json};

use crate::cli::options::{OPTIONS, Opt, Takes, Value};
use crate::cli::pages::text::default;

/// A list with an object for each option, in the order of the help.
#[must_use]
pub fn rows() -> Json {
    OPTIONS.iter().map(row).collect()
}

fn row(option: &Opt) -> Json {
    json!({
        "names": option.short.into_iter().chain([option.long]).collect::<Vec<_>>(),
        "dest": option.metavar,
        "action": action(option.takes),
        "value": option.value().map(kind),
        "choices": option.choices(),
        "default": default(option),
        "hidden": option.hidden,
        "for_people": option.is_for_people(),
        "reference": option.reference,
        "keyword": option.keyword.map(|keyword| keyword.name),
        "function": option.keyword.map(|keyword| keyword.of.name()),
        "help": option.help,
    })
}

/// The `action` of an argument in argparse.
fn action(takes: Takes) -> &'static str {
    match takes {
        Takes::Help => "help",
        Takes::Version => "version",
        Takes::Switch(_) => "store_true",
        Takes::Single(..) => "store",
        Takes::Several(..) => "append",
    }
}

fn kind(value: Value) -> &'static str {
    match value {
        Value::Choice(_) => "choice",
        Value::Range => "range",
        Value::Port => "port",
        Value::Address => "address",
        Value::Netns => "netns",
        Value::Stuck => "stuck",
        Value::Text => "text",
        Value::Whole => "whole",
        Value::Seconds => "seconds",
        Value::Fixture => "fixture",
    }
}
