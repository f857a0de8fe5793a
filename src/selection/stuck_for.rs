//! The selection of connections that have been stuck for some time.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::name::{Named, named};
use crate::stuck::{MOST_SECONDS, StuckKind, Transfer, Wait};

/// Connections that have been stuck for at least some seconds, of one kind or of every usual kind.
/// The text is `300` or `unread:60`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StuckFor {
    /// The kind; `None` for [`StuckKind::USUAL`].
    pub kind: Option<StuckKind>,
    /// The seconds, at most 3,456,000 (40 days).
    pub seconds: u32,
}

/// Whether a connection is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// It is not.
    No,
    /// It may be: the bounds of its time lie on both sides of the number of seconds.
    Maybe,
    /// It is.
    Yes,
}

impl StuckFor {
    /// The kinds that are meant.
    #[must_use]
    pub fn kinds(&self) -> &[StuckKind] {
        self.kind.as_ref().map_or(&StuckKind::USUAL, std::slice::from_ref)
    }

    /// Whether a connection of this kind with this time is selected.
    #[must_use]
    pub fn selects_time(self, kind: StuckKind, wait: Wait) -> Certainty {
        let wanted = self.seconds.saturating_mul(1000);
        match wait {
            _ if !self.kinds().contains(&kind) => Certainty::No,
            Wait { least, .. } if wanted <= least => Certainty::Yes,
            Wait { most, .. } if wanted <= most => Certainty::Maybe,
            Wait { .. } => Certainty::No,
        }
    }

    /// Whether a connection is selected.
    #[must_use]
    pub fn selects(self, transfer: &Transfer) -> Certainty {
        let kinds = self.kinds().iter();
        let stuck = kinds.filter_map(|kind| Some((*kind, transfer.stuck(*kind)?)));
        let certainties = stuck.map(|(kind, wait)| self.selects_time(kind, wait));
        certainties.max().unwrap_or(Certainty::No)
    }
}

/// The shortest time of a stuck connection where no time is asked for, in milliseconds: on a busy
/// connection, something waits for some milliseconds all the time.
const SHORTEST: u32 = 1_000;

/// The kinds that are selected, in display order; the usual kinds where none is asked for.
#[must_use]
pub fn kinds(selected: &[StuckFor]) -> Vec<StuckKind> {
    let is_selected = |kind: &StuckKind| match selected {
        [] => StuckKind::USUAL.contains(kind),
        selected => selected.iter().any(|stuck| stuck.kinds().contains(kind)),
    };
    StuckKind::VALUES.iter().copied().filter(is_selected).collect()
}

/// The selected kinds that a connection is of, or may be of for long enough, each with its time.
#[must_use]
pub fn found(selected: &[StuckFor], transfer: &Transfer) -> Vec<(StuckKind, Wait)> {
    let is_selected = |kind, wait: Wait| match selected {
        [] => StuckKind::USUAL.contains(&kind) && wait.most >= SHORTEST,
        selected => selected.iter().any(|stuck| stuck.selects_time(kind, wait) != Certainty::No),
    };
    let stuck = StuckKind::VALUES.iter().filter_map(|kind| Some((*kind, transfer.stuck(*kind)?)));
    stuck.filter(|(kind, wait)| is_selected(*kind, *wait)).collect()
}

/// The kind with the longest time; of equal times the first kind.
#[must_use]
pub fn longest(stuck: &[(StuckKind, Wait)]) -> Option<(StuckKind, Wait)> {
    stuck.iter().copied().rev().max_by_key(|(_, wait)| wait.most)
}

impl FromStr for StuckFor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (kind, seconds) = match text.split_once(':') {
            Some((kind, seconds)) => (Some(named::<StuckKind>(kind.trim())?), seconds),
            None => (None, text),
        };
        let seconds = seconds.trim();
        if let Ok(seconds) = seconds.parse::<u32>()
            && seconds <= MOST_SECONDS
        {
            return Ok(Self { kind, seconds });
        }
        Err(Error::Argument(
            if !seconds.is_empty() && seconds.bytes().all(|b| b.is_ascii_digit()) {
                format!("{text:?} is more than 40 days, after which the kernel's times start again")
            } else {
                format!(
                    "{text:?} is not a number of seconds, or a kind and seconds (valid: for example 300 or unread:60)"
                )
            },
        ))
    }
}

/// `half-closed:300`, or `300`
impl fmt::Display for StuckFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kind) = self.kind {
            write!(f, "{}:", kind.name())?;
        }
        self.seconds.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stuck::Timer;
    use crate::stuck::made::transfer;
    use crate::vocabulary::ConnectionStatus;

    fn parse(text: &str) -> Result<StuckFor, String> {
        text.parse().map_err(|error: Error| error.to_string())
    }

    #[test]
    fn a_number_of_seconds_has_the_usual_kinds() {
        assert_eq!(parse("300"), Ok(StuckFor { kind: None, seconds: 300 }));
        let unread = StuckFor { kind: Some(StuckKind::Unread), seconds: 0 };
        assert_eq!(parse("UNREAD: 0"), Ok(unread));
        assert!(!StuckFor { kind: None, seconds: 0 }.kinds().contains(&StuckKind::Idle));
        for (text, problem) in [
            ("", "is not a number of seconds"),
            ("-1", "is not a number of seconds"),
            ("5m", "is not a number of seconds"),
            ("unread:", "is not a number of seconds"),
            ("3456001", "is more than 40 days"),
            ("99999999999", "is more than 40 days"),
            ("unred:60", "unknown kind \"unred\", did you mean \"unread\"?"),
        ] {
            let error = parse(text).err().unwrap_or_default();
            assert!(error.contains(problem), "{text}: {error}");
        }
        assert_eq!(parse("3456000").map(|stuck| stuck.to_string()), Ok("3456000".to_owned()));
    }

    #[test]
    fn a_time_between_bounds_may_be_selected() {
        let closed = transfer(ConnectionStatus::CloseWait);
        let kept_alive = Transfer { timer: Timer::Keepalive, ..closed };
        let selects = |text, transfer: &Transfer| parse(text).map(|stuck| stuck.selects(transfer));
        assert_eq!(selects("5", &kept_alive), Ok(Certainty::Yes));
        assert_eq!(selects("6", &kept_alive), Ok(Certainty::Maybe));
        assert_eq!(selects("9", &kept_alive), Ok(Certainty::No));
        assert_eq!(selects("6", &closed), Ok(Certainty::No));
        assert_eq!(selects("unread:0", &closed), Ok(Certainty::No));
    }
}
