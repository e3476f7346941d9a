//! Bytes of a connection's next write, made from its plan, and their removal once they are sent.

use super::plan::{Flow, PlanContext, SendAction};
use super::{SoupConnection, Stage};
use crate::base::rng;
use crate::base::seq::{Seq, SeqRange};
use crate::exchange::server::closing::EndCause;
use crate::exchange::server::soup::plan::Stream;
use crate::tape::source::TapeSource;
use crate::wire::soup::{HEADER_BYTES, header, kind};
use crate::wire::{FRAME_LEN, Framing, Messages, RawFrame, Run};
use core::time::Duration;

/// Length of the packet of an order packet.
const ORDER_BYTES: usize = HEADER_BYTES + FRAME_LEN;

/// Outcome of a step that fills a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Filled {
    /// All bytes are in the write.
    Whole,
    /// The write is full, or the tape has no more.
    Stopped,
    /// No packet can carry the message with this sequence.
    TooLong(Seq),
}

/// Bytes of one write.
struct WriteBuffer<'a> {
    out: &'a mut [u8],
    len: usize,
    /// Number of bytes of the first packet that are sent already.
    skip: usize,
}

impl WriteBuffer<'_> {
    /// Appends bytes. Returns whether all of them fitted.
    fn put(&mut self, bytes: &[u8]) -> Filled {
        let taken = self.skip.min(bytes.len());
        self.skip -= taken;
        let rest = &bytes[taken..];
        let count = rest.len().min(self.out.len() - self.len);
        self.out[self.len..self.len + count].copy_from_slice(&rest[..count]);
        self.len += count;
        if count == rest.len() { Filled::Whole } else { Filled::Stopped }
    }

    /// Appends a packet of random text.
    fn put_filler(&mut self, kind: u8, len: u16, key: u64) -> Filled {
        let Ok(header) = header(kind, len.into()) else { return Filled::Whole };
        let mut filled = self.put(&header);
        let mut at = 0;
        while filled == Filled::Whole && at < usize::from(len) {
            // Whole chunks that are sent already need no text.
            let chunk: [u8; 64] = core::array::from_fn(|byte| letter(key, at + byte));
            let count = chunk.len().min(usize::from(len) - at);
            filled = self.put(&chunk[..count]);
            at += count;
        }
        filled
    }

    /// Appends order packets, each as a message.
    fn put_orders(&mut self, frames: &[RawFrame]) -> Filled {
        // Written in place, because a packet put together elsewhere would wait for its parts; and
        // as 4 and 16 bytes, which takes half the time of a header of 3 and a payload of 17.
        let write = |room: &mut [u8; ORDER_BYTES], frame: &RawFrame| {
            let ([first, rest @ ..], (head, tail)) = (frame, room.split_at_mut(HEADER_BYTES + 1));
            // An order packet has 17 bytes, and a length counts the type as well.
            head.copy_from_slice(&[0, 18, kind::SEQUENCED, *first]);
            tail.copy_from_slice(rest);
        };
        let packet = |frame: &RawFrame| {
            let mut packet = [0; ORDER_BYTES];
            write(&mut packet, frame);
            packet
        };
        let mut frames = frames;
        while self.skip > 0 {
            let Some((frame, rest)) = frames.split_first() else { return Filled::Whole };
            if self.put(&packet(frame)) == Filled::Stopped {
                return Filled::Stopped;
            }
            frames = rest;
        }
        let (room, _) = self.out[self.len..].as_chunks_mut::<ORDER_BYTES>();
        let (whole, rest) = frames.split_at(room.len().min(frames.len()));
        for (room, frame) in room.iter_mut().zip(whole) {
            write(room, frame);
        }
        self.len += whole.len() * ORDER_BYTES;
        rest.first().map_or(Filled::Whole, |frame| self.put(&packet(frame)))
    }

    /// Appends a run of messages.
    fn put_run(&mut self, run: Run<'_>) -> Filled {
        match run.framing() {
            // These are the bytes of SoupBinTCP.
            Framing::LengthAndType => self.put(run.bytes()),
            Framing::Length => {
                for (seq, message) in run.iter() {
                    let Ok(header) = header(kind::SEQUENCED, message.len()) else {
                        return Filled::TooLong(seq);
                    };
                    if self.put(&header) == Filled::Stopped || self.put(message) == Filled::Stopped
                    {
                        return Filled::Stopped;
                    }
                }
                Filled::Whole
            }
        }
    }

    /// Appends messages of the tape.
    fn put_messages(&mut self, tape: &mut impl TapeSource, range: SeqRange) -> Filled {
        let mut left = Some(range);
        while let Some(range) = left {
            let messages = tape.messages(range);
            let Some(span) = messages.span() else { return Filled::Stopped };
            let filled = match messages {
                Messages::Packets(frames) => self.put_orders(frames),
                Messages::Run(run) => self.put_run(run),
            };
            if filled != Filled::Whole {
                return filled;
            }
            left = range.from(span.last() + 1);
        }
        Filled::Whole
    }
}

/// Returns a random letter of a filler.
fn letter(key: u64, at: usize) -> u8 {
    let random = rng::nth(key, at as u64 / 8).to_be_bytes()[at % 8];
    b'a' + random % 26
}

/// Returns the number of bytes that the packets of messages have.
fn packet_bytes(messages: Messages<'_>) -> usize {
    match messages {
        Messages::Packets(frames) => frames.len() * ORDER_BYTES,
        Messages::Run(run) => {
            let count = usize::try_from(messages.len()).unwrap_or(usize::MAX);
            let more = HEADER_BYTES - run.framing().header_bytes();
            run.bytes().len() + count * more
        }
    }
}

/// Returns how many of the messages are whole within the first `bytes` bytes of their packets, and
/// how many bytes these have.
fn whole_within(messages: Messages<'_>, bytes: usize) -> (u64, usize) {
    let all = packet_bytes(messages);
    if bytes >= all {
        return (messages.len(), all);
    }
    if let Messages::Packets(_) = messages {
        let count = bytes / ORDER_BYTES;
        return (count as u64, count * ORDER_BYTES);
    }
    let (mut count, mut taken) = (0, 0);
    for (_, message) in messages.iter() {
        let after = taken + HEADER_BYTES + message.len();
        if after > bytes {
            break;
        }
        (count, taken) = (count + 1, after);
    }
    (count, taken)
}

/// Bytes that the socket took, and what they were.
#[derive(Default)]
pub(super) struct SentCounts {
    /// Messages.
    pub(super) messages: u64,
    /// Heartbeats.
    pub(super) heartbeats: u64,
    /// Ends of the session.
    pub(super) ends: u64,
}

impl SoupConnection {
    /// Makes the plan and copies the bytes of the next write into `out`. Returns their number, or
    /// the sequence of a message that no packet can carry.
    pub(super) fn fill<P: TapeSource>(
        &mut self,
        context: &mut PlanContext<'_, P>,
        out: &mut [u8],
    ) -> Result<usize, Seq> {
        if self.base.held_until.is_some_and(|time| context.now < time) {
            return Ok(0);
        }
        self.base.held_until = None;
        if !self.begin_write(context.now) {
            return Ok(0);
        }
        let (actions, offset) = (&self.plan.actions, self.plan.offset);
        let packets = |count| bytes_of_packets(context.tape, actions, count, offset);
        let limit = self.sizes.limit(packets).unwrap_or(usize::MAX).min(out.len());
        let mut buffer = WriteBuffer { out: &mut out[..limit], len: 0, skip: offset };
        for action in actions {
            let filled = match action {
                SendAction::Packet(bytes) => buffer.put(bytes),
                SendAction::Filler { kind, len, key } => buffer.put_filler(*kind, *len, *key),
                SendAction::Messages(range) => buffer.put_messages(context.tape, *range),
                SendAction::Part { seq, bytes } => buffer.put_part(context.tape, *seq, *bytes),
                // A write whose size is set goes on across packets that set one.
                SendAction::Write { .. } if self.sizes.has_begun() => Filled::Whole,
                _ => Filled::Stopped,
            };
            match filled {
                Filled::Whole => {}
                Filled::TooLong(seq) if buffer.len == 0 => return Err(seq),
                Filled::Stopped | Filled::TooLong(_) => break,
            }
        }
        Ok(buffer.len)
    }

    /// Carries out the actions before the next bytes. Returns whether there are bytes.
    fn begin_write(&mut self, now: Duration) -> bool {
        while let Some(action) = self.plan.actions.front() {
            match *action {
                SendAction::Wait(time) => {
                    self.plan.actions.pop_front();
                    // Time passes only between packets.
                    self.sizes.end_write();
                    if !time.is_zero() {
                        // An empty wait takes the place of this one, so that the plan is not empty
                        // before the time has passed.
                        self.plan.actions.push_front(SendAction::Wait(Duration::ZERO));
                        self.base.held_until = Some(now + time);
                        return false;
                    }
                }
                SendAction::Write { size, pause, key } => {
                    self.plan.actions.pop_front();
                    self.sizes.set(size, pause, key);
                }
                SendAction::Finish => self.end(),
                SendAction::End(ending) => {
                    self.end();
                    self.base.closing.force(ending, EndCause::Fault);
                }
                _ => return true,
            }
        }
        self.sizes.end_write();
        false
    }

    /// Sends nothing more.
    pub(super) fn end(&mut self) {
        self.plan.clear();
        self.stage = Stage::Over;
    }

    /// Removes `count` sent bytes from the plan, and returns what they were.
    pub(super) fn advance<P: TapeSource>(
        &mut self,
        context: &mut PlanContext<'_, P>,
        count: usize,
    ) -> SentCounts {
        let mut counts = SentCounts::default();
        if count == 0 {
            return counts;
        }
        self.heartbeat_at = Stream::heartbeat_after(context.now);
        if let Some(pause) = self.sizes.take(count) {
            self.base.held_until = (!pause.is_zero()).then_some(context.now + pause);
        }
        let mut bytes = self.plan.offset + count;
        while let Some(action) = self.plan.actions.front_mut() {
            let len = match action {
                SendAction::Messages(range) => {
                    let (left, taken) = sent_messages(context, *range, bytes, &mut counts);
                    bytes -= taken;
                    if taken > 0 {
                        self.sizes.clear();
                    }
                    match left {
                        Some(left) => {
                            *range = left;
                            break;
                        }
                        None => 0,
                    }
                }
                SendAction::Write { size, pause, key } if bytes > 0 => {
                    self.sizes.set(*size, *pause, *key);
                    0
                }
                SendAction::Packet(packet) => packet.len(),
                SendAction::Filler { len, .. } => HEADER_BYTES + usize::from(*len),
                SendAction::Part { bytes, .. } => (*bytes).into(),
                _ => break,
            };
            if bytes < len {
                break;
            }
            if let SendAction::Packet(packet) = action {
                let is = |kind: u8| u64::from(packet.get(2) == Some(&kind));
                counts.heartbeats += is(kind::SERVER_HEARTBEAT);
                counts.ends += is(kind::END_OF_SESSION);
            }
            if len > 0 {
                self.sizes.clear();
            }
            bytes -= len;
            self.plan.actions.pop_front();
        }
        self.plan.offset = bytes;
        self.base.traffic.packets += counts.messages;
        counts
    }

    /// Returns whether messages follow that are neither sent nor in the plan.
    pub(super) fn is_up_to_date(&self) -> bool {
        self.plan.actions.is_empty() && self.base.held_until.is_none()
    }

    /// Adopts changed faults.
    pub(super) fn adopt_faults(&mut self, version: u32) {
        if core::mem::replace(&mut self.fault_version, version) != version
            && let Stage::Streaming(stream) = &mut self.stage
        {
            self.plan.replan(stream);
        }
    }

    /// Stops sending messages because one cannot be sent.
    pub(super) fn stop_messages(&mut self) {
        if let Stage::Streaming(stream) = &mut self.stage {
            stream.flow = Flow::Ended;
        }
        self.end();
    }
}

impl WriteBuffer<'_> {
    /// Appends the first bytes of the packet of a message.
    fn put_part(&mut self, tape: &mut impl TapeSource, seq: Seq, bytes: u8) -> Filled {
        let mut part = [0; u8::MAX as usize];
        let part = &mut part[..usize::from(bytes)];
        let mut packet = WriteBuffer { out: part, len: 0, skip: 0 };
        packet.put_messages(tape, SeqRange::one(seq));
        self.put(part)
    }
}

/// Returns the messages of `range` that are not whole within the first `bytes` bytes of its
/// packets, and the number of bytes of the others. Counts the others.
fn sent_messages<P: TapeSource>(
    context: &mut PlanContext<'_, P>,
    range: SeqRange,
    bytes: usize,
    counts: &mut SentCounts,
) -> (Option<SeqRange>, usize) {
    let (mut left, mut taken) = (Some(range), 0);
    while let Some(range) = left {
        let messages = context.tape.messages(range);
        let (count, used) = whole_within(messages, bytes - taken);
        let Some(sent) = Seq::try_from(count).ok().filter(|count| *count > 0) else { break };
        let is_all = count == messages.len();
        taken += used;
        counts.messages += count;
        let next = range.first() + sent;
        if let Some(sent) = SeqRange::new(range.first(), next - 1) {
            context.faults.tally_mut().count_streamed_range(sent, 1);
        }
        left = range.from(next);
        if !is_all {
            break;
        }
    }
    (left, taken)
}

/// Returns the number of bytes of the next `count` packets in the plan, of whose first packet
/// `offset` bytes are sent already.
fn bytes_of_packets<'a>(
    tape: &mut impl TapeSource,
    actions: impl IntoIterator<Item = &'a SendAction>,
    count: usize,
    offset: usize,
) -> usize {
    let (mut left, mut bytes) = (count, 0);
    for action in actions {
        if left == 0 {
            break;
        }
        bytes += match action {
            SendAction::Packet(packet) => packet.len(),
            SendAction::Filler { len, .. } => HEADER_BYTES + usize::from(*len),
            SendAction::Part { bytes, .. } => (*bytes).into(),
            SendAction::Messages(range) => {
                let (mut sum, mut next) = (0, Some(*range));
                while let Some(range) = next.filter(|_| left > 0) {
                    let messages = tape.messages(range);
                    let lengths = messages.iter().take(left);
                    let (taken, length) = lengths.fold((0, 0), |(taken, length), (_, message)| {
                        (taken + 1, length + HEADER_BYTES + message.len())
                    });
                    let Some(after) = Seq::try_from(taken).ok().filter(|taken| *taken > 0) else {
                        break;
                    };
                    (sum, left) = (sum + length, left - taken);
                    next = range.from(range.first() + after);
                }
                bytes += sum;
                continue;
            }
            SendAction::Write { .. } => continue,
            _ => break,
        };
        left -= 1;
    }
    bytes.saturating_sub(offset)
}
