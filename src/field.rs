//! The fields of a check, so that an error can name the one that is wrong.

use std::fmt;

use crate::name::{Named, named_enum};

named_enum! {
    /// A field of [`Check`](crate::Check). The command has an option for each, the Python module a
    /// keyword.
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
        /// `query.measure`
        Measure = "measure",
        /// `query.group_by`
        GroupBy = "group_by",
        /// `query.zero`
        Zero = "zero",
        /// `query.netns`
        Netns = "netns",
        /// `query.source`
        Source = "source",
        /// `query.timeout`
        Timeout = "timeout",
        /// `policy.warning`
        Warning = "warning",
        /// `policy.critical`
        Critical = "critical",
        /// `policy.no_match`
        NoMatch = "no_match",
        /// `policy.always_ok`
        AlwaysOk = "always_ok",
        /// `presentation.top`
        Top = "top",
        /// `presentation.perfdata`
        Perfdata = "perfdata",
        /// `presentation.lengthy`
        Lengthy = "lengthy",
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
