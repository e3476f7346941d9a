//! What exchanges send, looked at on its way: whether each message is one that they may send.

use super::network::cut;
use super::world::SimWorld;
use crate::base::seq::Seq;
use crate::exchange::Exchange;
use crate::sim::event_queue::PipeId;
use crate::wire::{Frame, RawFrame, decode};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Returns whether an exchange may send a message.
pub type Lawful = Box<dyn Fn(&RawFrame) -> bool>;

/// What is known of the messages so far.
#[derive(Default)]
pub(super) struct StormWatch {
    lawful: Option<Lawful>,
    /// The first that may not be sent.
    unlawful: Option<RawFrame>,
    /// For each line, the last sequence that its messages have told the client of.
    told: Vec<Seq>,
}

impl<E: Exchange> SimWorld<E> {
    /// Looks at every message that exchanges send from now on, as their connections cut it.
    pub fn watch(&mut self, lawful: Lawful) {
        self.watched.lawful = Some(lawful);
    }

    /// Returns the first message that an exchange sent and may not send.
    #[must_use]
    pub fn unlawful(&self) -> Option<RawFrame> {
        self.watched.unlawful
    }

    /// Returns the last sequence that the client was told of, by descriptions, heartbeats and ends
    /// of those exchanges that `counts` takes.
    pub(super) fn told(&self, counts: impl Fn(&E) -> bool) -> Seq {
        let told = self.exchanges.iter().zip(&self.watched.told);
        told.filter(|(exchange, _)| counts(exchange)).map(|(_, told)| *told).max().unwrap_or(0)
    }

    /// The client has gone: the next one has been told nothing.
    pub(super) fn forget_told(&mut self) {
        self.watched.told.clear();
    }

    /// Looks at what the client has been given.
    pub(super) fn hear(&mut self, id: PipeId, bytes: &[u8]) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let told = &mut self.watched.told;
        told.resize(self.exchanges.len(), 0);
        let told = &mut told[pipe.line];
        cut(&mut pipe.given, bytes, |frame| {
            let last = match decode(frame) {
                Ok(Frame::Info(info)) => info.last,
                Ok(Frame::Heartbeat(next) | Frame::End(next)) => next - 1,
                _ => 0,
            };
            *told = last.max(*told);
        });
    }

    /// Looks at what an exchange sends.
    pub(super) fn look_at(&mut self, id: PipeId, bytes: &[u8]) {
        let StormWatch { lawful, unlawful, .. } = &mut self.watched;
        if let (Some(lawful), Some(pipe)) = (lawful, self.pipes.get_mut(&id)) {
            cut(&mut pipe.begun, bytes, |frame| {
                if !lawful(frame) {
                    unlawful.get_or_insert(*frame);
                }
            });
        }
    }
}
