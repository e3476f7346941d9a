//! Gateways and logs.
//!
//! * `world`: simulated gateways on a simulated log, with everything that can go wrong;
//! * `steps`: the publisher, step by step;
//! * `races`: thousands of its runs, and what must hold of them.
//! * `live`: gateways and real servers (`server`);
//! * `streams`: streams whose settings or messages are not those of a gateway.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

#[path = "../../../betacrew/tests/it/in_time.rs"]
mod in_time;
mod live;
mod model;
mod races;
mod server;
mod steps;
mod streams;
mod world;
