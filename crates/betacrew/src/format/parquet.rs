//! Apache Parquet files, compressed with zstd.

use super::columns::{self, BatchBuilder, ColumnBuilder, ColumnRows};
use super::guard::guarded;
use super::pages;
use super::rows::COLUMNS;
use super::table::columns::TableBuilder;
use super::table::{self, ColumnKind, Table};
use super::{Arrival, Encoder, MessageConsumer, ReadError};
use crate::storage::FileStorage;
use arrow_schema::SchemaRef;
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

/// Writer of a Parquet file.
pub(super) struct ParquetWriter<B> {
    out: ArrowWriter<BufWriter<File>>,
    columns: B,
}

impl ParquetWriter<ColumnBuilder> {
    /// Creates a writer of packets.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let ascending = [COLUMNS[4], COLUMNS[5]];
        Self::of(file, columns::schema(), ascending, ColumnBuilder::new())
    }
}

impl ParquetWriter<TableBuilder> {
    /// Creates a writer of other messages.
    pub(super) fn with_columns_of(file: File, table: &'static Table) -> io::Result<Self> {
        let kinds = [ColumnKind::Sequence, ColumnKind::TimeOfDay, ColumnKind::Arrived];
        let ascending = table.columns().iter().filter(|column| kinds.contains(&column.kind));
        let ascending = ascending.map(|column| column.name);
        Self::of(file, table::columns::schema(table), ascending, TableBuilder::new(table))
    }
}

impl<B> ParquetWriter<B> {
    fn of(
        file: File,
        schema: SchemaRef,
        ascending: impl IntoIterator<Item = &'static str>,
        columns: B,
    ) -> io::Result<Self> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP));
        // A dictionary of a column that ascends would have every value.
        for name in ascending {
            properties = properties
                .set_column_dictionary_enabled(name.into(), false)
                .set_column_encoding(name.into(), Encoding::DELTA_BINARY_PACKED);
        }
        let out = ArrowWriter::try_new(BufWriter::new(file), schema, Some(properties.build()));
        Ok(Self { out: out.map_err(failed)?, columns })
    }
}

impl<B: BatchBuilder> Encoder for ParquetWriter<B> {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        let out = &mut self.out;
        self.columns.put(messages, arrival, &mut |full| out.write(full).map_err(failed))
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
