//! Report for `--badge`: the grade as an SVG picture for a README.

use crate::grade::judge::verdict::{GradeSummary, Letter};

/// Average width of a character, in pixels.
const COLUMN: f64 = 6.6;
const LABEL: &str = "betacrew grade";

/// Returns the badge.
pub(crate) fn badge(summary: &GradeSummary) -> String {
    let (value, colour) = match summary.letter {
        Some(letter) => (letter.to_string(), colour(letter)),
        None => ("not run".to_owned(), "#6e7681"),
    };
    let musts = format!("{} of {} musts", summary.must.passed, summary.must.of);
    #[expect(clippy::cast_precision_loss, reason = "a picture's width")]
    let width = |text: &str| (text.chars().count() as f64).mul_add(COLUMN, 16.0).round();
    let (left, right) = (width(LABEL), width(&value).max(26.0));
    let whole = left + right;
    let (middle, value_middle) = (left / 2.0, left + right / 2.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole}\" height=\"20\" role=\"img\" \
         aria-label=\"{LABEL}: {value}\">\n<title>{LABEL}: {value} ({musts})</title>\n\
         <clipPath id=\"r\"><rect width=\"{whole}\" height=\"20\" rx=\"4\"/></clipPath>\n\
         <g clip-path=\"url(#r)\"><rect width=\"{left}\" height=\"20\" fill=\"#30363d\"/>\
         <rect x=\"{left}\" width=\"{right}\" height=\"20\" fill=\"{colour}\"/></g>\n\
         <g fill=\"#fff\" text-anchor=\"middle\" font-family=\"Verdana,DejaVu Sans,sans-serif\" \
         font-size=\"11\">\n<text x=\"{middle}\" y=\"14\">{LABEL}</text>\n\
         <text x=\"{value_middle}\" y=\"14\" font-weight=\"bold\">{value}</text>\n</g>\n</svg>\n"
    )
}

/// Returns the colour of a grade.
pub(crate) const fn colour(letter: Letter) -> &'static str {
    match letter {
        Letter::A => "#1a7f37",
        Letter::B => "#4d8f1f",
        Letter::C => "#9a6700",
        Letter::D => "#bc4c00",
        Letter::F => "#cf222e",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::judge::verdict::CaseTally;

    #[test]
    fn a_badge_shows_the_grade() {
        let must = CaseTally { passed: 3, of: 4 };
        let of =
            |letter| badge(&GradeSummary { must, should: must, not_run: 0, not_judged: 0, letter });
        let graded = of(Some(Letter::C));
        assert!(graded.contains(">C</text>") && graded.contains("(3 of 4 musts)"), "{graded}");
        assert!(of(None).contains(">not run</text>"));
    }
}
