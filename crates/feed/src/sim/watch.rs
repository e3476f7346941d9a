//! Watch over the messages of exchanges: each must be one that they may send.

use super::network::cut;
use super::world::SimWorld;
use crate::base::seq::Seq;
use crate::exchange::Exchange;
use crate::sim::event_queue::PipeId;
use crate::wire::{Frame, Protocol, RawFrame, decode};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Check that returns true if an exchange may send a message.
pub type Lawful = Box<dyn Fn(&RawFrame) -> bool>;

/// State of the watch.
#[derive(Default)]
pub(super) struct StormWatch {
    lawful: Option<Lawful>,
    /// First message that no exchange may send.
    unlawful: Option<RawFrame>,
    /// Last sequence that each line's messages have announced to the client.
    announced: Vec<Seq>,
}

impl<E: Exchange> SimWorld<E> {
    /// Checks every message that exchanges send from now on.
    pub fn watch(&mut self, lawful: Lawful) {
        self.watched.lawful = Some(lawful);
    }

    /// Returns the first message that an exchange sent against the rules.
    #[must_use]
    pub fn unlawful(&self) -> Option<RawFrame> {
        self.watched.unlawful
    }

    /// Returns the last sequence that descriptions, heartbeats and ends have announced to the
    /// client, from exchanges for which `counts` returns true.
    pub(super) fn announced(&self, counts: impl Fn(&E) -> bool) -> Seq {
        let announced = self.exchanges.iter().zip(&self.watched.announced);
        announced
            .filter(|(exchange, _)| counts(exchange))
            .map(|(_, announced)| *announced)
            .max()
            .unwrap_or(0)
    }

    /// Forgets the announced sequences, because a new client starts.
    pub(super) fn forget_announced(&mut self) {
        self.watched.announced.clear();
    }

    /// Checks bytes that the client receives.
    pub(super) fn hear(&mut self, id: PipeId, bytes: &[u8]) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        if self.protocols[pipe.line] != Protocol::Betacrew {
            return;
        }
        let announced = &mut self.watched.announced;
        announced.resize(self.exchanges.len(), 0);
        let announced = &mut announced[pipe.line];
        cut(&mut pipe.given, bytes, |frame| {
            let last = match decode(frame) {
                Ok(Frame::Info(info)) => info.last,
                Ok(Frame::Heartbeat(next) | Frame::End(next)) => next - 1,
                _ => 0,
            };
            *announced = last.max(*announced);
        });
    }

    /// Checks bytes that an exchange sends.
    pub(super) fn look_at(&mut self, id: PipeId, bytes: &[u8]) {
        let StormWatch { lawful, unlawful, .. } = &mut self.watched;
        if let (Some(lawful), Some(pipe)) = (lawful, self.pipes.get_mut(&id))
            && self.protocols[pipe.line] == Protocol::Betacrew
        {
            cut(&mut pipe.begun, bytes, |frame| {
                if !lawful(frame) {
                    unlawful.get_or_insert(*frame);
                }
            });
        }
    }
}
