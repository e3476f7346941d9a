//! The dashboard's files, inside the program: it works offline and there is nothing to build.
//!
//! `page/uplot.js` and `page/uplot.css` are uPlot 1.6.32 as its npm package has them, with its
//! licence.

/// A file of the dashboard.
pub(crate) struct Asset {
    /// What is asked for, from `/`.
    pub path: &'static str,
    /// The content type.
    pub kind: &'static str,
    pub body: &'static str,
}

/// The content security policy of all of them: nothing from anywhere else, nothing inline, no frame
/// around it.
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

/// All of them but the page itself, which is among the routes.
pub(crate) const ASSETS: &[Asset] = &[
    asset!(STYLE, "app.css"),
    asset!(SCRIPT, "app.js"),
    asset!(SCRIPT, "book.js"),
    asset!(SCRIPT, "chart.js"),
    asset!(SCRIPT, "charts.js"),
    asset!(SCRIPT, "connections.js"),
    asset!(SCRIPT, "controls.js"),
    asset!(SCRIPT, "feed.js"),
    asset!(SCRIPT, "figures.js"),
    asset!(SCRIPT, "gaps.js"),
    asset!(SCRIPT, "hands.js"),
    asset!(SCRIPT, "link.js"),
    asset!(SCRIPT, "loader.js"),
    asset!(SCRIPT, "markers.js"),
    asset!(SCRIPT, "marks.js"),
    asset!(SCRIPT, "points.js"),
    asset!(SCRIPT, "rates.js"),
    asset!(SCRIPT, "scene.js"),
    asset!(SCRIPT, "stream.js"),
    asset!(SCRIPT, "strip.js"),
    asset!(SCRIPT, "table.js"),
    asset!(SCRIPT, "theme.js"),
    asset!(SCRIPT, "view.js"),
    asset!(SCRIPT, "words.js"),
    asset!(PICTURE, "icon.svg"),
    asset!(SCRIPT, "uplot.js"),
    asset!(STYLE, "uplot.css"),
    asset!(TEXT, "uplot-LICENSE.txt"),
];
