//! Values of flags: addresses, numbers, durations, seeds, secrets.

pub mod address;
pub(crate) mod feed_address;
pub(crate) mod group_address;
pub(crate) mod keyed;
pub(crate) mod line_address;
pub(crate) mod nats_env;
pub(crate) mod parse;
pub(crate) mod secret;
mod zone;
