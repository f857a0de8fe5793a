//! The functions of the Python API: their signatures at run time and in the stub, and the
//! descriptions of their parameters.

use network_connections::cli::options::{Api, Keyword, OPTIONS, Opt, Takes, Value};
use network_connections::cli::pages::text::{default, filled};
use network_connections::names as named;
use network_connections::{ConnectionStatus, ConnectionType, StuckKind, Timer};

/// The positional parameters, in their order.
const POSITIONAL: [&str; 2] = ["types", "statuses"];

/// A function of the Python API with options as keywords.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The function of the crate whose keywords it has.
    api: Api,
    /// Its docstring before the description of the parameters.
    head: &'static str,
    /// The docstring's text about what it returns.
    returns: &'static str,
    /// An example.
    example: &'static str,
}

/// Every such function.
pub const FUNCTIONS: [Function; 4] = [
    Function {
        name: "connections",
        api: Api::Connections,
        head: "Return this host's connections themselves, in the kernel's order.

To count them, `count_connections()` is faster and needs no memory. For hundreds of thousands
`connections_table()` is faster.
",
        returns: "A list of `Connection`.",
        example: ">>> ports = {each.local_port for each in connections(statuses=\"listen\")}",
    },
    Function {
        name: "connections_table",
        api: Api::Connections,
        head: "Return this host's connections as columns, in the kernel's order.

A million connections take 150 MiB. A column is a memoryview.
numpy, pandas and polars share its memory by `numpy.asarray(table.columns[\"local_port\"])`.
",
        returns: "A `ConnectionTable`.",
        example: ">>> table = connections_table(\"tcp\")
>>> len(table) == len(table.columns[\"local_port\"])
True",
    },
    Function {
        name: "count_connections",
        api: Api::Count,
        head: "Count this host's sockets per group.

Needs no privileges and releases the GIL while the kernel works. Every keyword is the command's
option of that name, and None leaves its default; values of one keyword are alternatives, and
all keywords must hold. Names are taken in any case. Sockets without an owner are those of
`(kernel)`.
",
        returns: "A dict of sockets per group, the largest first.",
        example: ">>> counts = count_connections(\"tcp\", group_by=\"status\")
>>> counts.get(\"CLOSE_WAIT\", 0) < 1000
True",
    },
    Function {
        name: "check",
        api: Api::Check,
        head: "Count this host's sockets and judge every group by the thresholds.

Keywords are taken as by `count_connections()`. Never exits the process and never returns a
guess.
",
        returns: "A `CheckResult`.",
        example: ">>> result = check(warning=\"CLOSE_WAIT=1000\", critical=\"total=100000\")
>>> result.state in (0, 1, 2)
True",
    },
];

const RAISES: &str = "
Raises:
    ValueError: An argument is not valid; the message says what would be.
    TypeError: There is no such keyword; the message names the nearest.
    OSError: No source answered; the message names each one's cause, `errno` the first.
    TimeoutError: The timeout passed.
";

/// A parameter of a function.
struct Parameter {
    name: &'static str,
    readable: String,
    annotation: String,
    default: String,
    description: String,
}

/// The line of a function's `text_signature`, as an argument of pyo3's attribute.
pub fn signature(function: &Function) -> String {
    let parameters = all(function).into_iter();
    let mut words: Vec<_> = parameters.map(|p| format!("{}={}", p.name, p.default)).collect();
    words.insert(POSITIONAL.len(), "*".to_owned());
    let text = format!("{})\"", words.join(", "));
    let lines = filled("    text_signature = \"(", 0, text.split(' ').map(str::to_owned));
    // A string of Rust continues after a backslash at the end of a line.
    lines.trim_end().replace('\n', " \\\n")
}

/// The lines of the stub with a function's parameters.
pub fn parameters(function: &Function) -> String {
    let mut lines: Vec<_> = all(function)
        .into_iter()
        .map(|p| format!("    {}: {} = {},", p.name, p.annotation, p.default.replace('\'', "\"")))
        .collect();
    lines.insert(POSITIONAL.len(), "    *,".to_owned());
    lines.join("\n")
}

/// The docstring of a function.
pub fn docstring(function: &Function) -> String {
    let described = all(function).into_iter().map(|p| {
        let start = format!("    {} ({}): ", p.name, p.readable);
        filled(&start, 8, p.description.split(' ').map(str::to_owned))
    });
    let Function { head, returns, example, .. } = function;
    let arguments = described.collect::<String>();
    format!("{head}\nArgs:\n{arguments}\nReturns:\n    {returns}\n{RAISES}\n{example}\n")
}

/// The docstring in the stub.
pub fn indented_docstring(function: &Function) -> String {
    let text = docstring(function).replace('\\', "\\\\");
    let line = |line: &str| if line.is_empty() { String::new() } else { format!("    {line}") };
    let text = text.lines().map(line).collect::<Vec<_>>().join("\n");
    format!("{}\n    ", text.trim_start())
}

/// The `Literal` types of all parameters and results that are names.
pub fn names() -> String {
    let results = [
        ("_Type", named::<ConnectionType>()),
        ("_Status", named::<ConnectionStatus>()),
        ("_StuckKind", named::<StuckKind>()),
        ("_Timer", named::<Timer>()),
    ];
    let results = results.map(|(alias, names)| literal(alias, names));
    let parameters = OPTIONS.iter().filter_map(|option| {
        let keyword = option.keyword?;
        option.choices()?;
        let mut names = taken(option, keyword, |a, b| a == b);
        if let Takes::Several(..) = option.takes {
            // Values can be taken away.
            names.extend(names.clone().iter().map(|name| format!("!{name}")));
        }
        Some(literal(&alias(option), names))
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
fn all(function: &Function) -> Vec<Parameter> {
    let mut parameters: Vec<_> = OPTIONS
        .iter()
        .filter_map(|option| {
            let keyword = option.keyword.filter(|keyword| keyword.of <= function.api)?;
            Some(parameter(option, keyword))
        })
        .collect();
    // The only parameter that is not an option.
    if function.name == Api::Connections.name() {
        parameters.push(Parameter {
            name: "processes",
            readable: "bool".to_owned(),
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
    let readable = option.value().map_or("bool", readable);
    let readable = match option.takes {
        Takes::Several(..) => format!("{readable}, or several"),
        Takes::Single(..) | Takes::Switch(_) | Takes::Help | Takes::Version => readable.to_owned(),
    };
    Parameter {
        name: keyword.name,
        readable,
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

/// The type of one value, for people.
fn readable(value: Value) -> &'static str {
    match value {
        Value::Choice(_) | Value::Text | Value::Fixture => "str",
        Value::Range => "Range, str or number",
        Value::Port | Value::Stuck => "str or int",
        Value::Address => "str, or address or network of ipaddress",
        Value::Netns => "str, int or path",
        Value::Whole => "int",
        Value::Seconds => "float",
    }
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
        parts.extend(default(option).map(|default| format!("Default: {default}.")));
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
