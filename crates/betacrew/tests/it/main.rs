//! Tests of the program over real sockets and real processes.
//!
//! * `serve`: the exchange as a client sees it, byte by byte;
//! * `fetch`: the client as a person sees it;
//! * `original`: the client against a socket version of the original exchange;
//! * `hostile`: the client against peers that do what no exchange should;
//! * `resume`: recordings that were interrupted;
//! * `convert`: files of one format become files of another;
//! * `scenarios`: scenario files and the catalogue;
//! * `readers`: others read our files, and we theirs;
//! * `demo`: the demonstration.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

mod convert;
mod demo;
mod fetch;
mod hostile;
mod original;
mod readers;
mod resume;
mod scenarios;
mod serve;
mod support;
