//! Apache Parquet files, compressed with zstd.

use super::columns::{self, Builder};
use super::guard::guarded;
use super::rows::{BATCH, Batch, COLUMNS};
use super::{Arrival, Each, Encoder, Fault};
use feed::wire::RawFrame;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::io::{self, BufWriter, Write};

/// So many rows are one group. What is encoded of a group is in memory.
const GROUP: usize = 1 << 20;

pub(super) struct Writer {
    out: ArrowWriter<BufWriter<File>>,
    columns: Builder,
}

impl Writer {
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
        Ok(Self { out: out.map_err(failed)?, columns: Builder::new() })
    }
}

impl Encoder for Writer {
    fn put(&mut self, frames: &[RawFrame], arrival: Arrival) -> io::Result<()> {
        let out = &mut self.out;
        self.columns.put(frames, arrival, |full| out.write(full).map_err(failed))
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

pub(super) fn read(file: File, each: &mut Each<'_>) -> Result<(), Fault> {
    let mut reader = guarded(|| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let ours = ProjectionMask::columns(reader.parquet_schema(), COLUMNS);
        reader.with_projection(ours).with_batch_size(BATCH).build()
    })?
    .map_err(fault)?;
    let mut batch = Batch::new(each);
    let mut number = 0;
    while let Some(columns) = guarded(|| reader.next())? {
        columns::read(&columns.map_err(columns::fault)?, &mut number, &mut batch)?;
    }
    batch.flush()?;
    Ok(())
}

fn fault(error: ParquetError) -> Fault {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => (*error).into(),
            Err(error) => Fault::Content(error.to_string()),
        },
        other => Fault::Content(other.to_string()),
    }
}
