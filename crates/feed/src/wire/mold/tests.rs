//! Tests of datagrams and their headers.

use super::*;
use crate::wire::SessionId;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let pairs = (0..text.len()).step_by(2).filter_map(|at| text.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn datagram(sequence: u64, count: u16, blocks: &[u8]) -> Vec<u8> {
    let session = Session(*b"DAY1      ");
    [&Header { session, sequence, count }.encode()[..], blocks].concat()
}

/// A datagram of a public capture of Nasdaq TotalView: an order is deleted.
const DELETED: &str = "\
    303030303130303539420000000000e12f5a00010013440dbd00001f1aced85ad80000000001668bd6";

/// A datagram of another such capture, whose session and sequences were blanked out: the market
/// opens.
const BLANKED: &str = "\
    0000000000000000000000000000000000000001000c53000000001f1acedb02f051";

/// The first two of 38 messages of a datagram of the first capture, with a count of 2.
const ORDERS: &str = "\
    303030303130303539420000000001220e5d0002002441197200001f23e0981ae10000000000792f9f42\
    000000014d45544120202020000c4950002441197200001f23e0981ae100000000006b3f7f5300000064\
    4d4554412020202000368634";

#[test]
fn datagrams_of_a_real_feed_are_read() {
    let bytes = hex(DELETED);
    let deleted = Datagram::parse(&bytes).unwrap();
    assert_eq!(deleted.session(), Session::new("000010059B").unwrap());
    assert_eq!((deleted.sequence(), deleted.count()), (14_757_722, 1));
    assert_eq!(deleted.next_sequence(), 14_757_723);
    let messages: Vec<_> = deleted.messages().collect();
    assert_eq!((messages[0].len(), messages[0][0]), (19, b'D'));
    assert_eq!(deleted.to_string(), "session \"000010059B\", message 14757722, 19 bytes");

    let bytes = hex(BLANKED);
    let blanked = Datagram::parse(&bytes).unwrap();
    assert_eq!((blanked.session(), blanked.sequence()), (Session([0; 10]), 0));
    assert_eq!(blanked.to_string(), "session \"\", message 0, 12 bytes");

    let bytes = hex(ORDERS);
    let orders = Datagram::parse(&bytes).unwrap();
    let numbered: Vec<_> = orders.messages().numbered().map(|(n, m)| (n, m[0])).collect();
    assert_eq!(numbered, [(19_009_117, b'A'), (19_009_118, b'A')]);
    assert_eq!(
        orders.to_string(),
        "session \"000010059B\", 2 messages 19009117 to 19009118, 72 bytes"
    );
}

#[test]
fn heartbeats_and_ends_have_the_documented_bytes() {
    let session = Session::new("DAY1").unwrap();
    let beat = Header::heartbeat(session, 42).encode();
    assert_eq!(&beat, b"DAY1      \0\0\0\0\0\0\0\x2a\0\0");
    let beat = Datagram::parse(&beat).unwrap();
    assert!(matches!(beat.content(), Content::Heartbeat));
    assert_eq!(beat.to_string(), "heartbeat, session \"DAY1\", next sequence 42");
    let end = Header::end_of_session(session, 42).encode();
    assert_eq!(&end, b"DAY1      \0\0\0\0\0\0\0\x2a\xff\xff");
    let end = Datagram::parse(&end).unwrap();
    assert!(matches!(end.content(), Content::EndOfSession));
    assert_eq!((end.count(), end.next_sequence()), (0, 42), "an end is no 65,535 messages");
    assert_eq!(end.to_string(), "end of session \"DAY1\", next sequence 42");
}

#[test]
fn bytes_that_are_no_datagram_are_named_errors_with_offsets() {
    let parse = |bytes: &[u8]| Datagram::parse(bytes).map(|_| ()).unwrap_err();
    for length in 0..HEADER_BYTES {
        assert_eq!(parse(&datagram(1, 0, b"")[..length]), ParseError::Short { length });
    }
    let too_high = |offset, count, held| ParseError::CountTooHigh { offset, count, held };
    assert_eq!(parse(&datagram(1, 1, b"")), too_high(20, 1, 0));
    assert_eq!(parse(&datagram(1, 3, b"\0\x01a\0\0")), too_high(25, 3, 2));
    assert_eq!(parse(&datagram(1, 2, b"\0\x01a\0")), too_high(23, 2, 1), "half a length");
    assert_eq!(parse(&datagram(1, 0xfffe, b"\0\0")), too_high(22, 0xfffe, 1));
    let error = parse(&datagram(1, 2, b"\0\x01a\0\x05bcd"));
    let too_long = ParseError::BlockTooLong { offset: 23, message: 1, length: 5, available: 3 };
    assert_eq!(error, too_long);
    assert_eq!(
        error.to_string(),
        "message 1 (from 0) at byte 23 has length 5, but only 3 bytes follow"
    );
    let trailing = |offset, trailing| ParseError::TrailingBytes { offset, trailing };
    assert_eq!(parse(&datagram(1, 1, b"\0\x01abc")), trailing(23, 2));
    assert_eq!(parse(&datagram(1, 0, b"a")), trailing(20, 1), "a heartbeat has no messages");
    assert_eq!(parse(&datagram(1, 0xffff, b"\0\0")), trailing(20, 2), "nor has an end");
}

#[test]
fn sequences_that_do_not_fit_64_bits_are_an_error() {
    let blocks = b"\0\x01a\0\x01b";
    let highest = datagram(u64::MAX - 2, 2, blocks);
    assert_eq!(Datagram::parse(&highest).unwrap().next_sequence(), u64::MAX);
    let sequence = u64::MAX - 1;
    let overflow = ParseError::SequenceOverflow { sequence, count: 2 };
    assert_eq!(Datagram::parse(&datagram(sequence, 2, blocks)), Err(overflow));
    assert!(Datagram::parse(&datagram(u64::MAX, 0, b"")).is_ok());
    assert!(Datagram::parse(&datagram(u64::MAX, 0xffff, b"")).is_ok());
}

#[test]
fn sessions_are_names_of_ten_characters() {
    assert_eq!(Session::new("DAY1").unwrap().0, *b"DAY1      ");
    assert!(Session::new("0123456789").is_ok());
    for bad in ["0123456789A", "é", "\n"] {
        assert_eq!(Session::new(bad), Err(SessionError));
    }
    assert_eq!(Session(*b"    DAY1  ").to_string(), "DAY1");
    assert_eq!(Session(*b"\0A\x1b[2J\xff \0\0").to_string(), "A\\x1b[2J\\xff");
    assert_ne!(Session(*b"      DAY1"), Session(*b"DAY1      "), "bytes count, not names");
    for name in [*b"DAY1      ", *b"      DAY1", *b"DAY1\0\0\0\0\0\0"] {
        assert_eq!(Session(name).id(), SessionId::of(*b"DAY1"));
    }
}

proptest! {
    #[test]
    fn a_datagram_that_parses_is_made_of_the_same_bytes(
        sequence in prop_oneof![Just(0u64), Just(u64::MAX), any::<u64>()],
        count in prop_oneof![4 => 0u16..5, 1 => Just(0xffff), 1 => any::<u16>()],
        blocks in prop::collection::vec(
            prop_oneof![6 => Just(0u8), 3 => 0u8..4, 1 => any::<u8>()], 0..12),
        cut in prop_oneof![3 => Just(0usize), 1 => 0usize..40],
    ) {
        let mut bytes = datagram(sequence, count, &blocks);
        bytes.truncate(bytes.len() - cut % bytes.len());
        if let Ok(datagram) = Datagram::parse(&bytes) {
            let mut again = datagram.header().encode().to_vec();
            for message in datagram.messages() {
                again.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
                again.extend(message);
            }
            prop_assert_eq!(&again, &bytes);
            prop_assert_eq!(datagram.messages().count(), usize::from(datagram.count()));
            let next = datagram.sequence().checked_add(datagram.count().into());
            prop_assert_eq!(next, Some(datagram.next_sequence()));
        }
    }

    #[test]
    fn any_bytes_are_a_datagram_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        match Datagram::parse(&bytes) {
            Ok(datagram) => prop_assert!(!datagram.to_string().contains(['\n', '\x1b'])),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
