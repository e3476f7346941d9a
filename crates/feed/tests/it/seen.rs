//! What a client sees of a connection of the player, in words.

use feed::exchange::server::MockExchange;
use feed::exchange::{Exchange, Step};
use std::time::Duration;

/// A packet of the documents' tape, by its description.
pub(crate) fn packet(sequence: u8) -> [u8; 17] {
    let price = (1000 + 100 * (u16::from(sequence) - 1)).to_be_bytes();
    let mut raw = *b"SYMBB\0\0\0\0\0\0\0\0\0\0\0\0";
    raw[4] = if sequence % 2 == 1 { b'B' } else { b'S' };
    raw[8] = 99 + sequence;
    raw[11..13].copy_from_slice(&price);
    raw[16] = sequence;
    raw
}

/// A frame in a word: a packet's sequence, `!` and the field in which it differs, or a message.
fn word(raw: &[u8; 17]) -> String {
    let fields = [(0..4, "symbol"), (4..5, "side"), (5..9, "quantity"), (9..13, "price")];
    for sequence in 1..=5 {
        let good = packet(sequence);
        let differ = fields.iter().filter(|(place, _)| raw[place.clone()] != good[place.clone()]);
        let differ: Vec<&str> = differ.map(|(_, name)| *name).collect();
        match (&differ[..], raw[13..] == good[13..]) {
            ([], true) => return sequence.to_string(),
            ([], false) => return format!("{sequence}!sequence"),
            ([field], true) => return format!("{sequence}!{field}"),
            _ => {}
        }
    }
    match raw[4] {
        b'I' => "I".to_owned(),
        b'N' => format!("N{}+{}:{}", raw[16], raw[12], raw[8]),
        _ => "?".to_owned(),
    }
}

/// What a client sees of one connection.
pub(crate) struct Seen {
    /// Each write: its frames, or its length where it is not whole frames; `+` and milliseconds
    /// where time has passed; how it ends.
    pub(crate) writes: String,
    pub(crate) bytes: Vec<u8>,
}

impl Seen {
    /// All of its bytes as frames.
    pub(crate) fn frames(&self) -> String {
        let (frames, rest) = self.bytes.as_chunks();
        let words: Vec<String> = frames.iter().map(word).collect();
        words.join(" ") + &if rest.is_empty() { String::new() } else { format!(" {}B", rest.len()) }
    }
}

/// Opens a connection, calls, and takes whatever comes, waiting for a second at the most.
pub(crate) fn see(player: &mut MockExchange, calls: &[u8], now: &mut Duration) -> Seen {
    let (began, mut told, mut out) = (*now, *now, vec![0; 4096]);
    let mut seat = player.open(*now);
    player.receive(&mut seat, calls, *now);
    let (mut writes, mut bytes) = (Vec::new(), Vec::new());
    let end = loop {
        let count = player.peek(&mut seat, &mut out, *now);
        let step = if count > 0 { Step::Wait } else { player.step(&mut seat, *now) };
        let later = player.deadline(&seat).filter(|time| *time < began + Duration::from_secs(1));
        if let (0, Step::Wait, Some(later)) = (count, step, later) {
            *now = later;
            continue;
        }
        if *now > told {
            writes.push(format!("+{}", (*now - told).as_millis()));
            told = *now;
        }
        match (count, step) {
            (0, Step::Finish | Step::Close) => break "end",
            (0, Step::Reset) => break "reset",
            (0, Step::Wait) => break "open",
            _ => {}
        }
        let (frames, rest) = out[..count].as_chunks();
        let words: Vec<String> = frames.iter().map(word).collect();
        writes.push(if rest.is_empty() { words.join(",") } else { format!("{count}B") });
        bytes.extend_from_slice(&out[..count]);
        player.sent(&mut seat, count, *now);
    };
    writes.push(end.to_owned());
    Seen { writes: writes.join(" "), bytes }
}
