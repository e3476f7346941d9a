//! Mock exchange that drops packets on purpose, and a client that recovers them all.
//!
//! This crate adds sockets, files, signals and the terminal to [`feed`], which has the protocol and
//! the recovery of missing packets.
//!
//! The words of both crates (session, tape, message, packet, gap, resend and others) are explained
//! in [`feed`](feed#concepts).
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | [`net`] | the socket loops: [`net::serve`] runs an exchange, [`net::fetch`] a recorder |
//! | [`mod@format`] | messages as files: JSON, CSV, ITCH, captures and others |
//! | [`output`] | output files that are absent, old or complete; stdout; rotating files |
//! | [`record`] | what `fetch` keeps: the tape file, live outputs, the report, the summary |
//! | [`tape`] | tapes to play, by name or from a file |
//! | [`scenario`] | scenario files (a tape and the faults of an exchange) and the built-in ones |
//! | [`capture`] | packet captures of MoldUDP64 |
//! | [`http`] | dashboard, API, metrics and control of a running program |
//! | [`commands`], [`inspect`], [`grade`], [`schema`] | the commands |
//! | [`cli`], [`args`], [`error`] | the command line, its values, exit codes and messages |
//!
//! # Recording a feed into your own program
//!
//! ```
//! use betacrew::net::{self, Stop};
//! use feed::client::{Recorder, RecorderOptions};
//! use feed::exchange::server::MockExchange;
//! use feed::faults::scenario::Scenario;
//! use feed::tape::in_memory::Tape;
//! use feed::tape::recording::MemoryRecording;
//! use std::sync::Arc;
//!
//! // An exchange plays a tape and drops packets 2 and 4 of it.
//! let scenario = Scenario::skipping("2,4".parse()?);
//! let mut exchange = MockExchange::new(Arc::new(Tape::classic()), scenario);
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let line = vec![listener.local_addr()?];
//! let stop = Stop::new();
//! let running = std::thread::spawn({
//!     let stop = stop.clone();
//!     move || {
//!         let done = net::serve(vec![listener], &mut exchange, &stop, |_, _| {});
//!         done.map(|()| exchange.stats())
//!     }
//! });
//!
//! // A client records all 14 packets, because it requests the missing ones again.
//! let mut recording = MemoryRecording::new();
//! let mut recorder = Recorder::new(RecorderOptions::default(), 1);
//! net::fetch(&[line.into()], &mut recorder, &mut recording, &Stop::new(), |_| {})?;
//! assert!(recorder.outcome().is_some_and(|outcome| outcome.is_complete()));
//! assert_eq!(recording.in_order().flatten().count(), 14);
//!
//! stop.stop();
//! assert_eq!(running.join().expect("the exchange ran")?.resends, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// Test that the code in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

pub mod args;
pub mod capture;
pub mod cli;
mod clock;
pub mod commands;
pub mod error;
pub mod format;
pub mod grade;
#[cfg_attr(not(feature = "web"), path = "http/disabled.rs")]
pub mod http;
pub mod inspect;
pub(crate) mod nats;
pub mod net;
pub mod output;
pub mod record;
pub mod scenario;
pub mod schema;
mod source;
pub mod storage;
pub mod tape;
mod terminal;
pub mod text;
