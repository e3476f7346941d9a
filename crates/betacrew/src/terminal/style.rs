//! Decision whether a stream gets colours and progress bars.

use std::ffi::OsString;
use std::io::IsTerminal;

/// Stream that people read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Use of colours and other attributes in text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Colours {
    /// Text without escape sequences.
    Plain,
    /// ANSI escape sequences.
    Ansi,
}

/// Features of a stream besides text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Style {
    /// Colours of text.
    pub(crate) colours: Colours,
    /// True if progress bars may be drawn.
    pub(crate) motion: bool,
}

/// Returns the features of a stream of this process.
pub(crate) fn of(stream: Stream) -> Style {
    let terminal = match stream {
        Stream::Stdout => std::io::stdout().is_terminal(),
        Stream::Stderr => std::io::stderr().is_terminal(),
    };
    decide(terminal, |name| std::env::var_os(name))
}

/// Returns the width of the terminal that shows stdout; `None` if it is not a terminal.
pub(crate) fn columns() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(std::io::stdout())?;
    Some(usize::from(width.0))
}

/// Chooses the style of a stream, from whether it is a terminal and from the environment:
/// `NO_COLOR` (any value) wins over `CLICOLOR_FORCE`, that over `TERM=dumb` and `CLICOLOR=0`, and
/// those over being a terminal.
fn decide(terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> Style {
    let is = |name, value: &str| variable(name).is_some_and(|found| found == value);
    let set = |name| variable(name).is_some_and(|found| !found.is_empty());
    let forced = set("CLICOLOR_FORCE") && !is("CLICOLOR_FORCE", "0");
    let able = terminal && !is("TERM", "dumb");
    let coloured = !set("NO_COLOR") && (forced || able && !is("CLICOLOR", "0"));
    Style { colours: if coloured { Colours::Ansi } else { Colours::Plain }, motion: able }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_and_the_terminal_decide() {
        let style = |terminal, set: &[(&str, &str)]| {
            let Style { colours, motion } = decide(terminal, |name| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.into())
            });
            (colours == Colours::Ansi, motion)
        };
        assert_eq!(style(true, &[]), (true, true));
        assert_eq!(style(false, &[]), (false, false));
        assert_eq!(style(true, &[("NO_COLOR", "1")]), (false, true));
        assert_eq!(style(true, &[("NO_COLOR", "")]), (true, true));
        assert_eq!(style(true, &[("TERM", "dumb")]), (false, false));
        assert_eq!(style(true, &[("TERM", "xterm")]), (true, true));
        assert_eq!(style(true, &[("CLICOLOR", "0")]), (false, true));
        assert_eq!(style(true, &[("CLICOLOR", "1")]), (true, true));
        let force = ("CLICOLOR_FORCE", "1");
        assert_eq!(style(false, &[force]), (true, false));
        assert_eq!(style(false, &[("CLICOLOR_FORCE", "0")]), (false, false));
        assert_eq!(style(false, &[force, ("NO_COLOR", "1")]), (false, false));
        assert_eq!(style(true, &[force, ("TERM", "dumb")]), (true, false));
    }
}
