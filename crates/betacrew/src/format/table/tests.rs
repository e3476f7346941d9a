//! Tests of tables in every format.

use super::*;
use crate::format::testing::{read_messages, write_messages};
use crate::format::{Format, Payload};
use clap::ValueEnum;
use feed::base::rng::Rng;
use feed::payload::itch50::SyntheticMarket;

fn formats() -> impl Iterator<Item = Format> {
    let all = Format::value_variants().iter().copied();
    all.filter(|format| format.check().is_ok() && format.has_columns())
}

/// Messages of every type, with random bytes and with the bounds of every field, and of a type that
/// ITCH 5.0 does not have.
fn odd_itch() -> Vec<Vec<u8>> {
    let mut rng = Rng::new(5);
    let mut all = Vec::new();
    for kind in TYPES {
        for fill in [0, 0xff, b' ', b'"', b',', b'\n', b'A', 0x7f, 0x80] {
            let mut message = vec![fill; kind.len()];
            message[0] = kind.letter();
            all.push(message);
        }
        for _ in 0..20 {
            let random = std::iter::repeat_with(|| rng.bits().to_le_bytes()[0]);
            let mut message: Vec<u8> = random.take(kind.len()).collect();
            message[0] = kind.letter();
            all.push(message);
        }
    }
    all.push(b"z".to_vec());
    all.push(b"\xff\x00 of a type of its own".to_vec());
    all
}

fn odd_opaque() -> Vec<Vec<u8>> {
    vec![b"z".to_vec(), Vec::new(), vec![0xff; 65_535], b"S12345678901".to_vec(), vec![0; 17]]
}

#[test]
fn every_message_survives_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    for format in formats() {
        for (payload, messages) in [(Payload::Itch50, odd_itch()), (Payload::Opaque, odd_opaque())]
        {
            write_messages(&path, format, Some(payload), &messages);
            let again = read_messages(&path, format).unwrap();
            for ((seq, message), (found_seq, found)) in (1..).zip(&messages).zip(&again) {
                assert_eq!((seq, message), (*found_seq, found), "{format:?}");
            }
            assert_eq!(again.len(), messages.len(), "{format:?}");
        }
    }
}

#[test]
fn the_first_message_decides_the_payload() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.ndjson");
    let day = SyntheticMarket::new(3, 400);
    let messages: Vec<Vec<u8>> = (0..400).map(|index| day.message(index).to_vec()).collect();
    write_messages(&path, Format::Ndjson, None, &messages);
    let text = std::fs::read_to_string(&path).unwrap();
    let second = text.lines().nth(1).unwrap();
    assert!(second.starts_with(r#"{"sequence":2,"message_type":"#), "{second}");
    let again = read_messages(&path, Format::Ndjson).unwrap();
    assert!((1..).zip(messages).eq(again));
}

#[test]
fn a_message_that_does_not_fit_is_an_error_with_its_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let good = SyntheticMarket::new(3, 400).message(0).to_vec();
    for (payload, bad, words) in [
        (None, b"S too short".to_vec(), "message 2 does not fit the payload itch50: an ITCH 5.0"),
        (None, Vec::new(), "message 2 does not fit the payload itch50"),
        (Some(Payload::Orders), good.clone(), "message 1 does not fit the payload orders: it has"),
    ] {
        for format in [Format::Ndjson, Format::Itch] {
            let payload = payload.or((format == Format::Itch).then_some(Payload::Itch50));
            let file = std::fs::File::create(&path).unwrap();
            let target = crate::format::EncoderTarget::File(file, path.clone());
            let mut encoder = format.encoder(payload, target);
            let mut run = crate::format::RunBuffer::default();
            run.push(1, &good).unwrap();
            run.push(2, &bad).unwrap();
            let error = encoder.put(run.messages(), Arrival::UNKNOWN).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with(words) && error.contains("--payload opaque"), "{error}");
        }
    }
}

#[test]
fn fields_of_one_name_have_one_type() {
    for field in TYPES.iter().flat_map(|kind| kind.fields()) {
        let column = ITCH50.columns()[ITCH50.column(field.name()).unwrap()];
        let of_field = kind_of(field);
        assert_eq!(wider(column.kind, of_field), column.kind, "{}", field.name());
        let same = std::mem::discriminant(&column.kind) == std::mem::discriminant(&of_field);
        assert!(same, "{}", field.name());
    }
    let names: Vec<&str> = ITCH50.columns().iter().map(|column| column.name).collect();
    assert_eq!(
        names[..5],
        [SEQUENCE, MESSAGE_TYPE, "stock_locate", "tracking_number", "timestamp"]
    );
    assert_eq!(names.len(), ITCH50.by_name.len());
}

#[test]
fn errors_say_where() {
    let head = "sequence,message_type,stock_locate,tracking_number,timestamp,event_code,hex\n";
    for (rows, message) in [
        ("1,S,0,0,1,O,\n2,S,0,0,x,O,\n", "line 3: timestamp \"x\" is no whole number"),
        ("0,S,0,0,1,O,\n", "line 2: sequence 0 is not in 1..9223372036854775807"),
        (",S,0,0,1,O,\n", "line 2: sequence is null"),
        ("1,S,65536,0,1,O,\n", "line 2: stock_locate 65536 does not fit in 16 bits"),
        ("1,S,0,0,281474976710656,O,\n", "line 2: timestamp 281474976710656 does not fit in 48"),
        ("1,S,0,0,,O,\n", "line 2: timestamp is null, but SystemEvent has one"),
        ("1,S,0,0,1,OO,\n", "line 2: event_code \"OO\" is longer than its field"),
        ("1,S,0,0,1,\u{20ac},\n", "line 2: event_code \"\u{20ac}\" is not Latin text"),
        ("1,z,0,0,1,O,\n", "line 2: message_type is \"z\", which ITCH 5.0 does not have"),
        ("1,,0,0,1,O,\n", "line 2: message_type is null"),
        ("1,S,0,0,1,O,5\n", "line 2: hex has an odd number of digits"),
        ("1,S,0,0,1,O,4100\n", "line 2: message_type and hex are of different types"),
        ("1,R,0,0,1,O,\n", "line 2: round_lot_size is null, but StockDirectory has one"),
    ] {
        let found = crate::format::testing::complaint(&format!("{head}{rows}"), Format::Csv);
        assert!(found.starts_with(message), "{message}: {found}");
    }
    for (line, message) in [
        (r#"{"sequence":2,"length":3,"hex":"00"}"#, "line 2: length is 3, but hex has 1 bytes"),
        (r#"{"sequence":2,"hex":"zz"}"#, "line 2: hex has other characters"),
        (r#"{"sequence":2,"hex":5}"#, "line 2: hex 5 is no text"),
        (r#"{"sequence":2,"hex":"00","hex":"00"}"#, "line 2: duplicate field `hex`"),
        (r#"{"sequence":-2,"hex":"00"}"#, "line 2: invalid type: integer `-2`"),
        (r#"{"sequence":2.5,"hex":"00"}"#, "line 2: sequence 2.5 has more than 0 decimals"),
        (
            r#"{"abandoned":{"first":1,"last":1}}"#,
            "line 2: packet 1 is listed as abandoned after 1",
        ),
        (r#"{"session":"K7QD"}"#, "line 2: another session begins here"),
        ("[]", "line 2: invalid type"),
    ] {
        let text = format!("{}\n{line}", r#"{"sequence":1,"length":1,"hex":"00"}"#);
        let found = crate::format::testing::complaint(&text, Format::Ndjson);
        assert!(found.starts_with(message), "{message}: {found}");
    }
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    for format in formats() {
        write_messages(&path, format, None, &odd_itch());
        let good = std::fs::read(&path).unwrap();
        let mut rng = Rng::new(7);
        for round in 0..200 {
            let mut bad = good.clone();
            let mut below =
                |limit: usize| usize::try_from(rng.below(u32::try_from(limit).unwrap())).unwrap();
            match round % 3 {
                0 => bad.truncate(below(good.len())),
                1 => bad[below(good.len())] ^= 1 << below(8),
                _ => {
                    // Most of a file's structure is at its end or its beginning.
                    let near = below(good.len().min(3000));
                    let at = if round % 2 == 0 { near } else { good.len() - 1 - near };
                    bad[at] = below(256).to_le_bytes()[0];
                }
            }
            std::fs::write(&path, &bad).unwrap();
            let done = read_messages(&path, format);
            let content = matches!(done, Ok(_) | Err(crate::error::Failure::Content { .. }));
            assert!(content, "{format:?} {round}: {done:?}");
        }
    }
}
