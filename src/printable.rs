//! Makes names that come from outside fit for a line of output.

use std::borrow::Cow;

/// The text of these bytes, in which every invisible character becomes `?`.
#[cfg(any(target_os = "linux", windows, test))]
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if is_invisible(c) { '?' } else { c }).collect()
}

/// Whether a character moves the cursor, changes a colour, changes the direction of writing or has
/// no visible form.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// A name of at most 100 characters. A longer name keeps both ends, which distinguish it from
/// similar names.
#[must_use]
pub fn shortened(name: &str) -> String {
    const END: usize = 48;
    let length = name.chars().count();
    if length <= 2 * END + 4 {
        return name.to_owned();
    }
    let begin: String = name.chars().take(END).collect();
    let end: String = name.chars().skip(length - END).collect();
    format!("{begin}...{end}")
}

/// A text of at most 200 bytes, for errors. A longer text keeps both ends: the beginning of a path says
/// where it belongs, the end says what it is.
#[cfg(any(target_os = "linux", test))]
#[must_use]
pub fn bounded(text: &str) -> Cow<'_, str> {
    const END: usize = 98;
    if text.len() <= 2 * END + 4 {
        return Cow::Borrowed(text);
    }
    // A character is not cut in two.
    let begin = (0..=END).rev().find_map(|end| text.get(..end)).unwrap_or("");
    let end = (text.len() - END..).find_map(|start| text.get(start..)).unwrap_or("");
    Cow::Owned(format!("{begin}...{end}"))
}

/// Replaces characters that would end the message or be read as markup: `|` begins performance
/// data, and a web interface that sees one HTML tag renders the whole output as HTML.
#[must_use]
pub fn neutralised(message: &str) -> Cow<'_, str> {
    if !message.contains(['|', '<']) {
        return Cow::Borrowed(message);
    }
    let mut safe = String::with_capacity(message.len());
    for (at, c) in message.char_indices() {
        match c {
            '|' => safe.push('!'),
            '<' if opens_tag(message.get(at + 1..).unwrap_or("")) => safe.push_str("&lt;"),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Whether Icinga Web reads a `<` as a tag because of the text after it: a word, then either `>` or
/// one blank and an attribute (`PluginOutput` in its library icingadb-web). The `>` that ends an
/// attribute may stand anywhere later, even in another name, so it is not required.
fn opens_tag(after: &str) -> bool {
    let word =
        |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let rest = after.get(word(after)..).unwrap_or("");
    if rest.len() == after.len() {
        return false;
    }
    let mut chars = rest.chars();
    match chars.next() {
        Some('>') => true,
        Some(blank) if blank.is_whitespace() => {
            let attribute = chars.as_str();
            let value = attribute.get(word(attribute)..).unwrap_or("");
            value.len() < attribute.len() && value.starts_with('=')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfdata_separators_and_tags_are_neutralised() {
        for (message, safe) in [
            ("a|b", "a!b"),
            ("<b>", "&lt;b>"),
            ("<a href=x>", "&lt;a href=x>"),
            ("<a href=x", "&lt;a href=x"),
            ("<= 10 < 5 <5.3>", "<= 10 < 5 <5.3>"),
            ("</b>", "</b>"),
            ("<a  b=c>", "<a  b=c>"),
            ("<é>|", "&lt;é>!"),
        ] {
            assert_eq!(neutralised(message), safe);
        }
    }

    #[test]
    fn a_long_text_is_cut_to_200_bytes_and_keeps_both_ends() {
        let path = format!("/begin{}/end", "x".repeat(190));
        assert_eq!(bounded(&path), path);
        let long = format!("/begin{}/end", "x".repeat(6000));
        let short = bounded(&long);
        assert!(short.len() <= 200 && short.starts_with("/begin") && short.ends_with("/end"));
        for width in ["\u{e4}", "\u{6f22}", "\u{1f600}"] {
            let short = bounded(&format!("a{}", width.repeat(2000))).into_owned();
            assert!(short.len() <= 200 && short.len() > 180, "{short}");
        }
    }

    #[test]
    fn invisible_characters_become_question_marks() {
        assert_eq!(printable(b"a\n\x1b[31mb\xff"), "a??[31mb\u{fffd}");
        assert_eq!(printable("x\u{202e}y\u{200b}z é 漢".as_bytes()), "x?y?z é 漢");
        let invisible = "\u{ad}\u{61c}\u{200f}\u{2028}\u{2060}\u{206f}\u{feff}\u{fff9}\u{e0041}";
        assert_eq!(printable(invisible.as_bytes()), "?????????");
    }
}
