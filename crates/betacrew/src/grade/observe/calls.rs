//! Calls of a client as it means them, for the record of the wire.

use feed::wire::{Call, CallDecoder};

/// Decoder of the calls of one connection. A client that sends only the first byte of its stream
/// call sends the next call whole, so the first byte of that is not the missing one, for which an
/// exchange takes it.
#[derive(Default, Debug)]
pub(crate) struct RecordedCalls {
    decoder: CallDecoder,
    /// True after a stream call.
    has_streamed: bool,
    /// True if a stream call stayed without its second byte.
    lone_call: bool,
}

impl RecordedCalls {
    /// Prepares for bytes that arrived in one read.
    pub(crate) fn begin(&mut self, bytes: &[u8]) {
        if self.has_streamed && self.decoder.is_half() && is_whole_call(bytes) {
            self.decoder = CallDecoder::new();
            self.lone_call = true;
        }
    }

    /// Takes the next call off the front of `bytes`.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Option<Call> {
        let call = self.decoder.next(bytes)?;
        self.has_streamed |= call == Call::Stream;
        Some(call)
    }

    /// Returns whether the last call, or an earlier stream call, has only its first byte.
    pub(crate) fn has_half(&self) -> bool {
        self.lone_call || self.decoder.is_half()
    }
}

/// Returns whether bytes that arrived in one read are whole calls of types 1 and 2. The latter may
/// have the sequence as a 32-bit number.
fn is_whole_call(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let [kind, second, after @ ..] = rest {
        rest = match (kind, second, after) {
            (2, 0, [_, _, _, after @ ..]) => after,
            (1 | 2, _, after) => after,
            _ => return false,
        };
    }
    !bytes.is_empty() && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the calls of some reads, and whether one of them is half a call.
    fn calls(reads: &[&[u8]]) -> (Vec<Call>, bool) {
        let mut decoder = RecordedCalls::default();
        let mut calls = Vec::new();
        for read in reads {
            decoder.begin(read);
            let mut rest = *read;
            calls.extend(std::iter::from_fn(|| decoder.next(&mut rest)));
        }
        (calls, decoder.has_half())
    }

    #[test]
    fn a_call_after_a_lone_first_byte_keeps_its_own() {
        let both = vec![Call::Stream, Call::Resend(5)];
        assert_eq!(calls(&[&[1], &[2, 5]]), (both.clone(), true));
        assert_eq!(calls(&[&[1], &[2, 0, 0, 0, 5]]), (both.clone(), true));
        let four = [2, 5, 2, 6];
        assert_eq!(calls(&[&[1], &four]).0, [&both[..], &[Call::Resend(6)]].concat());
        assert_eq!(calls(&[&[1], &[0], &[2, 5]]), (both.clone(), false), "the second byte came");
        assert_eq!(calls(&[&[1, 0, 2, 5]]), (both, false));
        assert_eq!(calls(&[&[1]]), (vec![Call::Stream], true));
    }
}
