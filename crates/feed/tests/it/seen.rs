//! Description of the bytes, times and end of a connection as a client sees them, in words.

use feed::exchange::server::MockExchange;
use feed::exchange::{Exchange, Step};
use feed::wire::Protocol;
use std::time::Duration;

/// Returns a packet of the tape that the documents describe.
pub(crate) fn packet(sequence: u8) -> [u8; 17] {
    let price = (1000 + 100 * (u16::from(sequence) - 1)).to_be_bytes();
    let mut raw = *b"SYMBB\0\0\0\0\0\0\0\0\0\0\0\0";
    raw[4] = if sequence % 2 == 1 { b'B' } else { b'S' };
    raw[8] = 99 + sequence;
    raw[11..13].copy_from_slice(&price);
    raw[16] = sequence;
    raw
}

/// Returns a frame in one word: the packet's sequence, with `!` and the name of a field that
/// differs; or a message.
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

/// View of one connection by its client.
pub(crate) struct Seen {
    /// Each write, by its frames or, if these are not whole, by its length; `+` and the
    /// milliseconds that have passed; the end of the connection.
    pub(crate) writes: String,
    /// All bytes.
    pub(crate) bytes: Vec<u8>,
}

impl Seen {
    /// Returns all bytes as frames.
    pub(crate) fn frames(&self) -> String {
        let (frames, rest) = self.bytes.as_chunks();
        let words: Vec<String> = frames.iter().map(word).collect();
        words.join(" ") + &if rest.is_empty() { String::new() } else { format!(" {}B", rest.len()) }
    }
}

/// Opens a connection, sends calls and takes all bytes, for one second at most.
pub(crate) fn see(exchange: &mut MockExchange, calls: &[u8], now: &mut Duration) -> Seen {
    let (began, mut told, mut out) = (*now, *now, vec![0; 4096]);
    let mut conn = exchange.open(Protocol::Betacrew, *now);
    exchange.receive(&mut conn, calls, *now);
    let (mut writes, mut bytes) = (Vec::new(), Vec::new());
    let end = loop {
        let count = exchange.peek(&mut conn, &mut out, *now);
        let step = if count > 0 { Step::Wait } else { exchange.step(&mut conn, *now) };
        let later = exchange.deadline(&conn).filter(|time| *time < began + Duration::from_secs(1));
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
        exchange.sent(&mut conn, count, *now);
    };
    writes.push(end.to_owned());
    Seen { writes: writes.join(" "), bytes }
}
