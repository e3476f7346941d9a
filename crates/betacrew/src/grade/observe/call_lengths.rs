//! Lengths of a client's calls: how many bytes each has, where the protocol has two.

/// Call of more than two bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LongCall {
    /// Kind of the call.
    pub(crate) kind: CallKind,
    /// Number of bytes of the call.
    pub(crate) len: usize,
}

impl LongCall {
    /// Returns whether the call harms the original, which reads two bytes at a time and ignores
    /// types that it does not know: one byte is left over, and spoils the calls after it.
    pub(crate) const fn is_harmful(self) -> bool {
        !self.len.is_multiple_of(CALL_LEN)
    }
}

/// Kind of a call of the original protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CallKind {
    /// Call for the stream.
    Stream,
    /// Call for one packet.
    Resend,
}

/// Number of bytes of a call.
const CALL_LEN: usize = 2;

/// Number of bytes of a resend call with a sequence of 32 bits.
const WIDE_LEN: usize = 5;

/// Number of bytes from which a resend call has a sequence of 32 bits.
const WIDE_MIN: usize = 3;

/// Types of the calls that the original and its extension know.
const TYPES: std::ops::RangeInclusive<u8> = 1..=5;

/// Type of the call with which a client begins to speak the extension.
const DESCRIBE: u8 = 3;

/// Reader of the bytes of one connection, which finds where each call ends.
///
/// Bytes behind a call that begin no known call belong to that call.
#[derive(Clone, Default, Debug)]
pub(crate) struct CallLengths {
    /// First byte of the call that was begun last; 0 before any.
    first: u8,
    /// Second byte of that call.
    second: u8,
    /// Number of bytes of the call so far.
    len: usize,
    /// True if the client has begun to speak the extension, whose calls have other lengths.
    is_extended: bool,
}

impl CallLengths {
    /// Takes the next byte of the client, and returns the call to which it belongs if that call has
    /// more than two bytes.
    pub(crate) fn take(&mut self, byte: u8) -> Option<LongCall> {
        if self.is_extended {
            return None;
        }
        // A sequence of 32 bits is below 65,536 here, so its second byte is 0 as well.
        let is_wide =
            self.first == 2 && self.second == 0 && (WIDE_MIN..WIDE_LEN).contains(&self.len);
        let is_over = self.len == 0 || self.len >= CALL_LEN && TYPES.contains(&byte) && !is_wide;
        match (is_over, self.len) {
            (true, _) => (self.first, self.second, self.len) = (byte, 0, 1),
            (false, 1) => (self.second, self.len) = (byte, CALL_LEN),
            (false, _) => self.len += 1,
        }
        self.is_extended = self.first == DESCRIBE && self.second > 0;
        let kind = match self.first {
            1 => CallKind::Stream,
            2 => CallKind::Resend,
            _ => return None,
        };
        let len = self.len;
        (len > CALL_LEN).then_some(LongCall { kind, len })
    }

    /// Returns whether the bytes so far are a request for packet 0, which may also begin a request
    /// with a sequence of 32 bits.
    pub(crate) fn is_zero(&self) -> bool {
        (self.first, self.second, self.len) == (2, 0, CALL_LEN)
    }

    /// Takes the next byte for the first of another call, because the last call has one byte.
    pub(crate) fn end_call(&mut self) {
        self.len = self.len.max(CALL_LEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the longest call among these bytes, if it has more than two.
    fn longest(bytes: &[u8]) -> Option<(CallKind, usize)> {
        let mut lengths = CallLengths::default();
        let long = bytes.iter().filter_map(|byte| lengths.take(*byte));
        long.max_by_key(|long| long.len).map(|long| (long.kind, long.len))
    }

    #[test]
    fn calls_of_two_bytes_are_not_long() {
        for bytes in [
            &[][..],
            &[1],
            &[1, 0],
            &[1, 1, 1, 0],
            &[2, 5, 2, 1, 2, 2],
            &[1, 0, 2, 5],
            &[2, 0],
            &[2, 0, 2, 1, 2, 2],
            &[7, 0, 0, 0, 0],
        ] {
            assert_eq!(longest(bytes), None, "{bytes:?}");
        }
        let extended = [3, 1, 4, 0, 0, 0, 0, 1, 0, 0, 0, 9, 2, 5];
        assert_eq!(longest(&extended), None, "calls of the extension are longer");
    }

    #[test]
    fn only_a_byte_that_is_left_over_does_harm() {
        let harms = |len| LongCall { kind: CallKind::Stream, len }.is_harmful();
        assert!(harms(3) && harms(5) && !harms(4) && !harms(6));
    }

    #[test]
    fn bytes_behind_a_call_belong_to_it() {
        let (stream, resend) = (CallKind::Stream, CallKind::Resend);
        assert_eq!(longest(&[1, 0, 0, 0, 0, 0]), Some((stream, 6)));
        assert_eq!(longest(&[1, 0, 10]), Some((stream, 3)), "a line break");
        assert_eq!(longest(&[1, 0, 0, 0, 0]), Some((stream, 5)));
        assert_eq!(longest(&[2, 5, 0, 0, 0, 2, 6, 0, 0, 0]), Some((resend, 5)), "little-endian");
        assert_eq!(longest(&[2, 0, 0, 0, 5, 2, 0, 0, 0, 6]), Some((resend, 5)), "big-endian");
        assert_eq!(longest(&[2, 7, 0, 0, 0, 0, 2, 8, 0, 0, 0, 0]), Some((resend, 6)));
        let mut lone = CallLengths::default();
        assert_eq!(lone.take(1), None);
        lone.end_call();
        assert_eq!((lone.take(2), lone.take(5)), (None, None));
    }
}
