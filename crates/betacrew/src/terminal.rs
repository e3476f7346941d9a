//! Terminal and signals: messages, progress bars, pictures of sequences, colours.

pub(crate) mod message;
pub(crate) mod progress;
pub(crate) mod sequence_strip;
pub(crate) mod signals;
pub(crate) mod stderr;
pub(crate) mod style;
