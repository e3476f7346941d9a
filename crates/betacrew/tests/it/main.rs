//! Tests of the program over real sockets and real processes.
//!
//! * `serve`: the exchange as a client sees it, byte by byte;
//! * `fetch`: the client as a person sees it;
//! * `original`: the client against a socket version of the original exchange;
//! * `hostile`: the client against peers that do what no exchange should;
//! * `resume`: recordings that were interrupted;
//! * `live`: live sessions; `follow`: and whoever follows them for long;
//! * `chaos`: live sessions while both ends are killed;
//! * `memory`: how much of it a long session takes;
//! * `convert`: files of one format become files of another;
//! * `inspect`: what is said of recordings; `damaged`: and of those that are not whole;
//! * `scenarios`: scenario files and the catalogue;
//! * `sim`: the simulator as a command;
//! * `grade`: clients graded;
//! * `readers`: others read our files, and we theirs;
//! * `gateway`: recordings go into a log and come back, with real servers (`server`);
//! * `http`: seeing and steering; `browser`: the dashboard in a browser; `logs`: what is logged;
//! * `demo`: the demonstration; `examples`: the examples of the library.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

#[cfg(feature = "web")]
mod browser;
mod chaos;
mod convert;
mod damaged;
mod demo;
mod endless;
mod examples;
mod fetch;
mod follow;
#[cfg(feature = "nats")]
mod gateway;
mod grade;
mod hostile;
mod http;
mod inspect;
mod liars;
mod live;
mod logs;
mod memory;
mod original;
mod readers;
mod resume;
mod scenarios;
mod serve;
#[cfg(feature = "nats")]
#[path = "../../../gateway/tests/it/server.rs"]
mod server;
mod sim;
mod support;
