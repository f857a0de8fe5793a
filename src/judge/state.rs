//! The states of the Nagios guidelines.

use crate::name::Named;

/// A state of the Nagios guidelines; its number is the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// 0: fine.
    #[default]
    Ok = 0,
    /// 1: a number is outside its warning range.
    Warning = 1,
    /// 2: a number is outside its critical range.
    Critical = 2,
    /// 3: the state cannot be determined.
    Unknown = 3,
}

impl State {
    /// `OK`, `WARNING`, `CRITICAL` or `UNKNOWN`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The rank of a state in the order of the collection: WARNING and CRITICAL rank above UNKNOWN.
    #[must_use]
    pub const fn severity(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Unknown => 1,
            Self::Warning => 2,
            Self::Critical => 3,
        }
    }
}

/// The state of a check that finds nothing, named as the collection names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoMatch(pub State);

impl Named for NoMatch {
    const VALUES: &'static [Self] =
        &[Self(State::Ok), Self(State::Warning), Self(State::Critical), Self(State::Unknown)];
    const WHAT: &'static str = "severity";

    fn name(self) -> &'static str {
        match self.0 {
            State::Ok => "ok",
            State::Warning => "warn",
            State::Critical => "crit",
            State::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_follow_the_guidelines_and_the_collection() {
        let states = [State::Ok, State::Warning, State::Critical, State::Unknown];
        assert_eq!(states.map(State::name), ["OK", "WARNING", "CRITICAL", "UNKNOWN"]);
        assert_eq!(states.map(|state| state as u8), [0, 1, 2, 3]);
        assert_eq!(states.map(|state| NoMatch(state).name()), ["ok", "warn", "crit", "unknown"]);
        assert_eq!(states.map(State::severity), [0, 2, 3, 1]);
    }
}
