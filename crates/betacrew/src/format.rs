//! File formats for messages, one module for each. All are written and read in batches, so that
//! memory does not grow with the file. `docs/formats.md` describes them.
//!
//! An [`Encoder`] writes messages, and [`read()`] passes messages to a function, so a conversion is
//! `read(.., |messages, arrival| encoder.put(messages, arrival))`.

mod arrival;
#[cfg(feature = "columnar")]
mod arrow;
mod bounded;
#[cfg(feature = "columnar")]
mod column_values;
#[cfg(feature = "columnar")]
mod columns;
mod csv;
mod encoder;
#[cfg(feature = "columnar")]
mod guard;
mod itch;
pub mod json;
mod line;
mod message_buffer;
mod ndjson;
#[cfg(feature = "columnar")]
mod pages;
#[cfg(feature = "columnar")]
mod parquet;
mod payload;
mod pcap;
mod rows;
mod session_facts;
#[cfg(feature = "sqlite")]
mod sqlite;
mod table;
mod tape;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(feature = "columnar")]
mod thrift;
#[cfg(any(feature = "columnar", feature = "sqlite"))]
mod wide;

pub use arrival::Arrival;
pub(crate) use encoder::EncoderTarget;
pub use encoder::{Encoder, StreamMark};
pub(crate) use itch::is_gzip;
pub(crate) use message_buffer::{OwnedMessages, RunBuffer};
pub use payload::Payload;
pub use session_facts::SessionFacts;

use crate::error::Failure;
use crate::storage::is_read_once;
use crate::text::location::{is_log, shown};
use feed::wire::Messages;
use pcap::{CaptureLayout, PcapWriter};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use table::Table;

/// File format, simple ones first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Format {
    /// JSON array, the format of the exercise's output.
    Json,
    /// One JSON object a line.
    #[value(alias = "jsonl")]
    Ndjson,
    /// Comma-separated values.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow IPC file, which is also a Feather file of version 2.
    #[value(aliases = ["ipc", "feather"])]
    Arrow,
    /// SQLite database with one table.
    #[value(aliases = ["db", "sqlite3"])]
    Sqlite,
    /// Messages, each behind its length, as in the venue's day files.
    #[value(aliases = ["itch50", "nasdaq_itch50"])]
    Itch,
    /// Messages as in an ITCH file, compressed with gzip.
    #[value(name = "itch.gz", aliases = ["itch-gz", "itchgz"])]
    ItchGz,
    /// Capture of MoldUDP64 datagrams, with times in nanoseconds.
    #[value(alias = "cap")]
    Pcap,
    /// Capture of MoldUDP64 datagrams in blocks, the format of Wireshark.
    Pcapng,
    /// Tape file, the format of the recorder (`docs/tape.md`).
    Tape,
    /// NATS stream, which is not a file, `nats://HOST/STREAM` (`docs/gateway.md`).
    #[value(skip)]
    Nats,
}

/// Function that takes messages in ascending order, all messages of a call with one arrival.
pub type MessageConsumer<'a> = dyn FnMut(Messages<'_>, Arrival) -> Result<(), Failure> + 'a;

/// Treatment of damage after which a format can still be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DamagePolicy {
    /// Refuse the file.
    Refuse,
    /// Read the rest, without the damaged part.
    Skip,
}

/// Error that ends the reading of a file.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// Error of the system.
    Io(io::Error),
    /// Content that is not in the format, or not packets.
    Content(String),
    /// Failure of the function that takes the packets.
    Consumer(Failure),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Decoders, and the bounds of this crate, report wrong content by these kinds; the
            // third is an offset that no file can have.
            io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidInput => Self::Content(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        Self::Consumer(failure)
    }
}

impl ReadError {
    fn at(self, path: &Path) -> Failure {
        match self {
            Self::Io(source) => Failure::Storage { action: "read", path: path.to_owned(), source },
            Self::Content(reason) => Failure::Content { path: path.to_owned(), reason },
            Self::Consumer(failure) => failure,
        }
    }
}

impl Format {
    /// Returns the format of a file by the end of its name, if it is a known one.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        if is_log(path) {
            return Some(Self::Nats);
        }
        let extension = path.extension()?.to_str()?;
        if extension.eq_ignore_ascii_case("gz") {
            let inner = Self::of(Path::new(path.file_stem()?));
            return match inner? {
                Self::Itch => Some(Self::ItchGz),
                inner => Some(inner).filter(|inner| inner.is_capture()),
            };
        }
        <Self as clap::ValueEnum>::from_str(extension, true).ok()
    }

    /// Returns the format of a file by the end of its name.
    ///
    /// # Errors
    /// Returns [`Failure::Usage`] if the name has no known end. `flag` is the flag for the format.
    pub fn expect(path: &Path, flag: &str) -> Result<Self, Failure> {
        Self::of(path).ok_or_else(|| {
            Failure::Usage(format!(
                "the name `{}` does not say its format: end it in .json, .ndjson, .csv, .parquet, \
                 .arrow, .sqlite, .itch, .itch.gz, .pcap, .pcapng or .tape, or add {flag} FORMAT",
                shown(path)
            ))
        })
    }

    /// Returns the common name of the format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Ndjson => "NDJSON",
            Self::Csv => "CSV",
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow",
            Self::Sqlite => "SQLite",
            Self::Itch => "ITCH",
            Self::ItchGz => "compressed ITCH",
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
            Self::Tape => "tape",
            Self::Nats => "NATS",
        }
    }

    /// Returns whether the format stores the arrival of packets.
    #[must_use]
    pub const fn has_arrival(self) -> bool {
        !matches!(self, Self::Json | Self::Itch | Self::ItchGz)
    }

    /// Returns whether the format is a packet capture, which is read by its lines.
    #[must_use]
    pub const fn is_capture(self) -> bool {
        matches!(self, Self::Pcap | Self::Pcapng)
    }

    /// Returns whether the format is text.
    const fn is_text(self) -> bool {
        matches!(self, Self::Json | Self::Ndjson | Self::Csv)
    }

    /// Returns whether the format is written and read from its beginning to its end, so that it can
    /// also go through a pipe.
    #[must_use]
    pub const fn is_sequential(self) -> bool {
        self.is_text() || matches!(self, Self::Itch | Self::ItchGz)
    }

    /// Checks that a file can be read in this format: one that can be read only once must be
    /// sequential, or a capture, which is copied.
    ///
    /// # Errors
    /// Returns [`Failure::Usage`] if it cannot.
    pub(crate) fn check_source(self, path: &Path) -> Result<(), Failure> {
        if self.is_sequential() || self.is_capture() || !is_read_once(path) {
            return Ok(());
        }
        let place = if path == Path::new("-") { "stdin" } else { "a pipe" };
        Err(Failure::Usage(format!("{} cannot be read from {place}: name a file", self.name())))
    }

    /// Returns whether the format can be written to a pipe.
    #[must_use]
    pub const fn goes_through_pipes(self) -> bool {
        self.is_sequential() || matches!(self, Self::Arrow)
    }

    /// Returns whether the format stores the sequences of messages of any length. Without them,
    /// messages are numbered by their places.
    #[must_use]
    pub const fn has_sequences(self) -> bool {
        !matches!(self, Self::Itch | Self::ItchGz)
    }

    /// Checks that the format is built in.
    ///
    /// # Errors
    /// Returns [`Failure::Usage`] with the command that builds it in.
    pub fn check(self) -> Result<(), Failure> {
        let feature = match self {
            Self::Parquet | Self::Arrow if cfg!(not(feature = "columnar")) => "columnar",
            Self::Sqlite if cfg!(not(feature = "sqlite")) => "sqlite",
            Self::Nats if cfg!(not(feature = "nats")) => "nats",
            _ => return Ok(()),
        };
        Err(Failure::Usage(format!(
            "this betacrew was built without {}: cargo install --path crates/betacrew --features \
             {feature}",
            self.name()
        )))
    }

    /// Returns whether the format stores the fields of messages, one column for each.
    #[must_use]
    pub const fn has_columns(self) -> bool {
        let is_columnless = matches!(self, Self::Itch | Self::ItchGz | Self::Tape | Self::Nats);
        !(is_columnless || self.is_capture())
    }

    /// Returns an encoder of the format. If `payload` is `None`, the first message decides it.
    pub(crate) fn encoder(
        self,
        payload: Option<Payload>,
        place: EncoderTarget<'_>,
    ) -> Box<dyn Encoder + '_> {
        Box::new(payload::PayloadEncoder::new(self, payload, place))
    }

    /// Returns an encoder for messages of a payload, or the error `Unsupported` if the format is
    /// not built in.
    fn encoder_of(
        self,
        payload: Payload,
        place: EncoderTarget<'_>,
    ) -> io::Result<Box<dyn Encoder + '_>> {
        if let Some(table) = Table::of(payload).filter(|_| self.has_columns()) {
            return self.table_encoder(table, place);
        }
        Ok(match self {
            Self::Json => Box::new(json::JsonWriter::new(place.stream())),
            Self::Ndjson => Box::new(ndjson::NdjsonWriter::new(place.stream())),
            Self::Csv => Box::new(csv::CsvWriter::new(place.stream())?),
            #[cfg(feature = "columnar")]
            Self::Parquet => Box::new(parquet::ParquetWriter::new(place.file()?.0)?),
            #[cfg(feature = "columnar")]
            Self::Arrow => Box::new(arrow::ArrowWriter::new(place)?),
            #[cfg(feature = "sqlite")]
            Self::Sqlite => Box::new(sqlite::SqliteWriter::new(&place.file()?.1)?),
            Self::Itch => Box::new(itch::plain(place.stream())),
            Self::ItchGz => Box::new(itch::gzip(place.stream())),
            Self::Pcap => Box::new(PcapWriter::new(place.file()?.0, CaptureLayout::Pcap)?),
            Self::Pcapng => Box::new(PcapWriter::new(place.file()?.0, CaptureLayout::Pcapng)?),
            Self::Tape => Box::new(tape::TapeWriter::new(place.file()?.0)?),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// Returns an encoder for the rows of a table of messages.
    fn table_encoder<'a>(
        self,
        table: &'static Table,
        place: EncoderTarget<'a>,
    ) -> io::Result<Box<dyn Encoder + 'a>> {
        use table::json::{JsonLayout, JsonTableWriter};
        Ok(match self {
            Self::Json => Box::new(JsonTableWriter::new(place.stream(), table, JsonLayout::Array)),
            Self::Ndjson => {
                Box::new(JsonTableWriter::new(place.stream(), table, JsonLayout::Lines))
            }
            Self::Csv => Box::new(table::csv::CsvTableWriter::new(place.stream(), table)),
            #[cfg(feature = "columnar")]
            Self::Parquet => {
                Box::new(parquet::ParquetWriter::with_columns_of(place.file()?.0, table)?)
            }
            #[cfg(feature = "columnar")]
            Self::Arrow => Box::new(arrow::ArrowWriter::with_columns_of(place, table)?),
            #[cfg(feature = "sqlite")]
            Self::Sqlite => Box::new(sqlite::SqliteTableWriter::new(&place.file()?.1, table)?),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

/// Reads all packets of a file, or until `each` fails; `-` is stdin. Returns the facts that the
/// file has about its session.
///
/// Each frame is a packet with a valid side and sequence. `each` checks that sequences ascend.
///
/// # Errors
/// Returns [`Failure::Storage`] if the file cannot be read, [`Failure::Content`] if it is not in
/// the format, and failures of `each`.
pub fn read(
    path: &Path,
    format: Format,
    damage: DamagePolicy,
    each: &mut MessageConsumer<'_>,
) -> Result<SessionFacts, Failure> {
    format.check()?;
    format.check_source(path)?;
    if format == Format::Tape {
        return tape::read(path, damage, each).map_err(|fault| fault.at(path));
    }
    if matches!(format, Format::Itch | Format::ItchGz) {
        let read = open_stream(path).and_then(|input| itch::read(input, damage, each));
        return read.map_err(|fault| fault.at(path));
    }
    let done = match format {
        _ if format.is_text() => open_stream(path).and_then(|text| read_text(text, format, each)),
        #[cfg(feature = "columnar")]
        Format::Parquet => open(path).and_then(|file| parquet::read(file, each)),
        #[cfg(feature = "columnar")]
        Format::Arrow => open(path).and_then(|file| arrow::read(file, each)),
        #[cfg(feature = "sqlite")]
        Format::Sqlite => open(path).and_then(|_| sqlite::read(path, each)),
        _ => Err(ReadError::Io(io::ErrorKind::Unsupported.into())),
    };
    done.map_err(|fault| fault.at(path))?;
    Ok(SessionFacts::default())
}

/// Reads packets from a text format.
fn read_text(
    text: Box<dyn Read>,
    format: Format,
    each: &mut MessageConsumer<'_>,
) -> Result<(), ReadError> {
    let text = without_mark(text)?;
    match format {
        Format::Ndjson => ndjson::read(text, each),
        Format::Csv => csv::read(text, each),
        _ => json::read(text, each),
    }
}

/// Byte order mark that some editors and programs put before UTF-8.
const UTF8_MARK: [u8; 3] = *b"\xef\xbb\xbf";

/// Skips a byte order mark at the beginning of a text.
fn without_mark(mut text: impl Read) -> Result<impl Read, ReadError> {
    let mut first = Vec::with_capacity(UTF8_MARK.len());
    text.by_ref().take(UTF8_MARK.len() as u64).read_to_end(&mut first)?;
    match first[..] {
        [a, b, c] if [a, b, c] == UTF8_MARK => first.clear(),
        // Windows PowerShell's `>` writes UTF-16 with this mark.
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            return Err(ReadError::Content("it is UTF-16: save it as UTF-8".to_owned()));
        }
        _ => {}
    }
    Ok(io::Cursor::new(first).chain(text))
}

fn open_stream(path: &Path) -> Result<Box<dyn Read>, ReadError> {
    match path == Path::new("-") {
        true => Ok(Box::new(io::stdin().lock())),
        false => Ok(Box::new(open(path)?)),
    }
}

fn open(path: &Path) -> Result<File, ReadError> {
    let file = File::open(path)?;
    match file.metadata()?.is_dir() {
        true => Err(ReadError::Io(io::ErrorKind::IsADirectory.into())),
        false => Ok(file),
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "tests")]
mod tests {
    use super::testing::{odd, read_file, write_file, written};
    use super::*;
    use clap::ValueEnum;

    fn built() -> impl Iterator<Item = Format> {
        // Captures are read by a room of their own.
        let formats = Format::value_variants().iter().copied();
        formats.filter(|format| format.check().is_ok() && !format.is_capture())
    }

    #[test]
    fn names_say_the_format() {
        for (name, format) in [
            ("a.json", Some(Format::Json)),
            ("a.b/c.JSONL", Some(Format::Ndjson)),
            ("x.ndjson", Some(Format::Ndjson)),
            ("x.csv", Some(Format::Csv)),
            ("x.parquet", Some(Format::Parquet)),
            ("x.ipc", Some(Format::Arrow)),
            ("x.feather", Some(Format::Arrow)),
            ("x.db", Some(Format::Sqlite)),
            ("x.sqlite3", Some(Format::Sqlite)),
            ("x.json.tape", Some(Format::Tape)),
            ("x.itch", Some(Format::Itch)),
            ("01302020.NASDAQ_ITCH50", Some(Format::Itch)),
            ("x.itch.gz", Some(Format::ItchGz)),
            ("01302020.NASDAQ_ITCH50.gz", Some(Format::ItchGz)),
            ("x.json.gz", None),
            ("x.gz", None),
            ("x.PCAP", Some(Format::Pcap)),
            ("x.pcapng.gz", Some(Format::Pcapng)),
            ("json", None),
            ("-", None),
            ("x.txt", None),
        ] {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
        let message = Format::expect(Path::new("x.txt"), "--to").unwrap_err().to_string();
        assert!(message.contains("x.txt") && message.contains("--to FORMAT"), "{message}");
    }

    #[test]
    fn everything_survives_in_every_format() {
        let folder = tempfile::tempdir().unwrap();
        for format in built() {
            let path = folder.path().join("x");
            let mut rows = odd();
            write_file(&path, format, &rows);
            if !format.has_arrival() {
                rows.iter_mut().for_each(|row| row.1 = Arrival::UNKNOWN);
            }
            let again = read_file(&path, format).unwrap();
            for (row, again) in rows.iter().zip(&again) {
                assert_eq!(row, again, "{format:?}");
            }
            assert_eq!(rows.len(), again.len(), "{format:?}");
        }
    }

    #[test]
    fn no_packets_are_a_file_too() {
        let folder = tempfile::tempdir().unwrap();
        for format in built() {
            let path = folder.path().join("x");
            write_file(&path, format, &Vec::new());
            assert_eq!(read_file(&path, format).unwrap(), [], "{format:?}");
        }
    }

    #[test]
    fn what_is_no_packet_is_not_written() {
        for format in [Format::Json, Format::Ndjson, Format::Csv] {
            let mut out = Vec::new();
            let mut encoder = format.encoder(None, EncoderTarget::Stream(Box::new(&mut out)));
            let odd = Messages::Packets(&[[0; 17]]);
            let error = encoder.put(odd, Arrival::UNKNOWN).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_text() {
        for format in [Format::Json, Format::Ndjson, Format::Csv] {
            let text = format!("\u{feff}{}", written(format));
            let mut packets = 0;
            let mut take = |messages: Messages<'_>, _| {
                packets += messages.len();
                Ok(())
            };
            read_text(Box::new(io::Cursor::new(text)), format, &mut take).unwrap();
            assert_eq!(packets, 2, "{format:?}");
            let utf16 = Box::new(&b"\xff\xfe[\0]\0"[..]);
            let error = read_text(utf16, format, &mut |_, _| Ok(())).unwrap_err();
            assert!(matches!(error, ReadError::Content(reason) if reason.contains("UTF-16")));
        }
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for format in built() {
            write_file(&path, format, &odd());
            let good = std::fs::read(&path).unwrap();
            let mut rng = feed::base::rng::Rng::new(7);
            for round in 0..600 {
                let mut bad = good.clone();
                let mut below = |limit: usize| rng.below(limit as u32) as usize;
                match round % 3 {
                    0 => bad.truncate(below(good.len())),
                    1 => bad[below(good.len())] ^= 1 << below(8),
                    _ => {
                        // Most of a file's structure is at its end or its beginning.
                        let near = below(good.len().min(600));
                        let at = if round % 2 == 0 { near } else { good.len() - 1 - near };
                        bad[at] = below(256) as u8;
                    }
                }
                std::fs::write(&path, &bad).unwrap();
                let done = read_file(&path, format);
                let content = matches!(done, Ok(_) | Err(Failure::Content { .. }));
                assert!(content, "{format:?} {round}: {done:?}");
            }
        }
    }
}
