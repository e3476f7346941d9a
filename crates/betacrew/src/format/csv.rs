//! Comma-separated values as RFC 4180 has them, but with `\n` as line end: a line of names, then a
//! line a packet. What is not known is empty.

use super::bounded::Bounded;
use super::rows::{self, Batch, COLUMNS, packet};
use super::{Arrival, Each, Encoder, Fault};
use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use feed::packet::Packet;
use feed::wire::RawFrame;
use std::fmt::Write as _;
use std::io::{self, Read, Write};

pub(super) struct Writer<W: Write> {
    out: csv::Writer<W>,
    symbol: String,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W) -> io::Result<Self> {
        let mut out = WriterBuilder::new().buffer_capacity(256 * 1024).from_writer(out);
        out.write_record(COLUMNS)?;
        Ok(Self { out, symbol: String::new() })
    }
}

impl<W: Write> Encoder for Writer<W> {
    fn put(&mut self, frames: &[RawFrame], arrival: Arrival) -> io::Result<()> {
        let arrived = arrival.time().map(|at| at.to_string()).unwrap_or_default();
        let origin = arrival.origin_text().unwrap_or_default();
        for frame in frames {
            let packet = packet(frame)?;
            self.symbol.clear();
            let _ = write!(self.symbol, "{}", packet.symbol);
            self.out.write_record([
                self.symbol.as_bytes(),
                &[packet.side.letter()],
                itoa::Buffer::new().format(packet.quantity).as_bytes(),
                itoa::Buffer::new().format(packet.price).as_bytes(),
                itoa::Buffer::new().format(packet.sequence).as_bytes(),
                arrived.as_bytes(),
                origin.as_bytes(),
            ])?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads rows. Columns may be in any order and more than ours; `arrived` and `origin` may be absent.
pub(super) fn read(input: impl Read, each: &mut Each<'_>) -> Result<(), Fault> {
    let (input, watch) = Bounded::new(input);
    let mut input = ReaderBuilder::new().buffer_capacity(64 * 1024).from_reader(input);
    let place = Columns::of(input.headers().map_err(fault)?)?;
    watch.row();
    let mut batch = Batch::new(each);
    let mut record = StringRecord::new();
    while input.read_record(&mut record).map_err(fault)? {
        watch.row();
        let (packet, arrival) = place.row(&record).map_err(|reason| {
            let line = record.position().map_or(0, csv::Position::line);
            Fault::Content(format!("line {line}: {reason}"))
        })?;
        batch.push(packet, arrival)?;
    }
    if !watch.at_line_end() {
        // The row may look whole and have lost digits.
        return Err(Fault::Content("its last line has no end: it has been cut off".to_owned()));
    }
    batch.flush()?;
    Ok(())
}

fn fault(error: csv::Error) -> Fault {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.map_or(0, |pos| pos.line());
            Fault::Content(format!("line {line}: {len} fields, expected {expected_len}"))
        }
        csv::ErrorKind::Utf8 { pos, err } => {
            Fault::Content(format!("line {}: {err}", pos.map_or(0, |pos| pos.line())))
        }
        _ => Fault::Content("it is no CSV".to_owned()),
    }
}

/// The columns' places in a row.
struct Columns([Option<usize>; COLUMNS.len()]);

impl Columns {
    fn of(names: &StringRecord) -> Result<Self, Fault> {
        let places = COLUMNS.map(|column| names.iter().position(|name| name == column));
        // The last two are extras.
        match places[..5].iter().zip(COLUMNS).find(|(place, _)| place.is_none()) {
            Some((_, name)) => Err(Fault::Content(format!("line 1: there is no column {name}"))),
            None => Ok(Self(places)),
        }
    }

    fn row(&self, record: &StringRecord) -> Result<(Packet, Arrival), String> {
        let field = |column: usize| self.0[column].and_then(|at| record.get(at)).unwrap_or("");
        let number = |column: usize| {
            field(column).parse::<i32>().map_err(|_| {
                format!("{} {:?} is no integer of 32 bits", COLUMNS[column], field(column))
            })
        };
        let extra = |column: usize| Some(field(column)).filter(|text| !text.is_empty());
        let arrived = extra(5)
            .map(|text| text.parse().map_err(|_| format!("arrived {text:?} is no integer")))
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
