//! Payloads: the meaning of the messages that a session carries.
//!
//! A session numbers messages and never looks inside them. A payload decodes one kind of message
//! into named fields, for output formats, books and people. One file or folder per payload:
//!
//! * [`itch50`]: Nasdaq TotalView-ITCH 5.0.

pub mod itch50;
