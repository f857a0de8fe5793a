//! Keywords, read as the options of the command line.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyMemoryView, PyString};

use crate::cli;
use crate::cli::options::{Api, OPTIONS, Opt, Takes, keyword_name};
use crate::cli::reader::Arguments;
use crate::error::Error;
use crate::name::{is_name_of, suggestion};
use crate::nearest::nearest;
use crate::plan::Plan;
use crate::python::range::Range;

/// The plan that the keywords of a function ask for.
pub fn plan(
    api: Api,
    types: Option<&Bound<'_, PyAny>>,
    statuses: Option<&Bound<'_, PyAny>>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<Plan> {
    let mut arguments = Arguments::default();
    set(&mut arguments, api, "types", types)?;
    set(&mut arguments, api, "statuses", statuses)?;
    for (name, value) in keywords.into_iter().flatten() {
        let name: String = name.extract()?;
        set(&mut arguments, api, &name, Some(&value))?;
    }
    let (command, read) = cli::command(&arguments, keyword_name);
    read?;
    let plan = match api {
        Api::Connections => Plan::of_list(command.check.query),
        Api::Count | Api::Check => Plan::new(command.check),
    };
    Ok(plan?)
}

fn set(
    arguments: &mut Arguments,
    api: Api,
    name: &str,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let known = OPTIONS.iter().find_map(|option| {
        let keyword = option.keyword.filter(|keyword| keyword.name == name && keyword.of <= api)?;
        Some((option, keyword))
    });
    let Some((option, keyword)) = known else {
        let hint = meant(api, name);
        return Err(PyTypeError::new_err(format!("unexpected keyword argument {name:?}{hint}")));
    };
    let Some(value) = value.filter(|value| !value.is_none()) else {
        return Ok(());
    };
    let values = match option.takes {
        Takes::Switch(_) if switch(name, value)? == keyword.inverted => return Ok(()),
        Takes::Switch(_) => vec![String::new()],
        Takes::Several(..) => several(name, value)?,
        Takes::Single(..) | Takes::Help | Takes::Version => vec![text(name, value)?],
    };
    arguments.set(option, values);
    Ok(())
}

/// The keyword that may be meant by an unknown one, or the function that has it.
fn meant(api: Api, name: &str) -> String {
    let keywords = OPTIONS.iter().filter_map(|option| Some((option, option.keyword?)));
    let of_option = |option: &Opt| is_name_of(name, option.long);
    if let Some((_, keyword)) = keywords.clone().find(|(_, keyword)| keyword.name == name) {
        return format!(" ({}() has it)", keyword.of.name());
    }
    let known = keywords.filter(|(_, keyword)| keyword.of <= api);
    if let Some((_, keyword)) = known.clone().find(|(option, _)| of_option(option)) {
        return suggestion(Some(keyword.name));
    }
    suggestion(nearest(name, known.map(|(_, keyword)| (keyword.name, keyword.name))))
}

/// The state of a switch. Any other object is refused: most of them, `"False"` too, count as true.
pub fn switch(name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let Ok(state) = value.cast::<PyBool>() else {
        return Err(refused(name, "a switch is True or False", value));
    };
    Ok(state.is_true())
}

/// The text of a value, as a command line would have it. A value of another type is refused.
fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let refused = || {
        let valid = "a value is a str, a number, a Range, an address or a path";
        refused(name, valid, value)
    };
    // Extracted and not converted: for a member of an enum, str() often returns its name.
    if value.is_instance_of::<PyString>() {
        return value.extract();
    }
    let py = value.py();
    if value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>() {
        return py.get_type::<PyInt>().call1((value,))?.str()?.extract();
    }
    if value.hasattr("__fspath__")? {
        let path = value.call_method0("__fspath__")?;
        return if is_bytes(&path) { Err(refused()) } else { path.extract() };
    }
    if value.is_instance_of::<PyFloat>() {
        return py.get_type::<PyFloat>().call1((value,))?.str()?.extract();
    }
    let plain = value.is_instance_of::<Range>()
        // The addresses and networks of the module ipaddress.
        || value.hasattr("packed")?
        || value.hasattr("network_address")?;
    if plain {
        return value.str()?.extract();
    }
    Err(refused())
}

/// One value, or an iterable of them. A network is one value, though Python iterates over it, and so
/// are bytes, which would be numbers.
fn several(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let one = value.is_instance_of::<PyString>()
        || is_bytes(value)
        || value.hasattr("network_address")?;
    match value.try_iter() {
        Ok(values) if !one => values.map(|value| text(name, &value?)).collect(),
        // An iterable that fails has its own error.
        Err(error) if value.hasattr("__iter__")? => Err(error),
        _ => Ok(vec![text(name, value)?]),
    }
}

fn is_bytes(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>()
        || value.is_instance_of::<PyMemoryView>()
}

/// The error about a value of a wrong type.
fn refused(name: &str, valid: &str, value: &Bound<'_, PyAny>) -> PyErr {
    match value.get_type().name() {
        Ok(kind) => Error::Argument(format!("{valid}, not {kind}")).of_value(name).into(),
        Err(error) => error,
    }
}
