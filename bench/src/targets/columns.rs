//! The columns that arrow-rs is given ready.

use crate::Result;
use arrow_array::builder::TimestampNanosecondBuilder;
use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray, UInt32Array, new_null_array};
use arrow_schema::{DataType, Field, Schema};
use feed::tape::in_memory::Tape;
use feed::wire::{Frame, decode};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

/// As many rows at once, and as many a group, as betacrew has.
const ROWS: usize = 1 << 16;
const GROUP: usize = 1 << 20;

pub(super) fn batches(tape: &Tape) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    for frames in tape.frames().chunks(ROWS) {
        let packets: Vec<_> = frames
            .iter()
            .filter_map(|frame| match decode(frame) {
                Ok(Frame::Packet(packet)) => Some(packet),
                _ => None,
            })
            .collect();
        let symbols: Vec<String> = packets.iter().map(|p| p.symbol.to_string()).collect();
        let sides = packets.iter().map(|p| if p.side.letter() == b'B' { "B" } else { "S" });
        let mut times = TimestampNanosecondBuilder::new().with_timezone("UTC");
        times.append_nulls(packets.len());
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("symbol", Arc::new(StringArray::from_iter_values(&symbols)), false),
            ("buySellIndicator", Arc::new(StringArray::from_iter_values(sides)), false),
            (
                "quantity",
                Arc::new(Int32Array::from_iter_values(packets.iter().map(|p| p.quantity))),
                false,
            ),
            (
                "price",
                Arc::new(Int32Array::from_iter_values(packets.iter().map(|p| p.price))),
                false,
            ),
            (
                "sequence",
                Arc::new(UInt32Array::from_iter_values(
                    packets.iter().map(|p| u32::try_from(p.sequence).unwrap_or(u32::MAX)),
                )),
                false,
            ),
            ("arrived", Arc::new(times.finish()), true),
            ("origin", new_null_array(&DataType::Utf8, packets.len()), true),
        ];
        let field = |(name, column, null): &(&str, ArrayRef, bool)| {
            Field::new(*name, column.data_type().clone(), *null)
        };
        let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
        let columns = columns.into_iter().map(|(_, column, _)| column).collect();
        batches.push(RecordBatch::try_new(Arc::new(schema), columns)?);
    }
    Ok(batches)
}

/// With the settings that betacrew has.
pub(super) fn write(path: &Path, batches: &[RecordBatch]) -> Result<()> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(GROUP));
    for name in ["sequence", "arrived"] {
        properties = properties
            .set_column_dictionary_enabled(name.into(), false)
            .set_column_encoding(name.into(), Encoding::DELTA_BINARY_PACKED);
    }
    let schema = batches.first().ok_or("no columns")?.schema();
    let file = BufWriter::new(File::create(path)?);
    let mut out = ArrowWriter::try_new(file, schema, Some(properties.build()))?;
    batches.iter().try_for_each(|batch| out.write(batch))?;
    Ok(out.into_inner()?.flush()?)
}
