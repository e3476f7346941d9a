//! Gateways and logs.
//!
//! * `world`: simulated gateways on a simulated log, with everything that can go wrong;
//! * `races`: thousands of its runs, and what must hold of them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

mod model;
mod races;
mod world;
