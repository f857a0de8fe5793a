//! The `network_connections._core` module: converts arguments, releases the GIL around the kernel
//! work and maps errors. All logic is in the other modules of the crate.

mod arguments;
mod command;
mod connections;
mod counts;
mod errors;
mod fields;
mod gil;
mod logging;
mod psutil;
mod range;
mod summary;
mod table;

use pyo3::prelude::*;

/// Counts a host's TCP and UDP sockets; see the package `network_connections`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::command::{choice, options, run};
    #[pymodule_export]
    use super::connections::{Connection, connections};
    #[pymodule_export]
    use super::counts::{CheckResult, check, count_connections};
    #[pymodule_export]
    use super::logging::{has_records, log_records, records};
    #[pymodule_export]
    use super::psutil::inet_sockets;
    #[pymodule_export]
    use super::range::Range;
    #[pymodule_export]
    use super::summary::{SocketSummary, socket_summary};
    #[pymodule_export]
    use super::table::{ConnectionTable, connections_table};

    #[pymodule_export]
    const DESCRIPTION: &str = crate::cli::pages::text::DESCRIPTION;

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
