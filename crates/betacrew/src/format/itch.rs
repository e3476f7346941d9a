//! Files of messages as the venue's day files: each message behind its length in 16 bits,
//! big-endian. A length of 0 marks the end. Such files may be compressed with gzip.

use super::{Arrival, DamagePolicy, Encoder, MessageConsumer, ReadError, SessionFacts};
use crate::storage::FileStorage;
use crate::text::formatting::grouped;
use feed::base::seq::{FIRST_SEQ, MAX_SEQ, Seq};
use feed::storage::Storage;
use feed::tape::file::SessionEnd;
use feed::wire::{Framing, MESSAGE_MAX, Messages, RawFrame, Run, packet_seq};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{self, BufReader, BufWriter, Read, Write};

/// Number of bytes that are written or read at once; more than any message with its length.
const PIECE: usize = 256 * 1024;

const _: () = assert!(PIECE > MESSAGE_MAX + Framing::Length.header_bytes());

/// First bytes of gzip data: the magic number, and the only method of compression.
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// Returns whether a file has gzip data.
///
/// # Errors
/// Errors of the system.
pub(crate) fn is_gzip(storage: &FileStorage) -> io::Result<bool> {
    let mut first = [0; GZIP_MAGIC.len()];
    let read = storage.read_at(0, &mut first)?;
    Ok(first[..read] == GZIP_MAGIC)
}

/// Writer of a file of messages.
pub(super) struct ItchWriter<W: Finish> {
    out: W,
}

/// Writer with an ending of its own.
pub(super) trait Finish: Write {
    /// Writes the ending and all that is buffered.
    fn finish(self) -> io::Result<()>;
}

impl<W: Write> Finish for BufWriter<W> {
    fn finish(mut self) -> io::Result<()> {
        self.flush()
    }
}

impl<W: Write> Finish for GzEncoder<BufWriter<W>> {
    fn finish(self) -> io::Result<()> {
        GzEncoder::finish(self)?.flush()
    }
}

/// Returns the writer of an uncompressed file.
pub(super) fn plain<W: Write>(out: W) -> ItchWriter<BufWriter<W>> {
    ItchWriter { out: BufWriter::with_capacity(PIECE, out) }
}

/// Returns the writer of a file that is compressed with gzip.
pub(super) fn gzip<W: Write>(out: W) -> ItchWriter<GzEncoder<BufWriter<W>>> {
    let out = BufWriter::with_capacity(PIECE, out);
    ItchWriter { out: GzEncoder::new(out, Compression::default()) }
}

impl<W: Finish> Encoder for ItchWriter<W> {
    fn put(&mut self, messages: Messages<'_>, _: Arrival) -> io::Result<()> {
        let empty = messages.iter().find(|(_, message)| message.is_empty());
        if let Some((seq, _)) = empty {
            let reason = format!(
                "message {seq} has no bytes, and a length of 0 ends an .itch file: write another \
                 format"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        if let Messages::Run(run) = messages
            && run.framing() == Framing::Length
        {
            return self.out.write_all(run.bytes());
        }
        for (_, message) in messages.iter() {
            // No run has longer messages.
            let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
            self.out.write_all(&length.to_be_bytes())?;
            self.out.write_all(message)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.out.finish()
    }
}

/// Reads messages, and numbers them from [`FIRST_SEQ`]. Compressed data are recognised by their
/// first bytes. A file whose first message is an order packet has order packets, with their own
/// sequences.
pub(super) fn read(
    input: impl Read,
    damage: DamagePolicy,
    each: &mut MessageConsumer<'_>,
) -> Result<SessionFacts, ReadError> {
    let mut input = input;
    let mut first = Vec::with_capacity(GZIP_MAGIC.len());
    input.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut first)?;
    let compressed = first == GZIP_MAGIC;
    let input = io::Cursor::new(first).chain(input);
    if compressed {
        let input = MultiGzDecoder::new(BufReader::with_capacity(PIECE, input));
        return ItchReader::new(GzipInput(input)).read(damage, each);
    }
    ItchReader::new(input).read(damage, each)
}

/// Decompressing reader whose errors say that the compressed data are wrong.
struct GzipInput<R>(R);

impl<R: Read> Read for GzipInput<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(error.kind(), "its compressed data are cut off")
            }
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                io::Error::new(error.kind(), format!("its compressed data are damaged: {error}"))
            }
            _ => error,
        })
    }
}

/// Reader that holds the bytes from the first message that is not handed on.
struct ItchReader<R> {
    input: R,
    buffer: Vec<u8>,
    /// Part of the buffer that was read.
    filled: usize,
    /// Position of the buffer's first byte, in the uncompressed data.
    offset: u64,
    /// Sequence of the next message.
    next: Seq,
    /// True if the messages are order packets; `None` before the first message.
    orders: Option<bool>,
    frames: Vec<RawFrame>,
}

impl<R: Read> ItchReader<R> {
    fn new(input: R) -> Self {
        let buffer = vec![0; PIECE];
        let (next, frames) = (FIRST_SEQ, Vec::new());
        Self { input, buffer, filled: 0, offset: 0, next, orders: None, frames }
    }

    fn read(
        mut self,
        damage: DamagePolicy,
        each: &mut MessageConsumer<'_>,
    ) -> Result<SessionFacts, ReadError> {
        loop {
            let more = match self.fill() {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.hand_on(each)?;
                    return match damage {
                        DamagePolicy::Skip => Ok(SessionFacts::default()),
                        DamagePolicy::Refuse => Err(self.cut(&error.to_string())),
                    };
                }
                done => done?,
            };
            let is_ended = self.hand_on(each)?;
            if is_ended {
                return self.end_mark(damage);
            }
            if !more {
                break;
            }
        }
        if self.filled > 0 && damage == DamagePolicy::Refuse {
            return Err(self.cut("it is cut off"));
        }
        Ok(SessionFacts::default())
    }

    /// Fills the buffer. Returns false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        while self.filled < self.buffer.len() {
            match self.input.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Ok(false),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Hands on all whole messages of the buffer. Returns whether a length of 0 follows them.
    fn hand_on(&mut self, each: &mut MessageConsumer<'_>) -> Result<bool, ReadError> {
        let filled = &self.buffer[..self.filled];
        let (mut rest, mut count, mut is_ended) = (filled, 0, false);
        while let Some((message, behind)) = Framing::Length.split_first(rest) {
            if message.is_empty() {
                is_ended = true;
                break;
            }
            (rest, count) = (behind, count + 1);
        }
        let used = filled.len() - rest.len();
        if count > 0 {
            let run = Run::counted(self.next, count, Framing::Length, &filled[..used]);
            let run = run.ok_or_else(|| {
                ReadError::Content(format!("it has more than {MAX_SEQ} messages"))
            })?;
            self.next = run.range().last() + 1;
            let mut offset = self.offset;
            let orders = *self.orders.get_or_insert_with(|| {
                run.iter().next().is_some_and(|(_, message)| own_order_packet(message).is_some())
            });
            if orders {
                self.frames.clear();
                for (seq, message) in run.iter() {
                    let frame = own_order_packet(message).ok_or_else(|| not_order(seq, offset))?;
                    self.frames.push(frame);
                    offset += (Framing::Length.header_bytes() + message.len()) as u64;
                }
                each(Messages::Packets(&self.frames), Arrival::UNKNOWN)?;
            } else {
                each(Messages::Run(run), Arrival::UNKNOWN)?;
            }
        }
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
        self.offset += used as u64;
        Ok(is_ended)
    }

    /// Checks that a length of 0 is the end of the file, and returns what it says of the session.
    fn end_mark(mut self, damage: DamagePolicy) -> Result<SessionFacts, ReadError> {
        let has_more = self.filled > Framing::Length.header_bytes() || {
            let mut byte = [0];
            let more = self.input.read(&mut byte);
            more.or_else(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Ok(0),
                _ => Err(error),
            })? > 0
        };
        if has_more && damage == DamagePolicy::Refuse {
            return Err(ReadError::Content(format!(
                "at byte {} a length of 0 ends the messages, but more bytes follow; --allow-gaps \
                 reads the messages before it",
                grouped(self.offset)
            )));
        }
        let last = self.next - 1;
        Ok(SessionFacts { last, end: Some(SessionEnd::Confirmed), ..SessionFacts::default() })
    }

    /// Returns the error of a file that ends within a message or its compressed data.
    fn cut(&self, what: &str) -> ReadError {
        let at = grouped(self.offset);
        let length = self.buffer[..self.filled].first_chunk::<2>();
        let has = match (self.filled, length) {
            (0, _) => format!("{} messages are whole", grouped(self.next - FIRST_SEQ)),
            (_, None) => format!("the length of message {} at byte {at} is not whole", self.next),
            (_, Some(&length)) => format!(
                "message {} at byte {at} has {} of {} bytes",
                self.next,
                grouped((self.filled - 2) as u64),
                grouped(u16::from_be_bytes(length).into())
            ),
        };
        ReadError::Content(format!("{what}: {has}; --allow-gaps reads the messages before"))
    }
}

/// Returns a message as an order packet, if it is one. Its sequence is its own.
fn own_order_packet(message: &[u8]) -> Option<RawFrame> {
    let frame = RawFrame::try_from(message).ok()?;
    packet_seq(&frame).map(|_| frame)
}

fn not_order(seq: Seq, offset: u64) -> ReadError {
    ReadError::Content(format!(
        "its first message is an order packet, but message {seq} at byte {} is none",
        grouped(offset)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::{read_messages, write_messages};
    use crate::format::{EncoderTarget, Format, RunBuffer};
    use feed::tape::in_memory::Tape;

    /// Messages of several lengths and contents.
    fn messages() -> Vec<Vec<u8>> {
        let lengths = [1, 2, 12, 17, 255, 256, MESSAGE_MAX, 36, 1];
        lengths.iter().zip(b'a'..).map(|(&length, byte)| vec![byte; length]).collect()
    }

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut buffer = RunBuffer::default();
        (1..).zip(messages).for_each(|(seq, message)| buffer.push(seq, message).unwrap());
        match buffer.messages() {
            Messages::Run(run) => run.bytes().to_vec(),
            Messages::Packets(_) => Vec::new(),
        }
    }

    /// Reader that returns one byte a call.
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let most = out.len().min(1);
            self.0.read(&mut out[..most])
        }
    }

    type Found = (Vec<(Seq, Vec<u8>)>, Result<SessionFacts, String>);

    fn found(input: impl Read, damage: DamagePolicy) -> Found {
        let mut all = Vec::new();
        let done = read(input, damage, &mut |messages, _| {
            all.extend(messages.iter().map(|(seq, message)| (seq, message.to_vec())));
            Ok(())
        });
        let done = done.map_err(|error| match error {
            ReadError::Content(reason) => reason,
            other => panic!("{other:?}"),
        });
        (all, done)
    }

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn messages_are_numbered_from_1_as_they_stand() {
        let messages = messages();
        let bytes = framed(&messages);
        let expected: Vec<(Seq, Vec<u8>)> = (1..).zip(messages).collect();
        for file in [bytes.clone(), compressed(&bytes)] {
            let (all, done) = found(&file[..], DamagePolicy::Refuse);
            assert!(all == expected && done == Ok(SessionFacts::default()));
            assert!(found(Dripping(&file), DamagePolicy::Refuse).0 == expected);
        }
        // Compressed files may be written one after the other.
        let (head, tail) = bytes.split_at(300);
        let two = [compressed(head), compressed(tail)].concat();
        assert!(found(&two[..], DamagePolicy::Refuse).0 == expected);
    }

    #[test]
    fn both_files_are_written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        for format in [Format::Itch, Format::ItchGz] {
            let path = folder.path().join(format.name());
            write_messages(&path, format, None, &messages());
            let expected: Vec<(Seq, Vec<u8>)> = (1..).zip(messages()).collect();
            assert!(read_messages(&path, format).unwrap() == expected);
        }
        assert!(std::fs::read(folder.path().join("ITCH")).unwrap() == framed(&messages()));
    }

    #[test]
    fn a_length_of_0_is_the_end() {
        let bytes = framed(&messages());
        let ended = [&bytes[..], &[0, 0]].concat();
        for file in [ended.clone(), compressed(&ended)] {
            let (all, done) = found(&file[..], DamagePolicy::Refuse);
            let facts = done.unwrap();
            assert_eq!((all.len(), facts.last, facts.end), (9, 9, Some(SessionEnd::Confirmed)));
        }
        for more in [&b"\0"[..], b"\0\x01x", &[0; 300_000]] {
            let trailing = [&ended[..], more].concat();
            let (all, done) = found(&trailing[..], DamagePolicy::Refuse);
            let reason = done.unwrap_err();
            let place = format!("at byte {} a length of 0", grouped(bytes.len() as u64));
            assert!(reason.starts_with(&place), "{reason}");
            assert_eq!(all.len(), 9);
            assert!(found(&trailing[..], DamagePolicy::Skip).1.is_ok());
        }
    }

    #[test]
    fn a_cut_is_found_wherever_it_is() {
        let messages = vec![b"first".to_vec(), b"second".to_vec()];
        let bytes = framed(&messages);
        for end in 1..bytes.len() {
            let (all, done) = found(&bytes[..end], DamagePolicy::Refuse);
            let whole = usize::from(end >= 7);
            assert_eq!(all.len(), whole, "{end}");
            assert_eq!(done.is_ok(), end == 7, "{end}: {done:?}");
            let skipped = found(&bytes[..end], DamagePolicy::Skip);
            assert_eq!((skipped.0.len(), skipped.1.is_ok()), (whole, true));
        }
        let reason = found(&bytes[..8], DamagePolicy::Refuse).1.unwrap_err();
        assert!(reason.contains("the length of message 2 at byte 7 is not whole"), "{reason}");
        let reason = found(&bytes[..11], DamagePolicy::Refuse).1.unwrap_err();
        assert!(reason.contains("message 2 at byte 7 has 2 of 6 bytes"), "{reason}");
    }

    #[test]
    fn damaged_compression_is_an_error() {
        let bytes = framed(&vec![b"message".to_vec(); 20_000]);
        let file = compressed(&bytes);
        for end in [3, 10, 40, file.len() - 9, file.len() - 1] {
            let reason = found(&file[..end], DamagePolicy::Refuse).1.unwrap_err();
            assert!(reason.contains("its compressed data are cut off"), "{end}: {reason}");
            assert!(found(&file[..end], DamagePolicy::Skip).1.is_ok(), "{end}");
        }
        let mut flipped = file.clone();
        let checksum = file.len() - 6;
        flipped[checksum] ^= 1;
        let reason = found(&flipped[..], DamagePolicy::Refuse).1.unwrap_err();
        assert!(reason.contains("its compressed data are damaged"), "{reason}");
        let trailing = [&file[..], b"junk that is no gzip"].concat();
        let reason = found(&trailing[..], DamagePolicy::Refuse).1.unwrap_err();
        assert!(reason.contains("its compressed data are damaged"), "{reason}");
    }

    #[test]
    fn order_packets_keep_their_sequences() {
        let tape = Tape::random(20, 1);
        let frames: Vec<Vec<u8>> = tape.frames()[5..].iter().map(|frame| frame.to_vec()).collect();
        let bytes = framed(&frames);
        let mut packets = Vec::new();
        read(&bytes[..], DamagePolicy::Refuse, &mut |messages, _| {
            packets.extend_from_slice(messages.packets());
            Ok(())
        })
        .unwrap();
        assert_eq!(packets, tape.frames()[5..]);
        let other = [&bytes[..], b"\0\x03abc"].concat();
        let reason = found(&other[..], DamagePolicy::Refuse).1.unwrap_err();
        assert!(reason.ends_with("but message 16 at byte 285 is none"), "{reason}");
    }

    #[test]
    fn an_empty_message_is_not_written() {
        let mut out = Vec::new();
        let target = EncoderTarget::Stream(Box::new(&mut out));
        let mut encoder = Format::Itch.encoder(None, target);
        let run = Run::new(7, Framing::Length, b"\0\x01a\0\0").unwrap();
        let error = encoder.put(Messages::Run(run), Arrival::UNKNOWN).unwrap_err();
        assert!(error.to_string().starts_with("message 8 has no bytes"), "{error}");
    }

    #[test]
    fn framing_of_another_protocol_is_rewritten() {
        let mut out = Vec::new();
        let target = EncoderTarget::Stream(Box::new(&mut out));
        let mut encoder = Format::Itch.encoder(None, target);
        let run = Run::new(1, Framing::LengthAndType, b"\0\x03Sab\0\x02Sc").unwrap();
        encoder.put(Messages::Run(run), Arrival::UNKNOWN).unwrap();
        encoder.finish().unwrap();
        assert_eq!(out, b"\0\x02ab\0\x01c");
    }
}
