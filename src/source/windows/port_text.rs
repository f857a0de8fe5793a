//! The tables of ports that `netsh` prints, in any language. Pure functions over bytes.

use crate::selection::Ports;

/// The ports of `netsh interface ipv4 show dynamicport tcp`: exactly two of its lines end with a
/// number, the first port and the number of ports. `None` for any other text.
pub fn dynamic(text: &[u8]) -> Option<Ports> {
    let mut numbers = text.split(|byte| *byte == b'\n').filter_map(last_number);
    let (Some(first), Some(count), None) = (numbers.next(), numbers.next(), numbers.next()) else {
        return None;
    };
    let last = first.checked_add(count.checked_sub(1)?)?;
    Some(Ports { first: u16::try_from(first).ok()?, last: u16::try_from(last).ok()? })
}

/// The ranges of `netsh interface ipv4 show excludedportrange tcp`: below a line of dashes, each
/// range has a line with its first and its last port, and a `*` where an administrator has made the
/// range. `None` for any other text.
pub fn excluded(text: &[u8]) -> Option<Vec<Ports>> {
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.find(|line| is_line_of_dashes(line))?;
    let rows = lines.filter(|line| line.first().is_some_and(u8::is_ascii_digit));
    rows.map(range).collect()
}

fn is_line_of_dashes(line: &[u8]) -> bool {
    line.starts_with(b"-") && line.iter().all(|byte| matches!(byte, b'-' | b' '))
}

fn range(row: &[u8]) -> Option<Ports> {
    let mut words = row.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let first = number(words.next()?)?;
    let last = number(words.next()?)?;
    let rest = (words.next(), words.next());
    (first <= last && matches!(rest, (None | Some(b"*"), None))).then_some(Ports { first, last })
}

/// The number that a line ends with.
fn last_number(line: &[u8]) -> Option<u32> {
    let line = line.trim_ascii_end();
    let start = line.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1);
    number(line.get(start..)?)
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: &str = "\r\nProtocol tcp Dynamic Port Range\r\n\
        ---------------------------------\r\n\
        Start Port      : 49152\r\nNumber of Ports : 16384\r\n\r\n";

    #[test]
    fn the_range_is_two_numbers_in_any_language() {
        let range = |first, last| Some(Ports { first, last });
        // In code page 850.
        let german = b"\r\nDynamischer Portbereich f\x81r Protokoll TCP\r\n----\r\n\
            Startport             : 1025\r\nPortanzahl            : 64510\r\n";
        for (text, expected) in [
            (ENGLISH.as_bytes(), range(49152, 65535)),
            (german, range(1025, 65534)),
            ("\u{ff1a}1\n\u{ff1a}1\n".as_bytes(), range(1, 1)),
            (b"a: 65535\nb: 1", range(65535, 65535)),
        ] {
            assert_eq!(dynamic(text), expected, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn any_other_text_is_not_a_range() {
        let cut = ENGLISH.split_once("Number").map_or("", |(cut, _)| cut);
        for text in [
            "",
            cut,
            "a: 65535\nb: 2",
            "a: 1\nb: 0",
            "a: 1\nb: 2\nc: 3",
            "a: 4294967295\nb: 2",
            "a: 99999999999\nb: 2",
            "The following command was not found: interface ipv4 show dynamicport.",
        ] {
            assert_eq!(dynamic(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn excluded_ranges_are_below_a_line_of_dashes() {
        let table = |rows: &str| {
            format!(
                "\r\nProtocol tcp Port Exclusion KeyedRanges\r\n\r\nStart Port    End Port      \r\n\
                 ----------    --------      \r\n{rows}\r\n* - Administered port exclusions.\r\n"
            )
        };
        let range = |first, last| Ports { first, last };
        for (text, expected) in [
            (table(""), Some(vec![])),
            (
                table("      5357        5357      \r\n     50000       50059     *\r\n"),
                Some(vec![range(5357, 5357), range(50000, 50059)]),
            ),
            (table("  50059 50000\r\n"), None),
            (table("  50000\r\n"), None),
            (table("  50000 70000\r\n"), None),
            (table("  50000 50001 +\r\n"), None),
            (table("  50000 50001 * *\r\n"), None),
            ("  50000 50001\r\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(excluded(text.as_bytes()), expected, "{text:?}");
        }
    }
}

// Proptest is a dev-dependency on Linux only.
#[cfg(all(test, target_os = "linux"))]
mod properties {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn ports()(first in 1..=u16::MAX)(first in Just(first), last in first..=u16::MAX) -> Ports {
            Ports { first, last }
        }
    }

    proptest! {
        #[test]
        fn every_dynamic_range_is_read(ports in ports(), label in "[^0-9\n]{0,20}") {
            let text = format!("{label}\r\n{label} {}\r\n{label} {}\r\n", ports.first, ports.count());
            prop_assert_eq!(dynamic(text.as_bytes()), Some(ports));
        }

        #[test]
        fn every_excluded_range_is_read(all in prop::collection::vec((ports(), any::<bool>()), 0..20)) {
            let row = |(ports, administered): &(Ports, bool)| {
                let mark = if *administered { "     *" } else { "" };
                format!("{:>10}  {:>10}{mark}\r\n", ports.first, ports.last)
            };
            let rows: String = all.iter().map(row).collect();
            let text = format!("Start\r\n-----  ---\r\n{rows}\r\n* - Administered.\r\n");
            let ranges = all.iter().map(|(ports, _)| *ports).collect();
            prop_assert_eq!(excluded(text.as_bytes()), Some(ranges));
        }

        #[test]
        fn any_bytes_are_a_range_or_none(text in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(dynamic(&text).is_none_or(|ports| ports.first <= ports.last));
            let in_order = |ports: &Ports| ports.first <= ports.last;
            prop_assert!(excluded(&text).is_none_or(|all| all.iter().all(in_order)));
        }
    }
}
