//! Vocabulary of all other modules: sequence numbers, time spans, probabilities, seeded
//! randomness.

pub mod chance;
#[doc(hidden)]
pub mod rng;
pub mod seq;
pub mod span;
#[doc(hidden)]
pub mod time;
