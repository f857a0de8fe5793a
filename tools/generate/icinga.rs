//! The arguments of Icinga's `CheckCommand`.

use network_connections::cli::options::{Opt, Takes};
use network_connections::cli::pages::text::{explanation, visible};

/// An argument for each option that a site can set.
pub fn arguments() -> String {
    let arguments: Vec<_> =
        visible().filter(|option| !option.is_for_people()).filter_map(argument).collect();
    arguments.join("\n")
}

fn argument(option: &Opt) -> Option<String> {
    let name = option.long.trim_start_matches('-').replace('-', "_");
    let variable = format!("$network_connections_{name}$");
    let value = match option.takes {
        Takes::Help | Takes::Version => return None,
        Takes::Switch(_) => format!("set_if = \"{variable}\""),
        Takes::Single(..) => format!("value = \"{variable}\"\n      repeat_key = false"),
        Takes::Several(..) => format!("value = \"{variable}\"\n      repeat_key = true"),
    };
    let long = option.long;
    let description = quoted(&explanation(option));
    Some(format!("    \"{long}\" = {{\n      {value}\n      description = {description}\n    }}"))
}

/// A string of Icinga's language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted() {
        assert_eq!(quoted(r#"a "b" \c"#), r#""a \"b\" \\c""#);
    }
}
