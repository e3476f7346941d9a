//! Comparison of two recordings, read at the same time.

use crate::error::Failure;
use crate::format::{DamagePolicy, Format, OwnedMessages};
use crate::net::Stop;
use crate::source;
use feed::analysis::compare::Comparison;
use feed::analysis::survey::SequenceOrder;
use feed::wire::{Messages, RawFrame};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Maximum number of chunks that are read ahead.
const AHEAD: usize = 4;
/// Minimum number of packets in a chunk, except in the last.
const PIECE: usize = 4096;

/// Compares two files in constant memory, and lists up to `listed` ranges of each kind.
///
/// # Errors
/// Returns an error if one of the files cannot be read or is not in order.
pub(super) fn compare(
    sides: [(&Path, Format); 2],
    listed: usize,
    stop: &Stop,
) -> Result<Comparison, Failure> {
    std::thread::scope(|scope| {
        let mut readers = sides.map(|(path, format)| {
            let (sender, pieces) = sync_channel(AHEAD);
            let reader = scope.spawn(move || send(path, format, stop, &sender));
            let piece = Some(OwnedMessages::of(Messages::NONE));
            (ComparedSide { pieces, piece, at: 0 }, reader)
        });
        let mut comparison = Comparison::listing(listed);
        loop {
            let [(one, _), (other, _)] = &mut readers;
            let (left, right) = (one.rest(), other.rest());
            let done = left.is_none() && right.is_none();
            let (l, r) = comparison.step(left, right);
            one.at += l;
            other.at += r;
            if done {
                break;
            }
        }
        for (side, reader) in readers {
            drop(side);
            let read = reader.join();
            read.unwrap_or_else(|_| {
                Err(Failure::System {
                    action: "cannot read on",
                    source: std::io::Error::other("a thread panicked"),
                })
            })?;
        }
        Ok(comparison)
    })
}

/// One of two recordings, as far as it has been read and not compared.
struct ComparedSide {
    /// Receiver of the next chunks.
    pieces: Receiver<OwnedMessages>,
    /// Current chunk; `None` at the end of the recording.
    piece: Option<OwnedMessages>,
    /// Number of messages of the chunk that have been compared.
    at: u64,
}

impl ComparedSide {
    /// Returns the messages that have been read and not compared; `None` at the end.
    fn rest(&mut self) -> Option<Messages<'_>> {
        while self.piece.as_ref().is_some_and(|piece| piece.messages().len() == self.at) {
            self.piece = self.pieces.recv().ok();
            self.at = 0;
        }
        self.piece.as_ref().map(|piece| piece.messages().skip(self.at))
    }
}

/// Reads a recording, and sends it in chunks.
fn send(
    path: &Path,
    format: Format,
    stop: &Stop,
    sender: &SyncSender<OwnedMessages>,
) -> Result<(), Failure> {
    let mut order = SequenceOrder::default();
    let mut piece: Vec<RawFrame> = Vec::with_capacity(PIECE);
    // An error means that the comparison has ended because the other file failed, which is
    // reported.
    let hand_on = |piece: &mut Vec<RawFrame>| {
        let full = std::mem::replace(piece, Vec::with_capacity(PIECE));
        sender.send(OwnedMessages::Packets(full)).map_err(|_| Failure::Stopped)
    };
    source::read(path, format, DamagePolicy::Refuse, &mut |messages, _| {
        if stop.asked() {
            return Err(Failure::Stopped);
        }
        order.take(messages, |_| {}).map_err(|disorder| Failure::Content {
            path: path.to_owned(),
            reason: disorder.to_string(),
        })?;
        let Messages::Packets(frames) = messages else {
            return sender.send(OwnedMessages::of(messages)).map_err(|_| Failure::Stopped);
        };
        piece.extend_from_slice(frames);
        if piece.len() >= PIECE { hand_on(&mut piece) } else { Ok(()) }
    })?;
    if piece.is_empty() { Ok(()) } else { hand_on(&mut piece) }
}
