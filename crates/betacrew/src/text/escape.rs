//! Escaping of text from others, for terminals, logs and XML.
//!
//! File names, scenarios, symbols and addresses may hold characters that steer a terminal, begin
//! a line that looks like one of ours, or change the order in which text is read.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns whether a character controls the terminal or the text around it: control characters, and
/// those that change the direction of text or separate lines.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}')
}

/// Returns a text in which each such character is escaped as in JSON (`\r`, `\u001b`), except those
/// that `keeps` accepts.
fn written_out(text: &str, keeps: impl Fn(char) -> bool) -> Cow<'_, str> {
    let strange = |c: char| steers(c) && !keeps(c);
    if !text.contains(strange) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !strange(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c => drop(write!(safe, "\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(safe)
}

/// Returns a text that stays on its line.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    written_out(text, |_| false)
}

/// Returns a text that may have several lines, and tabs.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    let kept = |c| matches!(c, '\n' | '\t');
    match text.contains("\r\n") {
        true => Cow::Owned(written_out(&text.replace("\r\n", "\n"), kept).into_owned()),
        false => written_out(text, kept),
    }
}

/// Returns a text that may have several lines and our own colours, such as `\x1b[1;31m`.
pub(crate) fn coloured(text: &str) -> Cow<'_, str> {
    if !text.contains('\x1b') {
        return lines(text);
    }
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\x1b') {
        safe.push_str(&lines(before));
        let end = after.strip_prefix('[').and_then(|codes| {
            let end = codes.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
            codes[end..].starts_with('m').then_some(end + 2)
        });
        let (colour, after) = after.split_at(end.unwrap_or(0));
        safe.push_str(if end.is_some() { "\x1b" } else { "\\u001b" });
        safe.push_str(colour);
        rest = after;
    }
    safe.push_str(&lines(rest));
    Cow::Owned(safe)
}

/// Returns a text with the escapes that XML and HTML need, in attributes as well. Most control
/// characters have no form in XML: a replacement character stands for them.
pub(crate) fn xml(text: &str) -> String {
    super::xml::escaped(text, steers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "a\x1b]0;x\x07b\r\nc\u{9b}2J\u{202e}d\u{2066}\u{2028}e\u{7f}\tf";

    #[test]
    fn nothing_that_steers_is_left() {
        let one = line(NASTY);
        assert!(!one.contains(steers), "{one:?}");
        assert_eq!(one, "a\\u001b]0;x\\u0007b\\r\\nc\\u009b2J\\u202ed\\u2066\\u2028e\\u007f\\tf");
        let several = lines(NASTY);
        assert_eq!(several.lines().count(), 2);
        assert!(several.contains("b\nc") && several.contains("\tf"), "{several:?}");
        assert!(!several.contains(|c| steers(c) && c != '\n' && c != '\t'));
        assert_eq!(lines("10%\rforged"), "10%\\rforged");
        for plain in ["", "Zürich 株 🦀 x=1", "tab\there"] {
            assert!(matches!(lines(plain), Cow::Borrowed(_)), "{plain}");
        }
    }

    #[test]
    fn a_text_in_xml_is_a_text_and_nothing_else() {
        let markup = "<a b=\"c\" d='e'>&amp;</a>\n\tf";
        let safe = "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;amp;&lt;/a&gt;\n\tf";
        assert_eq!(xml(markup), safe);
        assert_eq!(xml("\0\u{1b}\u{fffe}\u{202e}株"), "\u{fffd}\u{fffd}\u{fffd}\u{fffd}株");
    }

    #[test]
    fn of_escape_sequences_only_colours_are_kept() {
        for kept in ["\x1b[1;31m·\x1b[0m\n", "\x1b[m", "no colour"] {
            assert_eq!(coloured(kept), kept);
        }
        for (text, safe) in [
            ("\x1b[2J", "\\u001b[2J"),
            ("\x1b[31", "\\u001b[31"),
            ("\x1b", "\\u001b"),
            ("\x1b\x1b[31mx\x1b]8;;m", "\\u001b\x1b[31mx\\u001b]8;;m"),
            ("\x1b[31;\u{fc}m\x07", "\\u001b[31;\u{fc}m\\u0007"),
        ] {
            assert_eq!(coloured(text), safe);
        }
    }

    #[test]
    fn what_is_written_out_stays_json() {
        let json = serde_json::to_string(NASTY).unwrap() + "\n";
        let shown = lines(&json);
        let read: String = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, NASTY);
    }
}
