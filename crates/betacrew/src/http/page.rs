//! Files of the dashboard, embedded in the program. It works offline and needs no build step.
//!
//! `page/uplot.js` and `page/uplot.css` are uPlot 1.6.32 as its npm package has them, with its
//! licence.

/// File of the dashboard.
pub(crate) struct Asset {
    /// Path of the request, from `/`.
    pub path: &'static str,
    /// Media type.
    pub kind: &'static str,
    pub body: &'static str,
}

/// Content security policy of every answer: no foreign content, nothing inline, no framing.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

macro_rules! asset {
    ($kind:expr, $file:literal) => {
        Asset {
            path: concat!("/", $file),
            kind: $kind,
            body: include_str!(concat!("page/", $file)),
        }
    };
}

/// All files except `index.html`, which is a route.
pub(crate) const ASSETS: &[Asset] = &[
    asset!(STYLE, "app.css"),
    asset!(SCRIPT, "api.js"),
    asset!(SCRIPT, "app.js"),
    asset!(SCRIPT, "book.js"),
    asset!(SCRIPT, "chart.js"),
    asset!(SCRIPT, "chart_definitions.js"),
    asset!(SCRIPT, "chart_markers.js"),
    asset!(SCRIPT, "chart_points.js"),
    asset!(SCRIPT, "connections.js"),
    asset!(SCRIPT, "dom.js"),
    asset!(SCRIPT, "fault_controls.js"),
    asset!(SCRIPT, "feed_badge.js"),
    asset!(SCRIPT, "figures.js"),
    asset!(SCRIPT, "format.js"),
    asset!(SCRIPT, "gaps.js"),
    asset!(SCRIPT, "page_link.js"),
    asset!(SCRIPT, "strip.js"),
    asset!(SCRIPT, "strip_cells.js"),
    asset!(SCRIPT, "strip_input.js"),
    asset!(SCRIPT, "strip_loader.js"),
    asset!(SCRIPT, "strip_renderer.js"),
    asset!(SCRIPT, "strip_view.js"),
    asset!(SCRIPT, "theme.js"),
    asset!(SCRIPT, "time_charts.js"),
    asset!(PICTURE, "icon.svg"),
    asset!(SCRIPT, "uplot.js"),
    asset!(STYLE, "uplot.css"),
    asset!(TEXT, "uplot-LICENSE.txt"),
];
