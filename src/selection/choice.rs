//! The chosen values of an enumeration.

use std::marker::PhantomData;

use crate::error::Error;
use crate::name::{Named, Unknown, named};
use crate::selection::among::{EXCLUDING, MARK, nothing};
use crate::vocabulary::{ConnectionStatus, ConnectionType};

/// A value that can be one of several.
pub trait Member: Named {
    /// The value's own bit in a set.
    fn bit(self) -> u32;
}

impl Member for ConnectionType {
    fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl Member for ConnectionStatus {
    fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// The word that chooses every value.
pub const ALL: &str = "all";

/// The chosen values of an enumeration, and the words that chose them.
#[derive(Clone, Debug)]
pub struct Choice<T> {
    bits: u32,
    label: String,
    given: bool,
    values: PhantomData<T>,
}

impl<T: Member> Default for Choice<T> {
    fn default() -> Self {
        Self { bits: u32::MAX, label: ALL.to_owned(), given: false, values: PhantomData }
    }
}

impl<T: Member> Choice<T> {
    /// Chooses by names in any case; `all` chooses every value. `!NAME` and `^NAME` take a value away,
    /// from every value where no other name is given. An error where no value is left.
    pub fn parse<S: AsRef<str>>(names: &[S]) -> Result<Self, Error> {
        if names.is_empty() {
            let valid = choices::<T>(|_| true).join(", ");
            return Err(Error::Argument(format!("no {} is given (valid: {valid})", T::WHAT)));
        }
        let (mut chosen, mut excluded, mut label) = (None, 0, Vec::new());
        for given in names.iter().map(AsRef::as_ref) {
            let name = given.strip_prefix(EXCLUDING).unwrap_or(given);
            let (bits, word) = if name.eq_ignore_ascii_case(ALL) {
                (u32::MAX, ALL)
            } else {
                let unknown = |_| Unknown::new(T::WHAT, name, &choices::<T>(|_| true));
                let value = named::<T>(name).map_err(unknown)?;
                (value.bit(), value.name())
            };
            let word = word.to_ascii_lowercase();
            if name == given {
                chosen = Some(chosen.unwrap_or(0) | bits);
                label.push(word);
            } else {
                excluded |= bits;
                label.push(format!("{MARK}{word}"));
            }
        }
        let bits = chosen.unwrap_or(u32::MAX) & !excluded;
        if !T::VALUES.iter().any(|value| bits & value.bit() != 0) {
            return Err(nothing(names));
        }
        Ok(Self { bits, label: label.join(","), given: true, values: PhantomData })
    }

    /// Chooses these values.
    #[must_use]
    pub fn of(values: &[T]) -> Self {
        let names: Vec<_> = values.iter().map(|value| value.name().to_ascii_lowercase()).collect();
        let bits = values.iter().fold(0, |bits, value| bits | value.bit());
        Self { bits, label: names.join(","), given: true, values: PhantomData }
    }

    /// Whether `value` is chosen.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        self.bits & value.bit() != 0
    }

    /// Whether words were given. The word `all` chooses the same values as the default, but is
    /// given.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.given
    }

    /// Whether the name of `value` is among the words: `all` chooses the value, but does not name it.
    #[must_use]
    pub fn names(&self, value: T) -> bool {
        self.given && self.label.split(',').any(|word| value.name().eq_ignore_ascii_case(word))
    }

    /// The words that chose the values, comma-separated.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// The words that choose the offered values, in lower case, and the word that chooses all values.
#[must_use]
pub fn choices<T: Member>(is_offered: impl Fn(T) -> bool) -> Vec<String> {
    let offered = T::VALUES.iter().copied().filter(|value| is_offered(*value));
    offered.map(|value| value.name().to_ascii_lowercase()).chain([ALL.to_owned()]).collect()
}

/// For parsers that are written in Python: the choice that a text means in any spelling, behind the mark that takes it away where it has one. A
/// text that means no choice stays as it is.
#[cfg(feature = "python")]
#[must_use]
pub fn spelled<'a>(text: &str, choices: impl IntoIterator<Item = &'a str>) -> String {
    let name = text.strip_prefix(EXCLUDING).unwrap_or(text);
    let mark = if name == text { String::new() } else { MARK.to_string() };
    let found = choices.into_iter().find(|choice| crate::name::is_name_of(name, choice));
    found.map_or_else(|| text.to_owned(), |choice| mark + choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case_and_the_label_as_given() {
        let choice = Choice::<ConnectionStatus>::parse(&["Time_Wait", "LISTEN", "listen"])
            .unwrap_or_else(|e| panic!("{e}"));
        assert!(choice.contains(ConnectionStatus::TimeWait));
        assert!(choice.contains(ConnectionStatus::Listen));
        assert!(!choice.contains(ConnectionStatus::Established));
        assert_eq!(choice.label(), "time_wait,listen,listen");
    }

    #[test]
    fn all_among_others_is_all() {
        let choice =
            Choice::<ConnectionType>::parse(&["tcp6", "all"]).unwrap_or_else(|e| panic!("{e}"));
        assert!(ConnectionType::VALUES.iter().copied().all(|t| choice.contains(t)));
        assert_eq!(choice.label(), "tcp6,all");
    }

    #[test]
    fn names_with_a_mark_are_taken_away() {
        use ConnectionStatus::{Established, Listen, TimeWait};
        for (names, inside, outside, label) in [
            (&["!Time_Wait"][..], &[Listen, Established][..], &[TimeWait][..], "!time_wait"),
            (&["^time_wait", "!LISTEN"], &[Established], &[TimeWait, Listen], "!time_wait,!listen"),
            (&["all", "!listen"], &[TimeWait, Established], &[Listen], "all,!listen"),
            (
                &["!listen", "listen", "time_wait"],
                &[TimeWait],
                &[Listen, Established],
                "!listen,listen,time_wait",
            ),
        ] {
            let choice = Choice::<ConnectionStatus>::parse(names).unwrap_or_else(|e| panic!("{e}"));
            assert!(inside.iter().all(|status| choice.contains(*status)), "{names:?}");
            assert!(!outside.iter().any(|status| choice.contains(*status)), "{names:?}");
            assert_eq!(choice.label(), label);
        }
        let unix = Choice::<ConnectionType>::parse(&["!unix"]).unwrap_or_else(|e| panic!("{e}"));
        assert!(!unix.names(ConnectionType::Unix) && !unix.contains(ConnectionType::Unix));
        for names in [&["listen", "^listen"][..], &["!all"]] {
            let error =
                Choice::<ConnectionStatus>::parse(names).map(|_| ()).map_err(|e| e.to_string());
            assert!(error.is_err_and(|e| e.ends_with("leaves nothing")), "{names:?}");
        }
    }

    #[test]
    fn unknown_and_missing_names_list_the_valid_ones() {
        let message = |names: &[&str]| {
            Choice::<ConnectionType>::parse(names)
                .map(|choice| choice.label().to_owned())
                .map_err(|e| e.to_string())
        };
        assert_eq!(
            message(&["tcp", "sctp"]),
            Err("unknown type \"sctp\" (valid: tcp, tcp6, udp, udp6, unix, all)".to_owned())
        );
        assert_eq!(
            message(&[]),
            Err("no type is given (valid: tcp, tcp6, udp, udp6, unix, all)".to_owned())
        );
    }

    #[test]
    fn given_values_are_chosen_also_where_they_are_repeated() {
        let choice = Choice::of(&[ConnectionType::Tcp6, ConnectionType::Tcp6, ConnectionType::Udp]);
        let chosen = ConnectionType::VALUES.iter().copied().filter(|t| choice.contains(*t));
        assert_eq!(chosen.collect::<Vec<_>>(), [ConnectionType::Tcp6, ConnectionType::Udp]);
        assert_eq!(choice.label(), "tcp6,tcp6,udp");
        assert!(choice.names(ConnectionType::Udp) && !choice.names(ConnectionType::Tcp));
        let all = Choice::<ConnectionType>::parse(&["ALL", "Unix"]);
        let all = all.unwrap_or_else(|e| panic!("{e}"));
        assert!(all.names(ConnectionType::Unix) && !all.names(ConnectionType::Tcp));
        for status in ConnectionStatus::VALUES {
            let choice = Choice::of(&[*status]);
            let chosen = ConnectionStatus::VALUES.iter().copied().filter(|s| choice.contains(*s));
            assert_eq!(chosen.collect::<Vec<_>>(), [*status]);
        }
        assert_eq!(choices(ConnectionType::is_ipv6), ["tcp6", "udp6", "all"]);
    }
}
