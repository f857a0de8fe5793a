//! Sockets with their processes and descriptors, for the module `network_connections.psutil`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::check::Query;
use crate::error::Error;
use crate::name::{Named, named};
use crate::plan::Plan;
use crate::python::gil::{guarded, released};
use crate::python::table::address;
use crate::run;
use crate::selection::{Choice, Selection};
use crate::vocabulary::{ConnectionStatus, ConnectionType};

/// The original has no time limit.
const TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Columns with an item for each socket: its descriptor, the place of its type, its local address and
/// port, its remote ones, its status and its process.
type Columns<'py> = (
    Vec<i32>,
    Vec<u8>,
    Vec<Bound<'py, PyString>>,
    Vec<u16>,
    Vec<Bound<'py, PyString>>,
    Vec<i32>,
    Vec<Bound<'py, PyString>>,
    Vec<Option<u32>>,
);

/// The sockets of these types.
#[pyfunction]
pub fn inet_sockets(py: Python<'_>, types: Vec<String>) -> PyResult<Columns<'_>> {
    guarded(|| {
        let types = types.into_iter().map(|name| named::<ConnectionType>(&name));
        let types: Vec<_> = types.collect::<Result<_, _>>().map_err(Error::from)?;
        let selection = Selection { types: Choice::of(&types), ..Selection::default() };
        let query = Query { selection, timeout: TIMEOUT, ..Query::default() };
        let plan = Plan::of_list(query)?;
        let (rows, owners) = released(py, |interrupted| {
            let rows = run::table(&plan, interrupted)?.rows;
            let keys: Vec<_> =
                rows.key.iter().map(|key| u64::try_from(*key).unwrap_or_default()).collect();
            let owners = run::descriptors(&plan, &keys, interrupted)?;
            Ok((rows, owners))
        })?;
        let statuses: Vec<_> = ConnectionStatus::VALUES
            .iter()
            .map(|status| PyString::intern(py, status.name()))
            .collect();
        let status = |place: &u8| statuses.get(usize::from(*place)).cloned();
        let texts = |octets: &[[u8; 16]]| {
            let mut last: Option<(u8, [u8; 16], Bound<'_, PyString>)> = None;
            let mut all = Vec::with_capacity(octets.len());
            for (octets, t) in octets.iter().zip(&rows.connection_type) {
                let same = last.as_ref().filter(|(of, same, _)| of == t && same == octets);
                let text = same.map_or_else(
                    || PyString::new(py, &text(address(*t, *octets))),
                    |(.., text)| text.clone(),
                );
                all.push(text.clone());
                last = Some((*t, *octets, text));
            }
            all
        };
        Ok((
            owners.iter().map(|owner| owner.map_or(-1, |(_, descriptor)| descriptor)).collect(),
            rows.connection_type.clone(),
            texts(&rows.local_address),
            rows.local_port,
            texts(&rows.remote_address),
            rows.remote_port,
            rows.status.iter().filter_map(status).collect(),
            owners.iter().map(|owner| owner.map(|(pid, _)| pid)).collect(),
        ))
    })
}

/// An address as `inet_ntop` of glibc writes it: also an IPv4-compatible address (RFC 4291, section
/// 2.5.5.1) ends in an IPv4 address.
fn text(ip: IpAddr) -> String {
    match ip {
        IpAddr::V6(ip) if is_compatible(ip) => {
            let [.., a, b, c, d] = ip.octets();
            format!("::{}", Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => ip.to_string(),
    }
}

fn is_compatible(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [0, 0, 0, 0, 0, 0, high, _] if high != 0)
}
