//! Tapes by name, as `--tape` takes them, and the live tape of `serve --live`.

pub mod live;
pub mod messages;
pub mod name;
pub(crate) mod recorded;
