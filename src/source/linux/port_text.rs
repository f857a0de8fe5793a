//! The settings of the ports that outgoing connections get (`ip_local_port_range` in `ip(7)`,
//! `ip_local_reserved_ports`). Pure functions over text.

use crate::selection::Ports;

/// The ports of `ip_local_port_range`: the first and the last port. `None` for any other text.
pub fn range(text: &str) -> Option<Ports> {
    let mut ports = text.split_ascii_whitespace().map(str::parse);
    match (ports.next()?, ports.next()?) {
        (Ok(first), Ok(last)) if first <= last => Some(Ports { first, last }),
        _ => None,
    }
}

/// The ports of `ip_local_reserved_ports`, as in `8080,9000-9100`. `None` for any other text.
pub fn reserved(text: &str) -> Option<Vec<Ports>> {
    let ranges = text.trim().split(',').filter(|ports| !ports.is_empty());
    ranges.map(|ports| ports.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_two_ports_in_order() {
        let ports = |first, last| Some(Ports { first, last });
        for (text, expected) in [
            ("32768\t60999\n", ports(32768, 60999)),
            ("1024 1024", ports(1024, 1024)),
            ("", None),
            ("32768\n", None),
            ("60999\t32768\n", None),
            ("32768\t65536\n", None),
            ("32768-60999\n", None),
        ] {
            assert_eq!(range(text), expected, "{text:?}");
        }
    }

    #[test]
    fn reserved_ports_are_a_list_that_may_be_empty() {
        let ports = |first, last| Ports { first, last };
        for (text, expected) in [
            ("\n", Some(vec![])),
            ("8080\n", Some(vec![ports(8080, 8080)])),
            ("8080,9000-9100\n", Some(vec![ports(8080, 8080), ports(9000, 9100)])),
            ("8080,x\n", None),
            ("9100-9000\n", None),
            ("8080 9000\n", None),
        ] {
            assert_eq!(reserved(text), expected, "{text:?}");
        }
    }
}
