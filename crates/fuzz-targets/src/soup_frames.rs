//! SoupBinTCP: bytes that are cut anywhere are the same packets as uncut ones, a packet that
//! decodes encodes to bytes that mean the same, and no more than one packet is held.

use feed::wire::soup::{FrameError, Framer, PACKET_MAX, Packet, RawPacket, Received};

/// Packets of a stream, one after the other as it had them, and how the framer ended.
#[derive(Default, PartialEq, Debug)]
struct Framed {
    packets: Vec<Vec<u8>>,
    error: Option<FrameError>,
    offset: u64,
    held: usize,
}

fn frame(bytes: &[u8], sizes: &[u8]) -> Framed {
    let (mut framer, mut framed, mut rest) = (Framer::new(), Framed::default(), bytes);
    'stream: for size in sizes.iter().map(|&size| usize::from(size)).chain([usize::MAX]) {
        let (mut piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        loop {
            match framer.next(&mut piece) {
                Ok(Some(Received::Sequenced(run))) => {
                    assert!(run.count() > 0);
                    assert_eq!(run.messages().count(), run.count());
                    framed.packets.extend(run.messages().map(|message| {
                        let mut packet = Vec::new();
                        assert_eq!(Packet::Sequenced(message).encode(&mut packet), Ok(()));
                        packet
                    }));
                }
                Ok(Some(Received::Other(raw))) => framed.packets.push(raw.as_bytes().to_vec()),
                Ok(None) => break,
                Err(error) => {
                    framed.error = Some(error);
                    assert_eq!(framer.next(&mut piece), Err(error), "an error is for ever");
                    break 'stream;
                }
            }
        }
        assert!(piece.is_empty());
        assert!(framer.held() < PACKET_MAX);
    }
    framed.offset = framer.offset();
    framed.held = if framed.error.is_none() { framer.held() } else { 0 };
    framed
}

pub(crate) fn run(input: (Vec<u8>, &[u8])) {
    let (sizes, bytes) = input;
    let whole = frame(bytes, &[]);
    assert_eq!(frame(bytes, &sizes), whole);
    assert!(bytes.starts_with(&whole.packets.concat()));
    for packet in &whole.packets {
        let Ok(Some((raw, []))) = RawPacket::split_first(packet) else {
            panic!("a framed packet is whole")
        };
        let Ok(decoded) = raw.decode() else { continue };
        let mut again = Vec::new();
        assert_eq!(decoded.encode(&mut again), Ok(()));
        // Padding is all that may differ.
        assert_eq!(again.len(), packet.len());
        let Ok(Some((raw, []))) = RawPacket::split_first(&again) else {
            panic!("an encoded packet is whole")
        };
        assert_eq!(raw.decode(), Ok(decoded));
        assert!(!decoded.to_string().contains(['\n', '\x1b']));
    }
}
