//! Writes of the exchange as a client sees them: which frames they touch and cut.

use feed::wire::FRAME_LEN;

/// Write of the exchange, described by the frames that it touches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    /// Index of the connection.
    pub(crate) conn: usize,
    /// Indexes of the first and the last frame of which the write has a byte.
    pub(crate) frames: (usize, usize),
    /// True if the write begins inside a frame.
    pub(crate) cut_before: bool,
    /// True if the write ends inside a frame.
    pub(crate) cut_after: bool,
}

impl Segment {
    /// Returns the segment of the bytes `from..to` of a connection, at least one byte.
    pub(crate) fn of(conn: usize, from: u64, to: u64) -> Self {
        const LEN: u64 = FRAME_LEN as u64;
        let place = |byte: u64| usize::try_from(byte / LEN).unwrap_or(usize::MAX);
        Self {
            conn,
            frames: (place(from), place(to.saturating_sub(1))),
            cut_before: !from.is_multiple_of(LEN),
            cut_after: !to.is_multiple_of(LEN),
        }
    }
}
