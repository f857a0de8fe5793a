//! The table of options in the documentation.

use network_connections::cli::options::{Opt, Takes, Value};
use network_connections::cli::pages::text::{SEVERAL, default, visible};

/// A table in Markdown with a row for each option.
pub fn options() -> String {
    let head = "| option | value | default | description |\n|---|---|---|---|".to_owned();
    [head].into_iter().chain(visible().map(row)).collect::<Vec<_>>().join("\n")
}

fn row(option: &Opt) -> String {
    let names: Vec<_> = option.short.into_iter().chain([option.long]).map(code).collect();
    let value = option.value().map(values);
    let default = value.as_ref().map(|_| default(option).unwrap_or_else(|| "none".to_owned()));
    let several = match option.takes {
        Takes::Several(..) => format!(" {SEVERAL}"),
        Takes::Help | Takes::Version | Takes::Switch(_) | Takes::Single(..) => String::new(),
    };
    let cells = [
        names.join(", "),
        value.unwrap_or_default(),
        default.unwrap_or_default(),
        format!("{}{several}", option.help),
    ];
    // A bar would end its cell.
    format!("| {} |", cells.map(|text| text.replace('|', "\\|")).join(" | "))
}

/// The values that an option takes.
fn values(value: Value) -> String {
    match value {
        Value::Choice(choices) => {
            return choices().iter().map(|choice| code(choice)).collect::<Vec<_>>().join(", ");
        }
        Value::Range => "a range, or `KEY=RANGE` and more of them with commas",
        Value::Port => "a port or a range of ports",
        Value::Address => "an address or a network",
        Value::Netns => "a name, path or process id, or `all`",
        Value::Stuck => "seconds, or a kind and seconds as in `unread:60`",
        Value::Text => "any text",
        Value::Whole => "a whole number",
        Value::Seconds => "seconds",
        Value::Fixture => "`PATH[,STDERR[,RC]]`",
    }
    .to_owned()
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_as_many_cells_as_the_head() {
        let table = options();
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        assert!(table.lines().count() > 20);
        assert!(table.lines().all(|line| bars(line) == 5), "{table}");
    }
}
