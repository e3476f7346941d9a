//! The commands of the program, one file each.

pub mod completions;
pub mod convert;
pub mod demo;
pub mod fetch;
pub mod man;
pub mod scenarios;
pub mod serve;
pub mod sim;
pub mod version;
