//! Messages of a stream: a block of packets, its headers and its id.

use feed::base::seq::{FIRST_SEQ, Seq, SeqRange};
use feed::wire::packet::{Packet, Side, Symbol};
use feed::wire::{
    FRAME_LEN, Frame, MAX_PACKET_SEQ, RawFrame, SessionId, decode, encode, packet_seq,
};
use std::fmt;
use std::str::FromStr;

/// Header with the session's id, or [`UNNAMED`].
pub const SESSION: &str = "Betacrew-Session";
/// Header with the sequence of the first packet.
pub const FIRST: &str = "Betacrew-First";
/// Header with the number of packets.
pub const COUNT: &str = "Betacrew-Count";
/// Header with the payload's format, [`WIRE`] or [`JSON`].
pub const FORMAT: &str = "Betacrew-Format";
/// Header of the server with the message's id.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
/// Payload format: packets as on the wire, one after the other.
pub const WIRE: &str = "wire";
/// Payload format: a JSON array with one object for each packet.
pub const JSON: &str = "json";
/// Word for a session without an id.
pub const UNNAMED: &str = "-";

/// Maximum number of packets in a message: 64 KiB of them, as in a tape's block.
pub const BLOCK_MAX: u32 = 3855;

/// Returns a session's id as a word that is legal in subjects, stream names and headers.
#[must_use]
pub fn session_word(session: Option<SessionId>) -> String {
    session.map_or_else(|| UNNAMED.to_owned(), session_id_word)
}

/// Returns a session's id as a word: in hexadecimal if it is not letters and digits.
fn session_id_word(session: SessionId) -> String {
    match session.short() {
        Some(short) => word(short),
        // An `x` in front stands for hexadecimal digits.
        None if session.as_bytes().iter().all(u8::is_ascii_alphanumeric)
            && !session.as_bytes().starts_with(b"x") =>
        {
            session.to_string()
        }
        None => {
            let hexadecimal = session.padded().map(|byte| format!("{byte:02x}")).concat();
            format!("x{hexadecimal}")
        }
    }
}

/// Returns four bytes as a word. If one of them is not a letter or digit, all are written in
/// hexadecimal.
fn word(bytes: [u8; 4]) -> String {
    let trimmed = Symbol(bytes);
    let trimmed = trimmed.trimmed();
    match std::str::from_utf8(trimmed) {
        Ok(text) if !text.is_empty() && trimmed.iter().all(u8::is_ascii_alphanumeric) => {
            text.into()
        }
        _ => format!("x{:08x}", u32::from_be_bytes(bytes)),
    }
}

/// Returns a packet's symbol as a word that is legal in subjects.
#[must_use]
pub fn symbol_word(frame: &RawFrame) -> String {
    let [a, b, c, d, ..] = *frame;
    word([a, b, c, d])
}

/// Returns the session of a word; `None` if it is not such a word.
fn parse_session(text: &str) -> Option<Option<SessionId>> {
    if text == UNNAMED {
        return Some(None);
    }
    let hexadecimal = text.strip_prefix('x').filter(|rest| rest.len() == 8 || rest.len() == 20);
    let bytes = match hexadecimal {
        Some(digits) => bytes_of(digits)?,
        None => text.as_bytes().to_vec(),
    };
    let mut padded = [b' '; SessionId::LEN];
    padded.get_mut(..bytes.len())?.copy_from_slice(&bytes);
    let session = SessionId::new(padded);
    (session_id_word(session) == text).then_some(Some(session))
}

/// Returns the bytes that hexadecimal digits stand for.
fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2).map(std::str::from_utf8);
    pairs.map(|pair| u8::from_str_radix(pair.ok()?, 16).ok()).collect()
}

/// Id of a message: its sequences and a checksum of its packets. Messages with the same id have the
/// same packets, whichever gateway has published them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Id {
    /// Session of the packets.
    pub session: Option<SessionId>,
    /// Sequences of the packets.
    pub range: SeqRange,
    /// CRC-32C of the packets as on the wire, for every payload format.
    pub sum: u32,
}

impl Id {
    /// Returns the id of packets with consecutive sequences; `None` if there are none, or the
    /// sequences are not consecutive.
    #[must_use]
    pub fn of(session: Option<SessionId>, frames: &[RawFrame]) -> Option<Self> {
        let (first, last) = (packet_seq(frames.first()?)?, packet_seq(frames.last()?)?);
        let range = SeqRange::new(first, last)?;
        let sum = crc32c::crc32c(frames.as_flattened());
        (range.len() == frames.len() as u64).then_some(Self { session, range, sum })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (session, range) = (session_word(self.session), self.range);
        write!(f, "{session}:{}-{}:{:08x}", range.first(), range.last(), self.sum)
    }
}

impl FromStr for Id {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(':');
        let (Some(session), Some(range), Some(sum), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let (first, last) = range.split_once('-').ok_or(())?;
        let legal = |seq: &Seq| (FIRST_SEQ..=MAX_PACKET_SEQ).contains(seq);
        let number = |text: &str| text.parse().ok().filter(legal).ok_or(());
        Ok(Self {
            session: parse_session(session).ok_or(())?,
            range: SeqRange::new(number(first)?, number(last)?).ok_or(())?,
            sum: u32::from_str_radix(sum, 16).map_err(|_| ())?,
        })
    }
}

/// Block: the packets of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Session of the packets, if known.
    pub session: Option<SessionId>,
    /// Packets with consecutive sequences, at least one.
    pub frames: Vec<RawFrame>,
    /// Time when the log stored the message, in nanoseconds since 1970; 0 if unknown.
    pub stored: u64,
}

impl Block {
    /// Returns the first sequence.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.frames.first().and_then(packet_seq).unwrap_or(FIRST_SEQ)
    }

    /// Reads a message from its payload and a function that returns the values of headers.
    ///
    /// # Errors
    /// Returns the reason why the message is not one of a gateway, as text.
    pub fn read<'a>(
        payload: &[u8],
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, String> {
        let need = |name: &str| header(name).ok_or_else(|| format!("it has no header {name}"));
        let id: Id = need(MESSAGE_ID)?
            .parse()
            .map_err(|()| format!("its {MESSAGE_ID} is not such as K7QD:1-512:0a1b2c3d"))?;
        let frames = match need(FORMAT)? {
            WIRE => frames_of(payload)?,
            JSON => from_json(payload)?,
            _ => return Err(format!("its {FORMAT} is neither {WIRE} nor {JSON}")),
        };
        for (seq, frame) in (id.range.first()..).zip(&frames) {
            if packet_seq(frame) != Some(seq) {
                return Err(format!("something else stands where packet {seq} should"));
            }
        }
        if Id::of(id.session, &frames) != Some(id) {
            return Err(format!("its packets are not those of its id {id}"));
        }
        Ok(Self { session: id.session, frames, stored: 0 })
    }
}

fn frames_of(payload: &[u8]) -> Result<Vec<RawFrame>, String> {
    let (frames, rest) = payload.as_chunks::<FRAME_LEN>();
    match rest.is_empty() {
        true => Ok(frames.to_vec()),
        false => Err(format!("its {} bytes are no whole packets", payload.len())),
    }
}

/// Packet in the exercise's JSON format.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    symbol: String,
    buy_sell_indicator: char,
    quantity: i32,
    price: i32,
    sequence: Seq,
}

/// Returns packets as a JSON array of objects, as in `output.json` but without white space. Frames
/// that are not packets are left out.
#[must_use]
pub fn to_json(frames: &[RawFrame]) -> Vec<u8> {
    let rows = frames.iter().filter_map(|frame| match decode(frame) {
        Ok(Frame::Packet(packet)) => Some(Row {
            symbol: packet.symbol.to_string(),
            buy_sell_indicator: char::from(packet.side.letter()),
            quantity: packet.quantity,
            price: packet.price,
            sequence: packet.sequence,
        }),
        _ => None,
    });
    serde_json::to_vec(&rows.collect::<Vec<_>>()).unwrap_or_default()
}

fn from_json(payload: &[u8]) -> Result<Vec<RawFrame>, String> {
    // Objects are parsed first, because the derived `Row` would accept an array's items as its
    // fields.
    let objects: Vec<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    objects
        .into_iter()
        .map(|object| {
            let row: Row =
                serde_json::from_value(object.into()).map_err(|error| error.to_string())?;
            let symbol = Symbol::from_text(&row.symbol)
                .ok_or_else(|| format!("{:?} is no symbol", row.symbol))?;
            let side = u8::try_from(row.buy_sell_indicator).ok().and_then(Side::from_letter);
            let side =
                side.ok_or_else(|| format!("{:?} is neither B nor S", row.buy_sell_indicator))?;
            let sequence = row.sequence;
            if !(FIRST_SEQ..=MAX_PACKET_SEQ).contains(&sequence) {
                return Err(format!("{sequence} is no sequence"));
            }
            let Row { quantity, price, .. } = row;
            Ok(encode(&Frame::Packet(Packet { symbol, side, quantity, price, sequence })))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::tape::in_memory::Tape;

    fn message<'a>(id: &'a str, format: &'a str) -> impl Fn(&str) -> Option<&'a str> {
        move |name| match name {
            MESSAGE_ID => Some(id),
            FORMAT => Some(format),
            _ => None,
        }
    }

    #[test]
    fn ids_are_text_and_back() {
        let tape = Tape::classic();
        for (session, word) in [
            (None, "-"),
            (Some(SessionId::of(*b"K7QD")), "K7QD"),
            (Some(SessionId::of(*b"A B.")), "x4120422e"),
            (Some(SessionId::of(*b"    ")), "x20202020"),
            (Some(SessionId::of(*b"AB  ")), "AB"),
            (Some(SessionId::new(*b"NASDAQ1   ")), "NASDAQ1"),
            (Some(SessionId::new(*b"x20202020 ")), "x78323032303230323020"),
        ] {
            let id = Id::of(session, &tape.frames()[2..5]).unwrap();
            assert!(id.to_string().starts_with(&format!("{word}:3-5:")), "{id}");
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for bad in ["", "K7QD", "K7QD:5-3:0", "K7QD:0-3:0", "K.QD:1-3:0", "K7QD:1-3:0:", "x:1-2:g"]
        {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }

    #[test]
    fn packets_survive_as_bytes_and_as_json() {
        for tape in [Tape::classic(), Tape::extremes()] {
            let frames = tape.frames();
            let id = Id::of(None, frames).unwrap().to_string();
            let wire = Block::read(frames.as_flattened(), message(&id, WIRE)).unwrap();
            assert_eq!(wire.frames, frames);
            let json = Block::read(&to_json(frames), message(&id, JSON)).unwrap();
            assert_eq!(json.frames, frames);
        }
    }

    #[test]
    fn what_is_no_message_of_ours_is_refused_with_a_reason() {
        let tape = Tape::classic();
        let payload = tape.frames()[..3].as_flattened();
        let id = Id::of(None, &tape.frames()[..3]).unwrap().to_string();
        let refused = |payload: &[u8], id: &str, format: &str, word: &str| {
            let reason = Block::read(payload, message(id, format)).unwrap_err();
            assert!(reason.contains(word), "{reason}");
        };
        refused(payload, "x", WIRE, "K7QD:1-512");
        refused(payload, &id, "xml", "neither");
        refused(&payload[1..], &id, WIRE, "whole packets");
        refused(&payload[17..], &id, WIRE, "where packet 1 should");
        refused(&payload[..34], &id, WIRE, "not those of its id");
        refused(payload, &id.replace("1-3", "1-4"), WIRE, "not those");
        refused(b"[", &id, JSON, "EOF");
        refused(b"[]", &id, JSON, "not those");
        refused(br#"[["AAPL","B",50,100,1]]"#, &id, JSON, "expected a map");
        let mut other = payload.to_vec();
        other[9] ^= 1;
        refused(&other, &id, WIRE, "not those");
        assert!(Block::read(payload, |_| None).unwrap_err().contains("Nats-Msg-Id"));
    }

    #[test]
    fn symbols_are_words() {
        let mut frame = Tape::classic().frames()[0];
        for (symbol, word) in [(b"AAPL", "AAPL"), (b"X   ", "X"), (b"A.B ", "x412e4220")] {
            frame[..4].copy_from_slice(symbol);
            assert_eq!(symbol_word(&frame), word);
        }
    }
}
