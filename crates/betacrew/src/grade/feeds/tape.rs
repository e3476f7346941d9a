//! Messages that the exchange of a case plays.

use crate::error::Failure;
use crate::grade::feeds::protocol::GradedProtocol;
use crate::grade::run::exchange_host;
use crate::scenario::ResolvedScenario;
use crate::tape::name::TapeName;
use feed::base::seq::{FIRST_SEQ, Seq, SeqRange, to_index};
use feed::tape::source::TapeSource;
use feed::wire::packet::Packet;
use std::collections::HashMap;

/// Maximum number of messages on the tape of a case.
const MESSAGES_MAX: Seq = 100_000;

/// Tape of a case, in the form in which outputs are compared with it.
#[derive(Clone, Debug)]
pub(crate) enum CaseTape {
    /// Order packets of the exercise.
    Packets(Vec<Packet>),
    /// Messages of another protocol.
    Messages(FeedTape),
}

impl CaseTape {
    /// Opens the tape of a scenario. A case without an exchange has an empty one.
    ///
    /// # Errors
    /// Returns an error if the tape cannot be opened.
    pub(crate) fn open(
        protocol: GradedProtocol,
        resolved: Option<&ResolvedScenario>,
    ) -> Result<Self, Failure> {
        Ok(match (protocol, resolved) {
            (GradedProtocol::Betacrew, None) => Self::Packets(Vec::new()),
            (GradedProtocol::Betacrew, Some(resolved)) => {
                Self::Packets(exchange_host::tape_packets(resolved)?)
            }
            (_, None) => Self::Messages(FeedTape::default()),
            (_, Some(resolved)) => Self::Messages(FeedTape::open(resolved)?),
        })
    }
}

/// Messages of a session, and those of the session that follows it in the same case.
#[derive(Clone, Default, Debug)]
pub(crate) struct FeedTape {
    messages: Vec<Vec<u8>>,
    /// Sequences of each content, in ascending order.
    places: HashMap<Vec<u8>, Vec<Seq>>,
    /// Messages of the session that follows after a restart.
    next: Vec<Vec<u8>>,
}

impl FeedTape {
    /// Returns the tape of these messages.
    pub(crate) fn new(messages: Vec<Vec<u8>>, next: Vec<Vec<u8>>) -> Self {
        let mut places: HashMap<Vec<u8>, Vec<Seq>> = HashMap::new();
        for (seq, message) in (FIRST_SEQ..).zip(&messages) {
            places.entry(message.clone()).or_default().push(seq);
        }
        Self { messages, places, next }
    }

    fn open(resolved: &ResolvedScenario) -> Result<Self, Failure> {
        let read = |name: &TapeName| {
            let mut tape = name.open(resolved.scenario.seed)?;
            let mut messages = Vec::new();
            let last = tape.last().min(MESSAGES_MAX);
            while let Some(range) = SeqRange::new(messages.len() as Seq + 1, last) {
                let before = messages.len();
                messages.extend(tape.messages(range).iter().map(|(_, message)| message.to_vec()));
                if messages.len() == before {
                    break;
                }
            }
            Ok::<_, Failure>(messages)
        };
        let next = resolved.next.as_ref().map(read).transpose()?.unwrap_or_default();
        Ok(Self::new(read(&resolved.tape)?, next))
    }

    /// Returns the number of messages, which is the last sequence.
    pub(crate) fn last(&self) -> Seq {
        self.messages.len() as Seq
    }

    /// Returns the message of a sequence, if the tape has it.
    pub(crate) fn message(&self, seq: Seq) -> Option<&[u8]> {
        let place = to_index(seq.checked_sub(FIRST_SEQ)?);
        self.messages.get(place).map(Vec::as_slice)
    }

    /// Returns the sequences of the messages with this content, in ascending order.
    pub(crate) fn places(&self, content: &[u8]) -> &[Seq] {
        self.places.get(content).map_or(&[], Vec::as_slice)
    }

    /// Returns whether the session that follows has a message with this content.
    pub(crate) fn is_of_next_session(&self, content: &[u8]) -> bool {
        self.next.iter().any(|message| message == content)
    }
}
