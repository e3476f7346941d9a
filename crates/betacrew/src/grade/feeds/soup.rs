//! Clients of SoupBinTCP (`docs/soup.md`).

pub(crate) mod cases;
pub(crate) mod causes;
pub(crate) mod conversation;
mod framing;
mod logins;
pub(crate) mod rules;
pub(crate) mod timeline;
