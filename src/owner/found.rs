//! Users and units, as they are looked up.

use std::collections::HashMap;
use std::sync::Arc;

/// A user that a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserId {
    /// The id in this user namespace.
    pub id: u32,
    /// Whether every socket of this user is shown with this id, and no other socket is. All users
    /// without an id in this user namespace share one.
    pub is_told: bool,
}

/// The id that a text in digits stands for.
pub fn id_in(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// The names of units, looked up by cgroup.
#[derive(Clone, Debug, Default)]
pub struct Units {
    /// The names by cgroup id.
    pub names: HashMap<u64, Arc<str>>,
    /// The names that the names of all unseen cgroups begin with; empty where they may have any.
    pub outer: Arc<[String]>,
}
