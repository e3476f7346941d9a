//! Calls of a client: 2, 6 or 10 bytes each.

use super::field_bytes;
use crate::base::seq::Seq;
use alloc::vec::Vec;

/// Call of a client.
///
/// Concept: [request](crate#request).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// Type 1: stream all packets. Its second byte means nothing.
    Stream,
    /// Type 2: resend one packet. The sequence is one byte on the wire, so at most 255. A few
    /// clients send it as a 32-bit number, which is decoded as well.
    Resend(Seq),
    /// Type 3 (extension): describe the session.
    Describe {
        /// Highest version of the extension that the client implements, from 1.
        version: u8,
    },
    /// Type 4 (extension): resend `count` packets from `first`. Values are those of the wire,
    /// unchecked.
    ResendRange {
        /// First sequence requested.
        first: Seq,
        /// Number of sequences requested.
        count: u64,
    },
    /// Type 5 (extension): send all packets from `first` on, then live packets. Values are those of
    /// the wire, unchecked.
    Subscribe {
        /// First sequence requested.
        first: Seq,
    },
    /// Other type: two bytes, which are ignored.
    Unknown(u8),
}

impl Call {
    /// Appends the call's bytes.
    ///
    /// A [`Call::Resend`] above 255 is written in the five bytes that some clients use, which only
    /// this crate's exchange understands.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Stream => out.extend([1, 0]),
            Self::Resend(seq) => match u8::try_from(seq) {
                Ok(seq) => out.extend([2, seq]),
                Err(_) => {
                    out.push(2);
                    out.extend(field_bytes(seq));
                }
            },
            Self::Describe { version } => out.extend([3, version]),
            Self::ResendRange { first, count } => {
                out.extend([4, 0]);
                out.extend(field_bytes(first));
                out.extend(field_bytes(count));
            }
            Self::Subscribe { first } => {
                out.extend([5, 0]);
                out.extend(field_bytes(first));
            }
            Self::Unknown(kind) => out.extend([kind, 0]),
        }
    }
}

/// Length of the longest call, in bytes.
const CALL_MAX: usize = 10;

/// Decoder of calls from a byte stream that may be cut anywhere.
///
/// A decoder belongs to one connection. Two rules hide the extension from clients of the original
/// protocol. A byte `01` is a stream call already; its second byte is skipped when it arrives.
/// Types 4 and 5 exist only after a describe call; before one, they are skipped in pairs of bytes
/// as any unknown type.
#[derive(Clone, Default, Debug)]
pub struct CallDecoder {
    held: [u8; CALL_MAX],
    len: u8,
    /// True between the two bytes of a stream call.
    owed: bool,
    extended: bool,
    /// True if only types 1 and 2 are known.
    original: bool,
}

impl CallDecoder {
    /// Creates a decoder for a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a decoder for a new connection that does not know the extension.
    #[must_use]
    pub fn original() -> Self {
        Self { original: true, ..Self::default() }
    }

    /// Returns true if a describe call was decoded.
    #[must_use]
    pub fn extended(&self) -> bool {
        self.extended
    }

    /// Returns true if the decoder holds `02 00`: a whole call for the original exchange, so that
    /// more bytes may never come.
    #[must_use]
    pub fn stuck(&self) -> bool {
        self.held[0] == 2 && self.len >= 2
    }

    /// Returns true if only the first byte of the last call has arrived.
    #[must_use]
    pub fn is_half(&self) -> bool {
        self.owed || self.len == 1
    }

    /// Returns true if the last call was a stream call whose second byte has not arrived.
    #[must_use]
    pub fn owes_byte(&self) -> bool {
        self.owed
    }

    /// Takes the next byte for the first of another call, even if the second one of a stream call
    /// has not arrived.
    pub fn forgive(&mut self) {
        self.owed = false;
    }

    /// Takes bytes from the front of `input` up to the end of the next call, and returns the call.
    /// Returns `None` if all of `input` was taken and more bytes are needed.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Call> {
        // A flood of resend calls takes this branch, without copying.
        if self.extended
            && self.len == 0
            && !self.owed
            && let Some((&[4, _, a, b, c, d, e, f, g, h], rest)) = input.split_first_chunk()
        {
            *input = rest;
            let (first, count) = ([a, b, c, d], [e, f, g, h]);
            let [first, count] = [first, count].map(|field| u32::from_be_bytes(field).into());
            return Some(Call::ResendRange { first, count });
        }
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            if core::mem::take(&mut self.owed) {
                continue;
            }
            self.held[usize::from(self.len)] = byte;
            self.len += 1;
            if let Some(call) = self.whole() {
                self.len = 0;
                return Some(call);
            }
        }
        None
    }

    /// Returns the held bytes as a call if they are a whole one.
    fn whole(&mut self) -> Option<Call> {
        let number = |at: usize| {
            Seq::from(u32::from_be_bytes([
                self.held[at],
                self.held[at + 1],
                self.held[at + 2],
                self.held[at + 3],
            ]))
        };
        let second = self.held[1];
        match (self.held[0], usize::from(self.len)) {
            (1, _) => {
                self.owed = true;
                Some(Call::Stream)
            }
            // Sequence 0 does not exist, so `02 00` can only begin a 32-bit number.
            (2, 2) if second > 0 => Some(Call::Resend(Seq::from(second))),
            (2, 5) => Some(Call::Resend(number(1))),
            (3, 2) if second > 0 && !self.original => {
                self.extended = true;
                Some(Call::Describe { version: second })
            }
            (4, 10) => Some(Call::ResendRange { first: number(2), count: number(6) }),
            (5, 6) => Some(Call::Subscribe { first: number(2) }),
            (2, 2..) => None,
            (4 | 5, 2..) if self.extended => None,
            (kind, 2) => Some(Call::Unknown(kind)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn calls(bytes: &[u8], sizes: impl IntoIterator<Item = usize>) -> Vec<Call> {
        let (mut decoder, mut rest, mut calls) = (CallDecoder::new(), bytes, Vec::new());
        for size in sizes.into_iter().chain([usize::MAX]) {
            let (mut chunk, after) = rest.split_at(size.min(rest.len()));
            calls.extend(core::iter::from_fn(|| decoder.next(&mut chunk)));
            rest = after;
        }
        calls
    }

    #[test]
    fn a_call_without_its_second_byte_is_half() {
        for (bytes, half) in
            [(&[][..], false), (&[1], true), (&[1, 0], false), (&[2, 5, 2], true), (&[2, 0], false)]
        {
            let (mut decoder, mut rest) = (CallDecoder::new(), bytes);
            while decoder.next(&mut rest).is_some() {}
            assert_eq!(decoder.is_half(), half, "{bytes:?}");
        }
        let (mut decoder, mut rest) = (CallDecoder::new(), &[3, 1, 4, 0, 0][..]);
        while decoder.next(&mut rest).is_some() {}
        assert!(!decoder.is_half(), "three bytes of a range call are more than one");
        // The stream call of one byte is forgiven, so that the next byte begins a call.
        let (mut decoder, mut rest) = (CallDecoder::new(), &[1][..]);
        assert_eq!(decoder.next(&mut rest), Some(Call::Stream));
        assert!(decoder.owes_byte());
        decoder.forgive();
        assert_eq!(decoder.next(&mut &[2, 9][..]), Some(Call::Resend(9)));
    }

    #[test]
    fn a_stream_is_called_by_its_first_byte() {
        assert_eq!(calls(&[1], []), [Call::Stream]);
        assert_eq!(calls(&[1, 0], [1]), [Call::Stream]);
        assert_eq!(calls(&[1, 1], [1]), [Call::Stream], "01 01 is one call");
        assert_eq!(calls(&[1, 0, 2, 9], []), [Call::Stream, Call::Resend(9)]);
    }

    #[test]
    fn unknown_types_are_eaten_by_twos() {
        let bytes = [0, 0, 3, 0, 4, 0, 5, 9, 127, 1, 255, 2, 2, 7];
        let unknown = [0, 3, 4, 5, 127, 255].map(Call::Unknown);
        assert_eq!(calls(&bytes, []), [&unknown[..], &[Call::Resend(7)]].concat());
    }

    #[test]
    fn the_extension_begins_with_describe() {
        let range = [4, 0, 0, 0, 1, 0, 0, 0, 0, 9];
        let known = Call::ResendRange { first: 256, count: 9 };
        assert_eq!(calls(&range, []).len(), 5, "types 4, 0, 1 and a spare byte, 0, 9");
        assert_eq!(
            calls(&[&[3, 1][..], &range, &[5, 0, 0, 0, 0, 7]].concat(), []),
            [Call::Describe { version: 1 }, known, Call::Subscribe { first: 7 }]
        );
    }

    #[test]
    fn a_resend_of_32_bits_is_understood() {
        assert_eq!(calls(&[2, 0, 0, 1, 0, 2, 5], []), [Call::Resend(256), Call::Resend(5)]);
        assert_eq!(calls(&[2, 0], []), [], "sequence 0 waits for more and is never answered");
    }

    fn any_call() -> impl Strategy<Value = Call> {
        prop_oneof![
            Just(Call::Stream),
            (1u64..=255).prop_map(Call::Resend),
            (256u64..1 << 24).prop_map(Call::Resend),
            (1u8..).prop_map(|version| Call::Describe { version }),
            any::<(u32, u32)>().prop_map(|(first, count)| Call::ResendRange {
                first: first.into(),
                count: count.into(),
            }),
            any::<u32>().prop_map(|first| Call::Subscribe { first: first.into() }),
            prop_oneof![Just(0u8), 6u8..].prop_map(Call::Unknown),
        ]
    }

    proptest! {
        #[test]
        fn calls_survive_any_cutting(sent in prop::collection::vec(any_call(), 0..20),
            sizes in prop::collection::vec(1usize..6, 0..60)) {
            let mut all = vec![Call::Describe { version: 1 }];
            all.extend(sent);
            let mut bytes = Vec::new();
            all.iter().for_each(|call| call.encode(&mut bytes));
            prop_assert_eq!(calls(&bytes, sizes), all);
        }
    }
}
