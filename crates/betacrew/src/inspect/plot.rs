//! Recording as a picture: how packets arrived over the session, and prices and volumes of its
//! symbols.

mod scale;

use super::reading::Inspection;
use super::text::average_price;
use crate::text::escape::xml;
use crate::text::formatting::{count, grouped, signed};
use feed::analysis::figures::SymbolStats;
use feed::analysis::survey::{ChartBin, StripColumn};
use feed::base::seq::{Seq, SeqRange};
use feed::wire::packet::Symbol;
use scale::{Scale, short};
use std::fmt::Write;

/// Maximum number of symbols that are drawn, those with the most packets.
const SYMBOLS: usize = 8;

/// Width of the picture, in pixels.
pub(super) const WIDTH: f64 = 1040.0;
/// Left end of the charts, in pixels.
pub(super) const LEFT: f64 = 78.0;
/// Right end of the charts, in pixels.
pub(super) const RIGHT: f64 = WIDTH - 28.0;
/// Number of parts of the session below which a symbol is drawn point by point.
const FEW: usize = 90;
/// Maximum number of parts of the session in the strip.
const COLUMNS: usize = 480;
/// Top and bottom of the strip, in pixels.
const STRIP: (f64, f64) = (100.0, 136.0);
/// Top of the first symbol's panel, in pixels.
const PANELS: f64 = 172.0;
/// Height of a panel's title, in pixels.
const TITLE: f64 = 22.0;
/// Height of a panel's prices, in pixels.
const PRICES: f64 = 84.0;
/// Height of the space between prices and volumes, in pixels.
const GAP: f64 = 14.0;
/// Height of a panel's volumes, in pixels.
const VOLUMES: f64 = 44.0;
/// Height of a whole panel with the space below it, in pixels.
const PANEL: f64 = TITLE + PRICES + GAP + VOLUMES + 34.0;

/// Colours and fonts, for light and dark pages.
pub(super) const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
.h{font-size:19px;font-weight:600}.s{font-size:14px;font-weight:600}.m{fill:#656d76}\
.bg{fill:#fff}.grid{stroke:#e4e8ec}.base{stroke:#b4bcc4}\
.received{fill:#b9c6d3}.recovered{fill:#149c8c}.missing{fill:#e5484d}\
.band{fill:#3b76b8;fill-opacity:.2}.line{fill:none;stroke:#24588f;stroke-width:1.5;\
stroke-linejoin:round}.dot{fill:#24588f}.buy{fill:#3b86c8}.sell{fill:#e09a2b}\
.hole{fill:#e5484d;fill-opacity:.08}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}.m{fill:#8d96a0}.bg{fill:#0d1117}.grid{stroke:#20262d}.base{stroke:#4a535d}\
.received{fill:#3d4a57}.recovered{fill:#2bc4b0}.missing{fill:#ff6a6a}\
.band{fill:#58a6ff;fill-opacity:.25}.line{stroke:#7ab8ff}.dot{fill:#7ab8ff}\
.buy{fill:#4c9be8}.sell{fill:#e3b341}}";

/// Returns the picture of a recording, as SVG.
pub(super) fn svg(found: &Inspection) -> String {
    let survey = &found.survey;
    let mut symbols: Vec<(&Symbol, &SymbolStats)> = survey.market.symbols().collect();
    let all = symbols.len();
    symbols.sort_by_key(|(_, figures)| std::cmp::Reverse(figures.packets));
    symbols.truncate(SYMBOLS);
    let last = position(survey.last().max(1));
    // The axis goes from the left end of packet 1 to the right end of the last packet.
    let x = Scale { low: 0.5, high: last + 0.5, from: LEFT, to: RIGHT };
    let holes = holes(found);
    let bottom = (0..symbols.len()).fold(PANELS, |y, _| y + PANEL);
    let height = bottom + if all > symbols.len() { 58.0 } else { 38.0 };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n<rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n",
        xml(&name(found))
    );
    head(&mut svg, found);
    axis(&mut svg, &x, bottom - 20.0);
    strip(&mut svg, found, &x);
    for (row, (symbol, figures)) in (0_u8..).zip(&symbols) {
        let top = f64::from(row).mul_add(PANEL, PANELS);
        let bins = survey.charts.as_ref().map(|charts| charts.of(**symbol).collect::<Vec<_>>());
        let bins = bins.unwrap_or_default();
        panel_title(&mut svg, top, symbol, figures);
        holes.iter().for_each(|hole| {
            let (left, right) = ends(&x, *hole);
            let height = PRICES + GAP + VOLUMES;
            rect(&mut svg, "hole", (left, top + TITLE), (right - left, height));
        });
        prices(&mut svg, &x, top + TITLE, &bins, &holes);
        volumes(&mut svg, &x, top + TITLE + PRICES + GAP, &bins);
    }
    if all > symbols.len() {
        let more = count((all - symbols.len()) as u64, "more symbol");
        text(&mut svg, LEFT, height - 14.0, "m", "start", &format!("and {more}"));
    }
    svg + "</svg>\n"
}

/// Returns the file's name without its folder.
fn name(found: &Inspection) -> String {
    found.path.file_name().unwrap_or(found.path.as_os_str()).to_string_lossy().into_owned()
}

/// Draws text.
pub(super) fn text(svg: &mut String, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
    let text = xml(text);
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

/// Draws a rectangle.
pub(super) fn rect(svg: &mut String, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let _ = writeln!(
        svg,
        "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" \
         height=\"{height:.2}\"/>"
    );
}

fn line(svg: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

/// Draws the heading: file, packets, gaps, session.
fn head(svg: &mut String, found: &Inspection) {
    let survey = &found.survey;
    text(svg, LEFT, 38.0, "h", "start", &name(found));
    let missing = match survey.missing() {
        none if none.is_empty() && found.is_empty_without_session() => {
            "no packets recorded".to_owned()
        }
        none if none.is_empty() && found.removed > 0 => {
            format!("{} removed at the end", count(found.removed, "message"))
        }
        none if none.is_empty() => "nothing is missing".to_owned(),
        some => {
            let (packets, gaps) = (count(some.packets(), "packet"), count(some.gaps(), "gap"));
            format!("{packets} missing in {gaps}")
        }
    };
    let mut parts = vec![count(survey.packets(), "packet"), missing];
    if survey.recovery.packets > 0 {
        parts.push(format!("{} recovered", grouped(survey.recovery.packets)));
    }
    if let Some(id) = found.tape.as_ref().and_then(super::reading::InspectedTape::id) {
        parts.push(format!("session {id}"));
    }
    text(svg, LEFT, 60.0, "m", "start", &parts.join("  \u{b7}  "));
}

/// Draws the axis of sequences, which all parts of the picture share.
fn axis(svg: &mut String, x: &Scale, bottom: f64) {
    for tick in x.ticks(8) {
        text(svg, x.place(tick), bottom, "m", "middle", &short(tick));
    }
    text(svg, RIGHT, bottom + 18.0, "m", "end", "sequence");
}

/// Draws the strip that shows which packets were received, recovered or are missing.
fn strip(svg: &mut String, found: &Inspection, x: &Scale) {
    let columns: Vec<StripColumn> = found.survey.strip.columns(COLUMNS).collect();
    text(svg, LEFT, STRIP.0 - 10.0, "s", "start", "How packets arrived");
    let mut at = RIGHT;
    for (class, width) in [("missing", 60.0), ("recovered", 90.0), ("received", 82.0)] {
        at -= width;
        rect(svg, class, (at, STRIP.0 - 19.0), (10.0, 10.0));
        text(svg, at + 15.0, STRIP.0 - 10.0, "m", "start", class);
    }
    // A few wide columns are drawn with space between them.
    let gap = if columns.len() < 100 { 2.0 } else { 0.0 };
    let height = STRIP.1 - STRIP.0;
    let classes = ["received", "recovered", "missing"];
    let mut bars = [const { String::new() }; 3];
    // Neighbouring columns that look the same are drawn as one, to keep the file small.
    let same = |a: &StripColumn, b: &StripColumn| gap == 0.0 && shares(a) == shares(b);
    for group in columns.chunk_by(same) {
        let (Some(first), Some(end)) = (group.first(), group.last()) else { continue };
        let (left, right) = ends(x, first.range.hull(end.range));
        let (left, right) = (left + gap / 2.0, right - gap / 2.0);
        let mut bottom = STRIP.1;
        for (bars, share) in bars.iter_mut().zip(shares(first)) {
            let part = f64::from(share) / 100.0 * height;
            bar(bars, (left, bottom - part), (right - left, part));
            bottom -= part;
        }
    }
    for (class, bars) in classes.into_iter().zip(bars) {
        path(svg, class, &bars);
    }
}

/// Adds a bar to a path, unless its height is 0.
pub(super) fn bar(path: &mut String, (x, y): (f64, f64), (width, height): (f64, f64)) {
    if height > 0.0 {
        let _ = write!(path, "M{x:.2} {y:.2}h{width:.2}v{height:.2}h-{width:.2}z");
    }
}

/// Draws a path, unless it is empty.
pub(super) fn path(svg: &mut String, class: &str, path: &str) {
    if !path.is_empty() {
        let _ = writeln!(svg, "<path class=\"{class}\" d=\"{path}\"/>");
    }
}

/// Returns the shares of a column that were received, recovered and are missing, in percent. A
/// share that is not 0 is at least `SEEN`, so that it can be seen.
fn shares(column: &StripColumn) -> [u32; 3] {
    const SEEN: u32 = 8;
    let all = column.range.len();
    let percent = |count: u64| u128::from(count) * 100 / u128::from(all);
    let share = |count: u64| match u32::try_from(percent(count)).unwrap_or(100) {
        _ if count == 0 => 0,
        percent => percent.max(SEEN),
    };
    let (recovered, missing) = (share(column.recovered), share(column.missing()));
    let room = 100 - if column.received > 0 { SEEN } else { 0 };
    let missing = missing.min(room - if recovered > 0 { SEEN } else { 0 });
    let recovered = if column.received == 0 && recovered > 0 { room - missing } else { recovered };
    let recovered = recovered.min(room - missing);
    let missing = if column.received == 0 { 100 - recovered } else { missing };
    [100 - recovered - missing, recovered, missing]
}

/// Draws the title of a symbol's panel.
fn panel_title(svg: &mut String, top: f64, symbol: &Symbol, figures: &SymbolStats) {
    let name = symbol.trimmed().escape_ascii().to_string();
    let average = average_price(figures);
    let (bought, sold) = (signed(figures.bought), signed(figures.sold));
    let stats = format!(
        "{}  \u{b7}  VWAP {average}  \u{b7}  low {}, high {}, last {}",
        count(figures.packets, "packet"),
        figures.low,
        figures.high,
        figures.last,
    );
    text(svg, LEFT, top + 12.0, "s", "start", &name);
    text(svg, LEFT + 56.0, top + 12.0, "m", "start", &stats);
    let _ = writeln!(
        svg,
        "<text x=\"{RIGHT}\" y=\"{:.1}\" class=\"m\" text-anchor=\"end\">\
         <tspan class=\"buy\">\u{25b2}</tspan> bought {bought}  \
         <tspan class=\"sell\">\u{25bc}</tspan> sold {sold}</text>",
        top + 12.0
    );
}

/// Returns the ranges in which every packet is missing, in the resolution of the strip.
fn holes(found: &Inspection) -> Vec<SeqRange> {
    let columns: Vec<StripColumn> = found.survey.strip.columns(COLUMNS).collect();
    let empty = |column: &StripColumn| column.missing() == column.range.len();
    let groups = columns.chunk_by(|a, b| empty(a) == empty(b));
    let hole = |group: &[StripColumn]| Some(group.first()?.range.hull(group.last()?.range));
    groups.filter(|group| group.first().is_some_and(empty)).filter_map(hole).collect()
}

/// Returns a sequence as a position on the axis.
#[expect(clippy::cast_precision_loss, reason = "a position to be drawn")]
fn position(seq: Seq) -> f64 {
    seq as f64
}

/// Returns the left and right end of a range, in pixels.
fn ends(x: &Scale, range: SeqRange) -> (f64, f64) {
    let end = (position(range.last()) + 0.5).min(x.high);
    (x.place(position(range.first()) - 0.5), x.place(end))
}

/// Returns the middle of a range, in pixels.
fn middle(x: &Scale, range: SeqRange) -> f64 {
    let end = position(range.last()).min(x.high - 0.5);
    x.place(f64::midpoint(position(range.first()), end))
}

/// Draws the prices of a symbol: a line of averages over a band from the lowest to the highest.
fn prices(
    svg: &mut String,
    x: &Scale,
    top: f64,
    bins: &[(SeqRange, ChartBin)],
    holes: &[SeqRange],
) {
    let low = bins.iter().map(|(_, bin)| bin.low).min().unwrap_or(0).into();
    let high = bins.iter().map(|(_, bin)| bin.high).max().unwrap_or(0).into();
    let y = Scale { low, high, from: top + PRICES - 4.0, to: top + 4.0 };
    for tick in x.ticks(8) {
        let at = x.place(tick);
        line(svg, "grid", (at, top), (at, top + PRICES + GAP + VOLUMES));
    }
    for tick in y.ticks(5) {
        let at = y.place(tick);
        line(svg, "grid", (LEFT, at), (RIGHT, at));
        text(svg, LEFT - 8.0, at + 4.0, "m", "end", &short(tick));
    }
    let point =
        |range: &SeqRange, price: f64| format!("{:.1},{:.1}", middle(x, *range), y.place(price));
    // Lines and bands are interrupted where packets are missing, because the prices are unknown
    // there.
    let joined = |a: &(SeqRange, ChartBin), b: &(SeqRange, ChartBin)| {
        let between = |hole: &&SeqRange| a.0.first() < hole.first() && hole.last() < b.0.last();
        holes.iter().find(between).is_none()
    };
    let average = |(range, bin): &(SeqRange, ChartBin)| Some(point(range, bin.average()?));
    let few = bins.len() < FEW;
    for bins in bins.chunk_by(joined) {
        let highs = bins.iter().map(|(range, bin)| point(range, bin.high.into()));
        let lows = bins.iter().rev().map(|(range, bin)| point(range, bin.low.into()));
        let band: Vec<String> = highs.chain(lows).collect();
        let averages: Vec<String> = bins.iter().filter_map(average).collect();
        if !few {
            let _ = writeln!(svg, "<polygon class=\"band\" points=\"{}\"/>", band.join(" "));
        }
        let _ = writeln!(svg, "<polyline class=\"line\" points=\"{}\"/>", averages.join(" "));
    }
    // A few prices do not form a visible band, so each is drawn as a dot.
    for (range, bin) in bins.iter().filter(|_| few) {
        let (x, high, low) = (middle(x, *range), y.place(bin.high.into()), y.place(bin.low.into()));
        rect(svg, "band", (x - 2.0, high), (4.0, low - high));
        if let Some(average) = bin.average() {
            let y = y.place(average);
            let _ = writeln!(svg, "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"/>");
        }
    }
}

/// Draws the volumes of a symbol: bought upwards, sold downwards.
#[expect(clippy::cast_precision_loss, reason = "the height of a bar")]
fn volumes(svg: &mut String, x: &Scale, top: f64, bins: &[(SeqRange, ChartBin)]) {
    let middle = top + VOLUMES / 2.0;
    let most = bins.iter().map(|(_, bin)| bin.bought.max(bin.sold)).max().unwrap_or(0).max(1);
    let size = |quantity: i64| quantity.max(0) as f64 / most as f64 * VOLUMES / 2.0;
    let (mut bought, mut sold) = (String::new(), String::new());
    for (range, bin) in bins {
        let (left, right) = ends(x, *range);
        // Bars have a little space between them, and a maximum width.
        let width = ((right - left) * 0.85).clamp(0.6, 18.0);
        let left = f64::midpoint(left, right) - width / 2.0;
        let (up, down) = (size(bin.bought), size(bin.sold));
        bar(&mut bought, (left, middle - up), (width, up));
        bar(&mut sold, (left, middle), (width, down));
    }
    path(svg, "buy", &bought);
    path(svg, "sell", &sold);
    line(svg, "base", (LEFT, middle), (RIGHT, middle));
    text(svg, LEFT - 8.0, top + 9.0, "m", "end", &short(most as f64));
    text(svg, LEFT - 8.0, top + VOLUMES, "m", "end", &short(most as f64));
}
