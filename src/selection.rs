//! Which connections are meant.

use crate::connection::{Connection, ConnectionStatus, ConnectionType, Protocol};
use crate::error::Error;

/// A value of an enumeration that people choose by name.
pub trait Named: Copy + 'static {
    /// Every value, in display order.
    const VALUES: &'static [Self];
    /// What a value is called in a message, for example `type`.
    const WHAT: &'static str;

    /// The value's name in its canonical case.
    fn name(self) -> &'static str;

    /// The value's own bit in a set.
    fn bit(self) -> u32;
}

impl Named for ConnectionType {
    const VALUES: &'static [Self] = &Self::ALL;
    const WHAT: &'static str = "type";

    fn name(self) -> &'static str {
        self.name()
    }

    fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl Named for ConnectionStatus {
    const VALUES: &'static [Self] = &Self::ALL;
    const WHAT: &'static str = "status";

    fn name(self) -> &'static str {
        self.name()
    }

    fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// The word that chooses every value.
pub const ALL: &str = "all";

/// The chosen values of one filter, and the words they were chosen by.
#[derive(Clone, Debug)]
pub struct Choice<T> {
    bits: u32,
    label: String,
    values: std::marker::PhantomData<T>,
}

impl<T: Named> Default for Choice<T> {
    fn default() -> Self {
        Self { bits: u32::MAX, label: ALL.to_owned(), values: std::marker::PhantomData }
    }
}

impl<T: Named> Choice<T> {
    /// Chooses by names in any case; `all` chooses every value.
    pub fn parse<S: AsRef<str>>(names: &[S]) -> Result<Self, Error> {
        let valid = || {
            T::VALUES
                .iter()
                .map(|value| value.name().to_ascii_lowercase())
                .chain([ALL.to_owned()])
                .collect::<Vec<_>>()
                .join(", ")
        };
        if names.is_empty() {
            return Err(Error::Argument(format!("No {} given (valid: {})", T::WHAT, valid())));
        }
        let mut bits = 0;
        for name in names {
            let name = name.as_ref();
            bits |= if name.eq_ignore_ascii_case(ALL) {
                u32::MAX
            } else {
                T::VALUES
                    .iter()
                    .find(|value| value.name().eq_ignore_ascii_case(name))
                    .map(|value| value.bit())
                    .ok_or_else(|| {
                        Error::Argument(format!(
                            "Unknown {} {name:?} (valid: {})",
                            T::WHAT,
                            valid()
                        ))
                    })?
            };
        }
        Ok(Self {
            bits,
            label: names
                .iter()
                .map(|name| name.as_ref().to_ascii_lowercase())
                .collect::<Vec<_>>()
                .join(","),
            values: std::marker::PhantomData,
        })
    }

    /// Whether `value` is chosen.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        self.bits & value.bit() != 0
    }

    /// The words it was chosen by, comma-separated.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// Which connections are meant: those of a chosen type in a chosen status. Everything by default.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Families and protocols.
    pub types: Choice<ConnectionType>,
    /// States.
    pub statuses: Choice<ConnectionStatus>,
}

impl Selection {
    /// Whether this connection is meant.
    #[inline]
    pub fn matches(&self, connection: &impl Connection) -> bool {
        self.types.contains(connection.connection_type())
            && self.statuses.contains(connection.status())
    }

    /// The selected types of one protocol.
    pub(crate) fn types_of(&self, protocol: Protocol) -> impl Iterator<Item = ConnectionType> {
        ConnectionType::ALL
            .into_iter()
            .filter(move |t| t.protocol() == protocol && self.types.contains(*t))
    }

    /// The Linux kernel's mask of the selected states; 0 where it has none of them.
    #[must_use]
    pub fn linux_mask(&self, protocol: Protocol) -> u32 {
        ConnectionStatus::ALL
            .into_iter()
            .filter(|status| self.statuses.contains(*status))
            .fold(0, |mask, status| mask | status.linux_mask(protocol))
    }
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
        assert!(ConnectionType::ALL.into_iter().all(|t| choice.contains(t)));
        assert_eq!(choice.label(), "tcp6,all");
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
            Err("Unknown type \"sctp\" (valid: tcp, tcp6, udp, udp6, all)".to_owned())
        );
        assert_eq!(
            message(&[]),
            Err("No type given (valid: tcp, tcp6, udp, udp6, all)".to_owned())
        );
    }
}
