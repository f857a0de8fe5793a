//! What objects that consist of fields have in common.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// `Name(field=value, …)`
pub fn fields(object: &Bound<'_, PyAny>, name: &str, fields: &[&str]) -> PyResult<String> {
    let fields = fields
        .iter()
        .map(|field| Ok(format!("{field}={}", object.getattr(*field)?.repr()?)))
        .collect::<PyResult<Vec<_>>>()?;
    Ok(format!("{name}({})", fields.join(", ")))
}

/// What `pickle` makes an object from: its type and its fields.
pub fn reduced<'py>(
    object: &Bound<'py, PyAny>,
    fields: &[&str],
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
    let values = fields.iter().map(|field| object.getattr(*field));
    let values = PyTuple::new(object.py(), values.collect::<PyResult<Vec<_>>>()?)?;
    Ok((object.get_type().into_any(), values))
}
