//! The name of a group, in the parts that a threshold's key can name.

use std::sync::Arc;

/// The separator between an endpoint and the name of its network namespace.
pub const NETNS_SEPARATOR: &str = " in ";

/// The name of the host, and of the network namespace of its first process.
pub const HOST: &str = "host";

/// The name of a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetnsName {
    /// The name as it is printed.
    pub label: Arc<str>,
    /// The name without the process id that tells it apart from others.
    pub common: Option<String>,
    /// Whether it may be the host's own namespace, which cannot be identified.
    pub may_be_host: bool,
}

impl NetnsName {
    /// The name of the host's own namespace.
    #[must_use]
    pub fn host() -> Self {
        Self { label: HOST.into(), ..Self::default() }
    }

    /// Whether a key names it, alone or among others.
    #[must_use]
    pub fn is_called(&self, key: &str) -> bool {
        let is = |name: &str| name.eq_ignore_ascii_case(key);
        is(&self.label) || self.common.as_deref().is_some_and(is)
    }

    /// Whether a key may name it.
    #[must_use]
    pub fn may_be_called(&self, key: &str) -> bool {
        self.may_be_host && key.eq_ignore_ascii_case(HOST)
    }
}

/// The name of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupName {
    /// The whole name as it is printed, for example `[fe80::1%eth0]:443 in blue`.
    pub label: String,
    /// The name of the interface that a link-local address belongs to.
    pub interface: Option<Arc<str>>,
    /// The name of its network namespace, where namespaces were asked for.
    pub netns: Option<Arc<NetnsName>>,
}

impl GroupName {
    /// The name as it is printed, without the network namespace.
    #[must_use]
    pub fn without_netns(&self) -> &str {
        let inner = self.netns.as_ref().and_then(|netns| {
            self.label.strip_suffix(&*netns.label)?.strip_suffix(NETNS_SEPARATOR)
        });
        inner.unwrap_or(&self.label)
    }
}

impl From<String> for GroupName {
    fn from(label: String) -> Self {
        Self { label, ..Self::default() }
    }
}
