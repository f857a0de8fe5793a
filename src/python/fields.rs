//! The common methods of objects that consist of fields.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::python::gil::guarded;

/// `Name(field=value, …)`
pub fn fields(object: &Bound<'_, PyAny>, name: &str, fields: &[&str]) -> PyResult<String> {
    let field = |field: &&str| Ok(format!("{field}={}", object.getattr(*field)?.repr()?));
    guarded(|| {
        let fields = fields.iter().map(field).collect::<PyResult<Vec<_>>>()?;
        Ok(format!("{name}({})", fields.join(", ")))
    })
}

/// A named tuple of the package, with these values. The types are imported when the first one is made.
pub fn named_tuple<'py>(
    py: Python<'py>,
    name: &str,
    values: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>,
) -> PyResult<Bound<'py, PyAny>> {
    py.import("network_connections._tuples")?.getattr(name)?.call1(values.into_pyobject(py)?)
}

/// The type and the fields of an object, from which `pickle` makes it again.
pub fn reduced<'py>(
    object: &Bound<'py, PyAny>,
    fields: &[&str],
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
    guarded(|| {
        let values = fields.iter().map(|field| object.getattr(*field));
        let values = PyTuple::new(object.py(), values.collect::<PyResult<Vec<_>>>()?)?;
        Ok((object.get_type().into_any(), values))
    })
}
