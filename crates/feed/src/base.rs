//! Vocabulary of all other modules: sequence numbers, bounds of numbers, probabilities, seeded
//! randomness.
//!
//! * [`seq`]: sequences, ranges of them and sets of them;
//! * [`chance`]: probabilities, such as `25%`;
//! * [`span`]: numbers and times that are fixed or drawn between two bounds.

pub mod chance;
#[doc(hidden)]
pub mod rng;
pub mod seq;
pub mod span;
#[doc(hidden)]
pub mod time;
