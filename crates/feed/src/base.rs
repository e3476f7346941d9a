//! Vocabulary of all other modules: sequence numbers, time spans, probabilities, seeded
//! randomness.

pub mod chance;
pub mod rng;
pub mod seq;
pub mod span;
pub mod time;
