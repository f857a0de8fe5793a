//! Reads the values of options.

use std::str::FromStr;
use std::time::Duration;

use crate::deadline;
use crate::error::Error;
use crate::selection::{Among, Set};

/// Every value of an option that can be given several times.
pub fn each<T: FromStr<Err = Error>>(values: &[String]) -> Result<Vec<T>, Error> {
    // Only the API can give an empty list. It must not mean "any".
    if values.is_empty() {
        return Err(Error::Argument("no value is given".to_owned()));
    }
    values.iter().map(|value| value.parse()).collect()
}

/// Every value of an option of which values with a mark in front are taken away.
pub fn among<T: FromStr<Err = Error> + Set>(values: &[String]) -> Result<Among<T>, Error> {
    // An empty list, as above.
    if values.is_empty() {
        return Err(Error::Argument("no value is given".to_owned()));
    }
    Among::parse(values)
}

/// A time in seconds.
pub fn seconds(text: &str) -> Result<Duration, Error> {
    text.trim().parse().ok().and_then(deadline::timeout).ok_or_else(|| {
        Error::Argument(format!(
            "{text:?} is not a positive number of seconds, for example 8 or 0.5"
        ))
    })
}

/// A whole number from 1 up.
pub fn whole(text: &str) -> Result<usize, Error> {
    text.trim()
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| Error::Argument(format!("{text:?} is not a whole number from 1 up")))
}

/// The PATH of `PATH[,STDERR[,RC]]`. STDERR and RC are not used, but RC must be a whole number.
pub fn recorded(value: &str) -> Result<&str, Error> {
    let mut parts = value.split(',').map(str::trim);
    let path = parts.next().unwrap_or("");
    let code = parts.nth(1).unwrap_or("");
    if !code.is_empty() && code.parse::<i64>().is_err() {
        return Err(Error::Argument(format!(
            "--test: the return code {code:?} is not a whole number"
        )));
    }
    Ok(path)
}
