//! Packet captures of MoldUDP64: pcap and pcapng files, as tcpdump, Wireshark and dedicated taps
//! write them (`docs/captures.md`).
//!
//! A packet becomes messages in steps, one file each: `file` reads packets,
//! `merge` puts those of several files in order, `link` finds the UDP datagram, `datagram` the
//! messages in it. `survey` counts them by line; `tracker` knows the gaps of a line, `stream` those
//! of all lines together. `read` passes the merged messages on, for `convert` and `serve`.

mod datagram;
mod file;
mod line;
mod link;
mod merge;
mod read;
mod stream;
mod survey;
mod timeline;
mod tracker;

pub(crate) use datagram::NotMold;
pub(crate) use line::{Line, LineSession};
pub use read::{StreamChoice, read};
pub(crate) use stream::CaptureStream;
pub(crate) use survey::CaptureSurvey;
pub(crate) use timeline::{PARTS, Timeline};
pub(crate) use tracker::{CaptureGap, GapSummary};
