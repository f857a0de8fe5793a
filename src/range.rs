//! A Nagios threshold range, in the reference plugin's grammar.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// A Nagios threshold range ([Monitoring Plugins guidelines][guidelines]): the values that are
/// fine.
///
/// `10` is 0 to 10, `10:` 10 or more, `~:10` 10 or less, `10:20` both ends included, `@10:20`
/// everything but that. An empty text and `none` match everything. Values are compared as `f64`.
///
/// ```
/// # use network_connections::Range;
/// let range: Range = "10:20".parse()?;
/// assert!(range.contains(20.0) && !range.contains(21.0));
/// # Ok::<(), network_connections::RangeError>(())
/// ```
///
/// [guidelines]: https://www.monitoring-plugins.org/doc/guidelines.html#THRESHOLDFORMAT
#[derive(Clone, Debug)]
pub struct Range {
    start: f64,
    end: f64,
    inverted: bool,
    text: String,
}

/// The reason why a text is not a range; `Display` is the reference plugin's message.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RangeError {
    /// A bound is not a number, or a character stands in a wrong place.
    #[error("Range format incorrect")]
    Format,
    /// More than one colon.
    #[error("Not using range definition correctly")]
    Colons,
    /// The left end is above the right one.
    #[error("Start {} must not be greater than end {}", General(*.0), General(*.1))]
    Reversed(f64, f64),
}

impl RangeError {
    /// A valid range in place of the one that was refused, or examples of every form.
    #[must_use]
    pub fn valid(&self) -> String {
        match self {
            // Beyond these numbers the digits would fill the line.
            Self::Reversed(start, end) if *end >= 0.0 && *start < 1e15 => format!("{end}:{start}"),
            Self::Format | Self::Colons | Self::Reversed(..) => {
                "for example 10, 10:, ~:10, 10:20, @10:20 or KEY=10".to_owned()
            }
        }
    }
}

/// The range that a text in another notation probably means: `>50`, `<50`, `10-20`, `10..20`,
/// `1k` or `KEY>50`.
#[must_use]
pub fn meant(text: &str) -> Option<String> {
    let text = text.trim();
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| Some(text.trim()).filter(is_number).map(str::to_owned);
    if let Some(most) = text.strip_prefix('>') {
        return number(most);
    }
    if let Some(least) = text.strip_prefix('<') {
        return number(least).map(|least| format!("{least}:"));
    }
    if let Some(thousands) = text.strip_suffix(['k', 'K']) {
        return number(thousands).map(|thousands| format!("{thousands}000"));
    }
    if let Some((key, most)) = text.split_once(['>', ':'])
        && key.starts_with(|first: char| first.is_ascii_alphabetic())
    {
        return number(most).map(|most| format!("{}={most}", key.trim_end()));
    }
    let (start, end) = text.split_once("..").or_else(|| text.split_once('-'))?;
    let range = format!("{}:{}", number(start)?, number(end)?);
    range.parse::<Range>().is_ok().then_some(range)
}

/// The verdict on a value of which only bounds are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All values within the bounds are fine.
    Fine,
    /// All values within the bounds are outside the range.
    Outside,
    /// Some values within the bounds are fine, others are not.
    Unclear,
}

/// The numbers that there can be, from 0 up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    /// The largest number.
    pub most: f64,
    /// Whether all of them are whole numbers.
    pub whole: bool,
}

impl Range {
    /// Whether `value` is fine; NaN never is.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        !value.is_nan() && (self.start <= value && value <= self.end) != self.inverted
    }

    /// The verdict on a value from `low` to `high`, both included.
    #[must_use]
    pub fn between(&self, low: f64, high: f64) -> Verdict {
        let inside = self.start <= low && high <= self.end;
        let outside = high < self.start || self.end < low;
        match (inside, outside) {
            (true, _) if !self.inverted => Verdict::Fine,
            (_, true) if self.inverted => Verdict::Fine,
            (true, _) | (_, true) => Verdict::Outside,
            (false, false) => Verdict::Unclear,
        }
    }

    /// Whether all values that are fine here are fine there, but not all that are fine there are fine
    /// here. Only for ranges that are not inverted.
    #[must_use]
    pub fn is_narrower_than(&self, other: &Self) -> bool {
        // Numbers of connections are not negative.
        let (start, of_other) = (self.start.max(0.0), other.start.max(0.0));
        !self.inverted
            && !other.inverted
            && of_other <= start
            && self.end <= other.end
            && (of_other < start || self.end < other.end)
    }

    /// Whether every number that there can be is fine, so that a threshold never alerts.
    #[must_use]
    pub fn never_alerts(&self, numbers: Numbers) -> bool {
        let Numbers { most, whole } = numbers;
        let (start, end) = (self.start.max(0.0), self.end.min(most));
        match (self.inverted, whole) {
            (true, true) => start.ceil() > end.floor(),
            (true, false) => start > end,
            (false, _) => self.start <= 0.0 && most <= self.end,
        }
    }

    /// Whether the range has no limit: its text is `~:`, `none`, or empty.
    #[must_use]
    pub fn is_no_limit(&self) -> bool {
        self.start == f64::NEG_INFINITY && self.end == f64::INFINITY && !self.inverted
    }

    /// Whether no number but 0 is fine.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.start <= 0.0 && (0.0..1.0).contains(&self.end) && !self.inverted
    }

    /// Whether the text is empty, or has blanks only. The reference takes such a text for no limit.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.text.trim_start_matches('\\').trim_matches(BLANK).is_empty()
    }

    /// The parts that make two ranges equal. All ranges that match everything are equal.
    fn meaning(&self) -> (u64, u64, bool) {
        // 0.0 and -0.0 compare equal and must hash equal.
        let bits = |bound: f64| (bound + 0.0).to_bits();
        (bits(self.start), bits(self.end), self.inverted)
    }
}

impl Range {
    /// Reads a range that has a bound, each a finite number. A text without one, which the reference
    /// takes for no threshold at all, and a number beyond 64-bit floats are refused.
    pub fn with_bounds(text: &str) -> Result<Self, RangeError> {
        let range: Self = text.parse()?;
        let spec = text.trim_start_matches('\\').trim_start_matches('@');
        let is_empty = |bound: &str| bound.trim_matches(BLANK).is_empty();
        let (left, right) = spec.split_once(':').unwrap_or(("", spec));
        let is_finite = range.end.is_finite() || is_empty(right);
        let is_given = !is_empty(spec) && !spec.eq_ignore_ascii_case("none");
        let is_start_finite = range.start.is_finite() || left.trim_matches(BLANK) == "~";
        if is_given && is_finite && is_start_finite { Ok(range) } else { Err(RangeError::Format) }
    }

    /// The range as performance data have it: without blanks and percent signs, each number in its
    /// shortest form; empty where every value is fine.
    #[must_use]
    pub fn canonical(&self) -> String {
        let Self { start, end, inverted, .. } = *self;
        let bound = |bound: f64| if bound.is_finite() { bound.to_string() } else { String::new() };
        let range = match (start, end) {
            (f64::NEG_INFINITY, f64::INFINITY) if !inverted => return String::new(),
            (f64::NEG_INFINITY, end) => format!("~:{}", bound(end)),
            (0.0, end) if end.is_finite() => bound(end),
            (start, end) => format!("{}:{}", bound(start), bound(end)),
        };
        if inverted { format!("@{range}") } else { range }
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let range = |start, end, inverted| Self { start, end, inverted, text: text.to_owned() };
        let spec = text.trim_start_matches('\\');
        if spec.is_empty() || spec.eq_ignore_ascii_case("none") {
            return Ok(range(f64::NEG_INFINITY, f64::INFINITY, false));
        }
        let (inverted, spec) = match spec.strip_prefix('@') {
            Some(rest) => (true, rest),
            None => (false, spec),
        };
        let (left, right) = spec.split_once(':').unwrap_or(("", spec));
        if right.contains(':') {
            return Err(RangeError::Colons);
        }
        let start = match left.trim_matches(BLANK) {
            "" => 0.0,
            "~" => f64::NEG_INFINITY,
            bound => number(bound)?,
        };
        let end = match right.trim_matches(BLANK) {
            "" => f64::INFINITY,
            bound => number(bound)?,
        };
        if start > end {
            return Err(RangeError::Reversed(start, end));
        }
        Ok(range(start, end, inverted))
    }
}

/// The characters that may stand around a bound: the ASCII characters that Python strips.
const BLANK: [char; 10] = [' ', '\t', '\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\x1f'];

/// Reads an optional sign, digits with an optional point, an optional exponent, an optional `%`.
///
/// Rust's own parser takes exactly this and also names (`inf`, `nan`), which are refused here.
fn number(bound: &str) -> Result<f64, RangeError> {
    let digits = bound.strip_suffix('%').unwrap_or(bound);
    if digits.bytes().any(|b| b.is_ascii_alphabetic() && !matches!(b, b'e' | b'E')) {
        return Err(RangeError::Format);
    }
    digits.parse().map_err(|_| RangeError::Format)
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Range {
    fn eq(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }
}

impl Eq for Range {}

impl Hash for Range {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.meaning().hash(state);
    }
}

/// A number as C's `%g` prints it: six significant digits, no trailing zeros.
struct General(f64);

impl fmt::Display for General {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if !value.is_finite() {
            return f.write_str(if value.is_sign_positive() { "inf" } else { "-inf" });
        }
        let scientific = format!("{value:.5e}");
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let shortened = |digits: &str| {
            if digits.contains('.') {
                digits.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                digits.to_owned()
            }
        };
        if (-4..6).contains(&exponent) {
            let decimals = usize::try_from(5 - exponent).unwrap_or(0);
            f.write_str(&shortened(&format!("{value:.decimals$}")))
        } else {
            let sign = if exponent.is_negative() { '-' } else { '+' };
            write!(f, "{}e{sign}{:02}", shortened(mantissa), exponent.abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    fn range(text: &str) -> Range {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn a_refused_range_has_a_valid_one() {
        let valid = |text: &str| text.parse::<Range>().map_err(|error| error.valid());
        assert_eq!(valid("90:10"), Err("10:90".to_owned()));
        for text in ["-5", "abc", "1:2:3", "1e999:10"] {
            assert!(valid(text).is_err_and(|valid| valid.starts_with("for example 10,")), "{text}");
        }
        for (text, expected) in [
            (">50", Some("50")),
            ("> 50", Some("50")),
            ("<50", Some("50:")),
            ("10-20", Some("10:20")),
            ("10..20", Some("10:20")),
            ("1k", Some("1000")),
            ("LISTEN>5", Some("LISTEN=5")),
            ("LISTEN:5", Some("LISTEN=5")),
            ("LISTEN:", None),
            ("5>6", None),
            ("20-10", None),
            (">=5", None),
            ("10,20", None),
            ("abc", None),
            ("k", None),
            ("", None),
        ] {
            assert_eq!(meant(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_narrower_range_has_less_that_is_fine() {
        let range = |text: &str| text.parse::<Range>().unwrap_or_else(|e| panic!("{e}"));
        for (one, other, expected) in [
            ("50", "100", true),
            ("10:", "5:", true),
            ("2:5", "1:9", true),
            ("100", "50", false),
            ("50", "50", false),
            ("0:50", "~:50", false),
            ("5:", "10", false),
            ("@50", "100", false),
            ("50", "@100", false),
            ("50", "none", true),
        ] {
            assert_eq!(range(one).is_narrower_than(&range(other)), expected, "{one} {other}");
        }
    }

    #[test]
    fn bounds_are_inclusive_and_default_to_zero_and_infinity() {
        for (text, fine, not) in [
            ("10", &[0.0, 10.0][..], &[-1.0, 11.0][..]),
            ("10:", &[10.0, 1e300], &[9.0]),
            (":", &[0.0, 5.0], &[-1.0]),
            ("~:10", &[-1e300, 10.0], &[11.0]),
            ("10:20", &[10.0, 20.0], &[9.0, 21.0]),
            ("5:5", &[5.0], &[4.0, 6.0]),
            ("@10:20", &[9.0, 21.0], &[10.0, 20.0]),
            ("@", &[-1.0], &[0.0, 7.0]),
            ("\\\\@5", &[6.0], &[5.0]),
            (" 1e1% : +2.5e1 ", &[10.0, 25.0], &[9.0, 26.0]),
            (".5:5.", &[0.5, 5.0], &[0.4]),
            ("none", &[-1e300, 1e300], &[]),
            ("NonE", &[-1e300, 1e300], &[]),
            ("", &[-1e300, 1e300], &[]),
            ("\\", &[-1e300, 1e300], &[]),
        ] {
            for &value in fine {
                assert!(range(text).contains(value), "{value} in {text}");
            }
            for &value in not {
                assert!(!range(text).contains(value), "{value} not in {text}");
            }
        }
    }

    #[test]
    fn invalid_ranges_have_the_messages_of_the_reference() {
        for (text, message) in [
            ("inf", "Range format incorrect"),
            ("nan", "Range format incorrect"),
            ("0x10", "Range format incorrect"),
            ("1_000", "Range format incorrect"),
            ("1,5", "Range format incorrect"),
            ("@@5", "Range format incorrect"),
            ("5:~", "Range format incorrect"),
            ("~", "Range format incorrect"),
            ("e5", "Range format incorrect"),
            ("5%%", "Range format incorrect"),
            (".", "Range format incorrect"),
            ("@none", "Range format incorrect"),
            (" none", "Range format incorrect"),
            ("+-5", "Range format incorrect"),
            ("5e", "Range format incorrect"),
            ("1:2:3", "Not using range definition correctly"),
            ("20:10", "Start 20 must not be greater than end 10"),
            ("-5", "Start 0 must not be greater than end -5"),
            ("1234567:1", "Start 1.23457e+06 must not be greater than end 1"),
            ("1e999:10", "Start inf must not be greater than end 10"),
            ("0.0001:0.00001", "Start 0.0001 must not be greater than end 1e-05"),
            ("999999.5:1.5", "Start 1e+06 must not be greater than end 1.5"),
            ("100000:1", "Start 100000 must not be greater than end 1"),
        ] {
            let error = text.parse::<Range>().map(|r| r.to_string());
            assert_eq!(error.map_err(|e| e.to_string()), Err(message.to_owned()));
        }
    }

    #[test]
    fn a_value_within_bounds_is_fine_or_outside_or_unclear() {
        use Verdict::{Fine, Outside, Unclear};
        for (text, low, high, expected) in [
            ("10:20", 10.0, 20.0, Fine),
            ("10:20", 9.0, 20.0, Unclear),
            ("10:20", 10.0, 21.0, Unclear),
            ("10:20", 0.0, 30.0, Unclear),
            ("10:20", 9.0, 10.0, Unclear),
            ("10:20", 20.0, 21.0, Unclear),
            ("10:20", 0.0, 9.0, Outside),
            ("10:20", 21.0, 30.0, Outside),
            ("@10:20", 10.0, 20.0, Outside),
            ("@10:20", 9.0, 10.0, Unclear),
            ("@10:20", 0.0, 30.0, Unclear),
            ("@10:20", 0.0, 9.0, Fine),
            ("@10:20", 21.0, 30.0, Fine),
            ("", 0.0, 1e300, Fine),
            ("5", 5.0, 5.0, Fine),
            ("5", 6.0, 6.0, Outside),
        ] {
            assert_eq!(range(text).between(low, high), expected, "{low} to {high} in {text}");
        }
    }

    #[test]
    fn a_range_with_bounds_has_finite_ones() {
        for text in ["5", "5:", ":5", ":", "~:5", "5:10", "@5:10", "\\@5", " 5 ", "5%", "1e308"] {
            assert!(Range::with_bounds(text).is_ok(), "{text}");
        }
        for text in
            ["", " ", "\\", "\\ ", "none", "NONE", "@", "@ ", "1e999", "-1e999:", "1e999:", "x"]
        {
            assert_eq!(Range::with_bounds(text).err(), Some(RangeError::Format), "{text}");
        }
    }

    #[test]
    fn a_range_with_every_number_in_it_never_alerts() {
        let counts = Numbers { most: 1e19, whole: true };
        let percents = Numbers { most: 100.0, whole: false };
        for (text, of_counts, of_percents) in [
            ("0:", true, true),
            (":", true, true),
            ("~:", true, true),
            ("none", true, true),
            ("-5:", true, true),
            ("0:1e308", true, true),
            ("@-5:-1", true, true),
            ("@1.2:1.8", true, false),
            ("@101:200", false, true),
            ("100", false, true),
            ("~:100", false, true),
            ("99.99", false, false),
            ("@0", false, false),
            ("@", false, false),
            ("0", false, false),
            ("1:", false, false),
            ("@0.5:1", false, false),
            ("@100:200", false, false),
        ] {
            let never = [counts, percents].map(|numbers| range(text).never_alerts(numbers));
            assert_eq!(never, [of_counts, of_percents], "{text}");
        }
    }

    #[test]
    fn the_canonical_form_means_the_same_and_has_no_blanks() {
        for (text, canonical) in [
            ("10", "10"),
            (" 50 ", "50"),
            ("\t5 :\n1e1% ", "5:10"),
            ("10:", "10:"),
            ("0:10", "10"),
            ("-0:10", "10"),
            (":", "0:"),
            ("~:10", "~:10"),
            ("@10:20", "@10:20"),
            ("\\10", "10"),
            (".5:1.25", "0.5:1.25"),
            ("-5:-1", "-5:-1"),
            ("none", ""),
            ("", ""),
        ] {
            assert_eq!(range(text).canonical(), canonical, "{text:?}");
            assert_eq!(range(canonical), range(text), "{text:?}");
        }
    }

    #[test]
    fn ranges_are_equal_by_meaning_and_printed_as_given() {
        assert_eq!(range("10"), range("0:1e1%"));
        assert_eq!(range("-0:5"), range("5"));
        assert_eq!(range("none"), range(""));
        assert_ne!(range("@10"), range("10"));
        assert_eq!(range(" 10%").to_string(), " 10%");
        let hasher = std::hash::RandomState::new();
        let hash = |text| hasher.hash_one(range(text));
        assert_eq!(hash("-0:5"), hash("5"));
        assert_ne!(hash("@10"), hash("10"));
        assert_ne!(hash("10"), hash("11"));
    }
}
