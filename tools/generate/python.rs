//! The functions of the Python API: their signatures at run time and in the stub, and the
//! descriptions of their parameters.

use network_connections::cli::options::{Api, Keyword, OPTIONS, Opt, Takes, Value};
use network_connections::cli::pages::text::{default, filled};
use network_connections::names as named;
use network_connections::{ConnectionStatus, ConnectionType};

/// The positional parameters, in their order.
const POSITIONAL: [&str; 2] = ["types", "statuses"];

/// A parameter of a function.
struct Parameter {
    name: &'static str,
    annotation: String,
    default: String,
    description: String,
}

/// The line of a function's `text_signature`, as an argument of pyo3's attribute.
pub fn signature(function: Api) -> String {
    let parameters = all(function).into_iter();
    let mut words: Vec<_> = parameters.map(|p| format!("{}={}", p.name, p.default)).collect();
    words.insert(POSITIONAL.len(), "*".to_owned());
    let text = format!("{})\"", words.join(", "));
    let lines = filled("    text_signature = \"(", 0, text.split(' ').map(str::to_owned));
    // A string of Rust continues after a backslash at the end of a line.
    lines.trim_end().replace('\n', " \\\n")
}

/// The lines of the stub with a function's parameters.
pub fn parameters(function: Api) -> String {
    let mut lines: Vec<_> = all(function)
        .into_iter()
        .map(|p| format!("    {}: {} = {},", p.name, p.annotation, p.default.replace('\'', "\"")))
        .collect();
    lines.insert(POSITIONAL.len(), "    *,".to_owned());
    lines.join("\n")
}

/// The lines of a docstring of the stub that describe a function's parameters.
pub fn descriptions(function: Api) -> String {
    let described = all(function).into_iter().map(|p| {
        let start = format!("        {}: ", p.name);
        filled(&start, 12, p.description.split(' ').map(str::to_owned))
    });
    described.collect::<String>().replace('\\', "\\\\").trim_end().to_owned()
}

/// The `Literal` types of all parameters and results that are names.
pub fn names() -> String {
    let results = [("_Type", named::<ConnectionType>()), ("_Status", named::<ConnectionStatus>())];
    let results = results.map(|(alias, names)| literal(alias, names));
    let parameters = OPTIONS.iter().filter_map(|option| {
        let keyword = option.keyword?;
        option.choices()?;
        Some(literal(&alias(option), taken(option, keyword, |a, b| a == b)))
    });
    results.into_iter().chain(parameters).collect::<Vec<_>>().join("\n")
}

fn literal(alias: &str, names: Vec<impl AsRef<str>>) -> String {
    let names = names.into_iter().map(|name| format!("    \"{}\",\n", name.as_ref()));
    format!("{alias} = Literal[\n{}]", names.collect::<String>())
}

/// `_GroupBy` for `GROUP_BY`
fn alias(option: &Opt) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(1);
        format!("{first}{}", rest.to_ascii_lowercase())
    };
    format!("_{}", option.metavar.split('_').map(word).collect::<String>())
}

/// The names that a keyword takes, without names that are the `same` as an earlier name.
fn taken(option: &Opt, keyword: Keyword, same: fn(&str, &str) -> bool) -> Vec<String> {
    let mut names = option.choices().unwrap_or_default();
    for name in (keyword.also)() {
        if !names.iter().any(|known| same(known, &name)) {
            names.push(name);
        }
    }
    names
}

/// The parameters of a function in their order.
fn all(function: Api) -> Vec<Parameter> {
    let mut parameters: Vec<_> = OPTIONS
        .iter()
        .filter_map(|option| {
            let keyword = option.keyword.filter(|keyword| keyword.of <= function)?;
            Some(parameter(option, keyword))
        })
        .collect();
    // The only parameter that is not an option.
    if function == Api::Connections {
        parameters.push(Parameter {
            name: "processes",
            annotation: "bool".to_owned(),
            default: "False".to_owned(),
            description: "Look up the processes of each connection, which reads all of \
                          /proc/PID/fd; without root only those of the caller can be seen."
                .to_owned(),
        });
    }
    parameters.sort_by_key(|p| {
        (POSITIONAL.iter().position(|name| *name == p.name).unwrap_or(POSITIONAL.len()), p.name)
    });
    parameters
}

fn parameter(option: &Opt, keyword: Keyword) -> Parameter {
    let default = match option.takes {
        Takes::Switch(_) if keyword.inverted => "True".to_owned(),
        Takes::Switch(_) => "False".to_owned(),
        Takes::Single(value, _) => {
            default(option).map_or_else(|| "None".to_owned(), |text| expression(value, &text))
        }
        Takes::Several(..) | Takes::Help | Takes::Version => "None".to_owned(),
    };
    let one = option.value().map_or_else(|| "bool".to_owned(), |value| annotation(option, value));
    let several = match option.takes {
        Takes::Several(..) => format!(" | Iterable[{one}]"),
        Takes::Single(..) | Takes::Switch(_) | Takes::Help | Takes::Version => String::new(),
    };
    let none = if default == "None" { " | None" } else { "" };
    Parameter {
        name: keyword.name,
        annotation: format!("{one}{several}{none}"),
        default,
        description: description(option, keyword),
    }
}

/// The type of one value.
fn annotation(option: &Opt, value: Value) -> String {
    match value {
        Value::Choice(_) => return alias(option),
        Value::Range => "_Threshold",
        Value::Port => "_Port",
        Value::Address => "_Address",
        Value::Netns => "_Netns",
        Value::Stuck => "_Stuck",
        Value::Text | Value::Fixture => "str",
        Value::Whole => "int",
        Value::Seconds => "float",
    }
    .to_owned()
}

/// A value of the command line in Python's language.
fn expression(value: Value, text: &str) -> String {
    match value {
        Value::Whole => text.to_owned(),
        // Python writes a float with a point.
        Value::Seconds => {
            text.parse::<f64>().map_or_else(|_| text.to_owned(), |n| format!("{n:?}"))
        }
        Value::Choice(_)
        | Value::Range
        | Value::Port
        | Value::Address
        | Value::Netns
        | Value::Stuck
        | Value::Text
        | Value::Fixture => format!("'{text}'"),
    }
}

/// The description of a parameter: its effect, its names, and its default where the signature has
/// None.
fn description(option: &Opt, keyword: Keyword) -> String {
    let mut parts = vec![in_python(keyword.help.unwrap_or(option.help))];
    if option.choices().is_some() {
        let names = taken(option, keyword, str::eq_ignore_ascii_case);
        parts.push(format!("One of: {}.", names.join(", ")));
    }
    if let Takes::Several(..) = option.takes {
        parts.push(format!(
            "One value or several. Default: {}.",
            default(option).unwrap_or_default()
        ));
    }
    parts.join(" ")
}

/// The text with keywords in place of options.
fn in_python(text: &str) -> String {
    let word = |word: &'_ str| {
        let named = OPTIONS.iter().find(|option| option.long == word);
        let keyword = named.and_then(|option| option.keyword);
        keyword.map_or_else(|| word.to_owned(), |keyword| keyword.name.to_owned())
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_expressions() {
        for (value, text, expected) in [
            (Value::Seconds, "8", "8.0"),
            (Value::Seconds, "0.5", "0.5"),
            (Value::Whole, "10", "10"),
            (Value::Text, "auto", "'auto'"),
        ] {
            assert_eq!(expression(value, text), expected);
        }
    }

    #[test]
    fn keywords_take_the_place_of_options() {
        assert_eq!(in_python("as --conn-type does, or --help"), "as types does, or --help");
    }
}
