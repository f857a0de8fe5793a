//! The keys of thresholds: `CLOSE_WAIT`, `443`, `10.0.0.0/8`, `fe80::1%eth0`, `nginx`, `total`.

use std::net::IpAddr;

use crate::address::{Address, Endpoint, InterfaceIndex, with_interface};
use crate::error::Error;
use crate::field::Field;
use crate::group::{Group, GroupBy, KERNEL, Part};
use crate::group_name::{GroupName, NETNS_SEPARATOR};
use crate::host_limit::HostLimit;
use crate::measure::share::fuller;
use crate::name::{Named, did_you_mean, named};
use crate::named_group::NamedGroup;
use crate::nearest::nearest;
use crate::owner::{Process, UserId};
use crate::printable::printable;
use crate::range::Numbers;
use crate::selection::{Among, Network, Ports, Selection, Set, UnixListeners};
use crate::stuck::Wait;
use crate::vocabulary::{ConnectionStatus, ConnectionType, Protocol};

/// The most names that are compared with a key that matches no group.
const MOST_COMPARED: usize = 1_000;

/// The key of the sum of all selected connections.
pub const TOTAL: &str = "total";

/// The parts of a plan that decide whether a key is valid.
#[derive(Clone, Copy, Debug)]
pub struct KeyContext<'a> {
    /// The numbers that are judged beside those of the groups.
    pub beside: Beside,
    /// The threshold that has the keys.
    pub field: Field,
    /// The numbers that a group can have.
    pub numbers: Numbers,
    /// Whether network namespaces are requested, so that a key can name a namespace.
    pub netns: bool,
    /// The kind of groups.
    pub by: GroupBy,
    /// The selection of connections.
    pub selection: &'a Selection,
    /// Whether the check reads this host. A fixture may also have states of other systems.
    pub live: bool,
}

/// The numbers that are judged beside those of the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// None.
    Nothing,
    /// The sum of all groups: `total` is a key.
    Total,
    /// The ports of each protocol: `tcp` and `udp` are keys.
    Ports,
}

impl KeyContext<'_> {
    fn has_total(&self) -> bool {
        self.beside == Beside::Total
    }

    /// The selected pairs of type and state that a connection can have here.
    fn pairs(&self) -> impl Iterator<Item = (ConnectionType, ConnectionStatus)> {
        self.selection.pairs().filter(|(_, status)| !self.live || status.is_of_this_system())
    }

    /// The names of the selected protocols whose ports are a group.
    fn protocols(&self) -> impl Iterator<Item = &'static str> {
        let is_judged = |protocol: &Protocol| {
            self.beside == Beside::Ports
                && !self.selection.is_of_ends()
                && self.selection.types_of(*protocol).next().is_some()
        };
        Protocol::ALL.into_iter().filter(is_judged).map(Protocol::name)
    }

    /// Whether a key is the name of a protocol whose ports are a group.
    fn names_ports(&self, key: &str) -> bool {
        let name =
            key.split_once(NETNS_SEPARATOR).filter(|_| self.netns).map_or(key, |(name, _)| name);
        self.protocols().any(|protocol| protocol.eq_ignore_ascii_case(name.trim_end()))
    }

    /// The error for a key that no selected group can have. A key that names a group of another kind
    /// is answered with that kind.
    fn refuse(&self, key: &str, valid: &str) -> Error {
        if let [first, others @ ..] = &*self.kinds_with(key) {
            let names: Vec<_> =
                [first].into_iter().chain(others.first()).map(|by| by.name()).collect();
            return Error::Conflict {
                field: self.field,
                problem: format!("{key:?} is the key of no group by {}", self.by.name()),
                other: Field::GroupBy,
                valid: names.join(" or "),
            };
        }
        let total = if self.has_total() { "total, " } else { "" };
        let groups = self.by.expected(self.selection).into_iter().map(|group| group.to_string());
        let names = valid.split(", ").map(str::to_owned);
        let listed = if self.by.is_fixed() { names.chain(groups).collect() } else { Vec::new() };
        // The rest of a list that is separated by other characters.
        let hint = if key.contains('=') && key.contains([';', ' ']) {
            ", separate entries by commas".to_owned()
        } else {
            did_you_mean(key, &listed)
        };
        Error::Argument(format!(
            "{key:?} is the key of no group that can be selected here{hint} (valid: \
             {total}{valid})"
        ))
    }

    /// The other kinds of groups that have groups with this key; empty where this kind has some, too,
    /// or where the measure has one kind of groups only.
    fn kinds_with(&self, key: &str) -> Vec<GroupBy> {
        let selection = &Selection::default();
        let has = |by: GroupBy| match by {
            GroupBy::Unit => without_type(&key.to_ascii_lowercase()).is_some(),
            // Every text can be the name of such a group, and kinds and limits are not counted.
            GroupBy::User
            | GroupBy::Process
            | GroupBy::Program
            | GroupBy::Netns
            | GroupBy::Kind
            | GroupBy::Limit => false,
            GroupBy::TypeStatus
            | GroupBy::Type
            | GroupBy::Status
            | GroupBy::LocalPort
            | GroupBy::RemotePort
            | GroupBy::LocalAddress
            | GroupBy::RemoteAddress
            | GroupBy::LocalNetwork
            | GroupBy::RemoteNetwork
            | GroupBy::LocalEndpoint
            | GroupBy::RemoteEndpoint
            | GroupBy::Direction => {
                Key::read(key, &KeyContext { by, selection, ..*self }).is_some()
            }
        };
        if !self.has_total() || has(self.by) {
            return Vec::new();
        }
        GroupBy::VALUES.iter().copied().filter(|by| has(*by)).collect()
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
    /// Every address, or every smaller network, in this network.
    Network(Network),
    /// Every port in this range.
    Range(Ports),
    /// Ports, or an address or a network, with ports or without.
    Endpoint(EndpointKey),
    /// A unix listener.
    Unix(NameKey),
    /// The ephemeral ports of a protocol.
    Ports(NameKey),
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
            None => Some(Specificity::of_ends(Some(Network::of(self.ip)), None)),
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
        Part::Endpoint(_) | Part::Network(_) | Part::None => None,
    }
}

/// Whether the text `key` is the name or the index of an interface.
fn names_interface(key: &str, index: Option<InterfaceIndex>, name: &GroupName) -> bool {
    name.interface.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(key))
        || index.is_some_and(|(_, index)| index.to_string() == key)
}

/// Ports, an address or a network, or both. The key may also name the interface of a link-local address,
/// and a network namespace; a missing part matches any value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointKey {
    network: Option<Network>,
    // The name or the index of a link-local address's interface; `None` for any.
    interface: Option<String>,
    ports: Option<Ports>,
    netns: Option<String>,
}

impl EndpointKey {
    fn label(&self) -> String {
        let Self { network, interface, ports, netns } = self;
        let address = network.map(|network| match interface {
            Some(interface) => with_interface(network.address, Some(interface)),
            None => network.shown(),
        });
        let mut label = match (address, ports) {
            (None, ports) => ports.map(|ports| ports.to_string()).unwrap_or_default(),
            (Some(address), None) if address.contains(':') && !address.contains('/') => {
                format!("[{address}]")
            }
            (Some(address), None) => address,
            (Some(address), Some(ports)) if address.contains(':') => format!("[{address}]:{ports}"),
            (Some(address), Some(ports)) => format!("{address}:{ports}"),
        };
        if let Some(netns) = netns {
            label.push_str(NETNS_SEPARATOR);
            label.push_str(netns);
        }
        label
    }

    fn specificity(&self, group: &NamedGroup) -> Option<Specificity> {
        let Self { network, interface, ports, netns } = self;
        let found = endpoint_of(group).filter(|found| self.matches(*found, &group.name))?;
        let index = found.address.interface();
        let is_of = |key: &String| names_interface(key, index, &group.name);
        let (address, ports) = (closeness_of_network(*network), closeness_of_ports(*ports));
        interface.as_ref().is_none_or(is_of).then_some(Specificity::Endpoint {
            address,
            ports,
            interface: interface.is_some(),
            netns: netns.is_some(),
        })
    }

    /// Whether the ports, the address and the network namespace of the key match an endpoint. The
    /// interface is not compared.
    fn matches(&self, found: Endpoint, name: &GroupName) -> bool {
        let is_in = |netns: &String| name.netns.as_ref().is_some_and(|n| n.is_called(netns));
        self.is_at(found) && self.netns.as_ref().is_none_or(is_in)
    }

    fn is_at(&self, found: Endpoint) -> bool {
        self.ports.is_none_or(|ports| ports.contains(found.port))
            && self.network.is_none_or(|network| network.contains(found.address.ip()))
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
        Part::Address(_) | Part::Network(_) | Part::None => None,
    }
}

/// The name of a unix listener, or of a protocol, as it is printed. Where network namespaces are requested, the name of
/// one may follow; without it the key matches the group in any namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameKey {
    text: String,
    netns: bool,
}

impl NameKey {
    /// The name and the network namespace; `None` where no namespace can follow. A path may have the
    /// separator in it.
    fn parts(&self) -> Option<(&str, &str)> {
        let (name, netns) = self.text.rsplit_once(NETNS_SEPARATOR).filter(|_| self.netns)?;
        Some((name.trim_end(), netns.trim_start()))
    }

    fn specificity(&self, group: &NamedGroup) -> Option<Specificity> {
        let found = name_of(group)?;
        let is_in = |key| group.name.netns.as_ref().is_some_and(|netns| netns.is_called(key));
        let with_netns = || self.parts().is_some_and(|(name, netns)| name == found && is_in(netns));
        let netns = if found == self.text { false } else { with_netns().then_some(true)? };
        let (address, ports) = (CLOSEST, CLOSEST_PORT);
        Some(Specificity::Endpoint { address, ports, interface: false, netns })
    }

    /// Whether the key may mean this group: the key names the host's network namespace, but the
    /// namespace of the group is not known.
    fn may_mean(&self, group: &NamedGroup) -> bool {
        let may_be_in =
            |key| group.name.netns.as_ref().is_some_and(|netns| netns.may_be_called(key));
        let found = name_of(group);
        self.parts().is_some_and(|(name, netns)| Some(name) == found && may_be_in(netns))
    }
}

fn name_of(group: &NamedGroup) -> Option<&str> {
    matches!(group.group, Some(Group::Unix(_) | Group::Ports(..)))
        .then(|| group.name.without_netns())
}

/// Whether a key is the name of a unix listener that can be read.
fn is_unix(text: &str, selection: &Selection) -> bool {
    selection.unix != UnixListeners::Unread
        && ["/", "@", "./"].iter().any(|begin| text.starts_with(begin))
}

/// A user by id or by name, which has no id until it is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKey {
    user: Option<UserId>,
    text: String,
}

impl UserKey {
    fn id(&self) -> Option<u32> {
        self.user.map(|user| user.id)
    }

    fn is_by_name(&self) -> bool {
        self.text.parse::<u32>().is_err()
    }

    /// Whether every socket of this user is shown with the user's id, and no other socket is.
    fn is_told(&self) -> bool {
        self.user.is_some_and(|user| user.is_told)
    }
}

/// The types of units: the endings of their names (`systemd.unit(5)`).
const UNIT_TYPES: [&str; 11] = [
    ".automount",
    ".device",
    ".mount",
    ".path",
    ".scope",
    ".service",
    ".slice",
    ".socket",
    ".swap",
    ".target",
    ".timer",
];

/// The type that a name of a unit without a type has, as in `systemctl(1)`.
const SERVICE: &str = ".service";

/// A unit's name without its type; `None` where it has none.
fn without_type(name: &str) -> Option<&str> {
    UNIT_TYPES.iter().find_map(|end| name.strip_suffix(end))
}

/// The full name of a unit for a name without a type, as in `systemctl(1)`.
fn service(name: &str) -> Option<String> {
    without_type(&name.to_ascii_lowercase()).is_none().then(|| format!("{name}{SERVICE}"))
}

/// How closely a key matches a group. A greater value is a closer match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Specificity {
    /// The key may also match other groups.
    Broad,
    /// The key names parts of an end. The address counts most, then the ports, then the interface, then
    /// the network namespace.
    Endpoint {
        /// The length of the prefix of the key's network, and 1; 0 where it names none.
        address: u8,
        /// The number of ports that are not among those of the key, and 1; 0 where it names none.
        ports: u32,
        /// Whether the key names the interface of a link-local address.
        interface: bool,
        /// Whether the key names a network namespace.
        netns: bool,
    },
    /// The key means this group alone.
    Exact,
}

/// The closeness of the name of a unix listener.
const CLOSEST: u8 = u8::MAX;
/// The closeness of one port.
const CLOSEST_PORT: u32 = 1 << u16::BITS;

/// The length of the prefix, and 1; 0 without a network.
fn closeness_of_network(network: Option<Network>) -> u8 {
    network.map_or(0, |network| network.prefix.saturating_add(1))
}

/// The closer the fewer ports there are; 0 without ports.
fn closeness_of_ports(ports: Option<Ports>) -> u32 {
    let others = |ports: Ports| u32::from(ports.last.saturating_sub(ports.first));
    ports.map_or(0, |ports| CLOSEST_PORT.saturating_sub(others(ports)))
}

impl Specificity {
    /// The closeness of a network and ports.
    fn of_ends(network: Option<Network>, ports: Option<Ports>) -> Self {
        let (address, ports) = (closeness_of_network(network), closeness_of_ports(ports));
        Self::Endpoint { address, ports, interface: false, netns: false }
    }
}

impl Key {
    /// Reads a key. A key that no selected group can ever have is refused: a mistyped key must not
    /// silently switch off its threshold.
    pub fn parse(text: &str, context: &KeyContext) -> Result<Self, Error> {
        Self::read(text, context).ok_or_else(|| {
            let pairs = || context.pairs();
            let valid = match context.by {
                GroupBy::TypeStatus => {
                    let status = names(pairs().map(|(_, status)| status));
                    let types = names(pairs().map(|(t, _)| t));
                    format!("{types}, {status}, or both as in tcp_TIME_WAIT")
                }
                GroupBy::Type => names(pairs().map(|(t, _)| t)),
                GroupBy::Status => names(pairs().map(|(_, status)| status)),
                GroupBy::Kind => names(context.selection.stuck_kinds().into_iter()),
                GroupBy::Limit => names(HostLimit::VALUES.iter().copied()),
                GroupBy::Direction => {
                    let groups = context.by.expected(context.selection);
                    groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                }
                GroupBy::LocalPort => "a selected local port or range of ports".to_owned(),
                GroupBy::RemotePort => "a selected remote port or range of ports".to_owned(),
                GroupBy::LocalAddress => "a selected local address or network".to_owned(),
                GroupBy::RemoteAddress => "a selected remote address or network".to_owned(),
                GroupBy::LocalNetwork => format!("a selected local network, {NOT_SMALLER}"),
                GroupBy::RemoteNetwork => format!("a selected remote network, {NOT_SMALLER}"),
                GroupBy::LocalEndpoint if context.selection.unix == UnixListeners::Unread => {
                    "a selected local port, address, network, or address and port".to_owned()
                }
                GroupBy::LocalEndpoint => {
                    "a selected local port, address, network, address and port, or the name of a \
                     unix listener as it is printed"
                        .to_owned()
                }
                GroupBy::RemoteEndpoint if context.protocols().next().is_some() => {
                    let protocols = context.protocols().collect::<Vec<_>>().join(" or ");
                    format!(
                        "a selected remote port, address, network, address and port, or {protocols}"
                    )
                }
                GroupBy::RemoteEndpoint => {
                    "a selected remote port, address, network, or address and port".to_owned()
                }
                GroupBy::Unit | GroupBy::Process | GroupBy::Program | GroupBy::Netns => {
                    "another name: percentages have no total".to_owned()
                }
                GroupBy::User => "a name".to_owned(),
            };
            context.refuse(text, &valid)
        })
    }

    /// The key that a text is; `None` where no selected group can have it.
    fn read(text: &str, context: &KeyContext) -> Option<Self> {
        let selection = context.selection;
        if context.has_total() && text.eq_ignore_ascii_case(TOTAL) {
            return Some(Self::Total);
        }
        match context.by {
            GroupBy::TypeStatus => context.pairs().find_map(|(t, status)| {
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
            }),
            GroupBy::Type => context
                .pairs()
                .find(|(t, _)| t.name().eq_ignore_ascii_case(text))
                .map(|(t, _)| Self::Group(Group::Type(t))),
            GroupBy::Status => context
                .pairs()
                .find(|(_, status)| status.name().eq_ignore_ascii_case(text))
                .map(|(_, status)| Self::Group(Group::Status(status))),
            GroupBy::Kind => {
                let kinds = selection.stuck_kinds();
                let kind = kinds.iter().find(|kind| kind.name().eq_ignore_ascii_case(text));
                kind.map(|kind| Self::Group(Group::Kind(*kind)))
            }
            GroupBy::Direction => {
                let groups = context.by.expected(selection).into_iter();
                let named = |group: &Group| group.to_string().eq_ignore_ascii_case(text);
                groups.filter(named).map(Self::Group).next()
            }
            GroupBy::Limit => named(text).ok().map(|limit| Self::Group(Group::Limit(limit))),
            GroupBy::LocalPort => port(text, &selection.local_ports),
            GroupBy::RemotePort => port(text, &selection.remote_ports),
            GroupBy::LocalAddress => address(text, &selection.local_addresses, selection),
            GroupBy::RemoteAddress => address(text, &selection.remote_addresses, selection),
            GroupBy::LocalNetwork => network(text, &selection.local_addresses, selection),
            GroupBy::RemoteNetwork => network(text, &selection.remote_addresses, selection),
            GroupBy::LocalEndpoint if is_unix(text, selection) => {
                Some(Self::Unix(NameKey { text: text.to_owned(), netns: context.netns }))
            }
            GroupBy::LocalEndpoint => {
                endpoint(text, &selection.local_ports, &selection.local_addresses, context)
            }
            GroupBy::RemoteEndpoint if context.names_ports(text) => {
                let text = text.to_ascii_lowercase();
                Some(Self::Ports(NameKey { text, netns: context.netns }))
            }
            GroupBy::RemoteEndpoint => {
                endpoint(text, &selection.remote_ports, &selection.remote_addresses, context)
            }
            GroupBy::User if text.eq_ignore_ascii_case(KERNEL) => {
                Some(Self::Group(Group::User(None)))
            }
            GroupBy::User => Some(Self::User(UserKey { user: None, text: text.to_owned() })),
            // A sum that is not judged is taken for no process of this name.
            GroupBy::Unit | GroupBy::Process | GroupBy::Program | GroupBy::Netns
                if text.eq_ignore_ascii_case(TOTAL) =>
            {
                None
            }
            // Units, processes and namespaces come and go, so that every name is valid.
            GroupBy::Unit | GroupBy::Process | GroupBy::Program | GroupBy::Netns => {
                Some(Self::Owner(text.to_owned()))
            }
        }
    }

    /// Looks up the user of a name or id; an unknown name is refused.
    pub fn look_up_user(
        &mut self,
        context: &KeyContext,
        user_id: &dyn Fn(&str) -> Result<Option<UserId>, Error>,
    ) -> Result<(), Error> {
        match self {
            Self::User(UserKey { user, text }) => {
                *user = user_id(text)?;
                if user.is_none() {
                    return Err(context.refuse(text, "the name or id of a user of this host"));
                }
                Ok(())
            }
            Self::Total
            | Self::Group(_)
            | Self::Type(_)
            | Self::Status(_)
            | Self::LinkLocal(_)
            | Self::Network(_)
            | Self::Range(_)
            | Self::Endpoint(_)
            | Self::Unix(_)
            | Self::Ports(_)
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
            Self::Network(key) => {
                let is_met = match found?.part() {
                    Part::Address(address) => key.contains(address.ip()),
                    Part::Network(network) => network.is_within(key),
                    Part::Endpoint(_) | Part::None => false,
                };
                is_met.then(|| Specificity::of_ends(Some(*key), None))
            }
            Self::Range(key) => {
                let is_met = matches!(found, Some(Group::Port(port)) if key.contains(port));
                is_met.then(|| Specificity::of_ends(None, Some(*key)))
            }
            Self::Endpoint(key) => key.specificity(group),
            Self::Unix(key) | Self::Ports(key) => key.specificity(group),
            Self::User(key) => {
                let met = key.id().is_some_and(|id| group.is_of_user(id));
                (met || group.label() == key.text).then_some(Exact)
            }
            Self::Owner(name) => {
                let is = |other: &str| name.eq_ignore_ascii_case(other);
                let by_name_and_id = |process: &Process| process.is_called_with_id(name);
                let by_name_of_unit = || match found {
                    Some(Group::Cgroup(_)) => service(name)
                        .is_some_and(|service| group.label().eq_ignore_ascii_case(&service)),
                    _ => false,
                };
                if is(group.label()) || by_name_of_unit() || group.processes().any(by_name_and_id) {
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
    /// key may mean, where their interface or the host's network namespace is not known; those of
    /// hidden owners that the key may mean; 0 for other keys.
    #[must_use]
    pub fn unseen_group(&self, groups: &[NamedGroup]) -> NamedGroup {
        let may_be = |group: &&NamedGroup| match self {
            Self::LinkLocal(key) => key.may_mean(group),
            Self::Endpoint(key) => key.may_mean(group),
            Self::Owner(name) => {
                group.name.netns.as_ref().is_some_and(|netns| netns.may_be_called(name))
            }
            Self::Unix(key) | Self::Ports(key) => key.may_mean(group),
            Self::Total
            | Self::Group(_)
            | Self::Type(_)
            | Self::Status(_)
            | Self::Network(_)
            | Self::Range(_)
            | Self::User(_) => false,
        };
        let mut unseen = self.group();
        if let Some(all) = groups.iter().filter(may_be).cloned().reduce(NamedGroup::with) {
            (unseen.count, unseen.share, unseen.wait) = (all.most(), all.share, all.wait);
            unseen.unbounded = all.unbounded;
        } else {
            let hidden = || groups.iter().filter(|group| self.may_be_hidden_in(group));
            // Of groups with limits the fullest counts.
            let shares = hidden().filter_map(|group| Some((group.most(), group.share?)));
            let fullest = shares.reduce(fuller);
            let sum = || hidden().map(NamedGroup::most).sum();
            unseen.count = fullest.map_or_else(sum, |(count, _)| count);
            unseen.share = fullest.map(|(_, share)| share);
            unseen.unbounded = hidden().any(|group| group.unbounded);
            unseen.wait = hidden().filter_map(|group| group.wait).reduce(Wait::longer);
        }
        unseen
    }

    /// Whether a group of hidden owners may have connections that this key means.
    #[must_use]
    pub fn may_be_hidden_in(&self, group: &NamedGroup) -> bool {
        let may_have = |name: &str| group.may_have_hidden(name);
        self.may_be_hidden()
            && match self {
                Self::Owner(name) => {
                    may_have(name) || service(name).is_some_and(|name| may_have(&name))
                }
                Self::User(_)
                | Self::Total
                | Self::Group(_)
                | Self::Type(_)
                | Self::Status(_)
                | Self::LinkLocal(_)
                | Self::Network(_)
                | Self::Range(_)
                | Self::Endpoint(_)
                | Self::Unix(_)
                | Self::Ports(_) => group.hidden,
            }
    }

    /// Whether the key means an owner that may be hidden: one with a name, or a user whose sockets
    /// are not shown with the user's id.
    #[must_use]
    pub fn may_be_hidden(&self) -> bool {
        match self {
            Self::Owner(_) => true,
            Self::User(user) => user.is_by_name() || !user.is_told(),
            Self::Total
            | Self::Group(_)
            | Self::Type(_)
            | Self::Status(_)
            | Self::LinkLocal(_)
            | Self::Network(_)
            | Self::Range(_)
            | Self::Endpoint(_)
            | Self::Unix(_)
            | Self::Ports(_) => false,
        }
    }

    /// The name of a unit, program, process or network namespace; `None` for other keys.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::Owner(name) => Some(name),
            Self::Total
            | Self::Group(_)
            | Self::Type(_)
            | Self::Status(_)
            | Self::LinkLocal(_)
            | Self::Network(_)
            | Self::Range(_)
            | Self::Endpoint(_)
            | Self::Unix(_)
            | Self::Ports(_)
            | Self::User(_) => None,
        }
    }

    /// Whether the key means a user, and all sockets of this user and no others are shown with the
    /// user's id.
    #[must_use]
    pub fn is_of_told_user(&self) -> bool {
        match self {
            Self::User(user) => user.is_told(),
            Self::Total
            | Self::Group(_)
            | Self::Type(_)
            | Self::Status(_)
            | Self::LinkLocal(_)
            | Self::Network(_)
            | Self::Range(_)
            | Self::Endpoint(_)
            | Self::Unix(_)
            | Self::Ports(_)
            | Self::Owner(_) => false,
        }
    }

    /// Whether the key has a part that nothing but the found groups can confirm: the name of an
    /// owner, of a network namespace or of an interface. Such a key may be mistyped.
    #[must_use]
    pub fn may_be_mistyped(&self) -> bool {
        match self {
            Self::User(_) | Self::Owner(_) | Self::Unix(_) | Self::Ports(_) => true,
            Self::LinkLocal(key) => key.interface.is_some(),
            Self::Endpoint(key) => key.interface.is_some() || key.netns.is_some(),
            Self::Total
            | Self::Group(_)
            | Self::Type(_)
            | Self::Status(_)
            | Self::Network(_)
            | Self::Range(_) => false,
        }
    }

    /// The name of a found group that is most like this key, for a key that may be mistyped.
    #[must_use]
    pub fn nearest<'a>(&self, groups: &'a [NamedGroup]) -> Option<&'a str> {
        if !self.may_be_mistyped() {
            return None;
        }
        let stem = |name: &'a str| without_type(name).unwrap_or(name);
        // A unit of a user or guest has the name of that in front, as in
        // `user@1000.service/app.service`, and a port in a namespace has an address.
        let last = |name: &'a str| stem(name.rsplit(['/', ':']).next().unwrap_or(name));
        let key = self.group().name.label;
        // Types alike would make any two names alike. The type itself may be mistyped.
        let with_type = without_type(&key).is_none() && key.contains('.');
        let names = groups.iter().flat_map(NamedGroup::names).take(MOST_COMPARED);
        let forms = names.flat_map(|name| {
            let whole = with_type.then_some(name);
            [stem(name), last(name)].into_iter().chain(whole).map(move |form| (form, name))
        });
        nearest(without_type(&key).unwrap_or(&key), forms)
    }

    /// The group that this key names, without connections.
    #[must_use]
    pub fn group(&self) -> NamedGroup {
        let (group, label) = match self {
            Self::Group(group) => (Some(*group), group.to_string()),
            Self::Total => (None, TOTAL.to_owned()),
            Self::Type(t) => (None, t.name().to_owned()),
            Self::Status(status) => (None, status.name().to_owned()),
            Self::User(key) => (key.id().map(|id| Group::User(Some(id))), key.text.clone()),
            Self::Owner(name) => (None, name.clone()),
            Self::LinkLocal(key) => (None, key.label()),
            Self::Network(network) => (None, network.shown()),
            Self::Range(ports) => (None, ports.to_string()),
            Self::Endpoint(key) => (None, key.label()),
            Self::Unix(key) | Self::Ports(key) => (None, key.text.clone()),
        };
        NamedGroup::without_sockets(group, printable(label.as_bytes()).into())
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

/// The part of a message about the smallest networks that are groups.
const NOT_SMALLER: &str = "not smaller than the groups";

fn port(text: &str, selected: &Among<Ports>) -> Option<Key> {
    let ports: Ports = text.parse().ok()?;
    let key = if ports.first == ports.last {
        Key::Group(Group::Port(ports.first))
    } else {
        Key::Range(ports)
    };
    selected.may_select(&ports).then_some(key)
}

/// Reads the key of a network, which has groups or is one.
fn network(text: &str, selected: &Among<Network>, selection: &Selection) -> Option<Key> {
    let network = text.parse::<Network>().ok()?.canonical();
    let group = Network::around(network.address);
    let is_possible = group.is_within(&network) && may_be_selected(network, selected, selection);
    let key =
        if group == network { Key::Group(Group::Network(network)) } else { Key::Network(network) };
    is_possible.then_some(key)
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    }
}

fn address(text: &str, selected: &Among<Network>, selection: &Selection) -> Option<Key> {
    let (ip, interface) = match text.split_once('%') {
        Some((ip, interface)) => (ip, Some(interface.to_owned())),
        None => (text, None),
    };
    let Ok(ip) = ip.parse::<IpAddr>() else {
        let network = text.parse::<Network>().ok()?.canonical();
        let is_possible = may_be_selected(network, selected, selection);
        return is_possible.then_some(Key::Network(network));
    };
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
fn is_selected(address: IpAddr, selected: &Among<Network>, selection: &Selection) -> bool {
    let is_in = |address| selected.selects(|network| network.contains(address));
    // An IPv4 address belongs to IPv4 sockets, and as an IPv4-mapped address to IPv6 sockets.
    selection.pairs().any(|(t, _)| match (address, t.is_ipv6()) {
        (IpAddr::V4(_), false) | (IpAddr::V6(_), true) => is_in(address),
        (IpAddr::V4(v4), true) => is_in(v4.to_ipv6_mapped().into()),
        (IpAddr::V6(_), false) => false,
    })
}

/// Whether a socket with an address of this network can be selected. An IPv4-mapped address counts as
/// its IPv4 address.
fn may_be_selected(network: Network, selected: &Among<Network>, selection: &Selection) -> bool {
    let mapped = match network.address {
        IpAddr::V4(address) => {
            let address = address.to_ipv6_mapped().into();
            let prefix = network.prefix.saturating_add(128 - 32);
            Some(Network { address, prefix })
        }
        IpAddr::V6(_) => None,
    };
    selection.pairs().any(|(t, _)| match (mapped, t.is_ipv6()) {
        (Some(_), false) | (None, true) => selected.may_select(&network),
        (Some(mapped), true) => selected.may_select(&mapped),
        (None, false) => false,
    })
}

/// Reads the key of an endpoint: `443`, `8000-8099`, `192.0.2.1:443`, `10.0.0.0/8` or
/// `[fe80::1%eth0]:443`. A network namespace may follow, as in `443 in blue`.
fn endpoint(
    text: &str,
    ports: &Among<Ports>,
    addresses: &Among<Network>,
    context: &KeyContext,
) -> Option<Key> {
    let (end, netns) = match text.split_once(NETNS_SEPARATOR) {
        Some((end, netns)) => (end.trim(), Some(netns.trim().to_owned())),
        None => (text, None),
    };
    if netns.is_some() && !context.netns {
        return None;
    }
    let (address, of_key) = ends(end)?;
    let of_key = of_key.map(str::parse::<Ports>).transpose().ok()?;
    let (address, interface) = match address.and_then(|address| address.split_once('%')) {
        Some((address, interface)) => (Some(address), Some(interface.to_owned())),
        None => (address, None),
    };
    let network = address.map(str::parse::<Network>).transpose().ok()?.map(Network::canonical);
    let link_local =
        network.is_some_and(|n| n == Network::of(n.address) && is_link_local(n.address));
    let is_possible = of_key.is_none_or(|of_key| ports.may_select(&of_key))
        && network.is_none_or(|n| may_be_selected(n, addresses, context.selection))
        && interface.as_ref().is_none_or(|name| !name.is_empty() && link_local);
    let key = EndpointKey { network, interface, ports: of_key, netns };
    is_possible.then_some(Key::Endpoint(key))
}

/// The texts of the address and of the ports of an endpoint. An IPv6 address is in brackets, or has the
/// length of a prefix.
fn ends(text: &str) -> Option<(Option<&str>, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.rsplit_once(']')?;
        let ports = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        return Some((Some(address), ports));
    }
    let is_v4 = text.contains('.') && text.bytes().filter(|byte| *byte == b':').count() <= 1;
    if !is_v4 && text.contains(':') && !text.contains('/') {
        // An IPv6 address without brackets may be meant to end with a port: `::1:80`.
        return None;
    }
    Some(match text.split_once(':') {
        Some((address, ports)) if is_v4 => (Some(address), Some(ports)),
        None if !is_v4 => (None, Some(text)),
        Some(_) | None => (Some(text), None),
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;
    use crate::address::UnixSocket;
    use crate::group_name::NetnsName;
    use crate::vocabulary::NetnsIndex;

    const NUMBERS: Numbers = Numbers { most: 1e19, whole: true };

    fn key(text: &str, by: GroupBy) -> Result<Key, Error> {
        let selection = &Selection::default();
        Key::parse(
            text,
            &KeyContext {
                beside: Beside::Total,
                field: Field::Critical,
                numbers: NUMBERS,
                netns: true,
                by,
                selection,
                live: true,
            },
        )
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
            assert_eq!(key(text).unseen_group(&found(may_be_host)).count, most, "{text}");
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
        let link_local = "fe80::1".parse().unwrap_or_else(|e| panic!("{e}"));
        for (text, interface, means) in [
            ("fe80::1%eth0", 3, Some(Specificity::Exact)),
            ("fe80::1%ETH0", 3, Some(Specificity::Exact)),
            ("fe80::1%3", 3, Some(Specificity::Exact)),
            ("fe80::1%4", 3, None),
            ("fe80::1%eth1", 3, None),
            ("fe80::1%eth0", 0, None),
            ("FE80:0::1", 3, Some(Specificity::of_ends(Some(Network::of(link_local)), None))),
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
        let by = |address, interface, netns| {
            Some(Specificity::Endpoint { address, ports: CLOSEST_PORT, interface, netns })
        };
        let web = endpoint_group("[::ffff:192.0.2.1]:443", None, Some("web in 1"));
        let other = endpoint_group("[::]:443", None, None);
        for (text, of_web, of_other) in [
            ("443", by(0, false, false), by(0, false, false)),
            ("192.0.2.1:443", by(33, false, false), None),
            ("[::ffff:192.0.2.1]:443", by(33, false, false), None),
            ("[::]:443", None, by(129, false, false)),
            ("443 in WEB in 1", by(0, false, true), None),
            ("192.0.2.1:443 in web in 1", by(33, false, true), None),
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
            ("[fe80::1%7]:443", by(129, true, false)),
            ("[fe80::1%ETH0]:443", by(129, true, false)),
            ("[fe80::1%eth]:443", None),
            ("[fe80::1]:443 in web", by(129, false, true)),
            ("[fe80::1%7]:443 in web", by(129, true, true)),
            ("[fe80::1%8]:443", None),
        ] {
            assert_eq!(key(text).specificity(&link), of_link, "{text}");
        }
        // From the broadest to the closest.
        let closeness = [
            "1-1000",
            "440-450",
            "443",
            "443 in web",
            "::/0",
            "fe80::/10",
            "[fe80::/10]:443",
            "[fe80::1]",
            "[fe80::1]:1-1000",
            "[fe80::1]:443",
            "[fe80::1]:443 in web",
            "[fe80::1%7]:443",
            "[fe80::1%7]:443 in web",
        ];
        let closeness = closeness.map(|text| key(text).specificity(&link));
        assert!(closeness.is_sorted_by(|a, b| a.is_some() && a < b), "{closeness:?}");
        for text in
            ["10.0.0.0/8", "fe81::/16", "444-450", "[fe80::/10]:80", "192.0.2.1", "[fe80::2]"]
        {
            assert_eq!(key(text).specificity(&link), None, "{text}");
            assert_eq!(key(text).group().label(), text);
        }
    }

    #[test]
    fn a_network_is_the_key_of_its_addresses_and_of_smaller_networks() {
        let address = |text: &str| {
            let ip: IpAddr = text.parse().unwrap_or_else(|e| panic!("{e}"));
            NamedGroup::without_sockets(Some(Group::Address(ip.into())), text.to_owned().into())
        };
        let group = |text: &str| {
            let network: Network = text.parse().unwrap_or_else(|e| panic!("{e}"));
            NamedGroup::without_sockets(Some(Group::Network(network)), text.to_owned().into())
        };
        let (one, twentyfour) = (address("10.1.2.3"), group("10.1.2.0/24"));
        for (text, of_address, of_network) in [
            ("0.0.0.0/0", true, Some(true)),
            ("10.0.0.0/8", true, Some(true)),
            ("::ffff:10.0.0.0/104", true, Some(true)),
            ("10.1.2.0/24", true, Some(true)),
            ("10.1.2.0/25", true, None),
            ("10.1.2.3", true, None),
            ("11.0.0.0/8", false, Some(false)),
            ("::/0", false, Some(false)),
        ] {
            let met = |by, group| key(text, by).map(|key| key.specificity(group).is_some());
            assert!(met(GroupBy::LocalAddress, &one).is_ok_and(|met| met == of_address), "{text}");
            assert_eq!(met(GroupBy::RemoteNetwork, &twentyfour).ok(), of_network, "{text}");
        }
        let closeness = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3"].map(|text| {
            key(text, GroupBy::LocalAddress).ok().and_then(|key| key.specificity(&one))
        });
        assert!(closeness.is_sorted_by(|a, b| a.is_some() && a < b), "{closeness:?}");
    }

    #[test]
    fn the_key_of_a_unix_listener_is_its_name_with_or_without_namespace() {
        let selection = Selection { unix: UnixListeners::WherePossible, ..Selection::default() };
        let context = |netns, selection| KeyContext {
            field: Field::Critical,
            beside: Beside::Nothing,
            numbers: NUMBERS,
            netns,
            by: GroupBy::LocalEndpoint,
            selection,
            live: true,
        };
        let group = |label: &str, netns: Option<&str>, may_be_host| {
            let netns = netns.map(|label| {
                Arc::new(NetnsName { label: label.into(), may_be_host, ..NetnsName::default() })
            });
            let socket = UnixSocket { cookie: 1, netns: NetnsIndex::OWN };
            let name = GroupName { label: label.to_owned(), interface: None, netns };
            let mut group = NamedGroup::without_sockets(Some(Group::Unix(socket)), name);
            group.count = 5;
            group
        };
        let means = |text: &str, group: &NamedGroup| {
            let netns = group.name.netns.is_some();
            let key = Key::parse(text, &context(netns, &selection));
            let key = key.unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(key.group().label(), text);
            key.specificity(group)
        };
        let (address, ports) = (CLOSEST, CLOSEST_PORT);
        let named = |netns| Some(Specificity::Endpoint { address, ports, interface: false, netns });
        let alone = group("/run/php/fpm.sock", None, false);
        for (text, expected) in [
            ("/run/php/fpm.sock", named(false)),
            ("/run/php/FPM.sock", None),
            ("/run/php/fpm", None),
            ("@/run/php/fpm.sock", None),
            ("/run/php/fpm.sock in blue", None),
        ] {
            assert_eq!(means(text, &alone), expected, "{text}");
        }
        let within = group("/a in b in blue", Some("blue"), false);
        for (text, expected) in [
            ("/a in b", named(false)),
            ("/a in b in BLUE", named(true)),
            ("/a in b in red", None),
            ("/a in blue", None),
            ("/a", None),
        ] {
            assert_eq!(means(text, &within), expected, "{text}");
        }
        assert_eq!(means("/a", &endpoint_group("[::]:443", None, None)), None);
        // The listener may be the host's.
        let unknown = group("/a in x", Some("x"), true);
        let key = |text| {
            let key = Key::parse(text, &context(true, &selection));
            key.unwrap_or_else(|e| panic!("{text}: {e}"))
        };
        assert_eq!(key("/a in host").unseen_group(std::slice::from_ref(&unknown)).count, 5);
        assert_eq!(key("/b in host").unseen_group(&[unknown]).count, 0);
        // Where unix listeners are not read, and for a port, nothing changes.
        let unread = Selection::default();
        assert!(Key::parse("/a", &context(false, &unread)).is_err());
        assert!(Key::parse("run/a", &context(false, &selection)).is_err());
        assert!(matches!(Key::parse("80", &context(false, &selection)), Ok(Key::Endpoint(_))));
    }

    #[test]
    fn other_texts_are_refused_as_the_key_of_an_endpoint() {
        for text in [
            "444-443",
            "192.0.2.1/24",
            "192.0.2.1:",
            "192.0.2.1:80:443",
            "[fe80::/10%eth0]:443",
            "web",
            "0x1:443",
            "::1",
            "::1:80",
            "[::1]80",
            "[fe80::1%]:443",
            "[2001:db8::1%eth0]:443",
        ] {
            assert!(key(text, GroupBy::LocalEndpoint).is_err(), "{text}");
        }
        let selection = &Selection {
            remote_ports: vec![Ports::of(443)].into(),
            remote_addresses: vec![Network::of(IpAddr::from([192, 0, 2, 1]))].into(),
            ..Selection::default()
        };
        let by = GroupBy::RemoteEndpoint;
        let context = KeyContext {
            field: Field::Critical,
            beside: Beside::Nothing,
            numbers: NUMBERS,
            netns: false,
            by,
            selection,
            live: true,
        };
        for (text, valid) in [
            ("443", true),
            ("80", false),
            ("1-1000", true),
            ("444-1000", false),
            ("192.0.0.0/16", true),
            ("192.1.0.0/16", false),
            ("::/0", false),
            ("192.0.2.0/24:443", true),
            ("192.0.2.0/24:80", false),
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
        let context = KeyContext {
            beside: Beside::Total,
            field: Field::Critical,
            numbers: NUMBERS,
            netns: false,
            by,
            selection,
            live: true,
        };
        let group = |text: &str| {
            let mut key = Key::parse(text, &context)?;
            key.look_up_user(&context, &|name| {
                let id = if name == "webapp" { Some(33) } else { name.parse().ok() };
                Ok(id.map(|id| UserId { id, is_told: id < 1000 }))
            })?;
            Ok::<_, Error>((key.group().group, key.may_be_hidden()))
        };
        assert!(group("webapp").is_ok_and(|g| g == (Some(Group::User(Some(33))), true)));
        assert!(group("34").is_ok_and(|g| g == (Some(Group::User(Some(34))), false)));
        // The user has no id here, and may be among those that share one.
        assert!(group("1000").is_ok_and(|g| g == (Some(Group::User(Some(1000))), true)));
        assert!(group("(KERNEL)").is_ok_and(|g| g == (Some(Group::User(None)), false)));
        let refused = group("webap").err().map(|error| error.to_string());
        let expected = "\"webap\" is the key of no group that can be selected here (valid: total, \
                        the name or id of a user of this host)";
        assert_eq!(refused.as_deref(), Some(expected));
    }

    fn owned(group: Group, label: &str, processes: &[(u32, &str)]) -> NamedGroup {
        NamedGroup::owned(group, label, 1, processes, &[])
    }

    #[test]
    fn the_key_of_a_unit_without_a_type_means_the_service() {
        let unit = |label: &str| owned(Group::Cgroup(Some(7)), label, &[]);
        for (text, label, means) in [
            ("shop", "shop.service", true),
            ("Shop", "shop.service", true),
            ("shop.service", "shop.service", true),
            ("shop", "shop.socket", false),
            ("shop.socket", "shop.socket", true),
            ("shop.socket", "shop.socket.service", false),
            ("shop", "shopd.service", false),
            ("shop.v2", "shop.v2.service", true),
            ("user@1000", "user@1000.service", true),
            ("lxc:web1/shop", "lxc:web1/shop.service", true),
            ("/shop", "/shop", true),
            ("shop", "user@1000.service/shop.service", false),
        ] {
            let key = key(text, GroupBy::Unit).unwrap_or_else(|e| panic!("{text}: {e}"));
            let expected = means.then_some(Specificity::Exact);
            assert_eq!(key.specificity(&unit(label)), expected, "{text} {label}");
            // The key of a hidden unit follows the same rule.
            let hidden = NamedGroup::hidden_below(&[label], 5);
            assert_eq!(key.may_be_hidden_in(&hidden), means, "{text} {label}");
        }
        // A process has no type.
        let process = owned(Group::Process(7), "shop.service (7)", &[(7, "shop.service")]);
        let key = key("shop", GroupBy::Process).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(key.specificity(&process), None);
    }

    #[test]
    fn a_key_that_may_be_mistyped_has_a_nearest_name() {
        let units = ["sshd.service", "user@1000.service/shopd.service", "(gone)", "docker:0a1b"]
            .map(|label| owned(Group::Cgroup(Some(7)), label, &[]));
        let processes = [
            owned(Group::Process(1), "nginx (7) +1", &[(7, "nginx"), (8, "nginx-debug")]),
            owned(Group::Process(2), "(no process)", &[]),
        ];
        let ends = [endpoint_group("[::]:443", None, Some("blue"))];
        for (by, text, groups, expected) in [
            (GroupBy::Unit, "shop", &units[..], Some("user@1000.service/shopd.service")),
            (GroupBy::Unit, "ssh.service", &units, Some("sshd.service")),
            (GroupBy::Unit, "docker:0a1c", &units, Some("docker:0a1b")),
            (GroupBy::Unit, "(gon)", &units, None),
            (GroupBy::Unit, "postgres", &units, None),
            (GroupBy::Unit, "nginx.service", &units, None),
            (GroupBy::Unit, "sshd.servce", &units, Some("sshd.service")),
            (GroupBy::Process, "ngnix", &processes, Some("nginx")),
            (GroupBy::Process, "no process", &processes, None),
            (GroupBy::LocalEndpoint, "443", &ends, None),
            (GroupBy::LocalEndpoint, "443 in bleu", &ends, Some("[::]:443")),
        ] {
            let key = key(text, by).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(key.nearest(groups), expected, "{text}");
        }
    }
}
