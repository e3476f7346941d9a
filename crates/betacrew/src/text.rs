//! Text for people: numbers and durations, locations without secrets, foreign text made safe.

pub(crate) mod escape;
pub(crate) mod formatting;
pub(crate) mod location;
