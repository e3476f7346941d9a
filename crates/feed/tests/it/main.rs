//! Tests of the core from outside: whole recordings on simulated networks, and its promises.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "helpers of tests are tests"
)]

mod against_original;
mod against_player;
mod by_hand;
mod claims;
mod faults;
mod flaky;
mod follow;
mod ledger;
mod lies;
mod live;
mod mold;
mod mold_endings;
mod mold_world;
mod possible;
mod seen;
mod server_connection;
mod sessions;
mod simulated_runs;
mod soup;
mod soup_lies;
mod soup_logins;
mod steps;
mod stop;
mod tape_crash;
mod tape_file;
mod tape_hostile;
mod tape_runs;
mod torn;
mod undescribed;
mod words;
mod world;
