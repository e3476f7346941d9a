//! Observations of one run: calls and bytes on the wire, files, output.

pub(crate) mod activity;
pub(crate) mod call_lengths;
#[cfg(test)]
pub(crate) mod documented;
pub(crate) mod evidence;
pub(crate) mod fields;
pub(crate) mod names;
pub(crate) mod output_finder;
pub(crate) mod recorder;
mod records;
pub(crate) mod rows;
mod segment;
mod traces;
pub(crate) mod wire;
mod wire_event;
