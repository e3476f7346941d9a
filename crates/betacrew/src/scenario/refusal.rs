//! Mistakes in scenarios, with their place in the file.

use std::fmt;
use std::ops::Range;

/// Mistake in a scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScenarioError {
    /// Description of the mistake and of a correct value.
    pub message: String,
    /// Line and column, counted from 1.
    pub at: Option<(usize, usize)>,
    /// Text of that line, and number of characters to mark in it.
    excerpt: Option<(String, usize)>,
}

impl ScenarioError {
    /// Creates a mistake in these bytes of `text`.
    pub(super) fn new(message: impl Into<String>, text: &str, bytes: Option<Range<usize>>) -> Self {
        let place = bytes.and_then(|bytes| {
            let before = text.get(..bytes.start)?;
            let start = before.rfind('\n').map_or(0, |at| at + 1);
            let line = text[start..].lines().next().unwrap_or_default();
            let column = text[start..bytes.start].chars().count() + 1;
            let meant = text.get(bytes).map_or(1, |meant| {
                meant.lines().next().map_or(1, |line| line.chars().count()).max(1)
            });
            let number = before.matches('\n').count() + 1;
            Some(((number, column), (line.to_owned(), meant)))
        });
        let (at, excerpt) = place.unzip();
        Self { message: message.into(), at, excerpt }
    }

    /// Returns the place in a file of this name: `file:line:column`.
    pub(super) fn place(&self, name: &str) -> String {
        match self.at {
            Some((line, column)) => format!("{name}:{line}:{column}"),
            None => name.to_owned(),
        }
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let (Some((number, column)), Some((line, meant))) = (self.at, &self.excerpt) {
            // Control characters in the file must not reach the terminal.
            let shown: String =
                line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let gutter = number.to_string();
            let (blank, before) = (" ".repeat(gutter.len()), " ".repeat(column - 1));
            let marks = "^".repeat(*meant);
            write!(f, "\n{blank} |\n{gutter} | {shown}\n{blank} | {before}{marks}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioError {}
