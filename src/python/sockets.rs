//! Connections and sums of sockets as Python objects.

use std::net::SocketAddr;

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyTuple};

use super::{arguments, released};
use crate::cli::{self, Api};
use crate::error::Error;
use crate::owner::Process;
use crate::selection::named;
use crate::sockets::Socket;

/// One connection, as `ss -antup` shows it.
#[pyclass(module = "network_connections", frozen, eq, hash)]
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Connection(Socket);

type Processes = Vec<(u32, String)>;

#[pymethods]
impl Connection {
    #[new]
    #[pyo3(signature = (
        r#type, status, local_address, local_port, remote_address=None, remote_port=None,
        recv_queue=None, send_queue=None, inode=None, uid=None, user=None, unit=None,
        processes=None
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
    ) -> PyResult<Self> {
        let endpoint = |address: &str, port| -> PyResult<SocketAddr> {
            let wrong = |_| Error::Argument(format!("{address:?} is no IP address"));
            Ok(SocketAddr::new(address.parse().map_err(wrong)?, port))
        };
        if remote_address.is_some() != remote_port.is_some() {
            let missing = "remote_address and remote_port go together".to_owned();
            return Err(Error::Argument(missing).into());
        }
        let remote = remote_address.zip(remote_port);
        let processes = processes.map(|processes| {
            let process = |(pid, name): (u32, String)| Process { pid, name: name.into() };
            processes.into_iter().map(process).collect()
        });
        Ok(Self(Socket {
            connection_type: named(r#type)?,
            status: named(status)?,
            local: endpoint(local_address, local_port)?,
            remote: remote.map(|(address, port)| endpoint(address, port)).transpose()?,
            recv_queue,
            send_queue,
            inode,
            uid,
            user: user.map(Into::into),
            unit: unit.map(Into::into),
            processes,
            cgroup: None,
        }))
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
        self.0.local.ip().to_string()
    }

    #[getter]
    fn local_port(&self) -> u16 {
        self.0.local.port()
    }

    #[getter]
    fn remote_address(&self) -> Option<String> {
        self.0.remote.map(|remote| remote.ip().to_string())
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
        PyTuple::new(py, processes.iter().map(|process| (process.pid, &*process.name))).map(Some)
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

const FIELDS: [&str; 13] = [
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
];

/// `Name(field=value, …)`
fn fields(object: &Bound<'_, PyAny>, name: &str, fields: &[&str]) -> PyResult<String> {
    let fields = fields
        .iter()
        .map(|field| Ok(format!("{field}={}", object.getattr(*field)?.repr()?)))
        .collect::<PyResult<Vec<_>>>()?;
    Ok(format!("{name}({})", fields.join(", ")))
}

/// What `pickle` makes an object from: its type and its fields.
fn reduced<'py>(
    object: &Bound<'py, PyAny>,
    fields: &[&str],
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
    let values = fields.iter().map(|field| object.getattr(*field));
    let values = PyTuple::new(object.py(), values.collect::<PyResult<Vec<_>>>()?)?;
    Ok((object.get_type().into_any(), values))
}

/// This host's connections themselves, in the kernel's order.
///
/// Keywords select as in `count_connections`; `processes=True` adds the processes that have each
/// connection.
#[pyfunction]
#[pyo3(
    signature = (types=None, statuses=None, *, processes=false, **keywords),
    text_signature = "(types=None, statuses=None, *, processes=False, local_port=None, \
remote_port=None, local_address=None, remote_address=None, source='auto', timeout=8.0)"
)]
pub(super) fn connections<'py>(
    py: Python<'py>,
    types: Option<&Bound<'py, PyAny>>,
    statuses: Option<&Bound<'py, PyAny>>,
    processes: bool,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Vec<Connection>> {
    let check = cli::check(&arguments(Api::Connections, types, statuses, keywords)?)?;
    let sockets = released(py, |interrupted| check.sockets(processes, interrupted))?;
    Ok(sockets.into_iter().map(Connection).collect())
}

/// The kernel's own sums of sockets, as `ss -s` shows them.
#[pyclass(module = "network_connections", frozen, eq, hash, get_all)]
#[derive(PartialEq, Eq, Hash)]
pub(super) struct SocketSummary {
    sockets: u64,
    tcp: u64,
    tcp_established: u64,
    tcp_closed: u64,
    tcp_orphaned: u64,
    tcp_time_wait: u64,
    tcp4: u64,
    tcp6: u64,
    udp4: u64,
    udp6: u64,
    raw4: u64,
    raw6: u64,
    frag4: u64,
    frag6: u64,
}

const SUMS: [&str; 14] = [
    "sockets",
    "tcp",
    "tcp_established",
    "tcp_closed",
    "tcp_orphaned",
    "tcp_time_wait",
    "tcp4",
    "tcp6",
    "udp4",
    "udp6",
    "raw4",
    "raw6",
    "frag4",
    "frag6",
];

#[pymethods]
impl SocketSummary {
    #[new]
    #[allow(clippy::too_many_arguments)]
    fn new(
        sockets: u64,
        tcp: u64,
        tcp_established: u64,
        tcp_closed: u64,
        tcp_orphaned: u64,
        tcp_time_wait: u64,
        tcp4: u64,
        tcp6: u64,
        udp4: u64,
        udp6: u64,
        raw4: u64,
        raw6: u64,
        frag4: u64,
        frag6: u64,
    ) -> Self {
        Self {
            sockets,
            tcp,
            tcp_established,
            tcp_closed,
            tcp_orphaned,
            tcp_time_wait,
            tcp4,
            tcp6,
            udp4,
            udp6,
            raw4,
            raw6,
            frag4,
            frag6,
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        fields(slf.as_any(), "SocketSummary", &SUMS)
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        reduced(slf.as_any(), &SUMS)
    }
}

/// The kernel's own sums of sockets: what `ss -s` shows.
#[pyfunction]
pub(super) fn socket_summary() -> PyResult<SocketSummary> {
    let sums = crate::source::sockstat::SocketSummary::read()?;
    Ok(SocketSummary {
        sockets: sums.sockets,
        tcp: sums.tcp,
        tcp_established: sums.tcp_established,
        tcp_closed: sums.tcp_closed,
        tcp_orphaned: sums.tcp_orphaned,
        tcp_time_wait: sums.tcp_time_wait,
        tcp4: sums.tcp4,
        tcp6: sums.tcp6,
        udp4: sums.udp4,
        udp6: sums.udp6,
        raw4: sums.raw4,
        raw6: sums.raw6,
        frag4: sums.frag4,
        frag6: sums.frag6,
    })
}
