//! The pictures: how far each target is met, and what cost grows with.

use crate::report::{Row, Want};
use std::fmt::Write;

/// Costs of work of several sizes: how many, and seconds.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
.h{font-size:18px;font-weight:600}.m{fill:#656d76}.n{font-weight:600}.bg{fill:#fff}\
.grid{stroke:#e4e8ec}.base{stroke:#8d96a0}.met{fill:#149c8c}.missed{fill:#e5484d}\
.a{fill:none;stroke:#24588f;stroke-width:2}.b{fill:none;stroke:#d17f0f;stroke-width:2}\
.da{fill:#24588f}.db{fill:#d17f0f}.even{stroke:#b4bcc4;stroke-dasharray:4 4}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}.m{fill:#8d96a0}.bg{fill:#0d1117}.grid{stroke:#20262d}.base{stroke:#6a737d}\
.met{fill:#2bc4b0}.missed{fill:#ff6a6a}.a{stroke:#7ab8ff}.da{fill:#7ab8ff}\
.b{stroke:#e3b341}.db{fill:#e3b341}.even{stroke:#4a535d}}";

const WIDTH: f64 = 940.0;

struct Svg {
    text: String,
}

impl Svg {
    fn new(title: &str, height: f64) -> Self {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n<rect class=\"bg\" width=\"100%\" height=\"100%\"/>"
        );
        let mut svg = Self { text };
        svg.label((24.0, 34.0), "h", "start", title);
        svg
    }

    fn label(&mut self, (x, y): (f64, f64), class: &str, anchor: &str, text: &str) {
        let text = crate::xml::escaped(text, char::is_control);
        let _ = writeln!(
            self.text,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" \
             text-anchor=\"{anchor}\">{text}</text>"
        );
    }

    fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let _ = writeln!(
            self.text,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    fn bar(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let _ = writeln!(
            self.text,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\"/>"
        );
    }

    fn dot(&mut self, class: &str, (x, y): (f64, f64)) {
        let _ =
            writeln!(self.text, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
    }

    fn end(self) -> String {
        self.text + "</svg>\n"
    }
}

const ROW: f64 = 22.0;
const TOP: f64 = 92.0;
/// Ends of the bars' scale: from half of a target to ten times.
const SCALE: (f64, f64) = (540.0, 770.0);
const SPAN: (f64, f64) = (0.5, 10.0);

/// Returns the position of a margin, cut at the ends of the scale.
fn place(margin: f64) -> f64 {
    let (low, high) = (SPAN.0.ln(), SPAN.1.ln());
    let share = (margin.clamp(SPAN.0, SPAN.1).ln() - low) / (high - low);
    share.mul_add(SCALE.1 - SCALE.0, SCALE.0)
}

/// Every target that has a bound: how many times better than it, or how far from it.
pub(crate) fn targets(rows: &[Row]) -> String {
    let bounded: Vec<(&Row, f64)> =
        rows.iter().filter_map(|row| row.margin().map(|margin| (row, margin))).collect();
    let bottom = bounded.iter().fold(TOP, |y, _| y + ROW);
    let mut svg = Svg::new("How far each target is met", bottom + 40.0);
    svg.label(
        (24.0, 56.0),
        "m",
        "start",
        "the figure as a multiple of its target; right is better",
    );
    for (value, name) in [(0.5, "½"), (1.0, "target"), (2.0, "2 x"), (5.0, "5 x"), (10.0, "10 x")]
    {
        let class = if name == "target" { "base" } else { "grid" };
        svg.line(class, (place(value), TOP - 8.0), (place(value), bottom));
        svg.label((place(value), TOP - 14.0), "m", "middle", name);
    }
    let mut y = TOP;
    for (row, margin) in bounded {
        let class = if margin >= 1.0 { "met" } else { "missed" };
        svg.label((46.0, y + 15.0), "n", "end", &row.number.to_string());
        let work = match (row.against.is_empty(), row.want) {
            (false, Want::AtLeast(_)) => format!("{}, against {}", row.work, short(&row.against)),
            _ => row.work.clone(),
        };
        svg.label((56.0, y + 15.0), "", "start", &clipped(&work, 82));
        let (from, to) = (place(margin.min(1.0)), place(margin.max(1.0)));
        svg.bar(class, (from, y + 4.0), ((to - from).max(2.0), ROW - 8.0));
        svg.label(
            (SCALE.1 + 12.0, y + 15.0),
            "",
            "start",
            &format!("{}, {}", row.figure(), row.by),
        );
        y += ROW;
    }
    svg.end()
}

fn short(text: &str) -> &str {
    text.split([',', ':', '(']).next().unwrap_or(text).trim()
}

fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

const PANEL: (f64, f64) = (80.0, 380.0);

/// Draws the growth of costs with size, on logarithmic axes; the dashed line grows as size does.
pub(crate) fn costs(curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let decade = |value: f64| value.log10();
    let low_x = points().map(|p| decade(p.0).floor()).fold(f64::MAX, f64::min);
    let high_x = points().map(|p| decade(p.0).ceil()).fold(f64::MIN, f64::max);
    let low_y = points().map(|p| decade(p.1).floor()).fold(f64::MAX, f64::min);
    let high_y = points().map(|p| decade(p.1).ceil()).fold(f64::MIN, f64::max);
    let (left, right) = (90.0, WIDTH - 40.0);
    let x = |value: f64| (decade(value) - low_x) / (high_x - low_x) * (right - left) + left;
    let y = |value: f64| PANEL.1 - (decade(value) - low_y) / (high_y - low_y) * (PANEL.1 - PANEL.0);
    let mut svg = Svg::new("What cost grows with", PANEL.1 + 56.0);
    let mut power = low_x;
    while power <= high_x {
        let at = x(10_f64.powf(power));
        svg.line("grid", (at, PANEL.0), (at, PANEL.1));
        svg.label((at, PANEL.1 + 20.0), "m", "middle", &format!("10^{power:.0}"));
        power += 1.0;
    }
    let mut power = low_y;
    while power <= high_y {
        let at = y(10_f64.powf(power));
        svg.line("grid", (left, at), (right, at));
        let seconds = std::time::Duration::from_secs_f64(10_f64.powf(power));
        svg.label((left - 10.0, at + 4.0), "m", "end", &crate::report::time(seconds));
        power += 1.0;
    }
    let middle = f64::midpoint(left, right);
    svg.label(
        (middle, PANEL.1 + 42.0),
        "m",
        "middle",
        "packets, or gaps; up: CPU time of both ends",
    );
    for (curve, (class, dot)) in curves.iter().zip([("a", "da"), ("b", "db")]) {
        draw(&mut svg, curve, (class, dot), &|p| (x(p.0), y(p.1)));
    }
    svg.end()
}

fn draw(
    svg: &mut Svg,
    curve: &Curve,
    (class, dot): (&str, &str),
    place: &dyn Fn((f64, f64)) -> (f64, f64),
) {
    let Some(&last) = curve.points.last() else { return };
    for pair in curve.points.windows(2) {
        svg.line(class, place(pair[0]), place(pair[1]));
        // From the largest back, as if cost were so much for each.
        let even = |x: f64| place((x, last.1 * x / last.0));
        if pair[0].0 >= last.0 / 1e3 {
            svg.line("even", even(pair[0].0), even(pair[1].0));
        }
    }
    curve.points.iter().for_each(|point| svg.dot(dot, place(*point)));
    // They begin apart, and end near each other.
    let (x, y) = place(curve.points[0]);
    svg.label((x + 10.0, y - 10.0), "n", "start", curve.name);
}
