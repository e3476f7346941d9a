//! Runs of a graded client: its folder, its exchange, its process.

pub(crate) mod attempt;
pub(crate) mod case_runner;
pub(crate) mod client;
pub(crate) mod copying;
pub(crate) mod endless;
pub(crate) mod exchange_host;
pub(crate) mod lingering;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod other_files;
pub(crate) mod process;
pub(crate) mod run_folder;
pub(crate) mod start_pacer;
pub(crate) mod stdin;
pub(crate) mod stuck;
pub(crate) mod suspects;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod unread;
pub(crate) mod warnings;
pub(crate) mod watch;
pub(crate) mod workdir;
