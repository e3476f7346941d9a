//! Payloads of datagrams: MoldUDP64, or the reason why they are not.

use super::tracker::DatagramSpan;
use feed::base::seq::MAX_SEQ;
use feed::wire::SessionId;
use feed::wire::mold::{self, BLOCK_HEADER_BYTES, HEADER_BYTES};
use std::fmt;

/// Kind of a MoldUDP64 datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MoldKind {
    Messages,
    Heartbeat,
    EndOfSession,
    /// Request for messages, which only a client sends.
    Request,
}

/// MoldUDP64 datagram of a capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MoldDatagram<'a> {
    pub(super) kind: MoldKind,
    pub(super) session: SessionId,
    pub(super) span: DatagramSpan,
    /// Messages that were captured as a whole, each behind its length.
    pub(super) blocks: &'a [u8],
    /// Number of messages that the capture has cut.
    pub(super) cut: u64,
}

/// Reason why a datagram is not MoldUDP64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotMold {
    /// Wrong length, count or message.
    Malformed(mold::ParseError),
    /// First ten bytes that name no session.
    Session,
    /// Messages of MoldUDP64 whose session and sequence are zeros, as in captures that were made
    /// anonymous.
    Blank,
    /// Sequence of 0, or above the highest one.
    Sequence(u64),
    /// Sequence far above that of the datagram before.
    Jump(u64),
    /// Datagram that the capture has cut inside its header.
    Cut(usize),
    /// More sessions than a line has.
    Sessions,
}

impl fmt::Display for NotMold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Blank => f.write_str(
                "its session and sequence are zeros, so that nothing is known about its order",
            ),
            Self::Session => f.write_str("its first ten bytes are no session name"),
            Self::Sequence(number) => write!(f, "no message has the sequence {number}"),
            Self::Jump(number) => {
                write!(f, "its sequence {number} is far above that of the datagram before")
            }
            Self::Cut(length) => {
                write!(f, "the capture holds {length} bytes of it, fewer than a header has")
            }
            Self::Sessions => f.write_str("it begins one session more than a line can have"),
        }
    }
}

/// Returns whether ten bytes can be the name of a session: printable characters, with NULs only at
/// the end. Names are what tells MoldUDP64 from protocols that begin with numbers.
fn is_session(name: &[u8; 10]) -> bool {
    let end = name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let name = &name[..end];
    name.iter().all(|byte| matches!(byte, b' '..=b'~')) && name.iter().any(|byte| *byte != b' ')
}

/// Reads the payload of a datagram, of which `cut` bytes at its end were not captured.
pub(super) fn parse(payload: &[u8], cut: usize) -> Result<MoldDatagram<'_>, NotMold> {
    if cut > 0 {
        return parse_cut(payload, cut);
    }
    let parsed = mold::Datagram::parse(payload);
    if let Ok(datagram) = parsed {
        let header = datagram.header();
        if header.session.0 == [0; 10] && header.sequence == 0 && datagram.count() > 0 {
            return Err(NotMold::Blank);
        }
        let session = check(header)?;
        let (held, next) = (datagram.count().into(), datagram.next_sequence());
        let kind = match datagram.content() {
            mold::Content::Messages(_) => MoldKind::Messages,
            mold::Content::Heartbeat => MoldKind::Heartbeat,
            mold::Content::EndOfSession => MoldKind::EndOfSession,
        };
        let span = DatagramSpan { first: header.sequence, held, next };
        return Ok(MoldDatagram { kind, session, span, blocks: datagram.blocks(), cut: 0 });
    }
    // A request is a header without messages, whose count says how many are requested.
    if let Ok(header) = <&[u8; HEADER_BYTES]>::try_from(payload) {
        let header = header_of(header);
        let session = check(header)?;
        let (first, next) = (header.sequence, header.sequence.saturating_add(header.count.into()));
        let span = DatagramSpan { first, held: header.count.into(), next };
        return Ok(MoldDatagram { kind: MoldKind::Request, session, span, blocks: &[], cut: 0 });
    }
    match parsed {
        Err(error) => Err(NotMold::Malformed(error)),
        Ok(_) => Err(NotMold::Session),
    }
}

fn header_of(bytes: &[u8; HEADER_BYTES]) -> mold::Header {
    let [session @ .., _, _, _, _, _, _, _, _, _, _] = *bytes;
    let [_, _, _, _, _, _, _, _, _, _, sequence @ .., _, _] = *bytes;
    let [.., high, low] = *bytes;
    mold::Header {
        session: mold::Session(session),
        sequence: u64::from_be_bytes(sequence),
        count: u16::from_be_bytes([high, low]),
    }
}

fn check(header: mold::Header) -> Result<SessionId, NotMold> {
    if !is_session(&header.session.0) {
        return Err(NotMold::Session);
    }
    let last = header.sequence.checked_add(header.count.into());
    match last {
        Some(last) if header.sequence > 0 && last <= MAX_SEQ => Ok(header.session.id()),
        _ => Err(NotMold::Sequence(header.sequence)),
    }
}

/// Reads a datagram that the capture has cut: the messages that are whole.
fn parse_cut(payload: &[u8], cut: usize) -> Result<MoldDatagram<'_>, NotMold> {
    let header = payload.first_chunk().ok_or(NotMold::Cut(payload.len()))?;
    let header = header_of(header);
    let session = check(header)?;
    let count = match header.count {
        mold::COUNT_END_OF_SESSION => 0,
        count => count,
    };
    let length = payload.len() + cut;
    if HEADER_BYTES + BLOCK_HEADER_BYTES * usize::from(count) > length {
        let error = mold::ParseError::CountTooHigh { offset: HEADER_BYTES, count, held: 0 };
        return Err(NotMold::Malformed(error));
    }
    let blocks = &payload[HEADER_BYTES..];
    let (mut rest, mut held) = (blocks, 0);
    while held < u64::from(count)
        && let Some((_, behind)) = feed::wire::Framing::Length.split_first(rest)
    {
        (rest, held) = (behind, held + 1);
    }
    let span =
        DatagramSpan { first: header.sequence, held, next: header.sequence + u64::from(count) };
    Ok(MoldDatagram {
        kind: MoldKind::Messages,
        session,
        span,
        blocks: &blocks[..blocks.len() - rest.len()],
        cut: u64::from(count) - held,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(session: &[u8; 10], sequence: u64, count: u16, blocks: &[u8]) -> Vec<u8> {
        let session = mold::Session(*session);
        let mut bytes = mold::Header { session, sequence, count }.encode().to_vec();
        bytes.extend_from_slice(blocks);
        bytes
    }

    #[test]
    fn whole_messages_of_a_cut_datagram_are_read() {
        let bytes = datagram(b"DAY1      ", 5, 3, b"\0\x02ab\0\x01c\0\x03def");
        let whole = parse(&bytes, 0).unwrap();
        assert_eq!((whole.span.held, whole.cut, whole.kind), (3, 0, MoldKind::Messages));
        for (kept, held) in [(bytes.len() - 1, 2), (27, 2), (26, 1), (24, 1), (23, 0), (20, 0)] {
            let cut = parse(&bytes[..kept], bytes.len() - kept).unwrap();
            assert_eq!((cut.span.held, cut.cut, cut.span.next), (held, 3 - held, 8), "{kept}");
        }
        assert_eq!(parse(&bytes[..19], 14), Err(NotMold::Cut(19)));
    }

    #[test]
    fn other_protocols_are_not_misread() {
        for (payload, said) in [
            (datagram(b"DAY1\x01     ", 1, 1, b"\0\x01a"), "no session name"),
            (datagram(b"          ", 1, 1, b"\0\x01a"), "no session name"),
            (datagram(&[0; 10], 1, 1, b"\0\x01a"), "no session name"),
            (datagram(b"DAY1      ", 0, 1, b"\0\x01a"), "no message has the sequence 0"),
            (datagram(b"DAY1      ", 1, 2, b"\0\x01a"), "count"),
            (datagram(b"DAY1      ", 1, 1, b"\0\x01ab"), "behind"),
            (b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n".to_vec(), ""),
            (b"short".to_vec(), "5"),
        ] {
            let reason = parse(&payload, 0).unwrap_err().to_string();
            assert!(reason.contains(said), "{reason}");
        }
        let name = datagram(b"000006A\0\0\0", 7, 0xffff, b"");
        let end = parse(&name, 0).unwrap();
        assert_eq!(end.kind, MoldKind::EndOfSession);
        assert_eq!(end.session.to_string(), "000006A", "as a recording of the line has it");
        let request = datagram(b"DAY1      ", 7, 20, b"");
        let request = parse(&request, 0).unwrap();
        assert_eq!((request.kind, request.span.held), (MoldKind::Request, 20));
    }
}
