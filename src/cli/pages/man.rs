//! The manual page, made from the option table.

use std::fmt::Write;

use crate::cli::options::Opt;
use crate::cli::pages::text::{
    DESCRIPTION, EXAMPLES, HOMEPAGE, NAME, explanation, filled, value, visible,
};

/// The text of the manual page `network-connections(1)`, in the `man` macros of roff. `date` is the
/// date of the page.
#[must_use]
pub fn man(date: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH {} 1 \"{date}\" \"{NAME} {version}\" \"Monitoring plugins\"\n\
         .\\\" Neither hyphenated nor spread: options are to be found by searching.\n.nh\n.ad l\n",
        escaped(&NAME.to_uppercase()),
    );
    let name = escaped(NAME);
    let _ = write!(
        page,
        ".SH NAME\n{name} \\- count TCP and UDP sockets by family and state\n\
         .SH SYNOPSIS\n.B {name}\n"
    );
    for option in visible() {
        page.push_str(&usage(option));
    }
    let _ = write!(page, ".SH DESCRIPTION\n{}.SH OPTIONS\n", text(DESCRIPTION));
    for option in visible() {
        let _ = write!(page, ".TP\n{}{}", names(option), text(&explanation(option)));
    }
    page.push_str(REST);
    page.push_str(".SH EXAMPLES\n");
    for (number, (purpose, line)) in EXAMPLES.iter().enumerate() {
        let line = escaped(line);
        page.push_str(if number > 0 { ".PP\n" } else { "" });
        let _ = write!(page, "{}.PP\n.EX\n{name} {line}\n.EE\n", text(&format!("{purpose}:")));
    }
    page.push_str(FILES);
    page.push_str(&homepage(HOMEPAGE));
    page
}

/// `[-c CRIT]`
fn usage(option: &Opt) -> String {
    let name = escaped(option.short.unwrap_or(option.long));
    match value(option) {
        Some(value) => format!(".RB [ {name}\n.IR {} ]\n", escaped(value)),
        None => format!(".RB [ {name} ]\n"),
    }
}

/// `-c CRIT, --critical=CRIT`
fn names(option: &Opt) -> String {
    let long = escaped(option.long);
    let short = option.short.map(escaped);
    match (short, value(option).map(escaped)) {
        (Some(short), Some(value)) => {
            format!(".BI {short} \" {value}\\fR, \" {long} =\\fI{value}\n")
        }
        (Some(short), None) => format!(".BR {short} \", {long}\"\n"),
        (None, Some(value)) => format!(".BI {long} =\\fI{value}\n"),
        (None, None) => format!(".B {long}\n"),
    }
}

/// Text in lines. Every sentence begins a line, as roff wants it.
fn text(text: &str) -> String {
    let lines = |sentence: &str| filled("", 0, sentence.split(' ').map(escaped));
    text.split_inclusive(". ").map(|sentence| lines(sentence.trim_end())).collect()
}

/// Text that roff prints as it is.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => safe.push_str("\\e"),
            '-' => safe.push_str("\\-"),
            '"' => safe.push_str("\\(dq"),
            '\'' => safe.push_str("\\(aq"),
            '`' => safe.push_str("\\(ga"),
            '^' => safe.push_str("\\(ha"),
            '~' => safe.push_str("\\(ti"),
            c => safe.push(c),
        }
    }
    if safe.starts_with('.') { format!("\\&{safe}") } else { safe }
}

/// Where the project is to be found; nothing while it has no address.
fn homepage(address: &str) -> String {
    let address = escaped(address);
    if address.is_empty() { address } else { format!(".PP\n{address}\n") }
}

/// The sections that do not come from the option table.
const REST: &str = r".SH RANGES
A number is fine
.TP
.B 10
from 0 to 10,
.TP
.B 10:
from 10 up,
.TP
.B \(ti:10
up to 10,
.TP
.B 10:20
from 10 to 20, both included,
.TP
.B @10:20
anywhere but there.
.SH EXIT STATUS
.TP
.B 0
OK: every number is fine.
.TP
.B 1
WARNING: a number has left its warning range.
.TP
.B 2
CRITICAL: a number has left its critical range.
.TP
.B 3
UNKNOWN: nothing could be counted in time, or the arguments are wrong.
";

/// The sections after the examples.
const FILES: &str = r".SH FILES
The packages for Debian and Red Hat have:
.TP
.I /usr/share/network\-connections
configurations for Icinga, Nagios, NRPE, Prometheus, Grafana and Zabbix
.TP
.I /usr/share/doc/network\-connections
README, the pages of docs/, changes and licences;
.I docs/incidents.md.gz
has the remedies for alerts
.TP
.I /etc/network\-connections/NAME.conf
the options of the timer
.BR network\-connections@NAME.timer ,
which publishes for Prometheus
.SH SEE ALSO
.BR ss (8),
.BR sock_diag (7)
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visible_option_has_a_paragraph_and_a_place_in_the_synopsis() {
        let page = man("2026-01-02");
        for option in visible() {
            let long = escaped(option.long);
            assert!(page.contains(&names(option)), "{long}");
            assert!(page.contains(&usage(option)), "{long}");
        }
        assert!(!page.contains("test"));
        assert!(page.starts_with(".TH NETWORK\\-CONNECTIONS 1 \"2026-01-02\" "));
    }

    #[test]
    fn the_address_has_a_paragraph_where_there_is_one() {
        assert_eq!(homepage(""), "");
        assert_eq!(homepage("https://a-b.example"), ".PP\nhttps://a\\-b.example\n");
    }

    #[test]
    fn text_is_never_taken_for_a_roff_request() {
        assert_eq!(escaped(".so x"), "\\&.so x");
        assert_eq!(escaped("'a' \\ -\"~^`"), "\\(aqa\\(aq \\e \\-\\(dq\\(ti\\(ha\\(ga");
        for line in man("").lines().filter(|line| line.starts_with(['.', '\''])) {
            let request = line.split(' ').next().unwrap_or("");
            let known = r#".TH .\" .nh .ad .SH .B .BI .BR .I .RB .IR .TP .PP .EX .EE"#;
            assert!(known.split(' ').any(|known| known == request), "{line}");
        }
    }
}
