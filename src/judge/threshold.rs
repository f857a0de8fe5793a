//! Which range holds for which group.

use std::net::IpAddr;
use std::str::FromStr;

use crate::error::Error;
use crate::group::{Group, GroupBy, KERNEL};
use crate::name::Named;
use crate::range::Range;
use crate::selection::{Network, Ports, Selection};
use crate::vocabulary::{ConnectionStatus, ConnectionType};

/// The ranges of one severity as they were given: one for all groups, and others for those that a
/// key names.
#[derive(Clone, Debug)]
pub struct Thresholds {
    option: &'static str,
    text: String,
    plain: Option<Range>,
    keyed: Vec<(String, Range)>,
}

/// The key of the sum of what is selected.
pub const TOTAL: &str = "total";

impl Thresholds {
    /// Reads what was given for `option`: a range, or a comma-separated list of `KEY=RANGE` and at
    /// most one plain range.
    pub fn parse(option: &'static str, text: &str) -> Result<Self, Error> {
        let mut thresholds = Self { option, text: text.to_owned(), plain: None, keyed: Vec::new() };
        if !text.contains('=') {
            thresholds.plain = Some(text.parse()?);
            return Ok(thresholds);
        }
        for entry in text.split(',') {
            let range = |text: &str| {
                Range::from_str(text).map_err(|e| Error::Argument(format!("{entry:?}: {e}")))
            };
            match entry.rsplit_once('=') {
                None if entry.trim().is_empty() => {
                    return Err(Error::Argument(format!(
                        "an entry of {text:?} is empty (valid: RANGE or KEY=RANGE)"
                    )));
                }
                None => match thresholds.plain.replace(range(entry)?) {
                    None => {}
                    Some(first) => {
                        return Err(Error::Argument(format!(
                            "{:?} and {entry:?} are both without a key (valid: one range for all \
                             groups, and KEY=RANGE)",
                            first.to_string()
                        )));
                    }
                },
                Some((key, "")) => {
                    return Err(Error::Argument(format!(
                        "{key:?} has no range (valid: {key}=RANGE, for example {key}=100)"
                    )));
                }
                Some((key, text)) => thresholds.keyed.push((key.trim().to_owned(), range(text)?)),
            }
        }
        Ok(thresholds)
    }

    /// As it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the keys mean where connections are grouped like this.
    ///
    /// A key that no selected group can ever have is refused: a mistyped threshold must not be
    /// silence. `user_id` knows the ids of users by name.
    pub fn resolved(
        &self,
        by: GroupBy,
        selection: &Selection,
        user_id: &dyn Fn(&str) -> Result<Option<u32>, Error>,
    ) -> Result<Ranges, Error> {
        let key = |text: &str| Key::parse(text, by, selection, user_id);
        let keyed = self.keyed.iter().map(|(text, range)| Ok((key(text)?, range.clone())));
        let keyed = keyed.collect::<Result<_, Error>>();
        let keyed = keyed.map_err(|error| error.of_option(self.option))?;
        Ok(Ranges { plain: self.plain.clone(), keyed })
    }
}

/// The ranges of one severity, and what each holds for.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    plain: Option<Range>,
    keyed: Vec<(Key, Range)>,
}

impl Ranges {
    /// The range of a group: that of its most specific key, of equally specific ones the last.
    #[must_use]
    pub fn of(&self, group: Group, label: &str) -> Option<&Range> {
        self.keyed
            .iter()
            .filter_map(|(key, range)| key.specificity(group, label).map(|rank| (rank, range)))
            // The last of the largest.
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, range)| range)
            .or(self.plain.as_ref())
    }

    /// The range of the sum, where one is given.
    #[must_use]
    pub fn total(&self) -> Option<&Range> {
        self.keyed.iter().rev().find(|(key, _)| *key == Key::Total).map(|(_, range)| range)
    }
}

/// What a range is given for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    /// The sum of what is selected.
    Total,
    /// Exactly this group.
    Group(Group),
    /// Every group of this type.
    Type(ConnectionType),
    /// Every group in this status.
    Status(ConnectionStatus),
    /// The groups of owners with this label or, of processes, this name.
    Owner(String),
}

impl Key {
    fn parse(
        text: &str,
        by: GroupBy,
        selection: &Selection,
        user_id: &dyn Fn(&str) -> Result<Option<u32>, Error>,
    ) -> Result<Self, Error> {
        if text.eq_ignore_ascii_case(TOTAL) {
            return Ok(Self::Total);
        }
        let refused = |valid: &str| {
            Error::Argument(format!(
                "{text:?} is the key of no group that can be selected here (valid: {TOTAL}, {valid})"
            ))
        };
        match by {
            GroupBy::TypeStatus => selection
                .pairs()
                .find_map(|(t, status)| {
                    let group = Group::TypeStatus(t, status);
                    if group.to_string().eq_ignore_ascii_case(text) {
                        Some(Self::Group(group))
                    } else if t.name().eq_ignore_ascii_case(text) {
                        Some(Self::Type(t))
                    } else if status.name().eq_ignore_ascii_case(text) {
                        Some(Self::Status(status))
                    } else {
                        None
                    }
                })
                .ok_or_else(|| {
                    let status = names(selection.pairs().map(|(_, status)| status));
                    let types = names(selection.pairs().map(|(t, _)| t));
                    refused(&format!("{types}, {status}, or both as in tcp_TIME_WAIT"))
                }),
            GroupBy::Type => selection
                .pairs()
                .find(|(t, _)| t.name().eq_ignore_ascii_case(text))
                .map(|(t, _)| Self::Type(t))
                .ok_or_else(|| refused(&names(selection.pairs().map(|(t, _)| t)))),
            GroupBy::Status => selection
                .pairs()
                .find(|(_, status)| status.name().eq_ignore_ascii_case(text))
                .map(|(_, status)| Self::Status(status))
                .ok_or_else(|| refused(&names(selection.pairs().map(|(_, status)| status)))),
            GroupBy::LocalPort => {
                port(text, &selection.local_ports).ok_or_else(|| refused("a selected local port"))
            }
            GroupBy::RemotePort => {
                port(text, &selection.remote_ports).ok_or_else(|| refused("a selected remote port"))
            }
            GroupBy::LocalAddress => address(text, &selection.local_addresses, selection)
                .ok_or_else(|| refused("a selected local address")),
            GroupBy::RemoteAddress => address(text, &selection.remote_addresses, selection)
                .ok_or_else(|| refused("a selected remote address")),
            GroupBy::User => {
                user(text, user_id)?.ok_or_else(|| refused("the name or id of a user of this host"))
            }
            // What there is changes from minute to minute.
            GroupBy::Unit | GroupBy::Process => Ok(Self::Owner(text.to_owned())),
        }
    }

    /// How closely this key means a group; `None` where it does not.
    fn specificity(&self, group: Group, label: &str) -> Option<u8> {
        match (self, group) {
            (Self::Owner(key), _) if key.eq_ignore_ascii_case(label) => Some(2),
            (Self::Owner(key), Group::Inode(_)) => {
                let (name, _) = label.rsplit_once(" (")?;
                key.eq_ignore_ascii_case(name).then_some(1)
            }
            (Self::Group(key), group) if *key == group => Some(2),
            (Self::Type(key), Group::TypeStatus(t, _) | Group::Type(t)) if *key == t => Some(1),
            (Self::Status(key), Group::TypeStatus(_, status) | Group::Status(status))
                if *key == status =>
            {
                Some(1)
            }
            _ => None,
        }
    }
}

fn names<T: Named + PartialEq>(values: impl Iterator<Item = T>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for value in values {
        if !names.contains(&value.name()) {
            names.push(value.name());
        }
    }
    names.join(", ")
}

fn port(text: &str, selected: &[Ports]) -> Option<Key> {
    let Ports { first, last } = text.parse().ok()?;
    let fits = selected.is_empty() || selected.iter().any(|ports| ports.contains(first));
    (first == last && fits).then_some(Key::Group(Group::Port(first)))
}

fn address(text: &str, selected: &[Network], selection: &Selection) -> Option<Key> {
    let address: IpAddr = text.parse().ok()?;
    let address = address.to_canonical();
    let selected =
        |address| selected.is_empty() || selected.iter().any(|network| network.contains(address));
    // The group of an IPv4 address has IPv4 sockets, and IPv6 ones with the IPv4-mapped address.
    let fits = selection.pairs().any(|(t, _)| match (address, t.is_ipv6()) {
        (IpAddr::V4(_), false) | (IpAddr::V6(_), true) => selected(address),
        (IpAddr::V4(v4), true) => selected(v4.to_ipv6_mapped().into()),
        (IpAddr::V6(_), false) => false,
    });
    fits.then_some(Key::Group(Group::Address(address)))
}

fn user(
    text: &str,
    user_id: &dyn Fn(&str) -> Result<Option<u32>, Error>,
) -> Result<Option<Key>, Error> {
    if text.eq_ignore_ascii_case(KERNEL) {
        return Ok(Some(Key::Group(Group::User(None))));
    }
    let id = match text.parse() {
        Ok(id) => Some(id),
        Err(_) => user_id(text)?,
    };
    Ok(id.map(|id| Key::Group(Group::User(Some(id)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, by: GroupBy) -> Result<Ranges, String> {
        Thresholds::parse("--critical", text)
            .and_then(|thresholds| thresholds.resolved(by, &Selection::default(), &|_| Ok(None)))
            .map_err(|e| e.to_string())
    }

    fn range_of(text: &str, group: Group) -> String {
        parse(text, GroupBy::TypeStatus)
            .unwrap_or_else(|e| panic!("{e}"))
            .of(group, &group.to_string())
            .map_or_else(|| "none".to_owned(), ToString::to_string)
    }

    #[test]
    fn the_most_specific_key_wins_then_the_last() {
        let group = Group::TypeStatus(ConnectionType::Tcp6, ConnectionStatus::CloseWait);
        assert_eq!(range_of("1,tcp6_close_wait=2,CLOSE_WAIT=3,tcp6=4", group), "2");
        assert_eq!(range_of("1,CLOSE_WAIT=3,tcp6=4", group), "4");
        assert_eq!(range_of("tcp6=4,close_wait=3,1", group), "3");
        assert_eq!(range_of("1,tcp=4", group), "1");
        assert_eq!(range_of("tcp=4", group), "none");
        assert_eq!(range_of("total=4", group), "none");
        assert_eq!(range_of("CLOSE_WAIT=1,CLOSE_WAIT=2", group), "2");
    }

    #[test]
    fn the_total_has_a_range_only_where_one_is_given() {
        let total = |text| {
            parse(text, GroupBy::RemotePort)
                .unwrap_or_else(|e| panic!("{e}"))
                .total()
                .map(ToString::to_string)
        };
        assert_eq!(total("5"), None);
        assert_eq!(total("5,Total=1:,443=7"), Some("1:".to_owned()));
        assert_eq!(total("total=1,total=2"), Some("2".to_owned()));
    }

    #[test]
    fn what_no_group_can_have_is_refused() {
        use GroupBy::{LocalPort, RemoteAddress, Status, Type, TypeStatus};
        for (text, by) in [
            ("CLOSEWAIT=5", TypeStatus),
            ("udp_ESTABLISHED=5", TypeStatus),
            ("443=5", TypeStatus),
            ("tcp=5", Status),
            ("LISTEN=5", Type),
            ("LISTEN=5", LocalPort),
            ("65536=5", LocalPort),
            ("80-90=5", LocalPort),
            ("localhost=5", RemoteAddress),
        ] {
            let error = parse(text, by).map(|_| ());
            assert!(error.is_err_and(|e| e.contains("is the key of no group")), "{text}");
        }
        assert!(parse("192.0.2.7=5,2001:DB8::1=6", RemoteAddress).is_ok());
    }

    #[test]
    fn entries_without_range_and_two_plain_ones_are_refused() {
        for text in ["LISTEN=", "5,LISTEN=5,6", "LISTEN=5,", ",LISTEN=5", "LISTEN=x", "x,LISTEN=5"]
        {
            assert!(parse(text, GroupBy::TypeStatus).is_err(), "{text}");
        }
        // Without a key it is the reference's range, with the reference's message.
        assert_eq!(
            parse("1,5", GroupBy::TypeStatus).map(|_| ()),
            Err("Range format incorrect".to_owned())
        );
    }
}
