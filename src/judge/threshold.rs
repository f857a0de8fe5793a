//! Thresholds as they are given, and the range of each group.

use crate::error::Error;
use crate::judge::key::{Key, KeyContext};
use crate::name::suggestion;
use crate::named_group::NamedGroup;
use crate::owner::UserId;
use crate::range::{Numbers, Range, RangeError, meant};

/// The ranges of one severity as they were given: a range for all groups, and ranges with keys for
/// some of them.
#[derive(Clone, Debug)]
pub struct ThresholdSpec {
    text: String,
    plain: Option<Range>,
    keyed: Vec<(String, Range)>,
}

impl ThresholdSpec {
    /// Reads a range, or a comma-separated list of `KEY=RANGE` and at most one plain range.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut thresholds = Self { text: text.to_owned(), plain: None, keyed: Vec::new() };
        if !text.contains('=') {
            thresholds.plain = Some(text.parse()?);
            return Ok(thresholds);
        }
        for entry in text.split(',') {
            let refused = |range: &str, error: RangeError| {
                let hint = suggestion(meant(range));
                Error::Argument(format!("{entry:?}: {error}{hint} (valid: {})", error.valid()))
            };
            let plain = |text: &str| text.parse().map_err(|error| refused(text, error));
            match entry.rsplit_once('=') {
                None if entry.trim().is_empty() => {
                    return Err(Error::Argument(format!(
                        "an entry of {text:?} is empty (valid: RANGE or KEY=RANGE)"
                    )));
                }
                None => match thresholds.plain.replace(plain(entry)?) {
                    None => {}
                    Some(first) => {
                        return Err(Error::Argument(format!(
                            "{:?} and {entry:?} are both without a key (valid: one range for all \
                             groups, and KEY=RANGE)",
                            first.to_string()
                        )));
                    }
                },
                Some((key, _)) if key.trim().is_empty() => {
                    return Err(Error::Argument(format!(
                        "{entry:?} has no key (valid: RANGE or KEY=RANGE)"
                    )));
                }
                Some((key, "")) => {
                    return Err(Error::Argument(format!(
                        "{key:?} has no range (valid: {key}=RANGE, for example {key}=100)"
                    )));
                }
                Some((key, text)) => {
                    let range = Range::with_bounds(text).map_err(|error| refused(text, error))?;
                    thresholds.keyed.push((key.trim().to_owned(), range));
                }
            }
        }
        Ok(thresholds)
    }

    /// A range for all groups, and ranges with keys.
    #[must_use]
    pub fn of(plain: Option<Range>, keyed: Vec<(String, Range)>) -> Self {
        let texts = keyed.iter().map(|(key, range)| format!("{key}={range}"));
        let texts: Vec<_> = texts.chain(plain.as_ref().map(Range::to_string)).collect();
        Self { text: texts.join(","), plain, keyed }
    }

    /// The range for all groups.
    #[must_use]
    pub fn plain(&self) -> Option<&Range> {
        self.plain.as_ref()
    }

    /// The ranges with their keys.
    #[must_use]
    pub fn keyed(&self) -> &[(String, Range)] {
        &self.keyed
    }

    /// Whether the critical range leaves the warning range no number of its own, so that the state is
    /// never WARNING.
    #[must_use]
    pub fn hides(&self, warning: &Self) -> bool {
        let ranges = self.plain.as_ref().zip(warning.plain.as_ref());
        let is_hidden = |(critical, warning): (&Range, &Range)| {
            !warning.is_no_limit() && critical.is_narrower_than(warning)
        };
        self.keyed.is_empty() && warning.keyed.is_empty() && ranges.is_some_and(is_hidden)
    }

    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The ranges, with their keys read in the context of a query.
    pub fn resolved(&self, context: &KeyContext) -> Result<KeyedRanges, Error> {
        let keyed = self.keyed.iter();
        let keyed = keyed.map(|(text, range)| Ok((Key::parse(text, context)?, range.clone())));
        let ranges =
            KeyedRanges { plain: self.plain.clone(), keyed: keyed.collect::<Result<_, Error>>()? };
        let silent = self.keyed.iter().zip(&ranges.keyed).find(|(_, (key, range))| {
            range.never_alerts(context.numbers) && !ranges.has_exception(key)
        });
        match silent {
            None => Ok(ranges),
            Some(((key, range), _)) => {
                Err(silent_range(&format!("{key}={range}"), context.numbers))
            }
        }
    }

    /// The range without a key, where 0 lies outside of it.
    #[must_use]
    pub fn plain_without_0(&self) -> Option<&Range> {
        self.plain.as_ref().filter(|range| !range.contains(0.0))
    }

    /// An error for a range without a key that never alerts, unless its text says so. The reference
    /// takes such ranges.
    pub fn refuse_silent(&self, numbers: Numbers) -> Result<(), Error> {
        match &self.plain {
            // A variable or an argument of the monitoring system that has no value.
            Some(range) if range.is_blank() => Err(Error::Argument(
                "an empty range never alerts (valid: for example 10, or none for no limit)"
                    .to_owned(),
            )),
            Some(range) if range.never_alerts(numbers) && !range.is_no_limit() => {
                Err(silent_range(&range.to_string(), numbers))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn silent_range(text: &str, numbers: Numbers) -> Error {
    let most = numbers.most;
    Error::Argument(if (1_000.0..1e9).contains(&most) {
        format!("{text:?} never alerts: it has every number of seconds up to {most} (valid: less)")
    } else if most <= 100.0 {
        format!("{text:?} never alerts: {most}% is the most there can be (valid: less, as in 90)")
    } else {
        format!("{text:?} never alerts: it has every number (valid: for example 10, 1: or @0)")
    })
}

/// The ranges of one severity, with the groups that their keys mean.
#[derive(Clone, Debug, Default)]
pub struct KeyedRanges {
    plain: Option<Range>,
    keyed: Vec<(Key, Range)>,
}

impl KeyedRanges {
    /// The range of a group: the range of its most specific key, and of equally specific keys the
    /// last one.
    #[must_use]
    pub fn of(&self, group: &NamedGroup) -> Option<&Range> {
        self.keyed
            .iter()
            .filter_map(|(key, range)| key.specificity(group).map(|rank| (rank, range)))
            // Of equal ranks this is the last one.
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, range)| range)
            .or(self.plain.as_ref())
    }

    /// Whether a group is allowed by no key, where the range of all groups without a key is 0.
    #[must_use]
    pub fn forbid(&self, group: &NamedGroup) -> bool {
        let is_key = |key: &Key| *key != Key::Total;
        self.plain.as_ref().is_some_and(Range::is_nothing)
            && self.keys().any(is_key)
            && !self.keys().any(|key| key.specificity(group).is_some())
    }

    /// Whether a range of this key can be an exception from another range: the range without a key,
    /// or the range of another key.
    fn has_exception(&self, key: &Key) -> bool {
        let others = self.keys().filter(|other| **other != Key::Total && *other != key);
        *key != Key::Total && (self.plain.is_some() || others.count() > 0)
    }

    /// The range of a key itself; of several ranges the last one.
    #[must_use]
    pub fn of_key(&self, wanted: &Key) -> Option<&Range> {
        self.keyed.iter().rev().find(|(key, _)| key == wanted).map(|(_, range)| range)
    }

    /// Looks up the ids of users in keys.
    pub fn look_up_users(
        &mut self,
        context: &KeyContext,
        user_id: &dyn Fn(&str) -> Result<Option<UserId>, Error>,
    ) -> Result<(), Error> {
        self.keyed.iter_mut().try_for_each(|(key, _)| key.look_up_user(context, user_id))
    }

    /// The range without a key.
    #[must_use]
    pub fn plain(&self) -> Option<&Range> {
        self.plain.as_ref()
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keyed.iter().map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;
    use crate::group::{Group, GroupBy};
    use crate::judge::key::Beside;
    use crate::selection::{Ports, Selection};
    use crate::vocabulary::{ConnectionStatus, ConnectionType};

    const NUMBERS: Numbers = Numbers { most: 1e19, whole: true };

    fn context(by: GroupBy, selection: &Selection) -> KeyContext<'_> {
        KeyContext {
            beside: Beside::Total,
            field: Field::Critical,
            numbers: NUMBERS,
            netns: true,
            by,
            selection,
            live: true,
        }
    }

    fn parse(text: &str, by: GroupBy) -> Result<KeyedRanges, String> {
        let selection = &Selection::default();
        ThresholdSpec::parse(text)
            .and_then(|thresholds| thresholds.resolved(&context(by, selection)))
            .map_err(|e| e.to_string())
    }

    fn range_of(text: &str, group: Group) -> String {
        parse(text, GroupBy::TypeStatus)
            .unwrap_or_else(|e| panic!("{e}"))
            .of(&NamedGroup::without_sockets(Some(group), group.to_string().into()))
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
                .of_key(&Key::Total)
                .map(ToString::to_string)
        };
        assert_eq!(total("5"), None);
        assert_eq!(total("5,Total=1:,443=7"), Some("1:".to_owned()));
        assert_eq!(total("total=1,total=2"), Some("2".to_owned()));
    }

    #[test]
    fn a_key_that_no_group_can_have_is_refused() {
        use GroupBy::{LocalPort, RemoteAddress, Status, Type, TypeStatus};
        for (text, by) in [
            ("CLOSEWAIT=5", TypeStatus),
            ("udp_ESTABLISHED=5", TypeStatus),
            ("443=5", TypeStatus),
            ("tcp=5", Status),
            ("LISTEN=5", Type),
            ("LISTEN=5", LocalPort),
            ("65536=5", LocalPort),
            ("90-80=5", LocalPort),
            ("localhost=5", RemoteAddress),
        ] {
            let error = parse(text, by).map(|_| ());
            assert!(error.is_err_and(|e| e.contains("is the key of no group")), "{text}");
        }
        assert!(parse("192.0.2.7=5,2001:DB8::1=6", RemoteAddress).is_ok());
        // The error lists each valid key once, or the kinds of groups that have the key.
        for (text, by, end) in [
            ("sctp=5", Type, "(valid: total, tcp, tcp6, udp, udp6)"),
            ("LISTEN=5", Type, "by type (valid: group_by=type-status or status)"),
            ("443=5", TypeStatus, "by type-status (valid: group_by=local-port or remote-port)"),
            ("nginx.service=5", TypeStatus, "by type-status (valid: group_by=unit)"),
            ("81-80=5", LocalPort, "(valid: total, a selected local port or range of ports)"),
        ] {
            let error = parse(text, by).map(|_| ()).err().unwrap_or_default();
            assert!(error.ends_with(end), "{text}: {error}");
        }
        let error = parse("LISTEN=5;CLOSE=6", Status).map(|_| ()).err().unwrap_or_default();
        assert!(error.contains(", separate entries by commas (valid: total, "), "{error}");
    }

    #[test]
    fn entries_without_a_range_and_two_plain_ranges_are_refused() {
        for text in [
            "LISTEN=",
            "5,LISTEN=5,6",
            "LISTEN=5,",
            ",LISTEN=5",
            "LISTEN=x",
            "x,LISTEN=5",
            "=5",
            " =5,6",
        ] {
            assert!(parse(text, GroupBy::TypeStatus).is_err(), "{text}");
        }
        // A threshold without a key is a range of the reference, with the reference's message.
        assert_eq!(
            parse("1,5", GroupBy::TypeStatus).map(|_| ()),
            Err("Range format incorrect".to_owned())
        );
    }

    #[test]
    fn a_range_that_never_alerts_is_an_exception_or_refused() {
        for (text, valid) in [
            ("LISTEN=0:", false),
            ("LISTEN=~:", false),
            ("LISTEN=@-5:-1", false),
            ("total=0:", false),
            ("5,total=0:", false),
            ("LISTEN=0:,total=5", false),
            ("LISTEN=0:,LISTEN=5:", false),
            ("5,LISTEN=0:", true),
            ("tcp=5,tcp_LISTEN=~:", true),
            ("LISTEN=1:", true),
        ] {
            assert_eq!(parse(text, GroupBy::TypeStatus).is_ok(), valid, "{text}");
        }
        let plain = |text: &str, numbers| {
            ThresholdSpec::parse(text).is_ok_and(|spec| spec.refuse_silent(numbers).is_ok())
        };
        let percents = Numbers { most: 100.0, whole: false };
        for (text, of_counts, of_percents) in [
            ("0:", false, false),
            ("0:,LISTEN=5", false, false),
            ("100", true, false),
            ("90", true, true),
            ("~:", true, true),
            ("none", true, true),
            ("", false, false),
            (" \t", false, false),
            ("\\", false, false),
        ] {
            assert_eq!((plain(text, NUMBERS), plain(text, percents)), (of_counts, of_percents));
        }
    }

    #[test]
    fn an_empty_key_is_refused_also_where_names_are_not_checked() {
        for text in ["=5", " =5"] {
            let error = parse(text, GroupBy::Process).map(|_| ());
            assert!(error.is_err(), "{text}");
        }
        assert!(parse("web=5", GroupBy::Process).is_ok());
    }

    #[test]
    fn the_given_text_is_kept() {
        for text in ["5", " 1:2 ", "LISTEN=5,6"] {
            let thresholds = ThresholdSpec::parse(text);
            assert_eq!(thresholds.unwrap_or_else(|e| panic!("{e}")).text(), text);
        }
    }

    #[test]
    fn states_of_other_systems_have_keys_in_a_fixture_only() {
        let selection = &Selection::default();
        for (text, by) in [
            ("BOUND=5", GroupBy::Status),
            ("bound=5", GroupBy::TypeStatus),
            ("tcp_IDLE=5", GroupBy::TypeStatus),
        ] {
            let parse = |live| {
                let context = KeyContext { live, ..context(by, selection) };
                ThresholdSpec::parse(text)?.resolved(&context)
            };
            assert!(parse(true).is_err(), "{text}");
            assert!(parse(false).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_key_outside_the_selection_is_refused() {
        let selection = &Selection {
            local_ports: vec![Ports { first: 80, last: 90 }].into(),
            remote_addresses: ["192.0.2.0/24", "fe80::/64"]
                .map(|text| text.parse().unwrap_or_else(|e| panic!("{e}")))
                .to_vec()
                .into(),
            ..Selection::default()
        };
        let parse = |text: &str, by| ThresholdSpec::parse(text)?.resolved(&context(by, selection));
        for (text, by, fits) in [
            ("85=5", GroupBy::LocalPort, true),
            ("91=5", GroupBy::LocalPort, false),
            ("80-80=5", GroupBy::LocalPort, true),
            ("80-81=5", GroupBy::LocalPort, true),
            ("1-81=5", GroupBy::LocalPort, true),
            ("91-99=5", GroupBy::LocalPort, false),
            ("91=5", GroupBy::RemotePort, true),
            ("192.0.2.7=5", GroupBy::RemoteAddress, true),
            ("::ffff:192.0.2.7=5", GroupBy::RemoteAddress, true),
            ("192.0.3.7=5", GroupBy::RemoteAddress, false),
            ("192.0.0.0/16=5", GroupBy::RemoteAddress, true),
            ("192.1.0.0/16=5", GroupBy::RemoteAddress, false),
            ("fe80::1=5", GroupBy::RemoteAddress, true),
            ("fe80::1%eth0=5", GroupBy::RemoteAddress, true),
            ("fe80::1%=5", GroupBy::RemoteAddress, false),
            ("fe80:1::1%eth0=5", GroupBy::RemoteAddress, false),
            ("2001:db8::1=5", GroupBy::RemoteAddress, false),
            ("2001:db8::1%eth0=5", GroupBy::LocalAddress, false),
            ("192.0.2.7%eth0=5", GroupBy::LocalAddress, false),
        ] {
            assert_eq!(parse(text, by).is_ok(), fits, "{text}");
        }
    }
}
