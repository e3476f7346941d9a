//! Reader of the messages in a client's output.
//!
//! Clients write messages as bytes behind their lengths, or as text: JSON, lines of JSON, CSV or
//! plain columns, with the payload in hex, in Base64 or as it is, and with the sequence or without.
//! Nobody has to tell which column has what: a payload is recognised because the tape has it.

use crate::grade::feeds::tape::FeedTape;
use crate::grade::feeds::traces;
use crate::grade::observe::evidence::ClientOutput;
use crate::grade::observe::fields::plain;
use crate::grade::observe::output_finder::{self, STDOUT};
use crate::grade::observe::rows::OUTPUT_MAX;
use crate::grade::run::workdir::CaseWorkdir;
use feed::base::seq::Seq;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Maximum number of messages that are read; further ones are left out.
const ROWS_MAX: usize = 200_000;
/// Maximum number of messages that are compared with the beginnings of those on the tape.
const RESEMBLING_MAX: usize = 1000;
/// Maximum depth of objects and arrays around the messages.
const DEPTH_MAX: u32 = 4;

/// Names of a payload, without case and punctuation.
const PAYLOADS: [&str; 10] =
    ["payload", "message", "hex", "data", "body", "raw", "bytes", "msg", "content", "text"];

/// Names of a sequence, without case and punctuation.
const SEQUENCES: [&str; 10] = [
    "sequence",
    "seq",
    "sequencenumber",
    "seqnum",
    "seqno",
    "seqnumber",
    "number",
    "no",
    "n",
    "id",
];

/// One message of an output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FeedRow {
    /// Sequence, if the output has it.
    pub(crate) sequence: Option<Seq>,
    /// Payload; what is not understood stands as it was written.
    pub(crate) content: Vec<u8>,
}

/// Messages of an output, and how they were read.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct FeedRows {
    /// Messages in the order of the output.
    pub(crate) rows: Vec<FeedRow>,
    /// Shape of the output, such as "lines of JSON".
    pub(crate) shape: &'static str,
}

/// Place of an output.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Folder in which the client ran.
    pub(crate) workdir: &'a CaseWorkdir,
    /// Output that the user has named, if any.
    pub(crate) named: Option<&'a Path>,
    /// Standard output of the client.
    pub(crate) stdout: &'a [u8],
    /// Time of day at which the exchange started.
    pub(crate) began: SystemTime,
    /// Name of the output in an earlier case, if one is known.
    pub(crate) earlier: Option<&'a str>,
}

impl Place<'_> {
    /// Finds and reads the output: the named file, or else the best of the new and changed files
    /// and the standard output.
    pub(crate) fn read(self, tape: &FeedTape) -> ClientOutput<FeedRows> {
        let of = |(name, bytes, written): (String, Result<Vec<u8>, String>, _)| {
            output(name, bytes.and_then(|bytes| read(&bytes, tape)), written)
        };
        if self.named.is_some() {
            return self.candidates().map(of).next().unwrap_or(ClientOutput::None);
        }
        let best = self.candidates().map(of).max_by_key(|output| rank(output, tape));
        best.filter(|best| rank(best, tape) > Rank::default()).unwrap_or(ClientOutput::None)
    }

    /// Finds and reads the output. If it has no message in a known form, it is searched for
    /// messages in any other.
    pub(crate) fn judged(self, tape: &FeedTape) -> ClientOutput<FeedRows> {
        let found = self.read(tape);
        let is_read = match &found {
            ClientOutput::Found { rows, .. } => resembles(rows, tape),
            _ => false,
        };
        if is_read || rank(&found, tape).0 > 0 {
            return found;
        }
        // What a client prints is only a log if it writes a file.
        let name = found.name().unwrap_or(STDOUT);
        if self.named.is_none() && self.earlier.is_some_and(|earlier| earlier != name) {
            return found;
        }
        let bytes = self.candidates().find(|(candidate, ..)| candidate == name);
        let bytes = bytes.and_then(|(_, bytes, _)| bytes.ok());
        let Some(trace) = bytes.and_then(|bytes| traces::find(&bytes, tape)) else { return found };
        let (why, remedy) = trace.told();
        ClientOutput::Foreign {
            name: name.to_owned(),
            why: why.to_owned(),
            remedy: remedy.to_owned(),
        }
    }

    /// Returns the name, the bytes and the time of the last write of everything that may be the
    /// output.
    fn candidates(
        self,
    ) -> impl Iterator<Item = (String, Result<Vec<u8>, String>, Option<Duration>)> {
        let printed = || (STDOUT.to_owned(), Ok(self.stdout.to_vec()), None);
        let (printed, files) = match self.named {
            Some(name) if name == Path::new("-") => (Some(printed()), Vec::new()),
            Some(name) => {
                let written =
                    |path: &PathBuf| path.metadata().and_then(|about| about.modified()).ok();
                let path = self.workdir.written_file(name);
                (None, path.map(|path| (written(&path), path)).into_iter().collect())
            }
            None => {
                let files = self.workdir.changed_files();
                (
                    Some(printed()),
                    files.into_iter().map(|(path, written)| (written, path)).collect(),
                )
            }
        };
        let file = move |(written, path): (Option<SystemTime>, PathBuf)| {
            let shown = path.strip_prefix(self.workdir.path()).unwrap_or(&path).to_string_lossy();
            let bytes = output_finder::file(&path).map_err(|error| error.to_string());
            let written = written.and_then(|time| time.duration_since(self.began).ok());
            (plain(&shown), bytes, written)
        };
        printed.into_iter().chain(files.into_iter().map(file))
    }
}

fn output(
    name: String,
    rows: Result<FeedRows, String>,
    written: Option<Duration>,
) -> ClientOutput<FeedRows> {
    match rows {
        Ok(rows) => ClientOutput::Found { name, rows, written },
        Err(why) => ClientOutput::Unclear { name, why },
    }
}

/// Measure of how much a file looks like an output: messages of the tape, kind of content, name.
type Rank = (usize, u8, bool);

/// Returns the rank of a possible output; the highest wins.
fn rank(output: &ClientOutput<FeedRows>, tape: &FeedTape) -> Rank {
    let is_output = |name: &str| name.to_ascii_lowercase().contains("out");
    match output {
        ClientOutput::None => Rank::default(),
        // What a client prints is a log unless it has messages.
        ClientOutput::Unclear { name, .. } if name == STDOUT => Rank::default(),
        ClientOutput::Unclear { name, .. } | ClientOutput::Foreign { name, .. } => {
            (0, 1, is_output(name))
        }
        ClientOutput::Found { name, rows, .. } => {
            let known = rows.rows.iter().filter(|row| !tape.places(&row.content).is_empty());
            (known.count(), 2, is_output(name))
        }
    }
}

/// Reads an output.
///
/// # Errors
/// Returns a message if no messages can be recognised; it is a predicate without a subject.
pub(crate) fn read(bytes: &[u8], tape: &FeedTape) -> Result<FeedRows, String> {
    if bytes.len() > OUTPUT_MAX {
        return Err(format!("larger than {} MiB", OUTPUT_MAX >> 20));
    }
    if bytes.is_empty() {
        // A file of messages behind their lengths may have none.
        return match tape.last() {
            0 => Ok(FeedRows { rows: Vec::new(), shape: "no messages" }),
            _ => Err("empty".to_owned()),
        };
    }
    let text = std::str::from_utf8(bytes).ok().and_then(|text| as_text(text, tape));
    let known = |rows: &FeedRows| {
        rows.rows.iter().filter(|row| !tape.places(&row.content).is_empty()).count()
    };
    let shapes = [text, lengths(bytes)].into_iter().flatten();
    // Fields of JSON have names; whatever else has no message of the tape is something else.
    let is_output =
        |rows: &FeedRows| known(rows) > 0 || rows.shape.contains("JSON") || resembles(rows, tape);
    let best = shapes.max_by_key(|rows| (known(rows), is_output(rows))).filter(is_output);
    best.ok_or_else(|| {
        "neither messages behind 16-bit lengths, nor JSON or columns with a payload of the tape in \
         hex, in Base64 or as text"
            .to_owned()
    })
}

/// Returns whether rows begin like messages of the tape. A client that takes a read for a message
/// writes what is behind a message, too, and another one only a part of it.
fn resembles(rows: &FeedRows, tape: &FeedTape) -> bool {
    let last = tape.last().min(traces::MESSAGES_MAX);
    let messages: Vec<&[u8]> = (1..=last).filter_map(|seq| tape.message(seq)).collect();
    let begins_like = |row: &&FeedRow| {
        messages.iter().any(|message| {
            let least = message.len().min(row.content.len());
            least >= traces::PAYLOAD_MIN && row.content[..least] == message[..least]
        })
    };
    rows.rows.iter().take(RESEMBLING_MAX).any(|row| begins_like(&row))
}

/// Reads messages behind lengths of two bytes; the last one may be cut off.
fn lengths(bytes: &[u8]) -> Option<FeedRows> {
    let mut rows = Vec::new();
    let mut rest = bytes;
    while let Some((&length, after)) = rest.split_first_chunk::<2>()
        && rows.len() < ROWS_MAX
    {
        let length = usize::from(u16::from_be_bytes(length));
        let (message, after) = after.split_at(length.min(after.len()));
        rows.push(FeedRow { sequence: None, content: message.to_vec() });
        rest = after;
    }
    (!rows.is_empty()).then_some(FeedRows { rows, shape: "messages behind their lengths" })
}

/// Reads a text in the shape in which it has the most messages of the tape.
fn as_text(text: &str, tape: &FeedTape) -> Option<FeedRows> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if let Ok(value) = serde_json::from_str::<Value>(text)
        && (value.is_array() || value.is_object())
    {
        let mut rows = Vec::new();
        json(&value, None, tape, 0, &mut rows);
        return Some(FeedRows { rows, shape: "JSON" });
    }
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Ok(value @ Value::Object(_)) = serde_json::from_str::<Value>(line.trim()) {
            json(&value, None, tape, 0, &mut rows);
        }
    }
    if !rows.is_empty() {
        return Some(FeedRows { rows, shape: "lines of JSON" });
    }
    let rows = columns(text, tape);
    (!rows.is_empty()).then_some(FeedRows { rows, shape: "columns" })
}

/// Returns a name without case and punctuation.
fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// Adds the messages in a JSON value. `key` is its name in the object around it.
fn json(value: &Value, key: Option<&str>, tape: &FeedTape, depth: u32, rows: &mut Vec<FeedRow>) {
    if rows.len() >= ROWS_MAX {
        return;
    }
    match value {
        Value::Object(members) => {
            if let Some(row) = object(members, key, tape) {
                rows.push(row);
            } else if depth < DEPTH_MAX {
                members.iter().for_each(|(name, member)| {
                    json(member, Some(name), tape, depth + 1, rows);
                });
            }
        }
        Value::Array(items) if depth < DEPTH_MAX => {
            if let Some(row) = array(items, tape) {
                rows.push(row);
            } else {
                items.iter().for_each(|item| json(item, None, tape, depth + 1, rows));
            }
        }
        Value::String(text) => {
            // An object of payloads by sequence, or a list of payloads.
            let sequence = key.and_then(|key| key.parse().ok());
            if sequence.is_some() || depth > 0 && key.is_none() {
                rows.push(FeedRow { sequence, content: content(text, tape) });
            }
        }
        _ => {}
    }
}

/// Returns the message in an object: its payload by name, or by value if no name is known.
fn object(
    members: &serde_json::Map<String, Value>,
    key: Option<&str>,
    tape: &FeedTape,
) -> Option<FeedRow> {
    let texts = || members.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    // An object of several payloads is not one message.
    if texts().filter(|(_, text)| decoded(text, tape).is_some()).nth(1).is_some() {
        return None;
    }
    let known = texts().find_map(|(_, text)| decoded(text, tape));
    let named = || {
        let payload = texts().find(|(name, _)| PAYLOADS.contains(&bare(name).as_str()));
        payload.map(|(_, text)| content(text, tape))
    };
    let content = known.or_else(named)?;
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let named = SEQUENCES.iter().find_map(|sequence| {
        let (_, value) = members.iter().find(|(name, _)| bare(name) == *sequence)?;
        number(value)
    });
    let sequence = named.or_else(|| key.and_then(|key| key.parse().ok()));
    Some(FeedRow { sequence, content })
}

/// Returns the message in an array such as `[5, "53000..."]`.
fn array(items: &[Value], tape: &FeedTape) -> Option<FeedRow> {
    let sequence = items.iter().find_map(Value::as_u64)?;
    let content = items.iter().filter_map(Value::as_str).find_map(|text| decoded(text, tape))?;
    Some(FeedRow { sequence: Some(sequence), content })
}

/// Reads columns of text: a line is a message if one of its columns is a payload of the tape, or
/// stands where the other lines have theirs.
fn columns(text: &str, tape: &FeedTape) -> Vec<FeedRow> {
    let separators: &[char] = &[',', ';', '\t', '|', ' ', ':'];
    let cells = |line: &str| -> Vec<String> {
        let cells = line.split(separators).map(|cell| cell.trim_matches(['"', '\'']).trim());
        cells.filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    let lines: Vec<Vec<String>> = text.lines().map(cells).collect();
    let place_of = |line: &Vec<String>| line.iter().position(|cell| decoded(cell, tape).is_some());
    let Some(payload) = lines.iter().find_map(place_of) else { return Vec::new() };
    let numbered = lines.iter().find(|line| place_of(line) == Some(payload));
    let sequence = numbered.and_then(|line| {
        line.iter().position(|cell| !cell.is_empty() && cell.parse::<Seq>().is_ok())
    });
    let sequence = sequence.filter(|place| *place != payload);
    let mut rows = Vec::new();
    for line in &lines {
        let Some(cell) = line.get(payload) else { continue };
        let number = sequence.and_then(|place| line.get(place)?.parse().ok());
        let is_row = decoded(cell, tape).is_some() || sequence.is_some() && number.is_some();
        if is_row {
            rows.push(FeedRow { sequence: number, content: content(cell, tape) });
        }
    }
    rows
}

/// Returns the payload that a text stands for, if the tape has it.
fn decoded(text: &str, tape: &FeedTape) -> Option<Vec<u8>> {
    let is_known = |bytes: &Vec<u8>| !bytes.is_empty() && !tape.places(bytes).is_empty();
    let hex = || hex(text).filter(is_known);
    let base64 = || base64(text).filter(is_known);
    // A program that decodes bytes as Latin-1 keeps them all.
    let latin = || {
        let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<_>>();
        bytes.filter(is_known)
    };
    hex().or_else(base64).or_else(latin)
}

/// Returns the payload that a text stands for, or its best reading if the tape does not have it.
fn content(text: &str, tape: &FeedTape) -> Vec<u8> {
    decoded(text, tape).or_else(|| hex(text)).unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Returns bytes from hex digits, which may have spaces or colons between them and `0x` before.
fn hex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digits = text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b':');
    let digits: Vec<u32> =
        digits.map(|byte| char::from(byte).to_digit(16)).collect::<Option<_>>()?;
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

/// Returns bytes from Base64, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(u32::from(byte - b'A')),
        b'a'..=b'z' => Some(u32::from(byte - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(byte - b'0') + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let digits = text.trim().trim_end_matches('=').bytes().map(digit);
    let digits: Vec<u32> = digits.collect::<Option<_>>()?;
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0, |bits, digit| bits << 6 | digit);
        let bits = bits << (6 * (4 - group.len()));
        let [_, high, middle, low] = bits.to_be_bytes();
        bytes.extend([high, middle, low].iter().take(group.len() * 6 / 8));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape() -> FeedTape {
        let messages = [&b"S\x00\x01one"[..], b"R\x00\xfftwo", b"A\x10three"];
        FeedTape::new(messages.iter().map(|message| message.to_vec()).collect(), Vec::new())
    }

    /// Returns the rows of a text as sequences and the places of their contents on the tape.
    fn rows(text: &[u8]) -> Vec<(Option<Seq>, Option<Seq>)> {
        let tape = tape();
        let found = read(text, &tape).map(|found| found.rows).unwrap_or_default();
        let place = |row: &FeedRow| tape.places(&row.content).first().copied();
        found.iter().map(|row| (row.sequence, place(row))).collect()
    }

    #[test]
    fn messages_are_found_in_every_shape() {
        let tape = tape();
        let hex = |seq| -> String {
            tape.message(seq).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let [one, two, three] = [1, 2, 3].map(hex);
        let all = [(Some(1), Some(1)), (Some(2), Some(2)), (Some(3), Some(3))];
        let upper = three.to_uppercase();
        for text in [
            format!(
                "[{{\"seq\":1,\"hex\":\"{one}\"}},{{\"seq\":2,\"hex\":\"{two}\"}},\
                     {{\"seq\":3,\"x\":\"{three}\"}}]"
            ),
            format!(
                "{{\"n\":1,\"m\":\"{one}\"}}\n{{\"n\":\"2\",\"m\":\"{two}\"}}\nlog\n\
                     {{\"n\":3,\"m\":\"0x{upper}\"}}"
            ),
            format!("{{\"messages\":[[1,\"{one}\"],[2,\"{two}\"],[3,\"{three}\"]]}}"),
            format!("{{\"1\":\"{one}\",\"2\":\"{two}\",\"3\":\"{three}\"}}"),
            format!("sequence,payload\n1,{one}\n2,{two}\n3,{three}\n"),
            format!("connected\n1 {one}\n2 {two}\n3 {three}\ndone"),
            format!("\"{one}\";1\n\"{two}\";2\n\"{three}\";3"),
            "1 UwABb25l\n2 UgD/dHdv\n3 QRB0aHJlZQ==".to_owned(),
        ] {
            assert_eq!(rows(text.as_bytes()), all, "{text}");
        }
        let unnumbered = [(None, Some(1)), (None, Some(2)), (None, Some(3))];
        let text = format!("{one}\n{two}\n{three}");
        assert_eq!(rows(text.as_bytes()), unnumbered);
        let itch = b"\x00\x06S\x00\x01one\x00\x06R\x00\xfftwo\x00\x07A\x10three";
        assert_eq!(rows(itch), unnumbered);
        assert_eq!(rows(&itch[..itch.len() - 2]).last(), Some(&(None, None)), "cut off");
    }

    #[test]
    fn contents_that_the_tape_lacks_stay_rows() {
        let text = "{\"seq\":1,\"hex\":\"5300016f6e65\"}\n{\"seq\":2,\"hex\":\"00ff\"}";
        assert_eq!(rows(text.as_bytes()), [(Some(1), Some(1)), (Some(2), None)]);
        let text = "1,5300016f6e65\n2,\n3,zz\n";
        assert_eq!(rows(text.as_bytes()), [(Some(1), Some(1)), (Some(3), None)]);
    }

    #[test]
    fn rows_that_begin_like_messages_are_an_output() {
        let tape =
            FeedTape::new(vec![b"S-message one".to_vec(), b"R-message two".to_vec()], vec![]);
        let behind = b"\x00\x14S-message one\x00\x0eSR-me";
        for row in [&behind[..], b"\x00\x09S-message"] {
            let found = read(row, &tape).unwrap();
            assert_eq!((found.rows.len(), found.shape), (1, "messages behind their lengths"));
        }
        for row in [&b"\x00\x04S-me"[..], b"\x00\x14X-message one\x00\x0eSR-me"] {
            assert!(read(row, &tape).is_err(), "{row:?}");
        }
    }

    #[test]
    fn texts_without_messages_are_no_output() {
        for text in [&b"hello"[..], b"[1,2]", b"{}x", b"\xff\xff\x00", b"connected to 127.0.0.1"] {
            assert!(read(text, &tape()).is_err() || rows(text).is_empty(), "{text:?}");
        }
        assert!(read(b"", &tape()).is_err());
        assert!(read(b"", &FeedTape::default()).unwrap().rows.is_empty());
    }
}
