//! The texts of limits in `/proc/sys`. Pure functions over text.

use crate::error::Error;
use crate::host_limit::Use;

/// The number in a file that has one number, such as `tcp_max_orphans`.
pub fn number(file: &str, text: &str) -> Result<u64, Error> {
    text.trim().parse().map_err(|_| garbled(file, text))
}

/// The use of memory: `tcp_mem` or `udp_mem` has three numbers of pages, of which the last is the limit.
/// The kernel counts pages, too (`mem` in `/proc/net/sockstat`).
pub fn memory(file: &str, text: &str, used: u64) -> Result<Use, Error> {
    let numbers = text.split_whitespace().map(|word| word.parse().ok());
    match numbers.collect::<Option<Vec<u64>>>().as_deref() {
        Some([_, _, of]) => Ok(Use::Of { used, of: *of }),
        _ => Err(garbled(file, text)),
    }
}

/// The use of the table of tracked connections. A limit of 0 means no limit
/// (`nf_conntrack_alloc()` in `net/netfilter/nf_conntrack_core.c`).
pub const fn conntrack(used: u64, of: u64) -> Use {
    match of {
        0 => Use::Unlimited,
        of => Use::Of { used, of },
    }
}

fn garbled(file: &str, text: &str) -> Error {
    Error::Garbled(format!("{file}: {:?}", text.chars().take(80).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_the_last_number() {
        let of = |used, of| Some(Use::Of { used, of });
        for (text, expected) in [
            ("287898\t383867\t575796\n", of(7, 575_796)),
            ("0 0 0\n", of(7, 0)),
            ("1 2\n", None),
            ("1 2 3 4\n", None),
            ("1 2 -3\n", None),
            ("1 2 x\n", None),
            ("", None),
        ] {
            assert_eq!(memory("tcp_mem", text, 7).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_file_has_one_number_and_a_table_of_0_has_no_limit() {
        for (text, expected) in
            [("131072\n", Some(131_072)), ("0\n", Some(0)), ("-1\n", None), ("1 2\n", None)]
        {
            assert_eq!(number("tcp_max_orphans", text).ok(), expected, "{text:?}");
        }
        let message = number("tcp_max_orphans", "x\n").err().map(|error| error.to_string());
        assert!(message.is_some_and(|message| message.contains("tcp_max_orphans")));
        assert_eq!(conntrack(5, 0), Use::Unlimited);
        assert_eq!(conntrack(5, 9), Use::Of { used: 5, of: 9 });
    }
}
