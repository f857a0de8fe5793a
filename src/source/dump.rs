//! The request that every source answers.

use crate::deadline::Deadline;
use crate::namespaces::View;
use crate::selection::Selection;
use crate::source::door::Door;
use crate::vocabulary::{NetnsIndex, Protocol};

/// A request for the selected sockets of one protocol in one network namespace.
#[derive(Clone, Copy)]
pub struct Dump<'a> {
    /// The protocol.
    pub protocol: Protocol,
    /// The selection; types of other protocols are ignored.
    pub selection: &'a Selection,
    /// The namespace that the sockets are in.
    pub netns: NetnsIndex,
    /// The way in which the namespace is read.
    pub view: &'a View,
    /// The socket of that namespace.
    pub door: &'a Door,
    /// The time that is left.
    pub deadline: &'a Deadline<'a>,
}
