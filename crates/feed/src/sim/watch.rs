//! What exchanges send, looked at on its way: whether each message is one that they may send.

use super::agenda::PipeId;
use super::world::World;
use crate::exchange::Exchange;
use crate::wire::RawFrame;
use alloc::boxed::Box;

/// Returns whether an exchange may send a message.
pub type Lawful = Box<dyn Fn(&RawFrame) -> bool>;

/// What is known of the messages so far.
#[derive(Default)]
pub(super) struct Watched {
    lawful: Option<Lawful>,
    /// The first that may not be sent.
    unlawful: Option<RawFrame>,
}

impl<E: Exchange> World<E> {
    /// Looks at every message that exchanges send from now on, as their connections cut it.
    pub fn watch(&mut self, lawful: Lawful) {
        self.watched.lawful = Some(lawful);
    }

    /// Returns the first message that an exchange sent and may not send.
    #[must_use]
    pub fn unlawful(&self) -> Option<RawFrame> {
        self.watched.unlawful
    }

    /// Looks at what an exchange sends.
    pub(super) fn look_at(&mut self, id: PipeId, bytes: &[u8]) {
        let Watched { lawful, unlawful } = &mut self.watched;
        if let (Some(lawful), Some(pipe)) = (lawful, self.pipes.get_mut(&id)) {
            pipe.sends(bytes, |frame| {
                if !lawful(frame) {
                    unlawful.get_or_insert(*frame);
                }
            });
        }
    }
}
