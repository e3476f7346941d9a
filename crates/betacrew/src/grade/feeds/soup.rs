//! Clients of SoupBinTCP (`docs/soup.md`).

pub(crate) mod cases;
pub(crate) mod causes;
pub(crate) mod conversation;
mod framing;
pub(crate) mod rules;
pub(crate) mod timeline;
