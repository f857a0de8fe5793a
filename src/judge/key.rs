//! The keys of thresholds: `CLOSE_WAIT`, `443`, `fe80::1%eth0`, `nginx`, `total`.

use std::net::{IpAddr, SocketAddr};

use crate::address::{Address, Endpoint, InterfaceIndex};
use crate::error::Error;
use crate::group::{Group, GroupBy, KERNEL, Part};
use crate::group_name::{GroupName, NETNS_SEPARATOR};
use crate::name::Named;
use crate::named_group::NamedGroup;
use crate::owner::Process;
use crate::selection::{Network, Ports, Selection};
use crate::vocabulary::{ConnectionStatus, ConnectionType};

/// The key of the sum of all selected connections.
pub const TOTAL: &str = "total";

/// The parts of a plan that decide whether a key is valid.
#[derive(Clone, Copy, Debug)]
pub struct KeyContext<'a> {
    /// Whether the numbers of groups can be added up, so that `total` is a key.
    pub has_total: bool,
    /// Whether network namespaces are requested, so that a key can name a namespace.
    pub netns: bool,
    /// The kind of groups.
    pub by: GroupBy,
    /// The selection of connections.
    pub selection: &'a Selection,
    /// Whether the check reads this host. A fixture may also have states of other systems.
    pub live: bool,
}

impl KeyContext<'_> {
    /// The selected pairs of type and state that a connection can have here.
    fn pairs(&self) -> impl Iterator<Item = (ConnectionType, ConnectionStatus)> {
        self.selection.pairs().filter(|(_, status)| !self.live || status.is_of_this_system())
    }

    /// The error for a key that no selected group can have.
    fn refuse(&self, key: &str, valid: &str) -> Error {
        let total = if self.has_total { "total, " } else { "" };
        Error::Argument(format!(
            "{key:?} is the key of no group that can be selected here (valid: {total}{valid})"
        ))
    }
}

/// The group, or the groups, that a range is given for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The sum of all selected connections.
    Total,
    /// Exactly this group.
    Group(Group),
    /// Every group of this type, in any status.
    Type(ConnectionType),
    /// Every group in this status, of any type.
    Status(ConnectionStatus),
    /// A link-local address.
    LinkLocal(LinkLocalKey),
    /// A port, or an address with a port.
    Endpoint(EndpointKey),
    /// A user by id, or by name.
    User(UserKey),
    /// A unit, processes or a network namespace by name.
    Owner(String),
}

/// A link-local address on a named interface, or on any interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkLocalKey {
    ip: IpAddr,
    // The name or the index of the interface; `None` for any.
    interface: Option<String>,
}

impl LinkLocalKey {
    fn label(&self) -> String {
        let Self { ip, interface } = self;
        interface.as_ref().map_or_else(|| ip.to_string(), |name| format!("{ip}%{name}"))
    }

    fn specificity(&self, group: &NamedGroup) -> Option<Specificity> {
        let found = address_of(group).filter(|found| found.ip() == self.ip)?;
        match &self.interface {
            Some(interface) => names_interface(interface, found.interface(), &group.name)
                .then_some(Specificity::Exact),
            None if found.interface().is_none() => Some(Specificity::Exact),
            None => Some(Specificity::Broad),
        }
    }

    /// Whether the key may mean this group: the key names an interface, but the interface of the
    /// group's address is not known.
    fn may_mean(&self, group: &NamedGroup) -> bool {
        self.interface.is_some()
            && address_of(group)
                .is_some_and(|found| found.ip() == self.ip && found.interface().is_none())
    }
}

fn address_of(group: &NamedGroup) -> Option<Address> {
    match group.group?.part() {
        Part::Address(address) => Some(address),
        Part::Endpoint(_) | Part::None => None,
    }
}

/// Whether the text `key` is the name or the index of an interface.
fn names_interface(key: &str, index: Option<InterfaceIndex>, name: &GroupName) -> bool {
    name.interface.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(key))
        || index.is_some_and(|(_, index)| index.to_string() == key)
}

/// A port. The key may also name an address with its interface, and a network namespace; a missing
/// part matches any value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointKey {
    ip: Option<IpAddr>,
    // The name or the index of a link-local address's interface; `None` for any.
    interface: Option<String>,
    port: u16,
    netns: Option<String>,
}

impl EndpointKey {
    fn label(&self) -> String {
        let Self { ip, interface, port, netns } = self;
        let mut label = match (ip, interface) {
            (None, _) => port.to_string(),
            (Some(ip), None) => SocketAddr::new(*ip, *port).to_string(),
            (Some(ip), Some(interface)) => format!("[{ip}%{interface}]:{port}"),
        };
        if let Some(netns) = netns {
            label.push_str(NETNS_SEPARATOR);
            label.push_str(netns);
        }
        label
    }

    fn specificity(&self, group: &NamedGroup) -> Option<Specificity> {
        let Self { ip, interface, netns, .. } = self;
        let found = endpoint_of(group).filter(|found| self.matches(*found, &group.name))?;
        let index = found.address.interface();
        interface.as_ref().is_none_or(|key| names_interface(key, index, &group.name)).then_some(
            Specificity::Endpoint {
                address: ip.is_some(),
                interface: interface.is_some(),
                netns: netns.is_some(),
            },
        )
    }

    /// Whether the port, the address and the network namespace of the key match an endpoint. The
    /// interface is not compared.
    fn matches(&self, found: Endpoint, name: &GroupName) -> bool {
        let is_in = |netns: &String| name.netns.as_ref().is_some_and(|n| n.is_called(netns));
        self.is_at(found) && self.netns.as_ref().is_none_or(is_in)
    }

    fn is_at(&self, found: Endpoint) -> bool {
        self.port == found.port && self.ip.is_none_or(|ip| ip == found.address.ip())
    }

    /// Whether the key may mean this group: the key names an interface or the host's network
    /// namespace, but the interface or the namespace of the group's endpoint is not known.
    fn may_mean(&self, group: &NamedGroup) -> bool {
        let may_be_in = |netns: &String| {
            group.name.netns.as_ref().is_some_and(|name| name.may_be_called(netns))
        };
        endpoint_of(group).is_some_and(|found| {
            self.interface.is_some()
                && found.address.interface().is_none()
                && self.matches(found, &group.name)
                || self.is_at(found) && self.netns.as_ref().is_some_and(may_be_in)
        })
    }
}

fn endpoint_of(group: &NamedGroup) -> Option<Endpoint> {
    match group.group?.part() {
        Part::Endpoint(endpoint) => Some(endpoint),
        Part::Address(_) | Part::None => None,
    }
}

/// A user. A name has no id until it is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKey {
    id: Option<u32>,
    text: String,
}

impl UserKey {
    fn is_by_name(&self) -> bool {
        self.text.parse::<u32>().is_err()
    }
}

/// How closely a key matches a group. A greater value is a closer match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Specificity {
    /// The key may also match other groups.
    Broad,
    /// The key names a port, and further parts of an endpoint. The address counts most, then the
    /// interface, then the network namespace.
    Endpoint {
        /// Whether the key names an address.
        address: bool,
        /// Whether the key names the interface of a link-local address.
        interface: bool,
        /// Whether the key names a network namespace.
        netns: bool,
    },
    /// The key means this group alone.
    Exact,
}

impl Key {
    /// Reads a key. A key that no selected group can ever have is refused: a mistyped key must not
    /// silently switch off its threshold.
    pub fn parse(text: &str, context: &KeyContext) -> Result<Self, Error> {
        let selection = context.selection;
        if context.has_total && text.eq_ignore_ascii_case(TOTAL) {
            return Ok(Self::Total);
        }
        let refused = |valid: &str| context.refuse(text, valid);
        match context.by {
            GroupBy::TypeStatus => context
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
                    let status = names(context.pairs().map(|(_, status)| status));
                    let types = names(context.pairs().map(|(t, _)| t));
                    refused(&format!("{types}, {status}, or both as in tcp_TIME_WAIT"))
                }),
            GroupBy::Type => context
                .pairs()
                .find(|(t, _)| t.name().eq_ignore_ascii_case(text))
                .map(|(t, _)| Self::Group(Group::Type(t)))
                .ok_or_else(|| refused(&names(context.pairs().map(|(t, _)| t)))),
            GroupBy::Status => context
                .pairs()
                .find(|(_, status)| status.name().eq_ignore_ascii_case(text))
                .map(|(_, status)| Self::Group(Group::Status(status)))
                .ok_or_else(|| refused(&names(context.pairs().map(|(_, status)| status)))),
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
                endpoint(text, &selection.local_ports, &selection.local_addresses, context)
                    .ok_or_else(|| refused("a selected local port, or address and port"))
            }
            GroupBy::RemoteEndpoint => {
                endpoint(text, &selection.remote_ports, &selection.remote_addresses, context)
                    .ok_or_else(|| refused("a selected remote port, or address and port"))
            }
            GroupBy::User if text.eq_ignore_ascii_case(KERNEL) => {
                Ok(Self::Group(Group::User(None)))
            }
            GroupBy::User => {
                Ok(Self::User(UserKey { id: text.parse().ok(), text: text.to_owned() }))
            }
            // Units, processes and namespaces come and go, so that every name is valid.
            GroupBy::Unit | GroupBy::Process | GroupBy::Program | GroupBy::Netns => {
                Ok(Self::Owner(text.to_owned()))
            }
        }
    }

    /// Looks up the id of a user's name; an unknown name is refused.
    pub fn look_up_user(
        &mut self,
        context: &KeyContext,
        user_id: &dyn Fn(&str) -> Result<Option<u32>, Error>,
    ) -> Result<(), Error> {
        match self {
            Self::User(UserKey { id: id @ None, text }) => {
                *id = user_id(text)?;
                if id.is_none() {
                    return Err(context.refuse(text, "the name or id of a user of this host"));
                }
                Ok(())
            }
            Self::User(UserKey { id: Some(_), .. })
            | Self::Total
            | Self::Group(_)
            | Self::Type(_)
            | Self::Status(_)
            | Self::LinkLocal(_)
            | Self::Endpoint(_)
            | Self::Owner(_) => Ok(()),
        }
    }

    /// How closely this key matches a group; `None` where it does not.
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
            Self::LinkLocal(key) => key.specificity(group),
            Self::Endpoint(key) => key.specificity(group),
            Self::User(UserKey { id, text }) => {
                let met = id.is_some_and(|id| group.is_of_user(id)) || group.label() == *text;
                met.then_some(Exact)
            }
            Self::Owner(name) => {
                let by_name_and_id = |process: &Process| process.is_called_with_id(name);
                if name.eq_ignore_ascii_case(group.label()) || group.processes().any(by_name_and_id)
                {
                    Some(Exact)
                } else {
                    let netns = group.name.netns.as_ref().is_some_and(|n| n.is_called(name));
                    let process = || group.processes().any(|process| process.is_called(name));
                    (netns || process()).then_some(Broad)
                }
            }
        }
    }

    /// The group of this key. Its count is an upper bound: the connections of the groups that the
    /// key may mean, where their interface or the host's network namespace is not known; all `hidden` connections for an owner's
    /// name; 0 for other keys.
    #[must_use]
    pub fn unseen_group(&self, groups: &[NamedGroup], hidden: u64) -> NamedGroup {
        let may_be = |group: &&NamedGroup| match self {
            Self::LinkLocal(key) => key.may_mean(group),
            Self::Endpoint(key) => key.may_mean(group),
            Self::Owner(name) => {
                group.name.netns.as_ref().is_some_and(|netns| netns.may_be_called(name))
            }
            Self::Total | Self::Group(_) | Self::Type(_) | Self::Status(_) | Self::User(_) => false,
        };
        let mut unseen = self.group();
        if let Some(all) = groups.iter().filter(may_be).cloned().reduce(NamedGroup::with) {
            (unseen.count, unseen.share) = (all.count, all.share);
        } else if self.is_of_name() {
            unseen.count = hidden;
        }
        unseen
    }

    /// Whether the key is the name of an owner. A hidden owner may have this name. A user id is not
    /// a name.
    #[must_use]
    pub fn is_of_name(&self) -> bool {
        match self {
            Self::Owner(_) => true,
            Self::User(user) => user.is_by_name(),
            Self::Total
            | Self::Group(_)
            | Self::Type(_)
            | Self::Status(_)
            | Self::LinkLocal(_)
            | Self::Endpoint(_) => false,
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
            Self::User(UserKey { id, text }) => (id.map(|id| Group::User(Some(id))), text.clone()),
            Self::Owner(name) => (None, name.clone()),
            Self::LinkLocal(key) => (None, key.label()),
            Self::Endpoint(key) => (None, key.label()),
        };
        NamedGroup::without_sockets(group, label.into())
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

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    }
}

fn address(text: &str, selected: &[Network], selection: &Selection) -> Option<Key> {
    let (ip, interface) = match text.split_once('%') {
        Some((ip, interface)) => (ip, Some(interface.to_owned())),
        None => (text, None),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let ip = ip.to_canonical();
    let link_local = is_link_local(ip);
    if interface.as_ref().is_some_and(|name| name.is_empty() || !link_local) {
        return None;
    }
    let key = if link_local {
        Key::LinkLocal(LinkLocalKey { ip, interface })
    } else {
        Key::Group(Group::Address(ip.into()))
    };
    is_selected(ip, selected, selection).then_some(key)
}

/// Whether a socket with this address can be selected.
fn is_selected(address: IpAddr, selected: &[Network], selection: &Selection) -> bool {
    let is_in =
        |address| selected.is_empty() || selected.iter().any(|network| network.contains(address));
    // An IPv4 address belongs to IPv4 sockets, and as an IPv4-mapped address to IPv6 sockets.
    selection.pairs().any(|(t, _)| match (address, t.is_ipv6()) {
        (IpAddr::V4(_), false) | (IpAddr::V6(_), true) => is_in(address),
        (IpAddr::V4(v4), true) => is_in(v4.to_ipv6_mapped().into()),
        (IpAddr::V6(_), false) => false,
    })
}

/// Reads the key of an endpoint: `443`, `192.0.2.1:443` or `[fe80::1%eth0]:443`. A network
/// namespace may follow, as in `443 in blue`.
fn endpoint(
    text: &str,
    ports: &[Ports],
    addresses: &[Network],
    context: &KeyContext,
) -> Option<Key> {
    let (end, netns) = match text.split_once(NETNS_SEPARATOR) {
        Some((end, netns)) => (end.trim(), Some(netns.trim().to_owned())),
        None => (text, None),
    };
    if netns.is_some() && !context.netns {
        return None;
    }
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
    let ip_fits = ip.is_none_or(|ip| is_selected(ip, addresses, context.selection));
    let link_local = ip.is_some_and(is_link_local);
    let interface_fits = interface.as_ref().is_none_or(|name| !name.is_empty() && link_local);
    let key = EndpointKey { ip, interface, port, netns };
    (port_fits && ip_fits && interface_fits).then_some(Key::Endpoint(key))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::group_name::NetnsName;
    use crate::vocabulary::NetnsIndex;

    fn key(text: &str, by: GroupBy) -> Result<Key, Error> {
        let selection = &Selection::default();
        Key::parse(text, &KeyContext { has_total: true, netns: true, by, selection, live: true })
    }

    /// The group of an address, with the names of its interface and its network namespace.
    fn named(
        group: impl Fn(SocketAddr) -> Group,
        end: &str,
        interface: Option<&str>,
        netns: Option<&str>,
    ) -> NamedGroup {
        let end: SocketAddr = end.parse().unwrap_or_else(|e| panic!("{end}: {e}"));
        let name = GroupName {
            label: end.to_string(),
            interface: interface.map(Into::into),
            netns: netns
                .map(|label| Arc::new(NetnsName { label: label.into(), ..NetnsName::default() })),
        };
        NamedGroup::without_sockets(Some(group(end)), name)
    }

    #[test]
    fn the_key_of_the_host_may_mean_each_namespace_that_may_be_the_hosts() {
        let group = |label: &str, common: Option<&str>, may_be_host| {
            let common = common.map(Into::into);
            let netns = NetnsName { label: label.into(), common, may_be_host };
            let name = GroupName { netns: Some(Arc::new(netns)), ..label.to_owned().into() };
            let group = Group::Netns(NetnsIndex(1));
            let mut group = NamedGroup::without_sockets(Some(group), name);
            group.count = 5;
            group
        };
        let key = |text| key(text, GroupBy::Netns).unwrap_or_else(|e| panic!("{e}"));
        let found = |may_be_host| [group("(own)", None, may_be_host), group("b", None, false)];
        for (text, may_be_host, most) in [("host", true, 5), ("host", false, 0), ("b", true, 0)] {
            assert_eq!(key(text).unseen_group(&found(may_be_host), 0).count, most, "{text}");
        }
        let shop = group("process:shop (7)", Some("process:shop"), false);
        for (text, specificity) in [
            ("process:shop", Some(Specificity::Broad)),
            ("process:shop (7)", Some(Specificity::Exact)),
            ("shop", None),
        ] {
            assert_eq!(key(text).specificity(&shop), specificity, "{text}");
        }
    }

    fn endpoint_group(end: &str, interface: Option<&str>, netns: Option<&str>) -> NamedGroup {
        let group = |end| Group::Endpoint(Endpoint::within(end, NetnsIndex(1)));
        named(group, end, interface, netns)
    }

    #[test]
    fn a_link_local_key_means_one_interface_or_all() {
        let address = |interface| {
            let group = |end| Group::Address(Address::within(end, NetnsIndex::OWN));
            named(
                group,
                &format!("[fe80::1%{interface}]:0"),
                (interface > 0).then_some("eth0"),
                None,
            )
        };
        for (text, interface, means) in [
            ("fe80::1%eth0", 3, Some(Specificity::Exact)),
            ("fe80::1%ETH0", 3, Some(Specificity::Exact)),
            ("fe80::1%3", 3, Some(Specificity::Exact)),
            ("fe80::1%4", 3, None),
            ("fe80::1%eth1", 3, None),
            ("fe80::1%eth0", 0, None),
            ("FE80:0::1", 3, Some(Specificity::Broad)),
            ("fe80::1", 0, Some(Specificity::Exact)),
            ("fe80::2", 3, None),
        ] {
            let key = key(text, GroupBy::RemoteAddress).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(key.specificity(&address(interface)), means, "{text}");
        }
        // The key of any other address means one group.
        let ip: IpAddr = "192.0.2.7".parse().unwrap_or_else(|e| panic!("{e}"));
        let plain = key("192.0.2.7", GroupBy::RemoteAddress);
        assert!(plain.is_ok_and(|key| key == Key::Group(Group::Address(ip.into()))));
    }

    #[test]
    fn the_key_of_an_endpoint_is_a_port_with_or_without_address_and_namespace() {
        let key = |text: &str| {
            key(text, GroupBy::LocalEndpoint).unwrap_or_else(|e| panic!("{text}: {e}"))
        };
        let by =
            |address, interface, netns| Some(Specificity::Endpoint { address, interface, netns });
        let web = endpoint_group("[::ffff:192.0.2.1]:443", None, Some("web in 1"));
        let other = endpoint_group("[::]:443", None, None);
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
            assert_eq!(key(text).group().label(), text.replace("[::ffff:192.0.2.1]", "192.0.2.1"));
        }
        let link = endpoint_group("[fe80::1%7]:443", Some("eth0"), Some("web"));
        for (text, of_link) in [
            ("[fe80::1%7]:443", by(true, true, false)),
            ("[fe80::1%ETH0]:443", by(true, true, false)),
            ("[fe80::1%eth]:443", None),
            ("[fe80::1]:443 in web", by(true, false, true)),
            ("[fe80::1%7]:443 in web", by(true, true, true)),
            ("[fe80::1%8]:443", None),
        ] {
            assert_eq!(key(text).specificity(&link), of_link, "{text}");
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
    }

    #[test]
    fn other_texts_are_refused_as_the_key_of_an_endpoint() {
        for text in [
            "443-444",
            "192.0.2.1",
            "web",
            "0x1:443",
            "[::1]",
            "[fe80::1%]:443",
            "[2001:db8::1%eth0]:443",
        ] {
            assert!(key(text, GroupBy::LocalEndpoint).is_err(), "{text}");
        }
        let selection = &Selection {
            remote_ports: vec![Ports::of(443)],
            remote_addresses: vec![Network::of(IpAddr::from([192, 0, 2, 1]))],
            ..Selection::default()
        };
        let by = GroupBy::RemoteEndpoint;
        let context = KeyContext { has_total: false, netns: false, by, selection, live: true };
        for (text, valid) in [
            ("443", true),
            ("80", false),
            ("192.0.2.1:443", true),
            ("192.0.2.2:443", false),
            ("192.0.2.1:80", false),
            ("[2001:db8::1]:443", false),
            ("443 in web", false),
            ("total", false),
        ] {
            assert_eq!(Key::parse(text, &context).is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn a_user_is_known_by_id_or_looked_up_by_name() {
        let selection = &Selection::default();
        let by = GroupBy::User;
        let context = KeyContext { has_total: true, netns: false, by, selection, live: true };
        let group = |text: &str| {
            let mut key = Key::parse(text, &context)?;
            key.look_up_user(&context, &|name| Ok((name == "webapp").then_some(33)))?;
            Ok::<_, Error>((key.group().group, key.is_of_name()))
        };
        assert!(group("webapp").is_ok_and(|g| g == (Some(Group::User(Some(33))), true)));
        assert!(group("34").is_ok_and(|g| g == (Some(Group::User(Some(34))), false)));
        assert!(group("(KERNEL)").is_ok_and(|g| g == (Some(Group::User(None)), false)));
        let refused = group("webap").err().map(|error| error.to_string());
        let expected = "\"webap\" is the key of no group that can be selected here (valid: total, \
                        the name or id of a user of this host)";
        assert_eq!(refused.as_deref(), Some(expected));
    }
}
