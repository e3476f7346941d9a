//! The sequence space as a picture in the terminal.

use feed::seq::{Seq, SeqSet};
use std::fmt::Write;

/// How a sequence is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Received,
    Missing,
    Recovered,
}

impl Mark {
    fn symbol(self) -> char {
        match self {
            Self::Received => '▪',
            Self::Missing => '·',
            Self::Recovered => '◆',
        }
    }

    /// The ANSI colour.
    fn colour(self) -> &'static str {
        match self {
            Self::Received => "90",
            Self::Missing => "1;31",
            Self::Recovered => "1;32",
        }
    }
}

/// Draws sequences 1 to `last`, `width` a row: those in `lost` as missing, or as recovered.
pub(crate) fn strip(last: Seq, lost: &SeqSet, recovered: bool, width: u32, colour: bool) -> String {
    let hole = if recovered { Mark::Recovered } else { Mark::Missing };
    let mut text = String::new();
    for row in 0..last.div_ceil(width) {
        let first = row * width + 1;
        let _ = write!(text, "  {first:>5}  ");
        let mut before = None;
        for seq in first..=(first + width - 1).min(last) {
            let mark = if lost.contains(seq) { hole } else { Mark::Received };
            if colour && before != Some(mark) {
                let _ = write!(text, "\x1b[{}m", mark.colour());
                before = Some(mark);
            }
            text.push(mark.symbol());
        }
        text.push_str(if colour { "\x1b[0m\n" } else { "\n" });
    }
    text
}

/// What the marks mean.
pub(crate) fn legend(colour: bool) -> String {
    [(Mark::Received, "received"), (Mark::Missing, "lost"), (Mark::Recovered, "recovered")]
        .map(|(mark, word)| match colour {
            true => format!("\x1b[{}m{}\x1b[0m {word}", mark.colour(), mark.symbol()),
            false => format!("{} {word}", mark.symbol()),
        })
        .join("   ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sequence_is_one_mark() {
        let lost: SeqSet = "2,5-6".parse().unwrap();
        assert_eq!(strip(7, &lost, false, 4, false), "      1  ▪·▪▪\n      5  ··▪\n");
        assert_eq!(strip(7, &lost, true, 4, false), "      1  ▪◆▪▪\n      5  ◆◆▪\n");
        assert_eq!(strip(2, &lost, false, 4, true), "      1  \x1b[90m▪\x1b[1;31m·\x1b[0m\n");
        assert_eq!(strip(0, &lost, false, 4, false), "");
    }
}
