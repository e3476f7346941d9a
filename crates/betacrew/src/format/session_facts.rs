//! Facts that a file has about its session, and what they say is missing.

use crate::text::formatting::{NO_PACKETS, count, grouped, holes, noun_in};
use feed::analysis::survey::SequenceOrder;
use feed::base::seq::Seq;
use feed::session::completeness::{Completeness, Facts};
use feed::storage::Storage;
use feed::tape::file::{SessionEnd, TapeFile};
use feed::wire::SessionId;

/// Facts that a file has about its session besides packets. Only tape files, NATS streams, packet
/// captures and ITCH files with an end mark have any.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct SessionFacts {
    /// Session id, if it is known.
    pub session: Option<SessionId>,
    /// Last sequence that the session is known to have, or 0 if there is none.
    pub last: Seq,
    /// Knowledge about the end of the session; `None` if the format cannot store it.
    pub end: Option<SessionEnd>,
    /// Number of messages removed from the end of a NATS stream, with an unknown number of packets.
    pub removed: u64,
}

impl SessionFacts {
    /// Returns the facts in a tape file.
    #[must_use]
    pub fn of<S: Storage>(file: &TapeFile<S>) -> Self {
        Self {
            session: file.session_id(),
            last: file.last_known(),
            end: Some(file.end()),
            removed: 0,
        }
    }

    /// Returns a description of the packets missing from the session, up to its last known
    /// sequence. `order` has seen all packets of the file.
    pub(crate) fn lacking(&self, order: &mut SequenceOrder) -> Option<String> {
        order.reaches(self.last);
        let gaps = order.missing();
        // Each removed message had at least one packet.
        let least = gaps.packets() + self.removed;
        let facts = Facts::of_file(order.packets(), least, self.end);
        if facts.completeness() != Completeness::Incomplete {
            return None;
        }
        let mut missing = Vec::new();
        if !gaps.is_empty() {
            missing.push(holes(noun_in(order), gaps));
        }
        let messages = count(self.removed, "message");
        match order.packets() {
            _ if self.removed == 0 => {}
            0 => missing.push(format!("every packet, removed with all its {messages}")),
            _ => missing.push(format!(
                "the packets after {}, removed with its last {messages}",
                grouped(order.highest())
            )),
        }
        if missing.is_empty() {
            missing.push(NO_PACKETS.to_owned());
        }
        Some(missing.join(", and "))
    }
}
