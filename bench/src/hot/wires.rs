//! The protocols of real feeds: bytes into messages, messages into bytes.

use super::PACKETS;
use feed::wire::mold::{Builder, Datagram, PayloadLimit, Session};
use feed::wire::soup::{Framer, Received, encode_sequenced};
use std::hint::black_box;

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
