//! Measures: the numbers that a check judges. Each measure is defined in one file, from the groups
//! that it implies to the series that it prints.

pub mod counted;
pub mod definition;
pub mod share;

use crate::measure::definition::Definition;
use crate::name::Named;

/// Defines [`Measure`] and the modules behind its values. Each module has a `DEFINITION`.
macro_rules! measures {
    ($($(#[$doc:meta])* $variant:ident = $module:ident,)*) => {
        $(pub mod $module;)*

        /// The number that is judged of each group.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum Measure {
            $($(#[$doc])* $variant,)*
        }

        impl Measure {
            /// The definition of this measure.
            #[must_use]
            pub const fn definition(self) -> &'static Definition {
                match self {
                    $(Self::$variant => &$module::DEFINITION,)*
                }
            }
        }

        impl Named for Measure {
            const VALUES: &'static [Self] = &[$(Self::$variant),*];
            const WHAT: &'static str = "measure";

            fn name(self) -> &'static str {
                self.definition().name
            }
        }
    };
}

measures! {
    /// The number of connections of each group.
    #[default]
    Connections = connections,
    /// The connections that wait in the accept queue of each listener, in percent of its limit.
    AcceptQueue = accept_queue,
    /// The connections in `SYN_RECV` of each listener, in percent of its backlog.
    SynQueue = syn_queue,
    /// The bytes in the receive buffer of each UDP socket, in percent of its limit.
    ReceiveBuffer = receive_buffer,
    /// The ephemeral ports in use towards each destination, in percent of all ephemeral ports.
    EphemeralPorts = ephemeral_ports,
    /// The open files of each process and of the host, in percent of their limit.
    OpenFiles = open_files,
    /// The seconds for which the longest connection of each group has been stuck.
    Stuck = stuck,
    /// The numbers that the kernel limits for all programs, in percent of these limits.
    HostLimits = host_limits,
    /// Every other measure of what runs out, each with built-in thresholds.
    Exhaustion = exhaustion,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;
    use crate::group::GroupBy;
    use crate::vocabulary::{ConnectionStatus, Protocol};

    #[test]
    fn a_measure_that_implies_groups_refuses_fields_that_choose_them() {
        let implied = |measure: Measure| {
            let implied = measure.definition().implied.as_ref();
            implied.map(|implied| (implied.group_by, implied.protocols, implied.statuses))
        };
        let listen = &[ConnectionStatus::Listen][..];
        let queued = &[ConnectionStatus::Listen, ConnectionStatus::SynRecv][..];
        let (local, remote) = (GroupBy::LocalEndpoint, GroupBy::RemoteEndpoint);
        let both = &[Protocol::Tcp, Protocol::Udp][..];
        let ports = if cfg!(windows) { &[Protocol::Tcp][..] } else { both };
        for (measure, expected) in [
            (Measure::Connections, None),
            (Measure::AcceptQueue, Some((local, &[Protocol::Tcp, Protocol::Unix][..], listen))),
            (Measure::SynQueue, Some((local, &[Protocol::Tcp], queued))),
            (Measure::ReceiveBuffer, Some((local, &[Protocol::Udp], &[][..]))),
            (Measure::EphemeralPorts, Some((remote, ports, &[][..]))),
            (Measure::OpenFiles, Some((GroupBy::Process, &[], &[][..]))),
            (Measure::Stuck, Some((GroupBy::Kind, &[Protocol::Tcp], &[][..]))),
            (Measure::HostLimits, Some((GroupBy::Limit, &[], &[][..]))),
            (Measure::Exhaustion, Some((GroupBy::Process, &[], &[][..]))),
        ] {
            assert_eq!(implied(measure), expected);
        }
        for measure in Measure::VALUES {
            let definition = measure.definition();
            let refuses = |field| definition.refuses(field);
            // The kinds are the groups of stuck connections where no others are asked for, limits may be
            // asked for by the name of their kind, and processes have groups of several kinds.
            let names_kind =
                [Measure::Stuck, Measure::HostLimits, Measure::OpenFiles].contains(measure);
            let decides = definition.implied.is_some() && !names_kind;
            assert_eq!(refuses(Field::GroupBy), decides, "{measure:?}");
            assert_eq!(refuses(Field::Zero), definition.implied.is_some(), "{measure:?}");
            let default =
                definition.implied.as_ref().map_or(GroupBy::default(), |implied| implied.group_by);
            assert!((definition.has_groups_by)(default), "{measure:?}");
        }
    }
}
