//! Writes everything that is made from the option table. `man DATE`, `bash`, `zsh`, `fish` and
//! `table` (JSON) go to standard output. `write` brings the copies of the table in this repository
//! up to date, and `check` fails where one of them is stale.

mod copies;
mod dictionary;
mod icinga;
mod python;
mod reference;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use network_connections::cli::pages::{completions, man, table, text};
use serde_json::json;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let page = match arguments {
        ["man", date] => man::man(date),
        ["bash"] => completions::bash(),
        ["zsh"] => completions::zsh(),
        ["fish"] => completions::fish(),
        ["table"] => {
            json!({ "description": text::DESCRIPTION, "options": table::rows() }).to_string()
        }
        ["write"] => return write(),
        ["check"] => return check(),
        _ => return Err("usage: generate man DATE|bash|zsh|fish|table|write|check".into()),
    };
    Ok(stdout().write_all(page.as_bytes())?)
}

fn write() -> Result<(), Box<dyn Error>> {
    Ok(stale()?.iter().try_for_each(|(path, text)| fs::write(path, text))?)
}

fn check() -> Result<(), Box<dyn Error>> {
    let stale: Vec<_> = stale()?.into_keys().collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("stale, run `make generate`: {}", stale.join(", ")).into())
}

/// The files with a stale copy, and the text that they should have.
fn stale() -> Result<BTreeMap<&'static str, String>, Box<dyn Error>> {
    if cfg!(not(target_os = "linux")) {
        return Err("the copies list the sources of Linux: generate them there".into());
    }
    let mut stale = BTreeMap::new();
    for (path, copies) in copies::all() {
        let named = |error: &dyn Error| format!("{path}: {error}");
        let before = fs::read_to_string(path).map_err(|error| named(&error))?;
        let mut after = before.clone();
        for copy in copies {
            after = copy.put_into(&after).map_err(|error| named(&error))?;
        }
        if after != before {
            stale.insert(path, after);
        }
    }
    Ok(stale)
}
