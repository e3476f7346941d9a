//! Observing a graded client: the wire, its files, its output.

#[cfg(test)]
pub(crate) mod documented;
pub(crate) mod evidence;
pub(crate) mod fields;
pub(crate) mod output_finder;
pub(crate) mod rows;
pub(crate) mod wire;
