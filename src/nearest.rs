//! The nearest of several names, for names that may be mistyped.

/// The least likeness of two names, from 0 to 1, at which one may be meant by the other.
const ALIKE: f64 = 0.8;

/// The likeness of two names that differ in one letter, or in the order of two, and the length from
/// which on that is little.
const SLIP: f64 = 0.95;
const SHORTEST: usize = 3;

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
        let likeness = likeness(&name, &compared(other.as_ref()));
        if likeness > best || likeness >= best && nearest.is_none() {
            (best, nearest) = (likeness, Some(candidate));
        }
    }
    nearest
}

fn likeness(one: &str, other: &str) -> f64 {
    let likeness = strsim::jaro_winkler(one, other);
    // That measure has short names with two letters in the wrong order for unlike.
    let is_slip = one.chars().count() >= SHORTEST && strsim::osa_distance(one, other) == 1;
    if is_slip { likeness.max(SLIP) } else { likeness }
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
            ("tpc", &["tcp", "tcp6"], Some("tcp")),
            ("a", &["b"], None),
            ("ab", &["cb"], None),
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
