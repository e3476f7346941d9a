//! Picture of a range of sequences in the terminal: one character for each cell.

use crate::terminal::style::Colours;
use feed::analysis::survey::StripColumn;
use feed::base::seq::{Seq, SeqSet};
use std::fmt::Write;

/// Mark for a cell, which is one sequence or several.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum CellMark {
    /// All received at first.
    Received,
    /// Some recovered: the number of eighths, from 1 to 8.
    SomeRecovered(u8),
    /// Single sequence that was recovered.
    Recovered,
    /// Some missing.
    SomeMissing,
    /// All missing.
    Missing,
}

impl CellMark {
    /// Returns the mark for a column of several sequences; the worst state decides.
    pub(crate) fn of(column: &StripColumn) -> Self {
        match (column.received, column.recovered, column.missing()) {
            (_, 0, 0) => Self::Received,
            (0, 1, 0) => Self::Recovered,
            (_, recovered, 0) => {
                let eighths = (recovered * 8).div_ceil(column.range.len());
                Self::SomeRecovered(u8::try_from(eighths).unwrap_or(8))
            }
            (0, 0, _) => Self::Missing,
            _ => Self::SomeMissing,
        }
    }

    /// Returns the character of the mark.
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

    /// Returns the ANSI colour of the mark.
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

/// Draws sequences 1 to `last`, `width` in a row. Those in `marked` get `mark`, the others
/// [`CellMark::Received`].
pub(crate) fn strip(
    last: Seq,
    marked: &SeqSet,
    mark: CellMark,
    width: u32,
    colours: Colours,
) -> String {
    let mark = |seq| if marked.contains(seq) { mark } else { CellMark::Received };
    let marks: Vec<(Seq, CellMark)> = (1..=last).map(|seq| (seq, mark(seq))).collect();
    rows(&marks, width as usize, colours)
}

/// Draws marks, `width` in a row, with the sequence of the first mark before each row.
pub(crate) fn rows(marks: &[(Seq, CellMark)], width: usize, colours: Colours) -> String {
    let mut text = String::new();
    let digits = marks.last().map_or(0, |(seq, _)| seq.to_string().len()).max(5);
    for row in marks.chunks(width.max(1)) {
        let _ = write!(text, "  {:>digits$}  ", row[0].0);
        let mut before = None;
        for &(_, mark) in row {
            if colours == Colours::Ansi && before != Some(mark) {
                let _ = write!(text, "\x1b[{}m", mark.colour());
                before = Some(mark);
            }
            text.push(mark.symbol());
        }
        text.push_str(match colours {
            Colours::Ansi => "\x1b[0m\n",
            Colours::Plain => "\n",
        });
    }
    text
}

/// Returns a line that explains the marks.
pub(crate) fn legend(marks: &[(CellMark, &str)], colours: Colours) -> String {
    let one = |(mark, word): &(CellMark, &str)| match colours {
        Colours::Ansi => format!("\x1b[{}m{}\x1b[0m {word}", mark.colour(), mark.symbol()),
        Colours::Plain => format!("{} {word}", mark.symbol()),
    };
    marks.iter().map(one).collect::<Vec<_>>().join("   ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::base::seq::SeqRange;

    #[test]
    fn each_sequence_is_one_mark() {
        let marked: SeqSet = "2,5-6".parse().unwrap();
        assert_eq!(
            strip(7, &marked, CellMark::Missing, 4, Colours::Plain),
            "      1  ▪·▪▪\n      5  ··▪\n"
        );
        assert_eq!(
            strip(7, &marked, CellMark::Recovered, 4, Colours::Plain),
            "      1  ▪◆▪▪\n      5  ◆◆▪\n"
        );
        assert_eq!(
            strip(2, &marked, CellMark::Missing, 4, Colours::Ansi),
            "      1  \x1b[90m▪\x1b[1;31m·\x1b[0m\n"
        );
        assert_eq!(strip(0, &marked, CellMark::Missing, 4, Colours::Plain), "");
    }

    #[test]
    fn the_worst_state_of_a_column_is_drawn() {
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
