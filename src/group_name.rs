//! The name of a group, in the parts that a threshold's key can name.

use std::sync::Arc;

/// The separator between an endpoint and the name of its network namespace.
pub const NETNS_SEPARATOR: &str = " in ";

/// The name of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupName {
    /// The whole name as it is printed, for example `[fe80::1%eth0]:443 in blue`.
    pub label: String,
    /// The name of the interface that a link-local address belongs to.
    pub interface: Option<Arc<str>>,
    /// The name of the network namespace of an endpoint, where namespaces were asked for.
    pub netns: Option<Arc<str>>,
}

impl From<String> for GroupName {
    fn from(label: String) -> Self {
        Self { label, ..Self::default() }
    }
}
