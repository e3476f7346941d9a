//! Picture `docs/demo.svg` of the terminal output of `betacrew demo`.

use std::fmt::Write;

const ROW: usize = 19;
const COLUMN: f64 = 8.4;
const MARGIN: usize = 18;

/// Returns terminal text with ANSI colours as an SVG.
pub(crate) fn svg(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let plain =
        |line: &&str| spans(line).iter().map(|(_, part)| part.chars().count()).sum::<usize>();
    let columns = lines.iter().map(plain).max().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "a picture's width")]
    let width = (columns as f64).mul_add(COLUMN, 2.0 * MARGIN as f64);
    let height = lines.len() * ROW + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height}\" \
         font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" \
         font-size=\"14\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#161b22\"/>\n"
    );
    for (row, line) in lines.iter().enumerate() {
        let mut column = 0.0;
        for (colour, part) in spans(line) {
            #[expect(clippy::cast_precision_loss, reason = "a picture's columns")]
            let cells = part.chars().count() as f64;
            let (x, y) = (column * COLUMN + MARGIN as f64, row * ROW + MARGIN + 14);
            let text = crate::xml::escaped(part, char::is_control);
            // The length is fixed, so that columns line up in every font.
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y}\" fill=\"{colour}\" xml:space=\"preserve\" \
                 textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\">{text}</text>",
                cells * COLUMN
            );
            column += cells;
        }
    }
    svg + "</svg>\n"
}

/// Returns the parts of a line, each with its colour.
fn spans(line: &str) -> Vec<(&'static str, &str)> {
    let mut colour = "#e6edf3";
    let mut found = Vec::new();
    for (i, part) in line.split("\x1b[").enumerate() {
        let mut text = part;
        if i > 0 {
            let (code, rest) = part.split_once('m').unwrap_or(("0", part));
            text = rest;
            colour = match code {
                "90" => "#6e7681",
                "1;31" => "#ff7b72",
                "1;32" => "#3fb950",
                _ => "#e6edf3",
            };
        }
        if !text.is_empty() {
            found.push((colour, text));
        }
    }
    found
}
