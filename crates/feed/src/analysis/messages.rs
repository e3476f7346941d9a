//! Statistics of messages that are no order packets: their types, times and lengths.

use crate::payload::itch50::{Message, MessageType, TYPES, TimeOfDay};
use alloc::boxed::Box;

/// Statistics of a session's messages. The first message decides whether they are ITCH 5.0.
#[derive(Clone, Debug)]
pub struct MessageStats {
    is_itch: Option<bool>,
    /// Number of messages by their first bytes.
    counts: Box<[u64; 256]>,
    messages: u64,
    bytes: u64,
    shortest: usize,
    longest: usize,
    unfit: u64,
    times: Option<(TimeOfDay, TimeOfDay)>,
    earlier: u64,
}

/// Meaning of messages that are no order packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageMeaning {
    /// Nasdaq TotalView-ITCH 5.0.
    Itch50,
    /// Messages of any content.
    Opaque,
}

impl Default for MessageStats {
    fn default() -> Self {
        Self {
            is_itch: None,
            counts: Box::new([0; 256]),
            messages: 0,
            bytes: 0,
            shortest: usize::MAX,
            longest: 0,
            unfit: 0,
            times: None,
            earlier: 0,
        }
    }
}

impl MessageStats {
    /// Returns the statistics of no messages. Without a `meaning`, the first message decides
    /// whether they are ITCH.
    #[must_use]
    pub fn with_meaning(meaning: Option<MessageMeaning>) -> Self {
        let is_itch = meaning.map(|meaning| meaning == MessageMeaning::Itch50);
        Self { is_itch, ..Self::default() }
    }

    /// Adds a message, and returns it if it is one of ITCH.
    pub fn add<'a>(&mut self, bytes: &'a [u8]) -> Option<Message<'a>> {
        self.messages += 1;
        self.bytes += bytes.len() as u64;
        self.shortest = self.shortest.min(bytes.len());
        self.longest = self.longest.max(bytes.len());
        if let Some(&letter) = bytes.first() {
            self.counts[usize::from(letter)] += 1;
        }
        let parsed = Message::parse(bytes);
        let is_known = parsed.is_ok_and(|message| message.message_type().is_some());
        if !*self.is_itch.get_or_insert(is_known) {
            return None;
        }
        let Ok(message) = parsed else {
            self.unfit += 1;
            return None;
        };
        if let Some(time) = message.timestamp() {
            let (first, last) = self.times.unwrap_or((time, time));
            self.earlier += u64::from(time < last);
            self.times = Some((first, time));
        }
        Some(message)
    }

    /// Returns whether the messages are ITCH 5.0.
    #[must_use]
    pub fn is_itch(&self) -> bool {
        self.is_itch == Some(true)
    }

    /// Returns the number of messages.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Returns the sum of the messages' lengths in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the lengths in bytes of the shortest and the longest message.
    #[must_use]
    pub fn lengths(&self) -> (usize, usize) {
        (self.shortest.min(self.longest), self.longest)
    }

    /// Returns the number of messages of each first byte that occurs, with the type that it stands
    /// for; `None` if it is no known one. Only ITCH has types.
    pub fn types(&self) -> impl Iterator<Item = (u8, Option<&'static MessageType>, u64)> + '_ {
        let counts = (0..=u8::MAX).zip(self.counts.iter());
        counts.filter(|(_, count)| **count > 0).map(|(letter, count)| {
            let known = TYPES.iter().find(|known| known.letter() == letter && self.is_itch());
            (letter, known.copied(), *count)
        })
    }

    /// Returns the number of messages of ITCH that have another length than their type.
    #[must_use]
    pub fn unfit(&self) -> u64 {
        self.unfit
    }

    /// Returns the times of the first and the last message that has one.
    #[must_use]
    pub fn times(&self) -> Option<(TimeOfDay, TimeOfDay)> {
        self.times
    }

    /// Returns the number of messages whose time is earlier than that of the message before.
    #[must_use]
    pub fn earlier(&self) -> u64 {
        self.earlier
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::itch50::SyntheticMarket;

    #[test]
    fn a_day_is_counted_by_types() {
        let day = SyntheticMarket::new(3, 2000);
        let mut stats = MessageStats::default();
        let mut bytes = 0;
        for index in 0..2000 {
            let message = day.message(index);
            bytes += message.len() as u64;
            assert!(stats.add(&message).is_some());
        }
        assert!(stats.is_itch());
        assert_eq!((stats.messages(), stats.bytes(), stats.unfit()), (2000, bytes, 0));
        assert_eq!((stats.lengths(), stats.earlier()), ((12, 50), 0));
        assert_eq!(stats.types().map(|(.., count)| count).sum::<u64>(), 2000);
        let events = stats.types().find(|(letter, ..)| *letter == b'S').unwrap();
        assert_eq!((events.1.unwrap().name(), events.2), ("SystemEvent", 6));
        let (first, last) = stats.times().unwrap();
        assert!(first < last);
        // A time that goes back, a type of another version, and a length that is wrong.
        assert!(stats.add(&day.message(0)).is_some());
        assert!(stats.add(b"zz").is_some());
        assert!(stats.add(b"S").is_none() && stats.add(b"").is_none());
        assert_eq!((stats.earlier(), stats.unfit(), stats.lengths()), (1, 2, (0, 50)));
        assert_eq!(stats.times().unwrap().1, first);
    }

    #[test]
    fn the_first_message_decides() {
        let mut stats = MessageStats::default();
        assert_eq!(stats.lengths(), (0, 0));
        assert!(stats.add(b"hello").is_none());
        assert!(stats.add(&SyntheticMarket::new(3, 2000).message(0)).is_none());
        assert!(!stats.is_itch() && stats.times().is_none());
        assert_eq!(stats.types().filter(|(_, known, _)| known.is_some()).count(), 0);
        assert_eq!((stats.messages(), stats.unfit()), (2, 0));
    }
}
