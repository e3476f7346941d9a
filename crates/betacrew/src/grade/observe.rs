//! Observations of one run: calls and bytes on the wire, files, output.

pub(crate) mod activity;
pub(crate) mod calls;
#[cfg(test)]
pub(crate) mod documented;
pub(crate) mod evidence;
pub(crate) mod fields;
pub(crate) mod names;
pub(crate) mod output_finder;
pub(crate) mod rows;
mod segment;
pub(crate) mod wire;
