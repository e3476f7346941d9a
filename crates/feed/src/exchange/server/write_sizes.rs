//! Sizes of writes that a fault has set.

use crate::base::rng;
use crate::base::span::TimeSpan;
use crate::faults::scenario::WriteSize;
use core::time::Duration;

/// Sizes of a connection's writes, if a fault sets them.
#[derive(Debug, Default)]
pub(super) struct WriteSizes {
    /// Write that has begun.
    current: Option<SizedWrite>,
    /// Sizes of the writes that begin in the current packet.
    sizing: Option<WriteSizing>,
}

/// Write of a size that a fault has set.
#[derive(Debug)]
struct SizedWrite {
    /// Number of bytes left to send.
    left: usize,
    /// Time between this write and the next.
    pause: Duration,
}

/// Sizes of the writes that begin in a packet.
#[derive(Clone, Copy, Debug)]
struct WriteSizing {
    size: WriteSize,
    pause: TimeSpan,
    /// Key of the random sizes and pauses.
    key: u64,
    /// Number of sizes drawn.
    drawn: u64,
}

impl WriteSizes {
    /// Returns whether a write of a set size has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.current.is_some()
    }

    /// Ends the current write before it has its size.
    pub(super) fn end_write(&mut self) {
        self.current = None;
    }

    /// Sets the sizes of the writes that begin in the current packet.
    pub(super) fn set(&mut self, size: WriteSize, pause: TimeSpan, key: u64) {
        self.sizing = Some(WriteSizing { size, pause, key, drawn: 0 });
    }

    /// Goes on to the next packet, whose writes have any size.
    pub(super) fn clear(&mut self) {
        self.sizing = None;
    }

    /// Takes `count` sent bytes off the current write. Returns the pause after the write if that is
    /// now complete.
    pub(super) fn take(&mut self, count: usize) -> Option<Duration> {
        let write = self.current.as_mut()?;
        write.left = write.left.saturating_sub(count);
        let is_complete = write.left == 0;
        self.current.take_if(|_| is_complete).map(|write| write.pause)
    }

    /// Returns the maximum number of bytes of the write that goes on or begins; `None` if no fault
    /// sets it. `packets` returns the number of bytes that a number of packets has.
    pub(super) fn limit(&mut self, packets: impl FnOnce(usize) -> usize) -> Option<usize> {
        if let (None, Some(sizing)) = (&self.current, &mut self.sizing) {
            let word = |index| rng::nth(sizing.key, sizing.drawn * 2 + index);
            let left = match sizing.size {
                WriteSize::Bytes(span) => span.draw(word(2)) as usize,
                WriteSize::Packets(span) => packets(span.draw(word(2)) as usize),
            };
            let pause = sizing.pause.draw(word(3));
            self.current = Some(SizedWrite { left: left.max(1), pause });
            sizing.drawn += 1;
        }
        self.current.as_ref().map(|write| write.left)
    }
}
