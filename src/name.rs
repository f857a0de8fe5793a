//! Values that people choose by name, and the error for an unknown name.

use crate::nearest::nearest;

/// A value of an enumeration that people choose by name.
pub trait Named: Copy + 'static {
    /// Every value, in display order.
    const VALUES: &'static [Self];
    /// The word for such a value in a message, for example `type`.
    const WHAT: &'static str;

    /// The value's name in its canonical case.
    fn name(self) -> &'static str;
}

/// The error for an unknown name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {name:?}{hint} (valid: {valid})")]
pub struct Unknown {
    what: &'static str,
    name: String,
    hint: String,
    valid: String,
}

impl Unknown {
    /// The error for `name`; it lists the `valid` names.
    #[must_use]
    pub fn new(what: &'static str, name: &str, valid: &[impl AsRef<str>]) -> Self {
        let valid: Vec<_> = valid.iter().map(AsRef::as_ref).collect();
        let hint = did_you_mean(name, &valid);
        Self { what, name: name.to_owned(), hint, valid: valid.join(", ") }
    }
}

/// `, did you mean "close_wait"?`: the part of an error that suggests the nearest valid name; empty
/// where none is near.
#[must_use]
pub fn did_you_mean(name: &str, valid: &[impl AsRef<str>]) -> String {
    let valid = valid.iter().map(|valid| (valid, valid.as_ref()));
    suggestion(nearest(name, valid))
}

/// `, did you mean "10:20"?`, or nothing.
#[must_use]
pub fn suggestion(meant: Option<impl AsRef<str>>) -> String {
    meant.map_or_else(String::new, |meant| format!(", did you mean {:?}?", meant.as_ref()))
}

/// The names of all values.
#[must_use]
pub fn names<T: Named>() -> Vec<&'static str> {
    T::VALUES.iter().map(|value| value.name()).collect()
}

/// Other names of values, which the reference's own documentation has.
const ALIASES: &[(&str, &str)] = &[("tcp4", "tcp"), ("udp4", "udp")];

/// The value of this name, in any spelling.
pub fn named<T: Named>(name: &str) -> Result<T, Unknown> {
    find(name, |value| is_name_of(name, value))
}

/// Whether a value of this name is meant: in any case, with dashes, underscores or nothing between words,
/// or by an alias.
#[must_use]
pub fn is_name_of(name: &str, value: &str) -> bool {
    let mut aliases = ALIASES.iter().filter(|(_, of)| *of == value);
    letters(name).eq(letters(value)) || aliases.any(|(alias, _)| letters(name).eq(letters(alias)))
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase())
}

/// The value of this name, spelled exactly like this.
pub fn spelled<T: Named>(name: &str) -> Result<T, Unknown> {
    find(name, |value| value == name)
}

fn find<T: Named>(name: &str, is: impl Fn(&str) -> bool) -> Result<T, Unknown> {
    let value = T::VALUES.iter().copied().find(|value| is(value.name()));
    value.ok_or_else(|| Unknown::new(T::WHAT, name, &names::<T>()))
}

/// Defines an enumeration with the names of its values.
macro_rules! named_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident($what:literal) {
            $($(#[$doc:meta])* $variant:ident = $text:literal,)*
        }
    ) => {
        $(#[$meta])*
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $crate::name::Named for $name {
            const VALUES: &'static [Self] = &[$(Self::$variant),*];
            const WHAT: &'static str = $what;

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}
pub(crate) use named_enum;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_several_spellings() {
        for (name, value) in [
            ("TCP", "tcp"),
            ("Udp4", "udp"),
            ("fin_wait_2", "FIN_WAIT2"),
            ("FIN_WAIT_1", "FIN_WAIT1"),
            ("time-wait", "TIME_WAIT"),
            ("remote_address", "remote-address"),
        ] {
            assert!(is_name_of(name, value), "{name}");
        }
        for (name, value) in
            [("tcp4", "tcp6"), ("udp", "udp6"), ("", "tcp"), ("close", "CLOSE_WAIT")]
        {
            assert!(!is_name_of(name, value), "{name}");
        }
    }
}
