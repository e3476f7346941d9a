//! Tests of SoupBinTCP packets.

use super::*;
use alloc::string::ToString;
use proptest::prelude::*;

fn encoded(packet: Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).unwrap();
    bytes
}

fn decoded(bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let (packet, rest) = RawPacket::split_first(bytes).unwrap().unwrap();
    assert!(rest.is_empty());
    assert_eq!(packet.as_bytes(), bytes);
    packet.decode()
}

fn request() -> LoginRequest {
    LoginRequest {
        user: Text::new("ann").unwrap(),
        password: Password::new(Text::new("secret").unwrap()),
        session: Text::new("DAY1").unwrap(),
        sequence: 42,
        heartbeat_timeout: None,
    }
}

#[test]
fn each_packet_has_the_documented_bytes() {
    let accepted = LoginAccepted { session: Text::new("DAY1").unwrap(), sequence: 42 };
    let timeout = HeartbeatTimeout::from_millis(15_000);
    let old = b"\x00\x2fLann   secret          DAY1                  42";
    let new = b"\x00\x34Lann   secret          DAY1                  4215000";
    let cases: [(Packet<'_>, &[u8]); 14] = [
        (Packet::Debug(b"hello"), b"\x00\x06+hello"),
        (Packet::LoginAccepted(accepted), b"\x00\x1fA      DAY1                  42"),
        (Packet::LoginRejected(RejectReason::NotAuthorized), b"\x00\x02JA"),
        (Packet::LoginRejected(RejectReason::SessionNotAvailable), b"\x00\x02JS"),
        (Packet::LoginRejected(RejectReason::Other(b'?')), b"\x00\x02J?"),
        (Packet::Sequenced(b"\x00\xff"), b"\x00\x03S\x00\xff"),
        (Packet::Sequenced(b""), b"\x00\x01S"),
        (Packet::Unsequenced(b"note"), b"\x00\x05Unote"),
        (Packet::ServerHeartbeat, b"\x00\x01H"),
        (Packet::EndOfSession, b"\x00\x01Z"),
        (Packet::LoginRequest(request()), old),
        (Packet::LoginRequest(LoginRequest { heartbeat_timeout: timeout, ..request() }), new),
        (Packet::ClientHeartbeat, b"\x00\x01R"),
        (Packet::LogoutRequest, b"\x00\x01O"),
    ];
    for (packet, bytes) in cases {
        assert_eq!(encoded(packet).escape_ascii().to_string(), bytes.escape_ascii().to_string());
        assert_eq!(decoded(bytes), Ok(packet));
    }
    assert_eq!(old.len(), field::REQUESTED_SEQUENCE.end);
    assert_eq!(new.len(), field::HEARTBEAT_TIMEOUT.end);
    assert_eq!(new.len(), LENGTH_BYTES + usize::from(LOGIN_LENGTH_MAX));
    let unknown = Packet::Unknown { kind: b'?', payload: b"new" };
    assert_eq!(decoded(b"\x00\x04?new"), Ok(unknown));
    assert_eq!(encoded(unknown), b"\x00\x04?new");
}

#[test]
fn fields_are_read_with_either_padding() {
    let ours = b"\x00\x1fA      DAY1                  42";
    // As the venue's own Python package pads, and as C programs do that leave NULs.
    let right = b"\x00\x1fADAY1      42                  ";
    let nul = b"\x00\x1fADAY1\0\0\0\0\0\x0042\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    for bytes in [&right[..], &nul[..]] {
        assert_eq!(decoded(bytes), decoded(ours), "{}", bytes.escape_ascii());
    }
    let login = b"\x00\x2fL   ann    secretDAY1      42                  ";
    assert_eq!(decoded(login), Ok(Packet::LoginRequest(request())));
}

#[test]
fn a_payload_of_the_wrong_length_is_an_error() {
    let length = |kind, length| Err(DecodeError::Length { kind, length });
    for kind in [b'H', b'Z', b'R', b'O'] {
        assert_eq!(decoded(&[0, 2, kind, 0]), length(kind, 1));
    }
    assert_eq!(decoded(b"\x00\x01J"), length(b'J', 0));
    assert_eq!(decoded(b"\x00\x03JAA"), length(b'J', 2));
    for (kind, lengths) in [(b'A', &[29, 31][..]), (b'L', &[0, 45, 47, 50, 52][..])] {
        for &wrong in lengths {
            let mut bytes = header(kind, wrong).unwrap().to_vec();
            bytes.resize(HEADER_BYTES + wrong, b'1');
            assert_eq!(decoded(&bytes), length(kind, wrong));
        }
    }
}

#[test]
fn a_sequence_that_is_no_number_is_an_error_with_its_place() {
    let number = |field, offset, error| Err(DecodeError::Number { field, offset, error });
    let blank = b"\x00\x1fA      DAY1                    ";
    assert_eq!(decoded(blank), number("sequence", 13, NumberError::Blank));
    let high = b"\x00\x1fA      DAY118446744073709551616";
    assert_eq!(decoded(high), number("sequence", 13, NumberError::TooLarge));
    let highest = b"\x00\x1fA      DAY118446744073709551615";
    assert!(matches!(decoded(highest), Ok(Packet::LoginAccepted(_))));
    let text = b"\x00\x2fLann   secret          DAY1                  4x";
    let error = NumberError::NotADigit { index: 19, byte: b'x' };
    assert_eq!(decoded(text), number("requested sequence", 29, error));
    let timeout = b"\x00\x34Lann   secret          DAY1                  42     ";
    assert_eq!(decoded(timeout), number("heartbeat timeout", 49, NumberError::Blank));
}

#[test]
fn a_message_has_its_bound() {
    let longest = vec![7; MESSAGE_MAX];
    let bytes = encoded(Packet::Sequenced(&longest));
    assert_eq!(bytes.len(), PACKET_MAX);
    assert_eq!(bytes[..4], [0xff, 0xff, b'S', 7]);
    assert_eq!(decoded(&bytes), Ok(Packet::Sequenced(&longest)));
    let mut again = Vec::new();
    encode_sequenced(&longest, &mut again).unwrap();
    assert_eq!(again, bytes);
    let mut out = vec![1, 2, 3];
    let error = Packet::Sequenced(&[0; MESSAGE_MAX + 1]).encode(&mut out).unwrap_err();
    assert_eq!(error, MessageTooLong { length: 65_535 });
    assert_eq!(out, [1, 2, 3], "nothing was written");
    assert!(header(b'S', usize::MAX).is_err());
    let max = HeartbeatTimeout::MAX_MILLIS;
    assert!(HeartbeatTimeout::from_millis(max).is_some());
    assert!(HeartbeatTimeout::from_millis(max + 1).is_none());
}

#[test]
fn each_packet_is_one_line_of_text() {
    let timeout = HeartbeatTimeout::from_millis(15_000);
    let current = LoginRequest {
        session: Text::BLANK,
        sequence: END_OF_STREAM,
        heartbeat_timeout: timeout,
        ..request()
    };
    let accepted = LoginAccepted { session: Text::new("DAY1").unwrap(), sequence: 42 };
    let cases = [
        (
            Packet::LoginRequest(request()),
            "login request, user \"ann\", session \"DAY1\", from sequence 42",
        ),
        (
            Packet::LoginRequest(current),
            "login request, user \"ann\", current session, from the end of the stream, \
             heartbeat timeout 15000 ms",
        ),
        (Packet::LoginAccepted(accepted), "login accepted, session \"DAY1\", next sequence 42"),
        (
            Packet::LoginRejected(RejectReason::NotAuthorized),
            "login rejected: not authorized (A): wrong user or password",
        ),
        (Packet::Sequenced(b"S\x00\n"), "sequenced data, 3 bytes \"S\\x00\\n\""),
        (Packet::Unknown { kind: 7, payload: b"" }, "unknown packet '\\x07', 0 bytes \"\""),
        (Packet::EndOfSession, "end of session"),
    ];
    for (packet, text) in cases {
        assert_eq!(packet.to_string(), text);
    }
    let long = Packet::Debug(&[b'a'; 500]).to_string();
    assert_eq!(long, format!("debug, 500 bytes \"{}\"...", "a".repeat(SHOWN_MAX)));
}

#[test]
fn a_password_is_shown_nowhere_and_compared_without_case() {
    let packet = Packet::LoginRequest(request());
    let bytes = encoded(packet);
    let (raw, _) = RawPacket::split_first(&bytes).unwrap().unwrap();
    let mut framer = Framer::new();
    assert_eq!(framer.next(&mut &bytes[..40]), Ok(None));
    let texts = [format!("{packet}"), format!("{packet:?}"), format!("{raw:?}")];
    for text in texts.into_iter().chain([format!("{framer:?}")]) {
        assert!(!text.contains("secret") && !text.contains("115"), "{text}");
    }
    let password = |text| Password::new(Text::new(text).unwrap());
    assert!(password("Secret").matches(&password("sECRET")));
    assert!(!password("secret").matches(&password("secret1")));
    assert!(!password("").matches(&password("secret")));
}

fn any_text<const N: usize>() -> impl Strategy<Value = Text<N>> {
    any::<[u8; N]>().prop_map(|field| Text::from_padded(&field))
}

/// Any packet but those with a payload of any bytes.
fn any_control() -> impl Strategy<Value = Packet<'static>> {
    let timeout = prop::option::of(0..=HeartbeatTimeout::MAX_MILLIS);
    let login = (any_text(), any_text(), any_text(), any::<u64>(), timeout);
    let login = login.prop_map(|(user, password, session, sequence, timeout)| LoginRequest {
        user,
        password: Password::new(password),
        session,
        sequence,
        heartbeat_timeout: timeout.and_then(HeartbeatTimeout::from_millis),
    });
    let accepted = (any_text(), any::<u64>());
    let accepted = accepted.prop_map(|(session, sequence)| LoginAccepted { session, sequence });
    prop_oneof![
        login.prop_map(Packet::LoginRequest),
        accepted.prop_map(Packet::LoginAccepted),
        any::<u8>().prop_map(|code| Packet::LoginRejected(RejectReason::from_code(code))),
        Just(Packet::ServerHeartbeat),
        Just(Packet::EndOfSession),
        Just(Packet::ClientHeartbeat),
        Just(Packet::LogoutRequest),
    ]
}

/// Bytes of any packet, most of them sequenced messages of one length.
pub(super) fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 30),
        1 => prop::collection::vec(any::<u8>(), 0..300),
    ];
    prop_oneof![
        6 => payload.clone().prop_map(|payload| encoded(Packet::Sequenced(&payload))),
        1 => (any::<u8>(), payload).prop_map(|(kind, payload)| {
            encoded(Packet::Unknown { kind, payload: &payload })
        }),
        1 => any_control().prop_map(encoded),
    ]
}

proptest! {
    #[test]
    fn a_packet_is_read_as_it_was_written(packet in any_control()) {
        let bytes = encoded(packet);
        prop_assert_eq!(decoded(&bytes), Ok(packet));
    }

    #[test]
    fn any_payload_of_any_type_is_decoded_or_refused(
        kind in prop::sample::select(b"+AJSUHZLRO?\0\xff".to_vec()),
        payload in prop::collection::vec(
            prop_oneof![Just(b' '), Just(b'7'), Just(0), any::<u8>()], 0..60),
    ) {
        let mut bytes = header(kind, payload.len()).unwrap().to_vec();
        bytes.extend(&payload);
        if let Ok(packet) = decoded(&bytes) {
            prop_assert_eq!(packet.kind(), kind);
            prop_assert!(!packet.to_string().contains(['\n', '\x1b']));
            let again = encoded(packet);
            prop_assert_eq!(decoded(&again), Ok(packet));
            if !matches!(packet, Packet::LoginRequest(_) | Packet::LoginAccepted(_)) {
                prop_assert_eq!(again, bytes, "nothing but padding is written otherwise");
            }
        }
    }
}
