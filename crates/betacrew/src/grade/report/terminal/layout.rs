//! Layout of text for a terminal: colours, line breaks, labelled items.

use crate::grade::judge::verdict::Verdict;
use crate::terminal::style::{Colours, Stream, columns, of};
use std::fmt::Write;

/// Minimum width of a column of text; narrower terminals break lines by themselves.
const TEXT_MIN: usize = 30;
/// Width of the labels of items, with the spaces around them.
const LABEL: usize = 14;

/// Style of the report's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    /// Use of colours.
    pub(crate) colours: Colours,
    /// Width of the terminal; `None` if lines are not broken, because nothing shows them or only a
    /// program reads them.
    pub(crate) columns: Option<usize>,
}

impl Paint {
    /// Style of text without colours and line breaks.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { colours: Colours::Plain, columns: None };

    /// Returns the style for this process's stdout.
    pub(crate) fn of_stdout() -> Self {
        Self { colours: of(Stream::Stdout).colours, columns: columns() }
    }

    /// Wraps a text in an escape code, if colours are wanted.
    pub(crate) fn put(self, code: &str, text: &str) -> String {
        match self.colours {
            Colours::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
            Colours::Plain => text.to_owned(),
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.put("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.put("2", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.put("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.put("31", text)
    }

    pub(crate) fn verdict(self, verdict: Verdict, text: &str) -> String {
        match verdict {
            Verdict::Pass => self.good(text),
            Verdict::Flaky { .. } => self.put("33", text),
            Verdict::Fail => self.bad(text),
            Verdict::NotJudged => self.put("35", text),
            Verdict::NotRun => self.dim(text),
        }
    }

    /// Breaks a text into lines that fit beside `indent` columns.
    pub(crate) fn broken(self, text: &str, indent: usize) -> Vec<String> {
        let Some(columns) = self.columns.filter(|columns| *columns >= indent + TEXT_MIN) else {
            return vec![text.to_owned()];
        };
        let mut lines = vec![String::new()];
        let mut width = 0;
        for word in text.split(' ') {
            let word_width = word.chars().count();
            let last = lines.len() - 1;
            if width > 0 && width + 1 + word_width > columns - indent {
                lines.push(word.to_owned());
                width = word_width;
                continue;
            }
            if width > 0 {
                lines[last].push(' ');
                width += 1;
            }
            lines[last].push_str(word);
            width += word_width;
        }
        lines
    }

    /// Writes a text whose further lines are indented, in a colour.
    pub(crate) fn block(self, out: &mut String, indent: usize, text: &str, style: Emphasis) {
        for (place, line) in self.broken(text, indent).iter().enumerate() {
            let styled = match style {
                Emphasis::None => line.clone(),
                Emphasis::Strong => self.bold(line),
                Emphasis::Weak => self.dim(line),
            };
            let indent = if place == 0 { 0 } else { indent };
            let _ = writeln!(out, "{:indent$}{styled}", "");
        }
    }

    /// Writes a labelled item of a failure.
    pub(crate) fn item(self, out: &mut String, label: &str, text: &str, style: Emphasis) {
        let _ = write!(out, "    {label:8}  ");
        self.block(out, LABEL, text, style);
    }
}

/// Emphasis of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Emphasis {
    None,
    Strong,
    Weak,
}

/// Shortens a text to a number of columns.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    match text.chars().count() > columns {
        true => text.chars().take(columns.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_only_for_a_terminal() {
        let wide = Paint { columns: Some(44), ..Paint::PLAIN };
        let mut text = String::new();
        let told = "a read may end inside a packet, and then both halves are missed";
        wide.item(&mut text, "cause", told, Emphasis::None);
        assert_eq!(
            text,
            "    cause     a read may end inside a\n              packet, and then both halves\n\
             \x20             are missed\n"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 44));
        for columns in [None, Some(20), Some(0)] {
            let mut text = String::new();
            Paint { columns, ..Paint::PLAIN }.item(&mut text, "cause", told, Emphasis::None);
            assert_eq!(text, format!("    cause     {told}\n"), "{columns:?}");
        }
        let word = "x".repeat(100);
        assert_eq!(wide.broken(&format!("a {word} b"), 10), ["a", &word, "b"], "words stay whole");
    }
}
