//! Sequenced market-data feeds: the core of betacrew.
//!
//! Everything that decides is here, and nothing that touches the world: no I/O, no clock, no
//! randomness but from seeds. Time and bytes are arguments, loss is data.
//!
//! * [`wire`], [`session`], [`base`]: what a feed is made of;
//! * [`tape`], [`faults`]: what an exchange plays and what goes wrong;
//! * [`ledger`], [`client`]: what a client has, what it misses, and how it gets the rest;
//! * [`exchange`]: the exchange's side, ours and the original one;
//! * [`analysis`]: surveys, comparisons and order books of recordings;
//! * [`sim`]: both sides, a network and a clock, from one seed.

#![no_std]

extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

pub mod analysis;
pub mod base;
pub mod client;
pub mod exchange;
pub mod faults;
pub mod ledger;
pub mod session;
pub mod sim;
pub mod storage;
pub mod tape;
pub mod wire;
