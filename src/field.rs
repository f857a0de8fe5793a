//! The fields of a check that a plan may refuse, so that the error can name the field.

use std::fmt;

use crate::name::{Named, named_enum};

named_enum! {
    /// A field of [`Check`](crate::Check) that may be refused. Each field has an option of the
    /// command, and a keyword of the Python module.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Field("field") {
        /// `query.selection.types`
        Types = "types",
        /// `query.selection.statuses`
        Statuses = "statuses",
        /// `query.selection.local_ports`
        LocalPorts = "local_ports",
        /// `query.selection.remote_ports`
        RemotePorts = "remote_ports",
        /// `query.selection.local_addresses`
        LocalAddresses = "local_addresses",
        /// `query.selection.remote_addresses`
        RemoteAddresses = "remote_addresses",
        /// `query.selection.direction`
        Direction = "direction",
        /// `query.selection.stuck`
        Stuck = "stuck",
        /// `query.netns`
        Netns = "netns",
        /// `query.source`
        Source = "source",
        /// `query.measure`
        Measure = "measure",
        /// `query.group_by`
        GroupBy = "group_by",
        /// `query.zero`
        Zero = "zero",
        /// `policy.warning`
        Warning = "warning",
        /// `policy.critical`
        Critical = "critical",
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
