//! Values that are alternatives, and values that are taken away from them.

use std::str::FromStr;

use crate::error::Error;

/// The character in front of a value that is taken away.
pub const MARK: char = '!';

/// This character, and one for configurations that have a meaning of their own for it.
pub const EXCLUDING: [char; 2] = [MARK, '^'];

/// Ports or addresses: alternatives, and those that are taken away from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Among<T> {
    /// The alternatives; any value where empty.
    pub any_of: Vec<T>,
    /// The values that are taken away.
    pub none_of: Vec<T>,
}

/// A set of values that may lie within another one.
pub trait Set {
    /// Whether all of its values are in another set.
    fn is_within(&self, other: &Self) -> bool;

    /// Whether one of its values is in another set.
    fn overlaps(&self, other: &Self) -> bool {
        self.is_within(other) || other.is_within(self)
    }

    /// Whether these sets have every value.
    fn are_everything(sets: &[Self]) -> bool
    where
        Self: Sized;
}

impl<T> Default for Among<T> {
    fn default() -> Self {
        Self { any_of: Vec::new(), none_of: Vec::new() }
    }
}

/// These alternatives.
impl<T> From<Vec<T>> for Among<T> {
    fn from(any_of: Vec<T>) -> Self {
        Self { any_of, none_of: Vec::new() }
    }
}

impl<T> FromIterator<T> for Among<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::from(Vec::from_iter(values))
    }
}

impl<T> Among<T> {
    /// Whether every value is selected.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.any_of.is_empty() && self.none_of.is_empty()
    }

    /// Whether a value is selected. `is_in` returns whether it belongs to one of the given values.
    #[inline]
    #[must_use]
    pub fn selects(&self, is_in: impl Fn(&T) -> bool) -> bool {
        (self.any_of.is_empty() || self.any_of.iter().any(&is_in))
            && !self.none_of.iter().any(&is_in)
    }
}

impl<T: Set> Among<T> {
    /// Whether no value is left, because a value that is taken away has all of an alternative, for each
    /// alternative.
    fn is_nothing(&self) -> bool {
        let is_taken = |value: &T| self.none_of.iter().any(|other| value.is_within(other));
        T::are_everything(&self.none_of)
            || !self.any_of.is_empty() && self.any_of.iter().all(is_taken)
    }

    /// Whether a value of this set may be selected.
    #[must_use]
    pub fn may_select(&self, set: &T) -> bool {
        (self.any_of.is_empty() || self.any_of.iter().any(|value| value.overlaps(set)))
            && !self.none_of.iter().any(|other| set.is_within(other))
    }
}

impl<T: Set + FromStr<Err = Error>> Among<T> {
    /// Reads values; `!VALUE` and `^VALUE` are taken away. An error where no value is left.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, Error> {
        let mut read = Self::default();
        for text in texts.iter().map(AsRef::as_ref) {
            match text.strip_prefix(EXCLUDING) {
                Some(text) => read.none_of.push(text.parse()?),
                None => read.any_of.push(text.parse()?),
            }
        }
        if read.is_nothing() { Err(nothing(texts)) } else { Ok(read) }
    }
}

/// The error for values of which none is left.
pub(super) fn nothing<S: AsRef<str>>(texts: &[S]) -> Error {
    let texts: Vec<_> = texts.iter().map(AsRef::as_ref).collect();
    Error::Argument(format!("{:?} leaves nothing", texts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::{Network, Ports};

    #[test]
    fn values_with_a_mark_are_taken_away_from_the_others() {
        for (texts, inside, outside) in [
            (&["80", "443"][..], &[80, 443][..], &[79, 81][..]),
            (&["!80"], &[79, 81], &[80]),
            (&["^80", "!443"], &[79, 81], &[80, 443]),
            (&["8000-8099", "!8080"], &[8000, 8099], &[8080, 80]),
            (&["!8080", "8000-8099"], &[8000, 8099], &[8080, 80]),
        ] {
            let ports = Among::<Ports>::parse(texts).unwrap_or_else(|e| panic!("{e}"));
            let selects = |port: &u16| ports.selects(|ports| ports.contains(*port));
            assert!(inside.iter().all(selects), "{texts:?}");
            assert!(!outside.iter().any(selects), "{texts:?}");
        }
    }

    #[test]
    fn a_selection_of_nothing_is_refused() {
        let ports = |texts: &[&str]| Among::<Ports>::parse(texts).map_err(|e| e.to_string());
        assert_eq!(ports(&["80", "!1-100"]), Err("\"80,!1-100\" leaves nothing".to_owned()));
        assert!(ports(&["!0-65535"]).is_err() && ports(&["80", "443", "!80"]).is_ok());
        assert!(ports(&["!"]).is_err_and(|e| e.contains("is no port")));
        assert!(ports(&["!!80"]).is_err_and(|e| e.contains("is no port")));
        let networks = |texts: &[&str]| Among::<Network>::parse(texts);
        assert!(networks(&["10.0.0.0/8", "!0.0.0.0/0"]).is_err());
        assert!(networks(&["10.0.0.0/8", "!10.0.0.0/9"]).is_ok());
        assert!(networks(&["!::/0", "!0.0.0.0/0"]).is_err());
        assert!(networks(&["!::/0"]).is_ok() && networks(&["::1", "^::/0"]).is_err());
    }

    #[test]
    fn a_set_may_be_selected_where_it_overlaps() {
        let ports = |texts: &[&str]| Among::<Ports>::parse(texts).unwrap_or_else(|e| panic!("{e}"));
        let set = |text: &str| text.parse().unwrap_or_else(|e| panic!("{e}"));
        for (texts, text, expected) in [
            (&["80-90"][..], "80", true),
            (&["80-90"], "1-100", true),
            (&["80-90"], "91", false),
            (&["80-90"], "85-95", true),
            (&["!80-90"], "85", false),
            (&["!80-90"], "85-95", true),
            (&[], "5", true),
        ] {
            assert_eq!(ports(texts).may_select(&set(text)), expected, "{texts:?} {text}");
        }
    }
}
