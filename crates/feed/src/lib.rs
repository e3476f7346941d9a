//! Core of betacrew: feeds of numbered messages, such as market data, in which messages get lost
//! and are recovered.
//!
//! **The one rule:** this crate does no I/O, reads no clock and draws no randomness but from seeds.
//! A *driver* (a socket loop, the simulator, a test) passes bytes and times in, and carries out the
//! outputs. The crate is `no_std`, and equal inputs give equal outputs on every machine.
//!
//! # Concepts
//!
//! * <a id="message"></a>**Message**: a run of bytes that a session numbers ([`wire::Messages`]);
//!   what it means is its payload ([`payload`]).
//! * <a id="packet"></a>**Packet**: a message of the exercise, an order of 17 bytes, which carries
//!   its own sequence ([`wire::packet`]).
//! * <a id="session"></a>**Session**: messages numbered 1, 2, 3 and so on, up to an end
//!   ([`session`]).
//! * <a id="tape"></a>**Tape**: the complete, ordered record of a session; an exchange plays it, a
//!   client records it ([`tape`]).
//! * <a id="line"></a>**Line**: one of several exchanges that send the same session, such as A and
//!   B. A line has one of three protocols ([`wire::Protocol`]): the exercise's, SoupBinTCP or
//!   MoldUDP64.
//! * <a id="gap"></a>**Gap**: a range of sequences that are missing below the highest known one
//!   ([`ledger`]).
//! * <a id="request"></a>**Request**: a client's call or datagram that asks for missing messages.
//!   SoupBinTCP has none: its client logs in again at the lowest missing message.
//! * <a id="resend"></a>**Resend**: a message that an exchange sends again on request, on a
//!   connection or socket beside the stream.
//! * <a id="pass"></a>**Pass**: one stream of the session from its beginning. A later pass may
//!   deliver packets that an earlier one has missed.
//! * <a id="tail"></a>**Tail**: the messages after the last one received. No gap shows them, so
//!   their number is confirmed by the exchange or inferred from several passes ([`session::tail`]).
//! * <a id="dropped"></a>A message is **dropped** on purpose by an exchange ([`faults`]),
//!   **missed** by a line, and **abandoned** by a client that gives it up.
//!
//! # Both drivers
//!
//! The example runs a mock exchange and a recorder against each other in memory. `serve` is the
//! loop of an exchange for one connection; `record` is the loop of a client. In a program, the
//! bytes travel through sockets, and `now` is the time since its start.
//!
//! ```
//! use feed::{ConnId, Input, MemoryRecording, Output, Recorder, RecorderOptions};
//! use feed::{Disconnect, Exchange, MockExchange, Protocol, Scenario, Step, Tape};
//! use std::collections::BTreeMap;
//! use std::time::Duration;
//!
//! /// Sends all that an exchange has for a connection, and returns it with the next step.
//! fn serve<E: Exchange>(
//!     exchange: &mut E,
//!     conn: &mut E::Connection,
//!     now: Duration,
//! ) -> (Vec<u8>, Step) {
//!     let (mut sent, mut buffer) = (Vec::new(), [0; 4096]);
//!     loop {
//!         match exchange.peek(conn, &mut buffer, now) {
//!             0 => return (sent, exchange.step(conn, now)),
//!             // A socket may take fewer bytes; then `count` is the number that it took.
//!             count => {
//!                 sent.extend_from_slice(&buffer[..count]);
//!                 exchange.sent(conn, count, now);
//!             }
//!         }
//!     }
//! }
//!
//! /// Records the session of an exchange.
//! fn record<E: Exchange>(exchange: &mut E) -> (Recorder, MemoryRecording) {
//!     let options = RecorderOptions { window: 100, ..RecorderOptions::default() };
//!     let mut recorder = Recorder::new(options, 1);
//!     let mut recording = MemoryRecording::new();
//!     let mut conns = BTreeMap::<ConnId, E::Connection>::new();
//!     let mut now = Duration::ZERO;
//!     recorder.handle(Input::Wake, now, &mut recording);
//!     while !recorder.is_done() {
//!         // 1. Carry out the recorder's outputs.
//!         while let Some(output) = recorder.poll() {
//!             match output {
//!                 Output::Connect { conn, line: _ } => {
//!                     conns.insert(conn, exchange.open(Protocol::Betacrew, now));
//!                     recorder.handle(Input::Connected(conn), now, &mut recording);
//!                 }
//!                 Output::Finish(conn) => {
//!                     if let Some(server) = conns.get_mut(&conn) {
//!                         exchange.input_ended(server, now);
//!                     }
//!                 }
//!                 Output::Drop(conn) => {
//!                     if let Some(server) = conns.remove(&conn) {
//!                         exchange.disconnected(server, Disconnect::Closed, now);
//!                     }
//!                 }
//!                 // Only lines that speak MoldUDP64 join groups and send requests.
//!                 Output::Join { .. } | Output::Request { .. } | Output::Leave { .. } => {}
//!                 Output::Note(_) => {}
//!             }
//!         }
//!         // 2. Move bytes on each connection, in both directions.
//!         let mut moved = false;
//!         for id in conns.keys().copied().collect::<Vec<_>>() {
//!             let mut calls = Vec::new();
//!             recorder.transmit(id, now, &mut recording, &mut calls);
//!             let Some(server) = conns.get_mut(&id) else { continue };
//!             exchange.receive(server, &calls, now);
//!             let (bytes, step) = serve(exchange, server, now);
//!             moved |= !calls.is_empty() || !bytes.is_empty() || step != Step::Wait;
//!             recorder.handle(Input::Received(id, &bytes), now, &mut recording);
//!             match step {
//!                 Step::Wait => {}
//!                 Step::Finish => recorder.handle(Input::Ended(id), now, &mut recording),
//!                 Step::Close | Step::Reset => {
//!                     conns.remove(&id);
//!                     recorder.handle(Input::Broken(id), now, &mut recording);
//!                 }
//!             }
//!         }
//!         // 3. If nothing moved, wait for the next deadline.
//!         if !moved {
//!             let mut deadlines = Vec::from_iter(recorder.deadline());
//!             deadlines.extend(conns.values().filter_map(|conn| exchange.deadline(conn)));
//!             now = now.max(deadlines.into_iter().min().expect("something is due"));
//!             recorder.handle(Input::Wake, now, &mut recording);
//!         }
//!     }
//!     (recorder, recording)
//! }
//!
//! let tape = Tape::sample(1000);
//! let scenario = Scenario::losing(7, "25%".parse()?);
//! let mut exchange = MockExchange::new(std::sync::Arc::new(tape.clone()), scenario);
//! let (recorder, recording) = record(&mut exchange);
//! assert!(exchange.stats().dropped > 200, "a quarter of the packets is dropped");
//! assert!(recorder.outcome().is_some_and(|outcome| outcome.is_complete()));
//! assert!(recording.in_order().flatten().eq(tape.frames()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The types that a driver needs are re-exported below. [`client`] and [`exchange`] say more about
//! each side.
//!
//! # Modules
//!
//! From the bottom to the top; each imports only modules above it in this list.
//!
//! | module | contents |
//! |---|---|
//! | [`base`] | sequences, spans, probabilities, seeded randomness |
//! | [`storage`] | append-only storage of a tape file |
//! | [`wire`] | bytes of each protocol, checked: packets, calls, SoupBinTCP, MoldUDP64 |
//! | [`payload`] | meaning of messages: Nasdaq TotalView-ITCH 5.0 |
//! | [`session`] | knowledge of a session's end, completeness of a recording |
//! | [`ledger`] | received and missing sequences, [`Sink`] |
//! | [`tape`] | tapes in memory, in files, growing; recorders into them |
//! | [`faults`] | scenarios of faults, and their engine |
//! | [`exchange`] | [`Exchange`], the mock exchange, the original one |
//! | [`client`] | [`Recorder`]: streams, resends, passes, the end |
//! | `analysis` | surveys, comparisons, statistics, order books; not documented, for `betacrew` |
#![cfg_attr(
    feature = "sim",
    doc = "| [`sim`] | both sides, a network, a disk and a clock, from one seed (feature `sim`) |"
)]
#![no_std]

extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

#[doc(hidden)]
pub mod analysis;
pub mod base;
pub mod client;
pub mod exchange;
pub mod faults;
pub mod ledger;
pub mod payload;
pub mod session;
#[cfg(feature = "sim")]
pub mod sim;
pub mod storage;
pub mod tape;
pub mod wire;

#[doc(inline)]
pub use base::seq::{Seq, SeqRange, SeqSet};
#[doc(inline)]
pub use client::{
    ConnId, IncompleteReason, Input, LineProtocol, Lines, Outcome, Output, Recorder, RecorderEvent,
    RecorderOptions, SoupLogin, Tail,
};
#[doc(inline)]
pub use exchange::server::MockExchange;
#[doc(inline)]
pub use exchange::{Disconnect, Exchange, Step};
#[doc(inline)]
pub use faults::scenario::{Fault, Scenario};
#[doc(inline)]
pub use ledger::{Origin, Sink, Source};
#[doc(inline)]
pub use session::completeness::{Completeness, Facts};
#[doc(inline)]
pub use tape::file::TapeFile;
#[doc(inline)]
pub use tape::in_memory::Tape;
#[doc(inline)]
pub use tape::recording::MemoryRecording;
#[doc(inline)]
pub use tape::source::TapeSource;
#[doc(inline)]
pub use wire::packet::Packet;
#[doc(inline)]
pub use wire::{Messages, Protocol, RawFrame, Run, SessionId};
