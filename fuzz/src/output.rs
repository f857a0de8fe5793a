//! Properties of every output.

use network_connections::{Error, Format, Named, Report};

/// A name of a check, with characters that must be escaped or hidden.
const NAME: &str = "a \"check\"\\\n\u{202e}";

/// Checks a report in every format.
pub fn report(report: &Report) {
    for format in Format::VALUES {
        of(*format, &format.report(report, NAME));
    }
}

/// Checks an error in every format.
pub fn failure(error: &Error) {
    for format in Format::VALUES {
        let text = format.failure(error, NAME);
        of(*format, &text);
        assert!(*format != Format::Plugin || !text.contains(['\n', '|']), "{text:?}");
    }
}

pub fn of(format: Format, text: &str) {
    match format {
        Format::Plugin => plugin(text),
        Format::Json => json(text),
        Format::Prometheus => prometheus(text),
    }
}

/// Checks that there is a message and at most one separator, with performance data behind it.
fn plugin(text: &str) {
    printable(text);
    let (message, perfdata) = text.split_once('|').unwrap_or((text, ""));
    assert!(!message.trim().is_empty(), "{text:?}");
    assert!(!perfdata.contains(['\n', '|']), "{text:?}");
    let tag = message.match_indices('<').any(|(at, _)| is_tag(&message[at + 1..]));
    assert!(!tag, "{text:?}");
    for metric in perfdata.split(' ').filter(|metric| !metric.is_empty()) {
        let (label, count) = metric.rsplit_once('=').unwrap();
        assert!(label.starts_with('\'') && label.ends_with('\''), "{text:?}");
        assert!(count.parse::<u64>().is_ok(), "{text:?}");
    }
}

/// Whether Icinga Web takes the whole output for HTML: it searches for `<\w+(?:\s\w+=[^>]*)?>`.
fn is_tag(after: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let Some((inside, _)) = after.split_once('>') else {
        return false;
    };
    let attribute = inside.trim_start_matches(word);
    let mut chars = attribute.chars();
    let name = attribute.len() < inside.len();
    let blank = chars.next().is_none_or(char::is_whitespace);
    let value = chars.as_str().trim_start_matches(word);
    let assigned = value.starts_with('=') && value.len() < chars.as_str().len();
    name && (attribute.is_empty() || blank && assigned)
}

fn json(text: &str) {
    printable(text);
    assert!(!text.contains('\n'), "{text:?}");
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert!(value["state"].as_u64().is_some_and(|state| state <= 3), "{text:?}");
    assert!(value["message"].is_string(), "{text:?}");
}

fn prometheus(text: &str) {
    printable(text);
    for line in text.lines() {
        let comment = line.starts_with('#');
        let sample = line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok());
        assert!(comment || sample, "{line:?}");
    }
    let last = text.lines().next_back().unwrap();
    assert!(last.starts_with("network_connections_check_state"), "{text:?}");
}

/// Checks that all control characters are line ends, and that no character moves or hides text.
fn printable(text: &str) {
    let shown = |c: char| {
        let hides = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}');
        c == '\n' || !c.is_control() && !hides
    };
    assert!(text.chars().all(shown), "{text:?}");
}
