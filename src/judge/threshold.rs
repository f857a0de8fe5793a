//! Which range holds for which group.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::address::Endpoint;
use crate::error::Error;
use crate::group::{Group, GroupBy, KERNEL};
use crate::measure::Measure;
use crate::name::Named;
use crate::named_group::NamedGroup;
use crate::owner::{NETNS_SEPARATOR, Process};
use crate::range::Range;
use crate::selection::{Network, Ports, Selection};
use crate::vocabulary::{ConnectionStatus, ConnectionType};

/// The ranges of one severity as they were given: one for all groups, and others for those that a
/// key names.
#[derive(Clone, Debug)]
pub struct ThresholdSpec {
    option: &'static str,
    text: String,
    plain: Option<Range>,
    keyed: Vec<(String, Range)>,
}

/// The key of the sum of what is selected.
pub const TOTAL: &str = "total";

impl ThresholdSpec {
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

    /// What the keys mean in this place.
    ///
    /// A key that no selected group can ever have is refused: a mistyped threshold must not be
    /// silence.
    pub fn resolved(&self, place: &KeyContext) -> Result<KeyedRanges, Error> {
        let key = |text: &str| Key::parse(text, place);
        let keyed = self.keyed.iter().map(|(text, range)| Ok((key(text)?, range.clone())));
        let keyed = keyed.collect::<Result<_, Error>>();
        let keyed = keyed.map_err(|error| error.of_option(self.option))?;
        Ok(KeyedRanges { plain: self.plain.clone(), keyed })
    }
}

/// Where keys mean something.
pub struct KeyContext<'a> {
    /// What is measured.
    pub measure: Measure,
    /// Whether network namespaces are asked for, so that labels have them.
    pub netns: bool,
    /// What is counted by.
    pub by: GroupBy,
    /// What is selected.
    pub selection: &'a Selection,
    /// Whether it is this system that is asked: a fixture may have states of others.
    pub live: bool,
    /// Knows the ids of users by name.
    pub user_id: &'a dyn Fn(&str) -> Result<Option<u32>, Error>,
}

impl KeyContext<'_> {
    /// The types and states that a connection can have here.
    fn pairs(&self) -> impl Iterator<Item = (ConnectionType, ConnectionStatus)> {
        self.selection.pairs().filter(|(_, status)| !self.live || status.is_of_this_system())
    }
}

/// The ranges of one severity, and what each holds for.
#[derive(Clone, Debug, Default)]
pub struct KeyedRanges {
    plain: Option<Range>,
    keyed: Vec<(Key, Range)>,
}

impl KeyedRanges {
    /// The range of a group: that of its most specific key, of equally specific ones the last.
    #[must_use]
    pub fn of(&self, group: &NamedGroup) -> Option<&Range> {
        self.keyed
            .iter()
            .filter_map(|(key, range)| key.specificity(group).map(|rank| (rank, range)))
            // The last of the largest.
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, range)| range)
            .or(self.plain.as_ref())
    }

    /// The range of a key itself, the last where there are several.
    #[must_use]
    pub fn of_key(&self, wanted: &Key) -> Option<&Range> {
        self.keyed.iter().rev().find(|(key, _)| key == wanted).map(|(_, range)| range)
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keyed.iter().map(|(key, _)| key)
    }
}

/// What a range is given for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The sum of what is selected.
    Total,
    /// Exactly this group.
    Group(Group),
    /// Every group of this type, whatever its status.
    Type(ConnectionType),
    /// Every group in this status, whatever its type.
    Status(ConnectionStatus),
    /// A link-local address: with this interface, or with any.
    LinkLocal(String),
    /// A port, of an address or of any.
    Endpoint(EndpointKey),
    /// The user of this id, called like this.
    User(u32, String),
    /// The unit, or the processes, called like this.
    Owner(String),
}

/// A port, of this address or of any, in the network namespace of this name or in any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointKey {
    ip: Option<IpAddr>,
    // Of a link-local address: the interface by its name or number, or any.
    interface: Option<String>,
    port: u16,
    netns: Option<String>,
}

impl EndpointKey {
    /// As a label has it.
    fn shown(&self) -> String {
        let Self { ip, interface, port, netns } = self;
        let end = match (ip, interface) {
            (None, _) => port.to_string(),
            (Some(ip), None) => SocketAddr::new(*ip, *port).to_string(),
            (Some(ip), Some(interface)) => format!("[{ip}%{interface}]:{port}"),
        };
        netns.as_ref().map_or_else(|| end.clone(), |netns| format!("{end}{NETNS_SEPARATOR}{netns}"))
    }

    fn specificity(&self, found: Endpoint, label: &str) -> Option<Specificity> {
        let Self { ip, interface, netns, .. } = self;
        // By its name, as the label has it, or by its number.
        let is_behind = |interface: &String| {
            let (end, _) = label.split_once(NETNS_SEPARATOR).unwrap_or((label, ""));
            let name = end.split_once('%').and_then(|(_, rest)| rest.rsplit_once(']'));
            let index = found.address.interface().map(|(_, index)| index.to_string());
            name.is_some_and(|(name, _)| name.eq_ignore_ascii_case(interface))
                || index.as_ref() == Some(interface)
        };
        let met =
            self.is_without_interface(found, label) && interface.as_ref().is_none_or(is_behind);
        met.then_some(Specificity::Endpoint {
            address: ip.is_some(),
            interface: interface.is_some(),
            netns: netns.is_some(),
        })
    }

    /// Whether it means this one, as far as it does not depend on the interface.
    fn is_without_interface(&self, found: Endpoint, label: &str) -> bool {
        let (_, place) = label.split_once(NETNS_SEPARATOR).unwrap_or((label, ""));
        self.port == found.port
            && self.ip.is_none_or(|ip| ip == found.address.ip())
            && self.netns.as_ref().is_none_or(|netns| netns.eq_ignore_ascii_case(place))
    }

    /// Whether it may mean this one, of which the interface is not told.
    fn is_untold(&self, found: Endpoint, label: &str) -> bool {
        self.interface.is_some()
            && found.address.interface().is_none()
            && self.is_without_interface(found, label)
    }
}

/// How closely a key means a group. The last of these is the closest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Specificity {
    /// It means others too.
    Broad,
    /// It means endpoints, by what it has besides the port: the first that only one of two keys has
    /// makes that the closer one.
    Endpoint {
        /// The address.
        address: bool,
        /// The interface that a link-local address is behind.
        interface: bool,
        /// The network namespace.
        netns: bool,
    },
    /// It means this one.
    Exact,
}

impl Key {
    fn parse(text: &str, place: &KeyContext) -> Result<Self, Error> {
        let selection = place.selection;
        let summable = place.measure == Measure::Connections;
        if summable && text.eq_ignore_ascii_case(TOTAL) {
            return Ok(Self::Total);
        }
        let refused = |valid: &str| {
            let total = if summable { "total, " } else { "" };
            Error::Argument(format!(
                "{text:?} is the key of no group that can be selected here (valid: {total}{valid})"
            ))
        };
        match place.by {
            GroupBy::TypeStatus => place
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
                    let status = names(place.pairs().map(|(_, status)| status));
                    let types = names(place.pairs().map(|(t, _)| t));
                    refused(&format!("{types}, {status}, or both as in tcp_TIME_WAIT"))
                }),
            GroupBy::Type => place
                .pairs()
                .find(|(t, _)| t.name().eq_ignore_ascii_case(text))
                .map(|(t, _)| Self::Group(Group::Type(t)))
                .ok_or_else(|| refused(&names(place.pairs().map(|(t, _)| t)))),
            GroupBy::Status => place
                .pairs()
                .find(|(_, status)| status.name().eq_ignore_ascii_case(text))
                .map(|(_, status)| Self::Group(Group::Status(status)))
                .ok_or_else(|| refused(&names(place.pairs().map(|(_, status)| status)))),
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
            GroupBy::LocalEndpoint => {
                endpoint(text, &selection.local_ports, &selection.local_addresses, place)
                    .ok_or_else(|| refused("a selected local port, or address and port"))
            }
            GroupBy::RemoteEndpoint => {
                endpoint(text, &selection.remote_ports, &selection.remote_addresses, place)
                    .ok_or_else(|| refused("a selected remote port, or address and port"))
            }
            GroupBy::User => user(text, place.user_id)?
                .ok_or_else(|| refused("the name or id of a user of this host")),
            // What there is changes from minute to minute.
            GroupBy::Unit | GroupBy::Process | GroupBy::Netns => Ok(Self::Owner(text.to_owned())),
        }
    }

    /// How closely this key means a group; `None` where it does not.
    #[must_use]
    pub fn specificity(&self, group: &NamedGroup) -> Option<Specificity> {
        use Specificity::{Broad, Exact};
        let found = group.group;
        match self {
            Self::Total => None,
            Self::Group(key) => (found == Some(*key)).then_some(Exact),
            Self::Type(key) => {
                matches!(found, Some(Group::TypeStatus(t, _)) if t == *key).then_some(Broad)
            }
            Self::Status(key) => {
                let met = matches!(found, Some(Group::TypeStatus(_, s)) if s == *key);
                met.then_some(Broad)
            }
            Self::LinkLocal(key) => {
                let is = |other: &str| key.eq_ignore_ascii_case(other);
                let (address, _) = group.label.split_once('%').unwrap_or((&group.label, ""));
                // The interface by its name or by its number.
                if is(&group.label) || found.is_some_and(|group| is(&group.to_string())) {
                    Some(Exact)
                } else {
                    is(address).then_some(Broad)
                }
            }
            Self::Endpoint(key) => match found {
                Some(Group::Endpoint(found)) => key.specificity(found, &group.label),
                Some(_) | None => None,
            },
            Self::User(id, name) => {
                (group.is_of_user(*id) || group.label == *name).then_some(Exact)
            }
            Self::Owner(name) => {
                let is = |other: &str| name.eq_ignore_ascii_case(other);
                let called =
                    |process: &Process| is(&process.name) || process.short_name().is_some_and(is);
                // With its id, by either name.
                let this = |process: &Process| {
                    let of = |name: &str| is(&format!("{name} ({})", process.pid));
                    of(&process.name) || process.short_name().is_some_and(of)
                };
                if is(&group.label) || group.processes().any(this) {
                    Some(Exact)
                } else {
                    group.processes().any(called).then_some(Broad)
                }
            }
        }
    }

    /// The most that the group that this key names may have without being told to: connections of
    /// the `hidden` owners, or those whose interface is not told.
    #[must_use]
    pub fn untold(&self, groups: &[NamedGroup], hidden: u64) -> NamedGroup {
        let may_be = |group: &&NamedGroup| match self {
            Self::LinkLocal(key) => {
                let address = key.split_once('%').map(|(address, _)| address);
                address == Some(&*group.label)
            }
            Self::Endpoint(key) => {
                matches!(group.group, Some(Group::Endpoint(found)) if key.is_untold(found, &group.label))
            }
            Self::Total
            | Self::Group(_)
            | Self::Type(_)
            | Self::Status(_)
            | Self::User(..)
            | Self::Owner(_) => false,
        };
        let mut named = self.group();
        if let Some(all) = groups.iter().filter(may_be).cloned().reduce(NamedGroup::with) {
            (named.count, named.share) = (all.count, all.share);
        } else if self.is_of_name() {
            named.count = hidden;
        }
        named
    }

    /// Whether it asks for an owner by name, so that a hidden one may be meant.
    #[must_use]
    pub fn is_of_name(&self) -> bool {
        match self {
            Self::Owner(_) => true,
            Self::User(_, name) => name.parse::<u32>().is_err(),
            Self::Total
            | Self::Group(_)
            | Self::Type(_)
            | Self::Status(_)
            | Self::LinkLocal(_)
            | Self::Endpoint(..) => false,
        }
    }

    /// The group that this key names, without connections.
    #[must_use]
    pub fn group(&self) -> NamedGroup {
        let (group, label) = match self {
            Self::Group(group) => (Some(*group), group.to_string()),
            Self::Total => (None, TOTAL.to_owned()),
            Self::Type(t) => (None, t.name().to_owned()),
            Self::Status(status) => (None, status.name().to_owned()),
            Self::User(id, name) => (Some(Group::User(Some(*id))), name.clone()),
            Self::LinkLocal(name) | Self::Owner(name) => (None, name.clone()),
            Self::Endpoint(key) => (None, key.shown()),
        };
        NamedGroup::named(group, label)
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
    let (ip, interface) = match text.split_once('%') {
        Some((ip, interface)) => (ip, Some(interface)),
        None => (text, None),
    };
    let address: IpAddr = ip.parse().ok()?;
    let address = address.to_canonical();
    let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if interface.is_some_and(|name| name.is_empty() || !link_local) {
        return None;
    }
    let key = match interface {
        Some(interface) => Key::LinkLocal(format!("{address}%{interface}")),
        None if link_local => Key::LinkLocal(address.to_string()),
        None => Key::Group(Group::Address(address.into())),
    };
    is_selected(address, selected, selection).then_some(key)
}

/// Whether a socket with this address can be selected.
fn is_selected(address: IpAddr, selected: &[Network], selection: &Selection) -> bool {
    let is_in =
        |address| selected.is_empty() || selected.iter().any(|network| network.contains(address));
    // Sockets with an IPv4 address are IPv4 ones, and IPv6 ones with the IPv4-mapped address.
    selection.pairs().any(|(t, _)| match (address, t.is_ipv6()) {
        (IpAddr::V4(_), false) | (IpAddr::V6(_), true) => is_in(address),
        (IpAddr::V4(v4), true) => is_in(v4.to_ipv6_mapped().into()),
        (IpAddr::V6(_), false) => false,
    })
}

/// A port, or an address with a port, each in a network namespace or in any.
fn endpoint(text: &str, ports: &[Ports], addresses: &[Network], place: &KeyContext) -> Option<Key> {
    let (end, netns) = match text.split_once(NETNS_SEPARATOR) {
        Some((end, netns)) => (end.trim(), Some(netns.trim().to_owned())),
        None => (text, None),
    };
    if netns.is_some() && !place.netns {
        return None;
    }
    // `[fe80::1%eth0]:443`
    let (end, interface) = match end.split_once('%') {
        Some((ip, rest)) => {
            let (interface, port) = rest.rsplit_once(']')?;
            (format!("{ip}]{port}"), Some(interface.to_owned()))
        }
        None => (end.to_owned(), None),
    };
    let (ip, port) = match end.parse::<SocketAddr>() {
        Ok(end) => (Some(end.ip().to_canonical()), end.port()),
        Err(_) => match end.parse().ok()? {
            Ports { first, last } if first == last => (None, first),
            Ports { .. } => return None,
        },
    };
    let port_fits = ports.is_empty() || ports.iter().any(|ports| ports.contains(port));
    let ip_fits = ip.is_none_or(|ip| is_selected(ip, addresses, place.selection));
    let key = EndpointKey { ip, interface, port, netns };
    let link_local = matches!(key.ip, Some(IpAddr::V6(ip)) if ip.is_unicast_link_local());
    let interface_fits = key.interface.as_ref().is_none_or(|name| !name.is_empty() && link_local);
    (port_fits && ip_fits && interface_fits).then_some(Key::Endpoint(key))
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
    Ok(id.map(|id| Key::User(id, text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::NetnsIndex;

    fn place(by: GroupBy, selection: &Selection) -> KeyContext<'_> {
        let measure = Measure::Connections;
        KeyContext { measure, netns: true, by, selection, live: true, user_id: &|_| Ok(None) }
    }

    fn parse(text: &str, by: GroupBy) -> Result<KeyedRanges, String> {
        ThresholdSpec::parse("--critical", text)
            .and_then(|thresholds| {
                let selection = &Selection::default();
                thresholds.resolved(&place(by, selection))
            })
            .map_err(|e| e.to_string())
    }

    fn range_of(text: &str, group: Group) -> String {
        parse(text, GroupBy::TypeStatus)
            .unwrap_or_else(|e| panic!("{e}"))
            .of(&NamedGroup::named(Some(group), group.to_string()))
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
        // What would be right is named, each once.
        let error = parse("LISTEN=5", Type).map(|_| ()).err().unwrap_or_default();
        assert!(error.ends_with("(valid: total, tcp, tcp6, udp, udp6)"), "{error}");
    }

    #[test]
    fn entries_without_range_and_two_plain_ones_are_refused() {
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
        // Without a key it is the reference's range, with the reference's message.
        assert_eq!(
            parse("1,5", GroupBy::TypeStatus).map(|_| ()),
            Err("Range format incorrect".to_owned())
        );
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
    fn what_was_given_is_kept() {
        for text in ["5", " 1:2 ", "LISTEN=5,6"] {
            let thresholds = ThresholdSpec::parse("--warning", text);
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
                let measure = Measure::Connections;
                let place = KeyContext {
                    measure,
                    netns: false,
                    by,
                    selection,
                    live,
                    user_id: &|_| Ok(None),
                };
                ThresholdSpec::parse("--critical", text)?.resolved(&place)
            };
            assert!(parse(true).is_err(), "{text}");
            assert!(parse(false).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_key_outside_the_selection_is_refused() {
        let selection = &Selection {
            local_ports: vec![Ports { first: 80, last: 90 }],
            remote_addresses: ["192.0.2.0/24", "fe80::/64"]
                .map(|text| text.parse().unwrap_or_else(|e| panic!("{e}")))
                .to_vec(),
            ..Selection::default()
        };
        let parse = |text: &str, by| {
            let place = place(by, selection);
            ThresholdSpec::parse("--critical", text).and_then(|t| t.resolved(&place))
        };
        for (text, by, fits) in [
            ("85=5", GroupBy::LocalPort, true),
            ("91=5", GroupBy::LocalPort, false),
            ("80-80=5", GroupBy::LocalPort, true),
            ("80-81=5", GroupBy::LocalPort, false),
            ("91=5", GroupBy::RemotePort, true),
            ("192.0.2.7=5", GroupBy::RemoteAddress, true),
            ("::ffff:192.0.2.7=5", GroupBy::RemoteAddress, true),
            ("192.0.3.7=5", GroupBy::RemoteAddress, false),
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

    #[test]
    fn a_link_local_key_means_one_link_or_all() {
        let address = |interface| {
            let ip = "fe80::1".parse().unwrap_or_else(|e| panic!("{e}"));
            crate::address::Address::within(
                std::net::SocketAddrV6::new(ip, 0, 0, interface).into(),
                NetnsIndex::OWN,
            )
        };
        let named = |interface, label: &str| {
            NamedGroup::named(Some(Group::Address(address(interface))), label.to_owned())
        };
        // Any other address is one group.
        let ranges = parse("192.0.2.7=5", GroupBy::RemoteAddress).unwrap_or_default();
        let ip: IpAddr = "192.0.2.7".parse().unwrap_or_else(|e| panic!("{e}"));
        assert!(ranges.keys().eq([&Key::Group(Group::Address(ip.into()))]));
        let ranges = parse("FE80:0::1=5", GroupBy::RemoteAddress).unwrap_or_default();
        assert!(ranges.keys().eq([&Key::LinkLocal("fe80::1".to_owned())]));
        for (key, group, means) in [
            ("fe80::1%eth0", named(3, "fe80::1%eth0"), Some(Specificity::Exact)),
            ("fe80::1%3", named(3, "fe80::1%eth0"), Some(Specificity::Exact)),
            ("fe80::1%4", named(3, "fe80::1%eth0"), None),
            ("fe80::1%eth1", named(3, "fe80::1%eth0"), None),
            ("fe80::1%eth0", named(0, "fe80::1"), None),
            ("fe80::1", named(3, "fe80::1%eth0"), Some(Specificity::Broad)),
            ("fe80::1", named(0, "fe80::1"), Some(Specificity::Exact)),
            ("fe80::2", named(3, "fe80::1%eth0"), None),
        ] {
            assert_eq!(Key::LinkLocal(key.to_owned()).specificity(&group), means, "{key}");
        }
    }

    #[test]
    fn the_key_of_an_endpoint_is_a_port_with_or_without_address_and_namespace() {
        let group = |end: &str, netns: &str| {
            let end = end.parse().unwrap_or_else(|e| panic!("{end}: {e}"));
            let group = Group::Endpoint(Endpoint::within(end, NetnsIndex(1)));
            NamedGroup::named(Some(group), format!("{group}{netns}"))
        };
        let key = |text: &str| {
            let ranges = parse(&format!("{text}=5"), GroupBy::LocalEndpoint);
            let ranges = ranges.unwrap_or_else(|e| panic!("{text}: {e}"));
            ranges.keys().next().cloned().unwrap_or(Key::Total)
        };
        let by =
            |address, interface, netns| Some(Specificity::Endpoint { address, interface, netns });
        let (web, other) = (group("[::ffff:192.0.2.1]:443", " in web in 1"), group("[::]:443", ""));
        for (text, of_web, of_other) in [
            ("443", by(false, false, false), by(false, false, false)),
            ("192.0.2.1:443", by(true, false, false), None),
            ("[::ffff:192.0.2.1]:443", by(true, false, false), None),
            ("[::]:443", None, by(true, false, false)),
            ("443 in WEB in 1", by(false, false, true), None),
            ("192.0.2.1:443 in web in 1", by(true, false, true), None),
            ("192.0.2.1:443 in 1", None, None),
            ("[fe80::1%eth0]:443", None, None),
            ("80", None, None),
        ] {
            let found = (key(text).specificity(&web), key(text).specificity(&other));
            assert_eq!(found, (of_web, of_other), "{text}");
            assert_eq!(key(text).group().label, text.replace("[::ffff:192.0.2.1]", "192.0.2.1"));
        }
        let link = group("[fe80::1%7]:443", " in web");
        for (text, of_link) in [
            ("[fe80::1%7]:443", by(true, true, false)),
            ("[fe80::1]:443 in web", by(true, false, true)),
            ("[fe80::1%7]:443 in web", by(true, true, true)),
            ("[fe80::1%8]:443", None),
        ] {
            assert_eq!(key(text).specificity(&link), of_link, "{text}");
        }
        // By the name that is shown, or by the number.
        let end = "[fe80::1%7]:443".parse().unwrap_or_else(|e| panic!("{e}"));
        let named = Group::Endpoint(Endpoint::within(end, NetnsIndex(1)));
        let named = NamedGroup::named(Some(named), "[fe80::1%eth0]:443".to_owned());
        for (text, of_named) in [
            ("[fe80::1%ETH0]:443", by(true, true, false)),
            ("[fe80::1%7]:443", by(true, true, false)),
            ("[fe80::1%eth]:443", None),
        ] {
            assert_eq!(key(text).specificity(&named), of_named, "{text}");
        }
        // From the broadest to the closest.
        let closeness = [
            "443",
            "443 in web",
            "[fe80::1]:443",
            "[fe80::1]:443 in web",
            "[fe80::1%7]:443",
            "[fe80::1%7]:443 in web",
        ];
        assert!(closeness.map(|text| key(text).specificity(&link)).is_sorted());
        for text in [
            "443-444",
            "192.0.2.1",
            "web",
            "0x1:443",
            "[::1]",
            "[fe80::1%]:443",
            "[2001:db8::1%eth0]:443",
        ] {
            assert!(parse(&format!("{text}=5"), GroupBy::LocalEndpoint).is_err(), "{text}");
        }
        // What was not selected has no key.
        let selection = Selection {
            remote_ports: vec![Ports::of(443)],
            remote_addresses: vec![Network::of(IpAddr::from([192, 0, 2, 1]))],
            ..Selection::default()
        };
        for (text, valid) in [
            ("443", true),
            ("80", false),
            ("192.0.2.1:443", true),
            ("192.0.2.2:443", false),
            ("192.0.2.1:80", false),
            ("[2001:db8::1]:443", false),
        ] {
            let by = GroupBy::RemoteEndpoint;
            let measure = Measure::EphemeralPorts;
            let place = KeyContext { measure, ..place(by, &selection) };
            let thresholds = ThresholdSpec::parse("--critical", &format!("{text}=5"));
            let resolved = thresholds.and_then(|thresholds| thresholds.resolved(&place));
            assert_eq!(resolved.is_ok(), valid, "{text}");
        }
    }
}
