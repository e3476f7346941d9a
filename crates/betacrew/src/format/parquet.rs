//! Apache Parquet files, compressed with zstd.

use super::columns::{self, ColumnBuilder, ColumnRows};
use super::guard::guarded;
use super::pages;
use super::rows::COLUMNS;
use super::table::columns::TableBuilder;
use super::table::{self, ColumnKind, Table};
use super::{Arrival, Encoder, MessageConsumer, ReadError};
use crate::storage::FileStorage;
use feed::storage::Storage;
use feed::wire::Messages;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetStatisticsPolicy;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::SchemaDescriptor;
use std::fs::File;
use std::io::{self, BufWriter, Write};

/// Number of rows in a group, which is encoded in memory.
const GROUP: usize = 1 << 20;

pub(super) struct ParquetWriter {
    out: ArrowWriter<BufWriter<File>>,
    columns: ColumnBuilder,
}

impl ParquetWriter {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP));
        // These ascend; a dictionary of them would have every value.
        for name in [COLUMNS[4], COLUMNS[5]] {
            properties = properties
                .set_column_dictionary_enabled(name.into(), false)
                .set_column_encoding(name.into(), Encoding::DELTA_BINARY_PACKED);
        }
        let file = BufWriter::new(file);
        let out = ArrowWriter::try_new(file, columns::schema(), Some(properties.build()));
        Ok(Self { out: out.map_err(failed)?, columns: ColumnBuilder::new() })
    }
}

/// Writer of messages of any length.
pub(super) struct ParquetTableWriter {
    out: ArrowWriter<BufWriter<File>>,
    columns: TableBuilder,
}

impl ParquetTableWriter {
    pub(super) fn new(file: File, table: &'static Table) -> io::Result<Self> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP));
        let ascending = [ColumnKind::Sequence, ColumnKind::TimeOfDay, ColumnKind::Arrived];
        for column in table.columns().iter().filter(|column| ascending.contains(&column.kind)) {
            properties = properties
                .set_column_dictionary_enabled(column.name.into(), false)
                .set_column_encoding(column.name.into(), Encoding::DELTA_BINARY_PACKED);
        }
        let (file, schema) = (BufWriter::new(file), table::columns::schema(table));
        let out = ArrowWriter::try_new(file, schema, Some(properties.build()));
        Ok(Self { out: out.map_err(failed)?, columns: TableBuilder::new(table) })
    }
}

impl Encoder for ParquetTableWriter {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        let out = &mut self.out;
        self.columns.put(messages, arrival, |full| out.write(full).map_err(failed))
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let rest = self.columns.take()?;
        self.out.write(&rest).map_err(failed)?;
        self.out.into_inner().map_err(failed)?.flush()
    }
}

impl Encoder for ParquetWriter {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        let out = &mut self.out;
        self.columns.put(messages.packets(), arrival, |full| out.write(full).map_err(failed))
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let rest = self.columns.take()?;
        self.out.write(&rest).map_err(failed)?;
        self.out.into_inner().map_err(failed)?.flush()
    }
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        other => io::Error::other(other),
    }
}

/// Maximum size in bytes of a file's metadata: 20,000 row groups with all that can be said of our
/// columns take half of it.
const METADATA_MAX: u64 = 16 << 20;

/// Number of last bytes of a file: the length of its metadata, and the magic number.
const TRAILER_LEN: usize = 8;

pub(super) fn read(file: File, each: &mut MessageConsumer<'_>) -> Result<(), ReadError> {
    let storage = FileStorage::of(file.try_clone()?)?;
    let mut trailer = [0; TRAILER_LEN];
    storage.read_at(storage.len()?.saturating_sub(TRAILER_LEN as u64), &mut trailer)?;
    let [a, b, c, d, ..] = trailer;
    let metadata_len = u64::from(u32::from_le_bytes([a, b, c, d]));
    if trailer[4..] == *b"PAR1" && metadata_len > METADATA_MAX {
        return Err(ReadError::Content(format!(
            "its metadata has {metadata_len} bytes, more than {METADATA_MAX}: write it in larger \
             row groups"
        )));
    }
    let builder = guarded(|| {
        let options = ArrowReaderOptions::new()
            // The types of Parquet say enough. Those of Arrow beside them would be one more
            // flatbuffer to be careful with.
            .with_skip_arrow_metadata(true)
            .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll);
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
    })?
    .map_err(fault)?;
    let table = columns::check(builder.schema())?;
    let columns = leaves(builder.parquet_schema(), &columns::names(table));
    let rows = guarded(|| pages::check(&storage, builder.metadata(), &columns))??;
    let mut reader = guarded(|| {
        let ours = ProjectionMask::leaves(builder.parquet_schema(), columns);
        builder.with_projection(ours).with_batch_size(rows).build()
    })?
    .map_err(fault)?;
    let mut rows = ColumnRows::new(table, each);
    while let Some(columns) = guarded(|| reader.next())? {
        rows.read(&columns.map_err(columns::fault)?)?;
    }
    rows.finish()
}

/// Returns the indices of the columns with these names, which must not be structs.
fn leaves(schema: &SchemaDescriptor, names: &[&str]) -> Vec<usize> {
    let ours = |at: &usize| {
        let path = schema.column(*at);
        matches!(path.path().parts(), [name] if names.contains(&name.as_str()))
    };
    (0..schema.num_columns()).filter(ours).collect()
}

fn fault(error: ParquetError) -> ReadError {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => columns::io_fault(*error),
            Err(error) => ReadError::Content(error.to_string()),
        },
        other => ReadError::Content(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_is_bounded() {
        let said = |len: u64| {
            let mut file = tempfile::tempfile().unwrap();
            let len = u32::try_from(len).unwrap().to_le_bytes();
            file.write_all(&[&b"PAR1"[..], &len, b"PAR1"].concat()).unwrap();
            match read(file, &mut |_, _| Ok(())) {
                Err(ReadError::Content(reason)) => reason,
                other => panic!("{other:?}"),
            }
        };
        assert!(!said(METADATA_MAX).contains("larger row groups"));
        assert!(said(METADATA_MAX + 1).contains("16777217 bytes, more than 16777216"));
    }
}
