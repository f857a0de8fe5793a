//! The kernel's sums of sockets as a Python object.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::python::fields::{fields, reduced};
use crate::python::gil::guarded;
use crate::source;
use crate::source::summary::sums;

macro_rules! class {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The kernel's own sums of sockets, as `ss -s` shows them.
        #[pyclass(module = "network_connections", frozen, eq, hash, get_all)]
        #[derive(PartialEq, Eq, Hash)]
        pub struct SocketSummary {
            $($name: u64,)*
        }

        const SUMS: &[&str] = &[$(stringify!($name)),*];

        #[pymethods]
        impl SocketSummary {
            #[new]
            #[allow(clippy::too_many_arguments)]
            fn new($($name: u64),*) -> Self {
                Self { $($name),* }
            }

            fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
                fields(slf.as_any(), "SocketSummary", SUMS)
            }

            fn __reduce__<'py>(
                slf: &Bound<'py, Self>,
            ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
                reduced(slf.as_any(), SUMS)
            }
        }

        /// The kernel's own sums of sockets: what `ss -s` shows.
        #[pyfunction]
        pub fn socket_summary() -> PyResult<SocketSummary> {
            guarded(|| {
                let source::summary::SocketSummary { $($name),* } = source::summary()?;
                Ok(SocketSummary { $($name),* })
            })
        }
    };
}
sums!(class);
