//! Text for people: numbers and durations, locations without secrets, escaped text of others.

pub(crate) mod escape;
pub(crate) mod formatting;
pub(crate) mod location;
mod xml;
