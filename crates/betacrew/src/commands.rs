//! The commands of the program, one file each.

pub mod convert;
pub mod demo;
pub mod fetch;
pub mod scenarios;
pub mod serve;
pub mod sim;
