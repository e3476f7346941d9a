//! Sequenced market-data feeds: the core of betacrew.
//!
//! Everything that decides is here, and nothing that touches the world: no I/O, no clock, no
//! randomness but from seeds. Time and bytes are arguments, loss is data.
//!
//! * [`seq`], [`packet`], [`wire`]: what a feed is made of;
//! * [`tape`], [`scenario`], [`faults`]: what an exchange plays and what goes wrong;
//! * [`gaps`], [`ledger`], [`recording`]: what a client has and what it misses;
//! * [`recovery`], [`recorder`]: how it gets the rest;
//! * [`exchange`], [`player`], [`original`]: the exchange's side, ours and the original one;
//! * [`payload`]: the fields of the messages of industry feeds;
//! * [`sim`]: both sides, a network and a clock, from one seed.

#![no_std]

extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

pub mod book;
pub mod chance;
pub mod compare;
pub mod completeness;
pub mod exchange;
pub mod faults;
pub mod figures;
pub mod gaps;
pub mod keeper;
pub mod ledger;
pub mod live;
pub mod market;
pub mod original;
pub mod pace;
pub mod packet;
pub mod payload;
pub mod play;
pub mod player;
pub mod recorder;
pub mod recording;
pub mod recovery;
pub mod rng;
pub mod scenario;
pub mod seq;
pub mod sim;
pub mod span;
pub mod storage;
pub mod survey;
pub mod tape;
pub mod tape_file;
pub mod wire;
