//! Text in XML and HTML. The tasks of the project and its bench include this file as well, so it
//! imports nothing.

/// Returns a text as it may stand in XML and HTML, in an attribute too. Characters for which
/// `is_control` returns true, and those that XML does not allow, become replacement characters.
pub(crate) fn escaped(text: &str, is_control: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if is_control(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
