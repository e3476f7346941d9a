//! Analysis of recorded sessions: surveys, comparisons, market figures and order books.

pub mod book;
pub mod compare;
pub mod figures;
pub mod messages;
pub mod survey;
