//! The protocols of real feeds: bytes into messages, messages into bytes.

use super::{Memory, PACKETS, SEED};
use feed::client::{
    DatagramSource, Input, LineProtocol, MoldFeed, Output, Recorder, RecorderOptions, SoupLogin,
};
use feed::tape::in_memory::Tape;
use feed::tape::recorder::{SyncPolicy, TapeRecorder};
use feed::wire::mold::{Builder, Datagram, PayloadLimit, Session};
use feed::wire::soup::{Framer, LoginAccepted, Packet, Received, Text, encode_sequenced};
use std::hint::black_box;
use std::time::Duration;

/// Length of each message in bytes, as ITCH messages have it on average.
const MESSAGE: usize = 30;

/// Messages in each datagram: as many as the default payload limit has room for, nearly.
const IN_DATAGRAM: usize = 30;

/// Bytes read from a socket at once.
const READ: usize = 256 * 1024;

fn messages() -> Vec<[u8; MESSAGE]> {
    (0..PACKETS).map(|number| [number.to_be_bytes()[7]; MESSAGE]).collect()
}

/// Returns `count` messages as SoupBinTCP packets.
fn soup_stream() -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages() {
        let done = encode_sequenced(&message, &mut bytes);
        assert!(done.is_ok());
    }
    bytes
}

/// Bytes become runs of messages, which is all that a recording needs.
pub(super) fn soup_frame() -> Box<dyn FnMut()> {
    let bytes = soup_stream();
    Box::new(move || {
        let (mut framer, mut count) = (Framer::new(), 0);
        for mut read in bytes.chunks(READ) {
            while let Ok(Some(Received::Sequenced(run))) = framer.next(&mut read) {
                count += black_box(run).count();
            }
        }
        assert_eq!(count as u64, PACKETS);
    })
}

/// Each message is looked at on its own as well.
pub(super) fn soup_messages() -> Box<dyn FnMut()> {
    let bytes = soup_stream();
    Box::new(move || {
        let (mut framer, mut count) = (Framer::new(), 0);
        for mut read in bytes.chunks(READ) {
            while let Ok(Some(Received::Sequenced(run))) = framer.next(&mut read) {
                for message in run {
                    count += black_box(message).len() / MESSAGE;
                }
            }
        }
        assert_eq!(count as u64, PACKETS);
    })
}

pub(super) fn soup_encode() -> Box<dyn FnMut()> {
    let messages = messages();
    let mut out = Vec::with_capacity(soup_stream().len());
    Box::new(move || {
        out.clear();
        for message in &messages {
            let done = encode_sequenced(message, &mut out);
            assert!(done.is_ok());
        }
        black_box(&out);
    })
}

fn fill(messages: &[[u8; MESSAGE]], out: &mut Vec<u8>) -> u64 {
    let session = Session(*b"DAY1      ");
    let mut sequence = 1;
    for messages in messages.chunks(IN_DATAGRAM) {
        let mut builder = Builder::new(out, session, sequence, PayloadLimit::DEFAULT);
        for message in messages {
            let done = builder.push(message);
            assert!(done.is_ok());
        }
        sequence = builder.finish();
    }
    sequence
}

pub(super) fn mold_parse() -> Box<dyn FnMut()> {
    let mut bytes = Vec::new();
    fill(&messages(), &mut bytes);
    let datagram = feed::wire::mold::HEADER_BYTES + IN_DATAGRAM * (MESSAGE + 2);
    Box::new(move || {
        let mut count = 0;
        for bytes in bytes.chunks(datagram) {
            if let Ok(datagram) = Datagram::parse(bytes) {
                for message in datagram.messages() {
                    count += black_box(message).len() / MESSAGE;
                }
            }
        }
        assert_eq!(count as u64, PACKETS);
    })
}

pub(super) fn mold_build() -> Box<dyn FnMut()> {
    let messages = messages();
    let mut out = Vec::new();
    fill(&messages, &mut out);
    Box::new(move || {
        out.clear();
        assert_eq!(fill(&messages, &mut out), PACKETS + 1);
        black_box(&out);
    })
}

/// Returns what an exchange sends to a client that logs in: the acceptance, then the messages.
fn accepted(messages: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let session = Text::new("DAY1").unwrap_or(Text::BLANK);
    let accepted = LoginAccepted { session, sequence: 1 };
    let done = Packet::LoginAccepted(accepted).encode(&mut bytes);
    assert!(done.is_ok());
    bytes.extend_from_slice(messages);
    bytes
}

/// Bytes of memory for a tape file: more than it has.
const ROOM: usize = 64 * 100_000;

/// Returns a tape recorder in memory.
fn tape() -> TapeRecorder<Memory> {
    let storage = Memory { bytes: Vec::with_capacity(ROOM) };
    let tape = TapeRecorder::create(storage, SyncPolicy::Never, Duration::ZERO, SEED);
    tape.unwrap_or_else(|error| unreachable!("memory does not fail: {error}"))
}

/// Gives a recorder an input, and returns its outputs.
fn step(recorder: &mut Recorder, input: Input<'_>, tape: &mut TapeRecorder<Memory>) -> Vec<Output> {
    recorder.handle(input, Duration::ZERO, tape);
    std::iter::from_fn(|| recorder.poll()).collect()
}

/// A client records what an exchange sends.
fn record_soup(stream: &[u8]) {
    let lines = [LineProtocol::Soup(SoupLogin::default())];
    let mut recorder = Recorder::new(RecorderOptions::default(), lines);
    let mut tape = tape();
    for output in step(&mut recorder, Input::Wake, &mut tape) {
        let Output::Connect { conn, .. } = output else { continue };
        step(&mut recorder, Input::Connected(conn), &mut tape);
        for read in stream.chunks(READ) {
            step(&mut recorder, Input::Received(conn, read), &mut tape);
        }
    }
    assert_eq!(tape.packets(), PACKETS);
}

pub(super) fn soup_record() -> Box<dyn FnMut()> {
    let bytes = accepted(&soup_stream());
    Box::new(move || record_soup(&bytes))
}

pub(super) fn soup_orders() -> Box<dyn FnMut()> {
    let mut bytes = Vec::new();
    for frame in Tape::sample(PACKETS).frames() {
        let done = encode_sequenced(frame, &mut bytes);
        assert!(done.is_ok());
    }
    let bytes = accepted(&bytes);
    Box::new(move || record_soup(&bytes))
}

pub(super) fn mold_record() -> Box<dyn FnMut()> {
    let mut bytes = Vec::new();
    fill(&messages(), &mut bytes);
    let datagram = feed::wire::mold::HEADER_BYTES + IN_DATAGRAM * (MESSAGE + 2);
    Box::new(move || {
        let lines = [LineProtocol::Mold(MoldFeed::default())];
        let mut recorder = Recorder::new(RecorderOptions::default(), lines);
        let mut tape = tape();
        step(&mut recorder, Input::Wake, &mut tape);
        for bytes in bytes.chunks(datagram) {
            let (line, source) = (0, DatagramSource::Group);
            let outputs = step(&mut recorder, Input::Datagram { line, source, bytes }, &mut tape);
            black_box(outputs);
        }
        assert_eq!(tape.packets(), PACKETS);
    })
}
