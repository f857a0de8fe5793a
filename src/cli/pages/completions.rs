//! Completions for bash, zsh and fish, made from the option table.

use std::fmt::Write;

use crate::cli::options::{Opt, Takes};
use crate::cli::pages::text::{NAME, value, visible};

/// The commands that are completed: the native command, and both commands of the wheel.
const COMMANDS: [&str; 2] = [NAME, "check_network_connections"];

/// The completion for bash, for `/usr/share/bash-completion/completions`.
#[must_use]
pub fn bash() -> String {
    let (mut values, mut free) = (String::new(), Vec::new());
    for option in visible().filter(|option| value(option).is_some()) {
        let names = option.short.into_iter().chain([option.long]);
        if option.choices().is_none() {
            free.extend(names);
            continue;
        }
        let names = names.collect::<Vec<_>>().join(" | ");
        let _ = writeln!(values, "        {names}) words='{}' ;;", choices(option).join(" "));
    }
    let free = free.join(" | ");
    let options: Vec<_> = visible().flat_map(|option| [option.short, Some(option.long)]).collect();
    let options = options.into_iter().flatten().collect::<Vec<_>>().join(" ");
    format!(
        r#"# bash completion for {NAME}

_network_connections()
{{
    local words current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}
    # bash takes "--option=value" for three words.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    case $previous in
{values}        {free}) words='' ;;
        *) words='{options}' ;;
    esac
    COMPREPLY=()
    local word
    for word in $words; do
        [[ $word != "$current"* ]] || COMPREPLY+=("$word")
    done
}}

complete -F _network_connections {}
"#,
        COMMANDS.join(" ")
    )
}

/// The completion for zsh, for a directory of its `$fpath`, as `_network-connections`.
#[must_use]
pub fn zsh() -> String {
    let mut arguments = String::new();
    for option in visible() {
        let exclusive = match (option.takes, option.short) {
            (Takes::Help | Takes::Version, _) => "(- *)".to_owned(),
            (Takes::Several(..), _) => "*".to_owned(),
            (_, Some(short)) => format!("({short} {})", option.long),
            (_, None) => String::new(),
        };
        let help = zsh_escaped(summary(option));
        let action = match value(option) {
            None => String::new(),
            Some(value) => match choices(option).join(" ").as_str() {
                "" => format!(":{value}: "),
                words => format!(":{value}:({words})"),
            },
        };
        let (short_sign, long_sign) = if value(option).is_some() { ("+", "=") } else { ("", "") };
        let names = match option.short {
            Some(short) => format!("'{{{short}{short_sign},{}{long_sign}}}'", option.long),
            None => format!("{}{long_sign}", option.long),
        };
        let _ = write!(arguments, " \\\n    '{exclusive}{names}[{help}]{action}'");
    }
    format!("#compdef {}\n\n_arguments -S{arguments}\n", COMMANDS.join(" "))
}

/// The completion for fish, for its `vendor_completions.d`, as `network-connections.fish`.
#[must_use]
pub fn fish() -> String {
    let mut text = format!("# fish completion for {NAME}\n");
    for command in COMMANDS {
        let _ = write!(text, "\ncomplete -c {command} -f\n");
        for option in visible() {
            let long = option.long.trim_start_matches('-');
            let _ = write!(text, "complete -c {command} -l {long}");
            if let Some(short) = option.short {
                let _ = write!(text, " -s {}", short.trim_start_matches('-'));
            }
            if value(option).is_some() {
                text.push_str(" -x");
                let words = choices(option).join(" ");
                if !words.is_empty() {
                    let _ = write!(text, " -a '{words}'");
                }
            }
            let help = summary(option).replace('\\', "\\\\").replace('\'', "\\'");
            let _ = writeln!(text, " -d '{help}'");
        }
    }
    text
}

fn choices(option: &Opt) -> Vec<String> {
    option.choices().unwrap_or_default()
}

/// The first sentence of an option's help, without its full stop.
fn summary(option: &Opt) -> &'static str {
    let sentence = option.help.split(". ").next().unwrap_or(option.help);
    sentence.strip_suffix('.').unwrap_or(sentence)
}

fn zsh_escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' => safe.push_str("'\\''"),
            '[' | ']' | ':' | '\\' => safe.extend(['\\', c]),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_knows_every_visible_option_and_its_choices() {
        for (shell, text) in [("bash", bash()), ("zsh", zsh()), ("fish", fish())] {
            for option in visible() {
                let long = if shell == "fish" {
                    format!(" -l {}", option.long.trim_start_matches('-'))
                } else {
                    option.long.to_owned()
                };
                assert!(text.contains(&long), "{shell}: {long}");
                assert!(text.contains(&choices(option).join(" ")), "{shell}: {long}");
            }
            for command in COMMANDS {
                assert!(text.contains(command), "{shell}: {command}");
            }
            assert!(!text.contains("--test") && !text.contains("-l test"), "{shell}");
        }
    }

    #[test]
    fn a_summary_is_one_sentence_and_text_is_quoted() {
        for option in visible() {
            assert!(!summary(option).contains(". ") && !summary(option).ends_with('.'));
        }
        assert_eq!(zsh_escaped("it's [a:b]"), "it'\\''s \\[a\\:b\\]");
    }
}
