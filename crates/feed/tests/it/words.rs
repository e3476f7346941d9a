//! Words for people: texts of errors, reasons and values.

use feed::base::chance::Chance;
use feed::base::seq::{SeqRange, SeqSet};
use feed::base::span::Span;
use feed::client::IncompleteReason;
use feed::sim::disk::{Disk, DiskFailed};
use feed::storage::Storage;
use feed::tape::file::{FileHeadError, TapeFileError};
use feed::tape::in_memory::Tape;
use feed::tape::pace::Pace;
use feed::wire::packet::{Packet, Side, Symbol};
use feed::wire::{DecodeError, Frame, NotAvailable, Reason, SessionId, decode, encode};

#[test]
fn errors_say_what_is_allowed() {
    let said: [(String, &str); 10] = [
        ("x".parse::<Chance>().unwrap_err().to_string(), "from 0 to 1, or a percentage"),
        ("x".parse::<Pace>().unwrap_err().to_string(), "packets or bytes a second"),
        ("x".parse::<Span>().unwrap_err().to_string(), "two with the lower first: 5 or 2-9"),
        (
            "x".parse::<SeqSet>().unwrap_err().to_string(),
            "whole numbers from 1, with ranges and commas",
        ),
        ("7-5".parse::<SeqRange>().unwrap_err().to_string(), "from its lower to its higher end"),
        (DecodeError::Kind(0x58).to_string(), "byte 4 is 0x58"),
        (DecodeError::Sequence(-1).to_string(), "sequence -1 is not legal"),
        (DecodeError::Field(0).to_string(), "field value 0 is not legal"),
        (Tape::new([packet(2)]).unwrap_err().to_string(), "packet 1 of the tape has sequence 2"),
        (DiskFailed.to_string(), "has failed"),
    ];
    for (said, part) in said {
        assert!(said.contains(part), "{said}");
    }
}

fn packet(sequence: u64) -> Packet {
    let symbol = Symbol(*b"A\x1bB ");
    Packet { symbol, side: Side::Sell, quantity: -3, price: 100, sequence }
}

#[test]
fn a_packet_in_words_does_not_steer_a_terminal() {
    assert_eq!(packet(7).to_string(), "#7 A\\x1bB S -3 @ 100");
    assert_eq!(Symbol(*b"IBM ").to_string(), "IBM");
    assert_eq!(SessionId::of(*b"K7\x07D").to_string(), "K7\\x07D");
}

#[test]
fn tape_files_that_are_not_opened_say_why() {
    let said: [(FileHeadError, &str); 6] = [
        (FileHeadError::Short, "too short"),
        (FileHeadError::Foreign, "no tape file"),
        (FileHeadError::Newer(9), "version 9; this program reads up to 3"),
        (
            FileHeadError::Older(2),
            "version 2, whose sequences have 32 bits; this program reads version 3",
        ),
        (FileHeadError::PacketSize(18), "packets have 18 bytes; this program knows 17"),
        (FileHeadError::Damaged, "first bytes are damaged"),
    ];
    for (error, part) in said {
        let error: TapeFileError<DiskFailed> = TapeFileError::Head(error);
        assert!(error.to_string().contains(part), "{error}");
    }
    let span = SeqRange::new(5, 9).unwrap();
    let damaged: TapeFileError<DiskFailed> =
        TapeFileError::Damaged { offset: 48, span, packets: 5, bytes: 133 };
    assert!(damaged.to_string().contains("at byte 48 is damaged (sequences 5-9"), "{damaged}");
    assert!(TapeFileError::Storage(DiskFailed).to_string().contains("disk"));
    assert_eq!(Disk::new().is_empty(), Ok(true));
}

#[test]
fn every_reason_has_its_number_and_its_words() {
    let reasons = [
        Reason::OutOfRange,
        Reason::TooMany,
        Reason::Quota,
        Reason::AgedOut,
        Reason::Malformed,
        Reason::NotSubscriber,
        Reason::TooSlow,
        Reason::Other(8),
    ];
    let mut words: Vec<String> = Vec::new();
    for (code, reason) in (1..).zip(reasons) {
        assert_eq!(reason.code(), code);
        let frame = Frame::NotAvailable(NotAvailable { first: 2, count: 3, reason });
        assert_eq!(decode(&encode(&frame)), Ok(frame));
        words.push(reason.to_string());
        assert!(IncompleteReason::Refused(reason).to_string().ends_with(&words[words.len() - 1]));
    }
    let whys = [
        IncompleteReason::Stopped,
        IncompleteReason::Unreachable,
        IncompleteReason::CutOff,
        IncompleteReason::NotServed,
        IncompleteReason::GivenUp,
        IncompleteReason::NoAnswer,
        IncompleteReason::EndUnknown,
        IncompleteReason::OtherSession,
        IncompleteReason::SessionUntold,
        IncompleteReason::Enough,
        IncompleteReason::Storage,
    ];
    words.extend(whys.map(|why| why.to_string()));
    words.sort();
    words.dedup();
    assert_eq!(words.len(), 19, "no two are the same");
}

#[test]
fn paces_are_written_as_they_are_read() {
    for text in ["5000/s", "8000B/s", "0.50x", "2.00x"] {
        assert_eq!(text.parse::<Pace>().unwrap().to_string(), text);
    }
    assert_eq!(Pace::Unlimited.to_string(), "unlimited");
}
