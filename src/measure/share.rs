//! Numbers with a limit.

/// The limit of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share {
    /// The limit.
    pub of: u64,
    /// The packets that a listener has dropped since it was made, where the source reports them.
    pub drops: Option<u64>,
    /// Whether the kernel allows no unit above the limit. A listener lets one more connection wait.
    pub strict: bool,
}

impl Share {
    /// A number in percent of the limit. With a limit of 0, each unit counts 200 %: it is above the
    /// limit, as the second unit of a limit of 1 is. A strict limit of 0 is always full.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn percent(self, count: u64) -> f64 {
        match self.of {
            0 if self.strict && count == 0 => 100.0,
            0 => 200.0 * count as f64,
            of => 100.0 * count as f64 / of as f64,
        }
    }
}

impl Share {
    /// The least number that fills this limit as much as another number fills its own.
    #[must_use]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn as_full_as(self, (count, share): (u64, Self)) -> u64 {
        if self.of == share.of {
            return count;
        }
        let full = match self.of {
            0 => 200.0,
            of => 100.0 / of as f64,
        };
        // A number that is too large becomes the largest one.
        (share.percent(count) / full).ceil() as u64
    }
}

/// Merges two groups with one label: the fuller group counts, with the drops of both.
#[must_use]
pub fn fuller(one: (u64, Share), other: (u64, Share)) -> (u64, Share) {
    let percent = |(count, share): (u64, Share)| share.percent(count);
    let (count, share) = if percent(other) > percent(one) { other } else { one };
    let drops = [one.1.drops, other.1.drops].into_iter().flatten();
    (count, Share { drops: drops.reduce(u64::saturating_add), ..share })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_limit_is_more_than_100_percent() {
        let percent = |count, of| Share { of, ..Share::default() }.percent(count);
        for (count, of, expected) in [
            (3, 5, 60.0),
            (0, 5, 0.0),
            (5, 5, 100.0),
            (6, 5, 120.0),
            (0, 0, 0.0),
            (1, 0, 200.0),
            (1, 1, 100.0),
            (2, 1, 200.0),
        ] {
            assert!((percent(count, of) - expected).abs() < 1e-9, "{count} of {of}");
        }
        let strict = |count, of| Share { of, strict: true, ..Share::default() }.percent(count);
        for (count, of, expected) in [(0, 0, 100.0), (1, 0, 200.0), (0, 1, 0.0)] {
            assert!((strict(count, of) - expected).abs() < 1e-9, "{count} of {of}");
        }
    }

    #[test]
    fn a_number_is_as_full_as_another_one() {
        let share = |of| Share { of, ..Share::default() };
        for (of, other, expected) in [
            (5, (3, share(5)), 3),
            (10, (3, share(5)), 6),
            (1000, (64, share(70)), 915),
            (0, (1, share(1)), 1),
            (3, (1, share(0)), 6),
            (7, (0, share(5)), 0),
        ] {
            assert_eq!(share(of).as_full_as(other), expected, "{of} {other:?}");
        }
    }

    #[test]
    fn the_fuller_group_counts_with_the_drops_of_both() {
        let part = |count, of, drops| (count, Share { of, drops, ..Share::default() });
        for (one, other, both) in [
            (part(2, 5, Some(1)), part(1, 100, None), part(2, 5, Some(1))),
            (part(2, 5, Some(1)), part(3, 5, Some(0)), part(3, 5, Some(1))),
            (part(3, 5, Some(1)), part(2, 5, Some(7)), part(3, 5, Some(8))),
            (part(3, 5, None), part(90, 100, None), part(90, 100, None)),
            // Of two equally full groups the first one counts.
            (part(1, 2, None), part(2, 4, None), part(1, 2, None)),
        ] {
            assert_eq!(fuller(one, other), both);
        }
    }
}
