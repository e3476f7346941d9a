//! The sequence space as a picture in the terminal.

use feed::analysis::survey::StripColumn;
use feed::base::seq::{Seq, SeqSet};
use std::fmt::Write;

/// How a sequence, or all of several, are drawn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum CellMark {
    Received,
    /// So many eighths of them, from 1 to 8.
    SomeRecovered(u8),
    Recovered,
    SomeMissing,
    Missing,
}

impl CellMark {
    /// What came worst decides.
    pub(crate) fn of(column: &StripColumn) -> Self {
        match (column.received, column.recovered, column.missing()) {
            (_, 0, 0) => Self::Received,
            (0, 1, 0) => Self::Recovered,
            (_, recovered, 0) => {
                let eighths = (u64::from(recovered) * 8).div_ceil(column.range.len().into());
                Self::SomeRecovered(u8::try_from(eighths).unwrap_or(8))
            }
            (0, 0, _) => Self::Missing,
            _ => Self::SomeMissing,
        }
    }

    pub(crate) fn symbol(self) -> char {
        match self {
            Self::Received => '▪',
            Self::SomeRecovered(eighths) => {
                char::from_u32(0x2580 + u32::from(eighths)).unwrap_or('█')
            }
            Self::Recovered => '◆',
            Self::SomeMissing => '▫',
            Self::Missing => '·',
        }
    }

    /// The ANSI colour.
    fn colour(self) -> &'static str {
        match self {
            Self::Received => "90",
            Self::SomeRecovered(_) => "32",
            Self::Recovered => "1;32",
            Self::SomeMissing => "31",
            Self::Missing => "1;31",
        }
    }
}

/// Draws sequences 1 to `last`, `width` a row: those in `lost` as missing, or as recovered.
pub(crate) fn strip(last: Seq, lost: &SeqSet, recovered: bool, width: u32, colour: bool) -> String {
    let hole = if recovered { CellMark::Recovered } else { CellMark::Missing };
    let mark = |seq| if lost.contains(seq) { hole } else { CellMark::Received };
    let marks: Vec<(Seq, CellMark)> = (1..=last).map(|seq| (seq, mark(seq))).collect();
    rows(&marks, width as usize, colour)
}

/// Draws marks, `width` a row, each with the sequence that it begins at.
pub(crate) fn rows(marks: &[(Seq, CellMark)], width: usize, colour: bool) -> String {
    let mut text = String::new();
    let digits = marks.last().map_or(0, |(seq, _)| seq.to_string().len()).max(5);
    for row in marks.chunks(width.max(1)) {
        let _ = write!(text, "  {:>digits$}  ", row[0].0);
        let mut before = None;
        for &(_, mark) in row {
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

/// What marks mean.
pub(crate) fn legend(marks: &[(CellMark, &str)], colour: bool) -> String {
    let one = |(mark, word): &(CellMark, &str)| match colour {
        true => format!("\x1b[{}m{}\x1b[0m {word}", mark.colour(), mark.symbol()),
        false => format!("{} {word}", mark.symbol()),
    };
    marks.iter().map(one).collect::<Vec<_>>().join("   ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::base::seq::SeqRange;

    #[test]
    fn each_sequence_is_one_mark() {
        let lost: SeqSet = "2,5-6".parse().unwrap();
        assert_eq!(strip(7, &lost, false, 4, false), "      1  ▪·▪▪\n      5  ··▪\n");
        assert_eq!(strip(7, &lost, true, 4, false), "      1  ▪◆▪▪\n      5  ◆◆▪\n");
        assert_eq!(strip(2, &lost, false, 4, true), "      1  \x1b[90m▪\x1b[1;31m·\x1b[0m\n");
        assert_eq!(strip(0, &lost, false, 4, false), "");
    }

    #[test]
    fn of_several_the_worst_is_drawn() {
        let range = SeqRange::new(1, 10).unwrap();
        for (received, recovered, mark) in [
            (10, 0, CellMark::Received),
            (9, 1, CellMark::SomeRecovered(1)),
            (5, 5, CellMark::SomeRecovered(4)),
            (0, 10, CellMark::SomeRecovered(8)),
            (9, 0, CellMark::SomeMissing),
            (0, 9, CellMark::SomeMissing),
            (0, 0, CellMark::Missing),
        ] {
            assert_eq!(CellMark::of(&StripColumn { range, received, recovered }), mark);
        }
        let symbols = [1, 4, 8].map(|eighths| CellMark::SomeRecovered(eighths).symbol());
        assert_eq!(symbols, ['▁', '▄', '█']);
        let one = StripColumn { range: SeqRange::one(3), received: 0, recovered: 1 };
        assert_eq!(CellMark::of(&one), CellMark::Recovered);
    }
}
