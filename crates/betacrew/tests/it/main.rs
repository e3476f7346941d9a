//! Tests of the program over real sockets and real processes.
//!
//! * `serve`: the exchange as a client sees it, byte by byte;
//! * `fetch`: the client as a person sees it;
//! * `flags`: what would be misread, or can come to nothing, is said at the start;
//! * `original`: the client against a socket version of the original exchange;
//! * `lies`: exchanges that lie with the extension;
//! * `hostile`: the client against peers that do what no exchange should;
//! * `resume`: recordings that were interrupted; `places`: where commands write, and what stays;
//! * `complete`: what counts as complete; `played`: which part of a recording is played;
//! * `endings`: how `fetch` ends, and what it says then;
//! * `live`: live sessions; `follow`: and whoever follows them for long;
//! * `chaos`: live sessions while both ends are killed;
//! * `memory`: how much of it a long session takes; `bombs`: and small files that claim much;
//! * `convert`: files of one format become files of another;
//! * `inspect`: what is said of recordings; `damaged`: and of those that are not whole;
//! * `scenarios`: scenario files and the catalogue;
//! * `signals`: what INT, TERM and HUP do, wherever a command is;
//! * `told`: what is said, and in which form;
//! * `sim`: the simulator as a command;
//! * `grade`: clients graded;
//! * `readers`: others read our files, and we theirs;
//! * `readme`: the examples of README.md;
//! * `itch`: others decode ITCH messages as we do;
//! * `wires`: the protocols of real feeds beside other programs;
//! * `gateway`: recordings go into a log and come back, with real servers (`server`);
//! * `secrets`: passwords and tokens, which nothing shows;
//! * `http`: seeing and steering; `dashboard`: what the dashboard shows is so; `browser`: it in a
//!   browser; `logs`: what is logged;
//! * `in_time`: waits for processes, with a limit;
//! * `demo`: the demonstration; `examples`: the examples of the library.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

#[cfg(all(target_os = "linux", feature = "columnar", feature = "sqlite"))]
mod bombs;
#[cfg(feature = "web")]
mod browser;
mod chaos;
mod complete;
mod convert;
mod damaged;
#[cfg(feature = "web")]
mod dashboard;
mod demo;
mod endings;
mod endless;
mod examples;
mod fetch;
mod flags;
mod follow;
#[cfg(feature = "nats")]
mod gateway;
mod grade;
mod hostile;
mod http;
mod in_time;
mod inspect;
mod itch;
mod lies;
mod live;
mod logs;
mod memory;
mod original;
#[cfg(unix)]
mod places;
mod played;
mod readers;
#[cfg(unix)]
mod readme;
mod resume;
mod scenarios;
mod secrets;
mod serve;
#[cfg(feature = "nats")]
#[path = "../../../gateway/tests/it/server.rs"]
mod server;
mod signals;
mod sim;
mod support;
mod told;
mod wires;
#[cfg(unix)]
mod workdirs;
