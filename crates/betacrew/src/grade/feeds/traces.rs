//! Search for messages of the tape in an output of no known form.

use crate::grade::feeds::tape::FeedTape;
use feed::base::seq::Seq;
use feed::payload::itch50::{Message, Value};
use std::collections::{BTreeSet, HashMap};

/// Maximum number of messages that are searched, from the beginning of the tape.
pub(super) const MESSAGES_MAX: Seq = 50;
/// Minimum number of messages that show that bytes are an output, unless the tape has fewer.
const FOUND_MIN: usize = 3;
/// Maximum number of bytes that are searched, from the beginning of the output.
const BYTES_MAX: usize = 256 << 10;
/// Minimum length of a payload that is searched: a shorter one is found in anything.
pub(super) const PAYLOAD_MIN: usize = 8;
/// Minimum length of a value that says where a message may be.
const ANCHOR_MIN: usize = 4;
/// Maximum number of places at which a value is looked for.
const PLACES_MAX: usize = 100;
/// Number of words around a value in which the others of its message must be.
const NEAR: usize = 16;
/// Minimum number of different values of a message that must be close together.
const VALUES_MIN: usize = 3;

/// Form of the messages in an output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MessageTrace {
    /// Payloads, in a form that cannot be read.
    Payloads,
    /// Fields of decoded messages, without their payloads.
    Fields,
}

impl MessageTrace {
    /// Returns what is not known about the output, and what settles it, as clauses.
    pub(super) const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Payloads => (
                "has messages, but in no known form",
                "--output FILE names another output; messages behind their lengths (16 bits), and \
                 JSON or columns with each message in hex or in Base64 are read",
            ),
            Self::Fields => (
                "has decoded fields of messages, but not the messages themselves",
                "Write the bytes of each message, too: in hex or in Base64, or behind their length \
                 (16 bits); --output FILE names another output",
            ),
        }
    }
}

/// Returns the form in which an output has several messages of the tape; `None` if it has none.
pub(super) fn find(bytes: &[u8], tape: &FeedTape) -> Option<MessageTrace> {
    let bytes = bytes.get(..BYTES_MAX).unwrap_or(bytes);
    let last = tape.last().min(MESSAGES_MAX);
    let messages = || (1..=last).filter_map(|seq| tape.message(seq));
    let is_enough = |found: usize| found > 0 && found >= FOUND_MIN.min(messages().count());
    let digits = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'\\';
    let bare: Vec<u8> = bytes.iter().filter(digits).map(u8::to_ascii_lowercase).collect();
    let has_payload = |message: &&[u8]| {
        message.len() >= PAYLOAD_MIN
            && (contains(bytes, message)
                || forms(message).iter().any(|form| contains(&bare, form.as_bytes())))
    };
    if is_enough(messages().filter(has_payload).count()) {
        return Some(MessageTrace::Payloads);
    }
    let text = String::from_utf8_lossy(bytes);
    let words = Words::of(&text);
    let has_fields = |message: &&[u8]| words.has_fields(message);
    is_enough(messages().filter(has_fields).count()).then_some(MessageTrace::Fields)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Returns the texts of a payload in which nothing but digits, small letters and backslashes is
/// left: hex, escaped bytes as Python and others print them, and decimal numbers.
fn forms(message: &[u8]) -> [String; 3] {
    let bare = |text: String| {
        text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '\\').collect::<String>()
    };
    [
        message.iter().map(|byte| format!("{byte:02x}")).collect(),
        bare(message.escape_ascii().to_string()).to_ascii_lowercase(),
        message.iter().map(u8::to_string).collect(),
    ]
}

/// Words of a text.
struct Words<'a> {
    words: Vec<&'a str>,
    places: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        let is_between = |c: char| !c.is_alphanumeric() && !matches!(c, '.' | ':' | '-');
        let ends = |word: &'a str| word.trim_matches(['.', ':']);
        let words: Vec<&str> =
            text.split(is_between).map(ends).filter(|word| !word.is_empty()).collect();
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, word) in words.iter().enumerate() {
            places.entry(word).or_default().push(place);
        }
        Self { words, places }
    }

    /// Returns whether several values of a message are close together.
    fn has_fields(&self, message: &[u8]) -> bool {
        let Ok(message) = Message::parse(message) else { return false };
        let values: Vec<String> = message.fields().flat_map(|(_, value)| texts(value)).collect();
        let anchors = values.iter().filter(|value| value.len() >= ANCHOR_MIN);
        let mut places = anchors.flat_map(|value| {
            self.places.get(value.as_str()).into_iter().flatten().take(PLACES_MAX)
        });
        places.any(|place| {
            let end = self.words.len().min(place + NEAR);
            let near = &self.words[place.saturating_sub(NEAR)..end];
            let found = values.iter().filter(|value| near.contains(&value.as_str()));
            found.collect::<BTreeSet<_>>().len() >= VALUES_MIN
        })
    }
}

/// Returns the texts that stand for a value of a decoded message: as we write it, and as the number
/// on the wire.
fn texts(value: Value<'_>) -> Vec<String> {
    let number = match value {
        // A code of one letter is in any text.
        Value::Letter(_) => return Vec::new(),
        Value::Price4(price) => Some(u64::from(price.0)),
        Value::Price8(price) => Some(price.0),
        Value::Time(time) => Some(time.nanos()),
        Value::Integer(_) | Value::Text(_) => None,
    };
    let shown = value.to_string();
    // Programs leave the zeros at the end of a price out.
    let short = shown.contains('.').then(|| shown.trim_end_matches('0').to_owned());
    let texts = [Some(shown), short, number.map(|number| number.to_string())];
    texts.into_iter().flatten().filter(|text| text.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::name::TapeName;
    use feed::base::seq::SeqRange;
    use feed::tape::source::TapeSource;
    use std::fmt::Write;

    fn tape() -> FeedTape {
        let mut tape = "itch:14".parse::<TapeName>().unwrap().open(1).unwrap();
        let range = SeqRange::new(1, 14).unwrap();
        let messages = tape.messages(range).iter().map(|(_, message)| message.to_vec()).collect();
        FeedTape::new(messages, Vec::new())
    }

    /// Returns all messages of the tape as text.
    fn told(tape: &FeedTape, form: impl Fn(&[u8]) -> String) -> String {
        (1..=tape.last()).fold(String::new(), |mut text, seq| {
            let _ = writeln!(text, "{seq}) {}", form(tape.message(seq).unwrap()));
            text
        })
    }

    #[test]
    fn payloads_are_found_in_any_form() {
        let tape = tape();
        let raw: Vec<u8> = (1..=14).flat_map(|seq| tape.message(seq).unwrap().to_vec()).collect();
        assert_eq!(find(&raw, &tape), Some(MessageTrace::Payloads));
        for text in [
            told(&tape, |message| format!("<{message:02X?}>")),
            told(&tape, |message| format!("b'{}'", message.escape_ascii())),
            told(&tape, |message| format!("{message:?}")),
        ] {
            assert_eq!(find(text.as_bytes(), &tape), Some(MessageTrace::Payloads), "{text}");
        }
    }

    #[test]
    fn decoded_fields_are_found_in_any_form() {
        let tape = tape();
        let ours = told(&tape, |message| Message::parse(message).unwrap().to_string());
        let json = told(&tape, |message| {
            let fields = Message::parse(message).unwrap();
            let fields = fields.fields().map(|(_, value)| texts(value).pop().unwrap_or_default());
            format!("{{\"type\":\"{}\",{:?}}}", char::from(message[0]), fields.collect::<Vec<_>>())
        });
        for text in [ours, json] {
            assert_eq!(find(text.as_bytes(), &tape), Some(MessageTrace::Fields), "{text}");
        }
    }

    #[test]
    fn logs_have_no_messages() {
        let tape = tape();
        let log = told(&tape, |message| {
            format!("got {} bytes, type {}, 1700000000.123", message.len(), message[0])
        });
        let stocks = told(&tape, |_| "ZVZZT ZWZZT ZXZZT AAPL 100 200".to_owned());
        for text in [log.as_str(), &stocks, "", "connected to 127.0.0.1:3000\n"] {
            assert_eq!(find(text.as_bytes(), &tape), None, "{text}");
        }
        assert_eq!(find(b"anything", &FeedTape::default()), None);
    }
}
