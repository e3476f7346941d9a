//! `betacrew version`: the version with everything that a bug report needs.

use crate::error::{Exit, Failure};
use crate::terminal::message::print;

/// Optional features, each with whether it is built in.
const FEATURES: [(&str, bool); 4] = [
    ("web", cfg!(feature = "web")),
    ("nats", cfg!(feature = "nats")),
    ("columnar", cfg!(feature = "columnar")),
    ("sqlite", cfg!(feature = "sqlite")),
];

/// Runs the command.
///
/// # Errors
/// Returns [`Failure::Storage`] if stdout cannot be written.
pub fn run() -> Result<Exit, Failure> {
    print(&text())
}

/// Returns the text. Equal sources and features give equal texts, so builds can be compared.
fn text() -> String {
    let built_in = FEATURES.iter().filter(|(_, is_built_in)| *is_built_in);
    let features: Vec<&str> = built_in.map(|(name, _)| *name).collect();
    let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
    format!(
        "betacrew {}\nfeatures  {features}\ncommit    {}\nplatform  {}\n",
        env!("CARGO_PKG_VERSION"),
        env!("BETACREW_BUILT_FROM"),
        env!("BETACREW_TARGET"),
    )
}
