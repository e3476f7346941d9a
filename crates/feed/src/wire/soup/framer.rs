//! Framer of SoupBinTCP: splits bytes, which reads may cut anywhere, into packets.

use super::{HEADER_BYTES, LENGTH_BYTES, LENGTH_MAX, RawPacket, kind};
use alloc::vec::Vec;
use core::fmt;

/// Packets of one connection, taken out of a byte stream that may be cut anywhere.
///
/// Whole packets are slices of the input. Only a packet that the input cuts is copied, so that at
/// most one packet ([`PACKET_MAX`](super::PACKET_MAX) bytes) is held. Memory grows with the bytes
/// that have arrived, not with the length that a peer announces: a peer that announces 65,535 bytes
/// and sends three costs three.
///
/// A framer belongs to one connection and is dropped with it: half a packet has no rest on the next
/// connection.
#[derive(Clone)]
pub struct Framer {
    /// Beginning of the packet that the input cut.
    held: Vec<u8>,
    /// Set once the held packet is whole and has been returned.
    is_returned: bool,
    /// Offset in the stream of the next packet's first byte.
    offset: u64,
    /// Maximum length field of a packet.
    limit: u16,
}

impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes held may be a login request with a password.
        let (held, offset) = (self.held(), self.offset);
        write!(f, "Framer {{ {held} bytes held, offset {offset}, limit {} }}", self.limit)
    }
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// Returns a framer for a new connection that takes packets of any length.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_limit(LENGTH_MAX)
    }

    /// Returns a framer for a new connection that takes packets whose length field is at most
    /// `limit`.
    ///
    /// An exchange gives [`LOGIN_LENGTH_MAX`](super::LOGIN_LENGTH_MAX) to a client that has not
    /// logged in, so that strangers cost no more memory than a login request.
    #[must_use]
    pub const fn with_limit(limit: u16) -> Self {
        Self { held: Vec::new(), is_returned: false, offset: 0, limit }
    }

    /// Changes the maximum length field of the packets that follow, and of one that was refused.
    pub fn set_limit(&mut self, limit: u16) {
        self.limit = limit;
    }

    /// Returns how many bytes of an unfinished packet are held. A connection that ends while there
    /// are any has ended inside a packet.
    #[must_use]
    pub fn held(&self) -> usize {
        if self.is_returned { 0 } else { self.held.len() }
    }

    /// Returns the offset in the stream of the next packet's first byte.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next packet, or the next run of sequenced messages, off the front of `input`.
    /// `None` means that all of `input` was taken and more is needed.
    ///
    /// # Errors
    /// Returns [`FrameError`] if a packet's length is 0 or above the limit. Nothing behind such a
    /// length can be read as packets, so the framer holds it and returns the error at each call.
    pub fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Received<'s>>, FrameError> {
        if self.is_returned {
            self.held.clear();
            self.is_returned = false;
        }
        if self.held.is_empty()
            && let Some(received) = self.next_in_place(input)
        {
            return Ok(Some(received));
        }
        match self.fill_held(input)? {
            IsWhole::No => Ok(None),
            IsWhole::Yes => Ok(self.held_packet()),
        }
    }

    /// Returns a run or a legal packet that is whole in the input.
    fn next_in_place<'i>(&mut self, input: &mut &'i [u8]) -> Option<Received<'i>> {
        if let Some((run, rest)) = SequencedRun::split_first(input, self.limit) {
            self.advance(run.bytes.len());
            *input = rest;
            return Some(Received::Sequenced(run));
        }
        self.check(*input.first_chunk()?).ok()?;
        let (packet, rest) = RawPacket::split_first(input).ok().flatten()?;
        self.advance(packet.bytes.len());
        *input = rest;
        Some(Received::Other(packet))
    }

    /// Takes bytes of the packet that the input cuts until it is whole or the input has no more. A
    /// length that is not legal stays held, so that it is an error for ever.
    fn fill_held(&mut self, input: &mut &[u8]) -> Result<IsWhole, FrameError> {
        loop {
            let needed = match self.held.first_chunk() {
                None => LENGTH_BYTES,
                Some(&length) => LENGTH_BYTES + self.check(length)?,
            };
            if self.held.len() == needed && needed > LENGTH_BYTES {
                return Ok(IsWhole::Yes);
            }
            let Some((taken, rest)) = input.split_at_checked(needed - self.held.len()) else {
                self.hold(input, needed);
                *input = &[];
                return Ok(IsWhole::No);
            };
            self.hold(taken, needed);
            *input = rest;
        }
    }

    /// Copies bytes of a packet that has `needed` bytes.
    fn hold(&mut self, bytes: &[u8], needed: usize) {
        let (length, room) = (self.held.len() + bytes.len(), self.held.capacity());
        if length > room {
            // Doubled, so that a packet in thousands of pieces is copied a few times only; bounded
            // by the packet, so that no more than it is ever held.
            let room = length.max(2 * room).min(needed.max(length));
            self.held.reserve_exact(room - self.held.len());
        }
        self.held.extend_from_slice(bytes);
    }

    fn held_packet(&mut self) -> Option<Received<'_>> {
        self.is_returned = true;
        self.offset += self.held.len() as u64;
        let (packet, _) = RawPacket::split_first(&self.held).ok().flatten()?;
        Some(match SequencedRun::split_first(packet.bytes, LENGTH_MAX) {
            Some((run, _)) => Received::Sequenced(run),
            None => Received::Other(packet),
        })
    }

    fn advance(&mut self, bytes: usize) {
        self.offset += bytes as u64;
    }

    /// Returns a packet's length field if it is legal.
    fn check(&self, length: [u8; LENGTH_BYTES]) -> Result<usize, FrameError> {
        let (offset, limit) = (self.offset, self.limit);
        match u16::from_be_bytes(length) {
            0 => Err(FrameError::Empty { offset }),
            length if length > limit => Err(FrameError::TooLong { offset, length, limit }),
            length => Ok(length.into()),
        }
    }
}

/// State of the held packet: whole or not.
enum IsWhole {
    Yes,
    No,
}

/// One step of a [`Framer`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received<'a> {
    /// Sequenced messages in a row, one at least.
    Sequenced(SequencedRun<'a>),
    /// Packet of another type.
    Other(RawPacket<'a>),
}

/// Number of lengths that repeat the one before them until the rest is expected to repeat it, too.
///
/// Where each packet begins follows from the length of the one before it, so that a processor
/// waits for one load after the other: 2.8 ns a packet. Packets of one length are found where they
/// are expected, without waiting: 0.6 ns. A wrong guess costs 5 ns, and ITCH mixes lengths, so
/// none is made before eight packets have shown that it is likely.
const ALIKE: u32 = 8;

/// Returns how many whole sequenced packets with this length field begin `input`.
fn alike(input: &[u8], length: [u8; LENGTH_BYTES]) -> usize {
    let packets = input.chunks_exact(LENGTH_BYTES + usize::from(u16::from_be_bytes(length)));
    let [high, low] = length;
    let header = [high, low, kind::SEQUENCED];
    packets.take_while(|packet| packet.first_chunk() == Some(&header)).count()
}

/// Sequenced messages that lie in a row, each behind its length and type; one at least.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SequencedRun<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> SequencedRun<'a> {
    /// Splits the sequenced packets at the beginning of `input` off, each of them whole and at most
    /// `limit` long; `None` where `input` begins with something else.
    fn split_first(input: &'a [u8], limit: u16) -> Option<(Self, &'a [u8])> {
        let (mut at, mut count) = (0, 0);
        let (mut length_before, mut in_a_row) = (0, 0);
        while let Some(&[high, low, kind::SEQUENCED]) =
            input.get(at..).and_then(<[u8]>::first_chunk)
        {
            let length = u16::from_be_bytes([high, low]);
            let end = at + LENGTH_BYTES + usize::from(length);
            // A length of 0 leaves no room for the type: the `S` is not this packet's.
            if length == 0 || length > limit || end > input.len() {
                break;
            }
            (at, count) = (end, count + 1);
            in_a_row = if length == length_before { in_a_row + 1 } else { 0 };
            length_before = length;
            if in_a_row == ALIKE {
                let more = alike(input.get(at..).unwrap_or_default(), [high, low]);
                (at, count) = (at + more * (LENGTH_BYTES + usize::from(length)), count + more);
                in_a_row = 0;
            }
        }
        let (bytes, rest) = input.split_at_checked(at)?;
        (count > 0).then_some((Self { bytes, count }, rest))
    }

    /// Returns the number of messages, 1 at least.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the bytes of the run as they were sent: each message behind a length that counts
    /// one more than it has, and an `S`.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns an iterator over the messages.
    #[must_use]
    pub fn messages(&self) -> Messages<'a> {
        Messages { rest: self.bytes, count: self.count }
    }
}

impl fmt::Debug for SequencedRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SequencedRun {{ {} messages, {} bytes }}", self.count, self.bytes.len())
    }
}

impl<'a> IntoIterator for SequencedRun<'a> {
    type Item = &'a [u8];
    type IntoIter = Messages<'a>;

    fn into_iter(self) -> Messages<'a> {
        self.messages()
    }
}

/// Iterator over the messages of a [`SequencedRun`].
#[derive(Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
    count: usize,
}

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (&[high, low, _], behind) = self.rest.split_first_chunk::<HEADER_BYTES>()?;
        let length = usize::from(u16::from_be_bytes([high, low])).saturating_sub(1);
        let (message, rest) = behind.split_at_checked(length)?;
        self.rest = rest;
        self.count = self.count.saturating_sub(1);
        Some(message)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Messages<'_> {}

impl fmt::Debug for Messages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Messages {{ {} messages, {} bytes }}", self.count, self.rest.len())
    }
}

/// Error of a byte stream that cannot be packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// Length field of 0, which leaves no room for the type.
    Empty {
        /// Offset in the stream of the packet's first byte.
        offset: u64,
    },
    /// Length field above the limit.
    TooLong {
        /// Offset in the stream of the packet's first byte.
        offset: u64,
        /// Length field of the packet.
        length: u16,
        /// Maximum length field.
        limit: u16,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { offset } => write!(
                f,
                "packet at byte {offset} of the stream has length 0: expected 1 (its type) or more"
            ),
            Self::TooLong { offset, length, limit } => write!(
                f,
                "packet at byte {offset} of the stream has length {length}: the limit is {limit}"
            ),
        }
    }
}

impl core::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::super::tests::any_packet;
    use super::super::{MESSAGE_MAX, PACKET_MAX, Packet};
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    /// Returns the packets of a stream whose pieces have these sizes (the last is the rest), the
    /// framer's error, and the framer.
    fn frame(
        bytes: &[u8],
        sizes: impl IntoIterator<Item = usize>,
    ) -> (Vec<Vec<u8>>, Option<FrameError>, Framer) {
        let (mut framer, mut rest, mut packets) = (Framer::new(), bytes, Vec::new());
        for size in sizes.into_iter().chain([usize::MAX]) {
            let (mut piece, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            loop {
                match framer.next(&mut piece) {
                    Ok(Some(Received::Other(packet))) => packets.push(packet.as_bytes().to_vec()),
                    Ok(Some(Received::Sequenced(run))) => push_run(run, &mut packets),
                    Ok(None) => break assert!(piece.is_empty(), "all of the input is taken"),
                    Err(error) => return (packets, Some(error), framer),
                }
            }
        }
        (packets, None, framer)
    }

    fn push_run(run: SequencedRun<'_>, packets: &mut Vec<Vec<u8>>) {
        let begin = packets.len();
        for message in run {
            let mut packet = Vec::new();
            Packet::Sequenced(message).encode(&mut packet).unwrap();
            packets.push(packet);
        }
        assert_eq!(packets.len() - begin, run.count());
        assert_eq!(packets[begin..].concat(), run.as_bytes());
    }

    #[test]
    fn sequenced_messages_in_a_row_come_as_one_slice_of_the_input() {
        let bytes = b"\x00\x03Sab\x00\x01S\x00\x02Sc\x00\x01H\x00\x02Sd";
        let (mut framer, mut rest) = (Framer::new(), &bytes[..]);
        let Ok(Some(Received::Sequenced(run))) = framer.next(&mut rest) else { panic!() };
        assert_eq!(run.as_bytes().as_ptr(), bytes.as_ptr(), "no byte is copied");
        assert_eq!((run.count(), run.as_bytes().len()), (3, 12));
        assert_eq!(run.messages().collect::<Vec<_>>(), [&b"ab"[..], b"", b"c"]);
        assert_eq!(run.messages().len(), 3);
        let Ok(Some(Received::Other(beat))) = framer.next(&mut rest) else { panic!() };
        assert_eq!(beat.decode(), Ok(Packet::ServerHeartbeat));
        assert_eq!(framer.offset(), 15);
        let Ok(Some(Received::Sequenced(run))) = framer.next(&mut rest) else { panic!() };
        assert_eq!(run.count(), 1);
        assert_eq!(framer.next(&mut rest), Ok(None));
        assert_eq!((framer.offset(), framer.held()), (19, 0));
    }

    #[test]
    fn many_messages_of_one_length_are_one_run_up_to_what_differs() {
        let others: [(&[u8], usize); 5] = [
            (b"", 0),
            (b"\0\x03Uab", 0),
            (b"\0\x03Sa", 0),
            (b"\0\0S", 0),
            (b"\0\x01S\0\x03Sab\0\x03Sab", 3),
        ];
        for (behind, in_run) in others {
            for count in 1..40 {
                let bytes = [&b"\0\x03Sab".repeat(count), behind].concat();
                let (mut framer, mut rest) = (Framer::new(), &bytes[..]);
                let Ok(Some(Received::Sequenced(run))) = framer.next(&mut rest) else { panic!() };
                assert_eq!(run.count(), count + in_run, "{count} before {behind:?}");
                let alike = run.messages().filter(|it| it == b"ab");
                assert_eq!(alike.count(), run.count() - in_run / 3);
            }
        }
    }

    #[test]
    fn a_length_of_zero_is_an_error_for_ever_with_its_offset() {
        let bytes = b"\x00\x02Sa\x00\x01H\x00\x00S\x00\x01H";
        for size in 1..bytes.len() {
            let (packets, error, mut framer) = frame(bytes, core::iter::repeat_n(size, 20));
            assert_eq!(packets, [&b"\x00\x02Sa"[..], b"\x00\x01H"], "pieces of {size}");
            assert_eq!(error, Some(FrameError::Empty { offset: 7 }));
            let more = &mut &b"\x00\x01H"[..];
            assert_eq!(framer.next(more), Err(FrameError::Empty { offset: 7 }));
            assert_eq!(more.len(), 3, "nothing is taken behind an error");
        }
        let text = FrameError::Empty { offset: 7 }.to_string();
        assert_eq!(
            text,
            "packet at byte 7 of the stream has length 0: expected 1 (its type) or more"
        );
    }

    #[test]
    fn a_length_of_zero_is_seen_before_the_next_byte_arrives() {
        assert_eq!(frame(&[0, 0], []).1, Some(FrameError::Empty { offset: 0 }));
        assert_eq!(frame(&[0, 0], [1]).1, Some(FrameError::Empty { offset: 0 }));
        let error = RawPacket::split_first(&[0, 0, b'S']);
        assert_eq!(error, Err(FrameError::Empty { offset: 0 }));
        for (bytes, length) in
            [(&b""[..], None), (b"\0", None), (b"\0\x01", None), (b"\0\x01Hx", Some(3))]
        {
            let packet = RawPacket::split_first(bytes).unwrap();
            assert_eq!(packet.map(|(packet, _)| packet.as_bytes().len()), length);
        }
    }

    #[test]
    fn the_longest_packet_passes_and_is_all_that_is_held() {
        let mut bytes = Vec::new();
        Packet::Sequenced(&[9; MESSAGE_MAX]).encode(&mut bytes).unwrap();
        for size in [1, 2, 1000, 65_536] {
            let (packets, error, framer) = frame(&bytes, core::iter::repeat_n(size, 65_537 / size));
            assert_eq!((packets.len(), error, framer.held()), (1, None, 0));
            assert_eq!(packets[0], bytes);
            assert!(framer.held.capacity() <= PACKET_MAX);
        }
    }

    #[test]
    fn memory_follows_what_arrives_and_not_what_is_announced() {
        let mut framer = Framer::new();
        assert_eq!(framer.next(&mut &b"\xff\xffS"[..]), Ok(None));
        assert_eq!(framer.held(), 3);
        assert!(framer.held.capacity() < 16);
    }

    #[test]
    fn a_limit_refuses_the_packet_above_it() {
        let error = FrameError::TooLong { offset: 4, length: 3, limit: 2 };
        let bytes = b"\x00\x02Sa\x00\x03Sab";
        for size in 1..=bytes.len() {
            let mut framer = Framer::with_limit(2);
            let mut seen = Vec::new();
            for mut piece in bytes.chunks(size) {
                while let Some(packet) = framer.next(&mut piece).transpose() {
                    seen.push(packet.map(|_| ()));
                    if packet_failed(&seen) {
                        break;
                    }
                }
            }
            assert_eq!(seen[..2], [Ok(()), Err(error)], "pieces of {size}");
        }
        let mut framer = Framer::with_limit(2);
        framer.set_limit(3);
        assert!(matches!(framer.next(&mut &bytes[..]), Ok(Some(Received::Sequenced(_)))));
    }

    fn packet_failed(seen: &[Result<(), FrameError>]) -> bool {
        seen.last().is_some_and(Result::is_err)
    }

    #[test]
    fn a_connection_that_ends_inside_a_packet_is_noticed() {
        for (bytes, held) in [(&b""[..], 0), (b"\x00", 1), (b"\x00\x03Sa", 4), (b"\x00\x01H", 0)] {
            assert_eq!(frame(bytes, []).2.held(), held);
        }
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_packets(
            packets in prop::collection::vec(any_packet(), 0..20),
            sizes in prop::collection::vec(prop_oneof![0usize..5, 0usize..100], 0..60),
        ) {
            let (framed, error, framer) = frame(&packets.concat(), sizes);
            prop_assert_eq!(error, None);
            prop_assert_eq!(framer.held(), 0);
            prop_assert_eq!(framer.offset(), packets.concat().len() as u64);
            prop_assert_eq!(framed, packets);
        }

        #[test]
        fn any_bytes_are_packets_or_an_error_however_they_are_cut(
            bytes in prop::collection::vec(
                prop_oneof![Just(0u8), Just(1), Just(2), Just(b'S'), any::<u8>()], 0..200),
            sizes in prop::collection::vec(0usize..30, 0..30),
        ) {
            let (whole, error, framer) = frame(&bytes, []);
            let (cut, cut_error, cut_framer) = frame(&bytes, sizes);
            prop_assert_eq!(&whole, &cut);
            prop_assert_eq!(error, cut_error);
            prop_assert_eq!(framer.offset(), cut_framer.offset());
            prop_assert!(bytes.starts_with(&whole.concat()));
            prop_assert_eq!(whole.concat().len() as u64, framer.offset());
            if error.is_none() {
                prop_assert_eq!(framer.offset() + framer.held() as u64, bytes.len() as u64);
                prop_assert_eq!(framer.held(), cut_framer.held());
            }
        }
    }
}
