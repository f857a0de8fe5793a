//! Connections as Python objects.

use std::net::SocketAddr;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyTuple};

use crate::address::with_interface;
use crate::cli::options::Api;
use crate::collect::connections as collected;
use crate::error::Error;
use crate::name::{Named, named};
use crate::owner::Process;
use crate::python::arguments;
use crate::python::fields::{fields, named_tuple, reduced};
use crate::python::gil::{guarded, released};
use crate::run;
use crate::stuck::Wait;
use crate::vocabulary::NetnsIndex;

/// One connection, as `ss -antup` shows it.
#[pyclass(module = "network_connections", frozen, eq, hash)]
#[derive(PartialEq, Eq, Hash)]
pub struct Connection(collected::Connection);

type Processes = Vec<(u32, String)>;

#[pymethods]
impl Connection {
    #[new]
    #[pyo3(signature = (
        r#type, status, local_address, local_port, remote_address=None, remote_port=None,
        recv_queue=None, send_queue=None, inode=None, uid=None, user=None, unit=None,
        processes=None, netns=None, last_sent=None, last_received=None, stuck=None,
        stuck_most=None, stuck_kind=None, drops=None, timer=None, retransmits=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        r#type: &str,
        status: &str,
        local_address: &str,
        local_port: u16,
        remote_address: Option<&str>,
        remote_port: Option<u16>,
        recv_queue: Option<u32>,
        send_queue: Option<u32>,
        inode: Option<u64>,
        uid: Option<u32>,
        user: Option<&str>,
        unit: Option<&str>,
        processes: Option<Processes>,
        netns: Option<&str>,
        last_sent: Option<f64>,
        last_received: Option<f64>,
        stuck: Option<f64>,
        stuck_most: Option<f64>,
        stuck_kind: Option<&str>,
        drops: Option<u32>,
        timer: Option<&str>,
        retransmits: Option<u8>,
    ) -> PyResult<Self> {
        guarded(|| {
            if remote_address.is_some() != remote_port.is_some() {
                let missing = "remote_address and remote_port go together".to_owned();
                return Err(Error::Argument(missing).into());
            }
            let (local, local_interface) = end(local_address, local_port)?;
            let remote = remote_address.zip(remote_port);
            let remote = remote.map(|(address, port)| end(address, port)).transpose()?;
            let (remote, remote_interface) =
                remote.map_or((None, None), |(end, name)| (Some(end), name));
            let processes = processes.map(|processes| {
                let process = |(pid, name): (u32, String)| Process::new(pid, name);
                processes.into_iter().map(process).collect()
            });
            let least = milliseconds("stuck", stuck)?;
            let most = milliseconds("stuck_most", stuck_most)?.or(least);
            Ok(Self(collected::Connection {
                last_sent: milliseconds("last_sent", last_sent)?,
                last_received: milliseconds("last_received", last_received)?,
                stuck: least.zip(most).map(|(least, most)| Wait { least, most }),
                stuck_kind: stuck_kind.map(named).transpose().map_err(Error::from)?,
                drops,
                timer: timer.map(named).transpose().map_err(Error::from)?,
                retransmits,
                connection_type: named(r#type).map_err(Error::from)?,
                status: named(status).map_err(Error::from)?,
                local,
                remote,
                local_interface,
                remote_interface,
                recv_queue,
                send_queue,
                inode,
                uid,
                user: user.map(Into::into),
                unit: unit.map(Into::into),
                processes,
                netns: netns.map(Into::into),
                netns_index: NetnsIndex::OWN,
                cgroup: None,
            }))
        })
    }

    #[getter]
    fn r#type(&self) -> &'static str {
        self.0.connection_type.name()
    }

    #[getter]
    fn status(&self) -> &'static str {
        self.0.status.name()
    }

    #[getter]
    fn local_address(&self) -> String {
        with_interface(self.0.local.ip(), self.0.local_interface.as_deref())
    }

    #[getter]
    fn local_port(&self) -> u16 {
        self.0.local.port()
    }

    #[getter]
    fn remote_address(&self) -> Option<String> {
        let interface = self.0.remote_interface.as_deref();
        self.0.remote.map(|remote| with_interface(remote.ip(), interface))
    }

    #[getter]
    fn remote_port(&self) -> Option<u16> {
        self.0.remote.map(|remote| remote.port())
    }

    #[getter]
    fn recv_queue(&self) -> Option<u32> {
        self.0.recv_queue
    }

    #[getter]
    fn send_queue(&self) -> Option<u32> {
        self.0.send_queue
    }

    #[getter]
    fn inode(&self) -> Option<u64> {
        self.0.inode
    }

    #[getter]
    fn uid(&self) -> Option<u32> {
        self.0.uid
    }

    #[getter]
    fn user(&self) -> Option<&str> {
        self.0.user.as_deref()
    }

    #[getter]
    fn unit(&self) -> Option<&str> {
        self.0.unit.as_deref()
    }

    #[getter]
    fn processes<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let Some(processes) = &self.0.processes else {
            return Ok(None);
        };
        let named = |process: &Process| named_tuple(py, "Process", (process.pid, &*process.name));
        guarded(|| {
            let processes = processes.iter().map(named).collect::<PyResult<Vec<_>>>()?;
            PyTuple::new(py, processes).map(Some)
        })
    }

    #[getter]
    fn netns(&self) -> Option<&str> {
        self.0.netns.as_deref()
    }

    #[getter]
    fn last_sent(&self) -> Option<f64> {
        self.0.last_sent.map(seconds)
    }

    #[getter]
    fn last_received(&self) -> Option<f64> {
        self.0.last_received.map(seconds)
    }

    #[getter]
    fn stuck(&self) -> Option<f64> {
        self.0.stuck.map(|wait| seconds(wait.least))
    }

    #[getter]
    fn stuck_most(&self) -> Option<f64> {
        self.0.stuck.map(|wait| seconds(wait.most))
    }

    #[getter]
    fn stuck_kind(&self) -> Option<&'static str> {
        self.0.stuck_kind.map(Named::name)
    }

    #[getter]
    fn drops(&self) -> Option<u32> {
        self.0.drops
    }

    #[getter]
    fn timer(&self) -> Option<&'static str> {
        self.0.timer.map(Named::name)
    }

    #[getter]
    fn retransmits(&self) -> Option<u8> {
        self.0.retransmits
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        fields(slf.as_any(), "Connection", &FIELDS)
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        reduced(slf.as_any(), &FIELDS)
    }
}

/// One end of a connection, and the interface that `fe80::1%eth0` names.
fn end(address: &str, port: u16) -> Result<(SocketAddr, Option<Arc<str>>), Error> {
    let (ip, interface) = match address.split_once('%') {
        Some((ip, interface)) => (ip, Some(interface)),
        None => (address, None),
    };
    let end = ip.parse().map(|ip| SocketAddr::new(ip, port));
    match (end, interface) {
        (Ok(end), None) => Ok((end, None)),
        (Ok(end @ SocketAddr::V6(_)), Some(name)) if !name.is_empty() && !name.contains('%') => {
            Ok((end, Some(name.into())))
        }
        (Ok(_) | Err(_), _) => Err(Error::Argument(format!("{address:?} is no IP address"))),
    }
}

/// Milliseconds as seconds.
fn seconds(milliseconds: u32) -> f64 {
    f64::from(milliseconds) / 1000.0
}

/// Seconds as milliseconds.
fn milliseconds(name: &str, seconds: Option<f64>) -> Result<Option<u32>, Error> {
    let whole = |seconds: f64| {
        let milliseconds = (seconds * 1000.0).round();
        let is_possible = (0.0..=f64::from(u32::MAX)).contains(&milliseconds);
        // The number was compared.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        is_possible.then_some(milliseconds as u32).ok_or_else(|| {
            Error::Argument(format!(
                "{name}: {seconds} is not a number of seconds from 0 to 4294967"
            ))
        })
    };
    seconds.map(whole).transpose()
}

const FIELDS: [&str; 22] = [
    "type",
    "status",
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "recv_queue",
    "send_queue",
    "inode",
    "uid",
    "user",
    "unit",
    "processes",
    "netns",
    "last_sent",
    "last_received",
    "stuck",
    "stuck_most",
    "stuck_kind",
    "drops",
    "timer",
    "retransmits",
];

#[doc = include_str!("docs/connections.txt")]
// The text is for Python.
#[allow(clippy::doc_markdown, clippy::doc_lazy_continuation, clippy::doc_link_with_quotes)]
#[pyfunction]
#[pyo3(
    signature = (types=None, statuses=None, *, processes=None, **keywords),
    // Generated by `make generate`: connections().
    text_signature = "(types=None, statuses=None, *, direction=None, \
local_address=None, local_port=None, netns=None, processes=False, \
remote_address=None, remote_port=None, source='auto', stuck=None, timeout=8.0)"
)]
pub fn connections<'py>(
    py: Python<'py>,
    types: Option<&Bound<'py, PyAny>>,
    statuses: Option<&Bound<'py, PyAny>>,
    processes: Option<&Bound<'py, PyAny>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Vec<Connection>> {
    guarded(|| {
        let plan = arguments::plan(Api::Connections, types, statuses, keywords)?;
        let processes = processes.map(|value| arguments::switch("processes", value)).transpose()?;
        let processes = processes.unwrap_or_default();
        let found = released(py, |interrupted| run::connections(&plan, processes, interrupted))?;
        Ok(found.into_iter().map(Connection).collect())
    })
}
