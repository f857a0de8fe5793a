//! The nearest of several names, for names that may be mistyped.

/// The least likeness of two names, from 0 to 1, at which one may be meant by the other.
const ALIKE: f64 = 0.8;

/// The number of characters that are compared: other users choose the names of their units and
/// processes, and comparing takes the product of both lengths.
const COMPARED: usize = 64;

/// The candidate whose name is most like `name`, if any is like enough. Of equally like ones the
/// first one.
pub fn nearest<N: AsRef<str>, T>(
    name: &str,
    candidates: impl IntoIterator<Item = (N, T)>,
) -> Option<T> {
    let name = compared(name);
    let mut nearest = None;
    let mut best = ALIKE;
    for (other, candidate) in candidates {
        let likeness = strsim::jaro_winkler(&name, &compared(other.as_ref()));
        if likeness > best || likeness >= best && nearest.is_none() {
            (best, nearest) = (likeness, Some(candidate));
        }
    }
    nearest
}

fn compared(name: &str) -> String {
    name.chars().take(COMPARED).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_that_is_most_alike() {
        let of =
            |name, names: &[&'static str]| nearest(name, names.iter().map(|name| (name, *name)));
        for (name, names, expected) in [
            ("close-wait", &["listen", "close", "close_wait"][..], Some("close_wait")),
            ("LOCAL-PROT", &["remote-port", "local-port"], Some("local-port")),
            ("udp4", &["tcp", "tcp6", "udp", "udp6"], Some("udp")),
            ("shopd", &["sshd", "shop"], Some("shop")),
            ("a", &["b"], None),
            ("sctp", &["tcp", "udp"], None),
            ("nginx", &["sshd", "postgres"], None),
            ("", &["b"], None),
            ("b", &[], None),
        ] {
            assert_eq!(of(name, names), expected, "{name}");
        }
        let long = "x".repeat(100_000);
        assert_eq!(nearest(&long, [(&long, 7)]), Some(7));
    }
}
