//! Comma-separated values as in RFC 4180, but with `\n` as line end: a line of names, then a line
//! for each packet. Unknown values are empty.

use super::bounded::Bounded;
use super::rows::{self, Batch, COLUMNS, packet};
use super::table::Table;
use super::table::csv::CsvTableReader;
use super::{Arrival, Encoder, MessageConsumer, ReadError};
use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use feed::wire::Messages;
use feed::wire::packet::Packet;
use std::fmt::Write as _;
use std::io::{self, Read, Write};

pub(super) struct CsvWriter<W: Write> {
    out: csv::Writer<W>,
    symbol: String,
}

impl<W: Write> CsvWriter<W> {
    pub(super) fn new(out: W) -> io::Result<Self> {
        let mut out = WriterBuilder::new().buffer_capacity(256 * 1024).from_writer(out);
        out.write_record(COLUMNS).map_err(failed)?;
        Ok(Self { out, symbol: String::new() })
    }
}

impl<W: Write> Encoder for CsvWriter<W> {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        let arrived = arrival.time().map(|at| at.to_string()).unwrap_or_default();
        let origin = arrival.origin_text().unwrap_or_default();
        for frame in messages.packets() {
            let packet = packet(frame)?;
            self.symbol.clear();
            let _ = write!(self.symbol, "{}", packet.symbol);
            let mut digits = [itoa::Buffer::new(); 3];
            let [quantity, price, sequence] = &mut digits;
            let fields = [
                self.symbol.as_bytes(),
                &[packet.side.letter()][..],
                quantity.format(packet.quantity).as_bytes(),
                price.format(packet.price).as_bytes(),
                sequence.format(packet.sequence).as_bytes(),
                arrived.as_bytes(),
                origin.as_bytes(),
            ];
            self.out.write_record(fields).map_err(failed)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads rows. Columns may be in any order and more than ours; `arrived` and `origin` may be
/// absent.
pub(super) fn read(input: impl Read, each: &mut MessageConsumer<'_>) -> Result<(), ReadError> {
    let (input, watch) = Bounded::new(input);
    let mut input = ReaderBuilder::new().buffer_capacity(64 * 1024).from_reader(input);
    let names = input.headers().map_err(fault)?.clone();
    watch.row();
    let mut rows = match Table::named(&names) {
        Some(table) => CsvRows::Messages(CsvTableReader::new(table, &names, each)?),
        None => CsvRows::Orders(CsvColumns::of(&names)?, Batch::new(each)),
    };
    let mut record = StringRecord::new();
    while input.read_record(&mut record).map_err(fault)? {
        watch.row();
        rows.take(&record)?;
    }
    // RFC 4180 allows a last line without an end, so that only an open quote shows a cut in it.
    if watch.in_quotes() && !watch.at_line_end() {
        return Err(ReadError::Content(
            "its last line ends within quotes: it is cut off".to_owned(),
        ));
    }
    rows.finish()
}

/// Reader of the lines of a file by its payload.
enum CsvRows<'a, 'b> {
    Orders(CsvColumns, Batch<'a, 'b>),
    Messages(CsvTableReader<'a, 'b>),
}

impl CsvRows<'_, '_> {
    fn take(&mut self, record: &StringRecord) -> Result<(), ReadError> {
        let (columns, batch) = match self {
            Self::Orders(columns, batch) => (columns, batch),
            Self::Messages(reader) => return reader.take(record),
        };
        let (packet, arrival) = columns.row(record).map_err(|reason| {
            let line = record.position().map_or(0, csv::Position::line);
            ReadError::Content(format!("line {line}: {reason}"))
        })?;
        Ok(batch.push(packet, arrival)?)
    }

    fn finish(self) -> Result<(), ReadError> {
        match self {
            Self::Orders(_, mut batch) => Ok(batch.flush()?),
            Self::Messages(reader) => reader.finish(),
        }
    }
}

/// Returns the error of the output, with its kind.
fn failed(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn fault(error: csv::Error) -> ReadError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.map_or(0, |pos| pos.line());
            ReadError::Content(format!("line {line}: {len} fields, expected {expected_len}"))
        }
        csv::ErrorKind::Utf8 { pos, err } => {
            ReadError::Content(format!("line {}: {err}", pos.map_or(0, |pos| pos.line())))
        }
        _ => ReadError::Content("it is no CSV".to_owned()),
    }
}

/// Indices of the columns in a row.
struct CsvColumns([Option<usize>; COLUMNS.len()]);

impl CsvColumns {
    fn of(names: &StringRecord) -> Result<Self, ReadError> {
        let places = COLUMNS.map(|column| names.iter().position(|name| name == column));
        let times = |column: &str| names.iter().filter(|name| *name == column).count();
        if let Some(name) = COLUMNS.into_iter().find(|name| times(name) > 1) {
            return Err(ReadError::Content(format!("line 1: there are two columns {name}")));
        }
        // The last two columns are optional.
        match places[..5].iter().zip(COLUMNS).find(|(place, _)| place.is_none()) {
            Some((_, name)) => {
                Err(ReadError::Content(format!("line 1: there is no column {name}")))
            }
            None => Ok(Self(places)),
        }
    }

    fn row(&self, record: &StringRecord) -> Result<(Packet, Arrival), String> {
        let field = |column: usize| self.0[column].and_then(|at| record.get(at)).unwrap_or("");
        let number = |column: usize| {
            field(column).parse::<i32>().map_err(|_| {
                format!(
                    "{} {:?} is no integer of 32 bits",
                    COLUMNS[column],
                    rows::shown(field(column))
                )
            })
        };
        let extra = |column: usize| Some(field(column)).filter(|text| !text.is_empty());
        let arrived = extra(5)
            .map(|text| {
                text.parse().map_err(|_| format!("arrived {:?} is no integer", rows::shown(text)))
            })
            .transpose()?;
        let packet = Packet {
            symbol: rows::symbol(field(0))?,
            side: rows::side(field(1))?,
            quantity: number(2)?,
            price: number(3)?,
            sequence: rows::sequence(number(4)?.into())?,
        };
        Ok((packet, Arrival::parse(arrived, extra(6))?))
    }
}

#[cfg(test)]
mod tests {
    use crate::format::testing::{complaint, written};
    use crate::format::{Format, read_text};
    use feed::wire::Messages;

    #[test]
    fn is_a_line_a_packet() {
        assert_eq!(
            written(Format::Csv),
            "symbol,buySellIndicator,quantity,price,sequence,arrived,origin\n\
             SYMB,B,100,1000,1,,\n\
             SYMB,S,101,1100,2,1700000000123456789,\"resend, line 2\"\n"
        );
    }

    #[test]
    fn columns_may_be_in_any_order_and_more() {
        let text = "x,sequence,price,quantity,x,buySellIndicator,symbol\r\nx,7,1,-2,,S,AB";
        // Lines end with either end, and the last one needs none.
        for end in ["\r\n", "\n", "\r", ""] {
            let mut taken = Vec::new();
            let mut take = |messages: Messages<'_>, _| {
                taken.extend_from_slice(messages.packets());
                Ok(())
            };
            let text = format!("{text}{end}");
            read_text(Box::new(std::io::Cursor::new(text)), Format::Csv, &mut take).unwrap();
            let expected = [*b"AB  S\xff\xff\xff\xfe\0\0\0\x01\0\0\0\x07"];
            assert_eq!(taken, expected, "{end:?}");
        }
    }

    #[test]
    fn errors_say_where() {
        let head = "symbol,buySellIndicator,quantity,price,sequence,arrived,origin\n";
        for (rows, message) in [
            ("A,B,1,1,1\n", "line 2: 5 fields, expected 7"),
            ("A,B,1,1,1,,\nA,X,1,1,2,,\n", "line 3: buySellIndicator is \"X\""),
            ("ABCDE,B,1,1,1,,\n", "line 2: symbol \"ABCDE\" is longer"),
            ("\"\n\n\",B,1,1,1,,\nA,B,1.5,1,2,,\n", "line 5: quantity \"1.5\" is no integer"),
            ("A,B,1,3000000000,2,,\n", "line 2: price \"3000000000\" is no integer of 32 bits"),
            ("A,B,1,1,0,,\n", "line 2: sequence 0 is not in 1..2147483647"),
            ("A,B,1,1,1,soon,\n", "line 2: arrived \"soon\" is no integer"),
            ("A,B,1,1,1,,there\n", "line 2: origin is \"there\""),
            ("A,B,1,1,1,,\nA,B,1,1,2,,\"pass 1", "its last line ends within quotes"),
            ("A,B,1,1,1,,\nA,B,1,1,2", "line 3: 5 fields, expected 7"),
            (&"x".repeat(3 << 20), "more than 1048576 bytes are no row"),
        ] {
            let found = complaint(&format!("{head}{rows}"), Format::Csv);
            assert!(found.starts_with(message), "{message}: {found}");
        }
        let twice = "symbol,buySellIndicator,quantity,price,sequence,price\nA,B,1,1,1,2\n";
        assert_eq!(complaint(twice, Format::Csv), "line 1: there are two columns price");
        assert_eq!(complaint("", Format::Csv), "line 1: there is no column symbol");
        assert_eq!(
            complaint("symbol,a\n", Format::Csv),
            "line 1: there is no column buySellIndicator"
        );
    }
}
