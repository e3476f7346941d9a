//! Apache Arrow IPC files, which are Feather files of version 2 too. They are written without
//! compression. What compressed ones unpack to is bounded before they are unpacked.
//!
//! A pipe gets the streaming form of Arrow IPC, which has the same batches and no footer.

use super::bounded::UNPACKED_MAX;
use super::columns::{self, BatchBuilder, ColumnBuilder, ColumnRows, failed, fault};
use super::guard::guarded;
use super::table::columns::TableBuilder;
use super::table::{self, Table};
use super::{Arrival, Encoder, EncoderTarget, MessageConsumer, ReadError};
use crate::storage::FileStorage;
use arrow_array::RecordBatch as Rows;
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_ipc::{
    Block, CompressionType, Footer, Message, RecordBatch, root_as_footer_with_opts,
    root_as_message_with_opts,
};
use arrow_schema::{Schema, SchemaRef};
use feed::storage::Storage;
use feed::wire::Messages;
use flatbuffers::{InvalidFlatbuffer, VerifierOptions};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

/// Writer of batches, in the form that the output takes.
enum BatchWriter<'a> {
    File(FileWriter<BufWriter<File>>),
    Stream(StreamWriter<BufWriter<Box<dyn Write + 'a>>>),
}

impl<'a> BatchWriter<'a> {
    fn new(
        target: EncoderTarget<'a>,
        schema: &Schema,
        options: IpcWriteOptions,
    ) -> io::Result<Self> {
        let writer = match target {
            EncoderTarget::File(file, _) => {
                FileWriter::try_new_with_options(BufWriter::new(file), schema, options)
                    .map(Self::File)
            }
            EncoderTarget::Stream(out) => {
                StreamWriter::try_new_with_options(BufWriter::new(out), schema, options)
                    .map(Self::Stream)
            }
        };
        writer.map_err(failed)
    }

    fn write(&mut self, batch: &Rows) -> io::Result<()> {
        let done = match self {
            Self::File(out) => out.write(batch),
            Self::Stream(out) => out.write(batch),
        };
        done.map_err(failed)
    }

    fn finish(self, rest: &Rows) -> io::Result<()> {
        let mut writer = self;
        writer.write(rest)?;
        match writer {
            Self::File(out) => out.into_inner().map_err(failed)?.flush(),
            Self::Stream(out) => out.into_inner().map_err(failed)?.flush(),
        }
    }
}

/// Writer of Arrow files and streams.
pub(super) struct ArrowWriter<'a, B> {
    out: BatchWriter<'a>,
    columns: B,
}

impl<'a> ArrowWriter<'a, ColumnBuilder> {
    /// Creates a writer of packets.
    pub(super) fn new(target: EncoderTarget<'a>) -> io::Result<Self> {
        let out = BatchWriter::new(target, &columns::schema(), IpcWriteOptions::default())?;
        Ok(Self { out, columns: ColumnBuilder::new() })
    }
}

impl<'a> ArrowWriter<'a, TableBuilder> {
    /// Creates a writer of other messages. Its batches are compressed, because most of their values
    /// are null, and a null takes as many bytes as a value.
    pub(super) fn with_columns_of(
        target: EncoderTarget<'a>,
        table: &'static Table,
    ) -> io::Result<Self> {
        let options = IpcWriteOptions::default()
            .try_with_compression(Some(CompressionType::LZ4_FRAME))
            .map_err(failed)?;
        let out = BatchWriter::new(target, &table::columns::schema(table), options)?;
        Ok(Self { out, columns: TableBuilder::new(table) })
    }
}

impl<B: BatchBuilder> Encoder for ArrowWriter<'_, B> {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        let out = &mut self.out;
        self.columns.put(messages, arrival, &mut |full| out.write(full))
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let rest = self.columns.take()?;
        self.out.finish(&rest)
    }
}

/// Number of last bytes of a file: the length of its footer, and the magic number.
const TRAILER_LEN: usize = 10;

/// Bytes before the length of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Maximum number of tables of a flatbuffer: a field takes two or three. What they refer to may be
/// shared, so that a few bytes can name a million fields.
const TABLES_MAX: usize = 50_000;

/// Maximum size in bytes of a flatbuffer when everything that is shared in it is written out.
const APPARENT_MAX: usize = 64 << 20;

/// A compressed batch above [`UNPACKED_MAX`] may unpack to this many times its size.
const EXPANSION: u64 = 16;

pub(super) fn read(file: File, each: &mut MessageConsumer<'_>) -> Result<(), ReadError> {
    let parts = ArrowBlocks { len: file.metadata()?.len(), storage: FileStorage::of(file)? };
    let footer = parts.footer()?;
    let footer =
        root_as_footer_with_opts(&verifier(), &footer).map_err(|error| unreadable(&error))?;
    let fields = guarded(|| ArrowFields::of(&footer))??;
    let mut decoder = FileDecoder::new(Arc::clone(&fields.schema), footer.version())
        .with_projection(fields.ours.clone());
    parts.check_blocks(&footer)?;
    // What all dictionaries have taken, and copies of those that grow.
    let mut taken = 0;
    for block in footer.dictionaries().iter().flatten() {
        let bytes = parts.block(block)?;
        let message = parts.message(block, &bytes)?;
        let Some(dictionary) = message.header_as_dictionary_batch() else { continue };
        if !fields.dictionaries.contains(&dictionary.id()) {
            continue;
        }
        let unpacked = dictionary.data().map_or(0, |batch| unpacked(&batch, block, &bytes));
        taken += unpacked.max(bytes.len() as u64) + if dictionary.isDelta() { taken } else { 0 };
        within(taken, UNPACKED_MAX)?;
        guarded(|| decoder.read_dictionary(block, &bytes))?.map_err(fault)?;
    }
    let mut rows = ColumnRows::new(fields.table, each);
    for block in footer.recordBatches().iter().flatten() {
        let bytes = parts.block(block)?;
        if let Some(columns) = parts.message(block, &bytes)?.header_as_record_batch() {
            within(unpacked(&columns, block, &bytes), most_unpacked(bytes.len()))?;
        }
        let columns = guarded(|| decoder.read_record_batch(block, &bytes))?.map_err(fault)?;
        if let Some(columns) = columns {
            rows.read(&columns)?;
        }
    }
    rows.finish()
}

/// Parts of a file, which are checked to lie within it because a damaged file may claim anything.
struct ArrowBlocks {
    storage: FileStorage,
    len: u64,
}

impl ArrowBlocks {
    fn part(&self, offset: u64, part_len: u64) -> Result<Vec<u8>, ReadError> {
        if offset.checked_add(part_len).is_none_or(|end| end > self.len) {
            return Err(ReadError::Content("it is no whole Arrow file".to_owned()));
        }
        let mut bytes = vec![0; usize::try_from(part_len).unwrap_or(0)];
        self.storage.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    fn footer(&self) -> Result<Vec<u8>, ReadError> {
        let trailer_at = self.len.saturating_sub(TRAILER_LEN as u64);
        let mut trailer = [0; TRAILER_LEN];
        self.storage.read_at(trailer_at, &mut trailer)?;
        let footer_len = read_footer_length(trailer).map_err(fault)? as u64;
        self.part(trailer_at.saturating_sub(footer_len), footer_len)
    }

    /// Checks that blocks do not overlap, because shared bytes would let a small file take for
    /// ever.
    fn check_blocks(&self, footer: &Footer<'_>) -> Result<(), ReadError> {
        let lists = [footer.dictionaries(), footer.recordBatches()];
        let blocks = lists.iter().flatten().flatten();
        let lens = blocks.map(|block| {
            let head = u64::try_from(block.metaDataLength()).unwrap_or(0);
            head.saturating_add(u64::try_from(block.bodyLength()).unwrap_or(0))
        });
        match lens.fold(0, u64::saturating_add) <= self.len {
            true => Ok(()),
            false => Err(ReadError::Content("its parts are together larger than it is".to_owned())),
        }
    }

    /// Returns the bytes of a block: its message, then its buffers.
    fn block(&self, block: &Block) -> Result<Buffer, ReadError> {
        let lens = (u64::try_from(block.metaDataLength()), u64::try_from(block.bodyLength()));
        let (Ok(offset), (Ok(head), Ok(body))) = (u64::try_from(block.offset()), lens) else {
            return Err(ReadError::Content("it has a negative length".to_owned()));
        };
        Ok(Buffer::from_vec(self.part(offset, head.saturating_add(body))?))
    }

    fn message<'a>(&self, block: &Block, bytes: &'a [u8]) -> Result<Message<'a>, ReadError> {
        let head = bytes.get(..usize::try_from(block.metaDataLength()).unwrap_or(0));
        // Files written before 2019 have only the length.
        let message = head.and_then(|head| match head.strip_prefix(&CONTINUATION) {
            Some(rest) => rest.get(4..),
            None => head.get(4..),
        });
        let short = || ReadError::Content("it has a block without a message".to_owned());
        root_as_message_with_opts(&verifier(), message.ok_or_else(short)?)
            .map_err(|error| unreadable(&error))
    }
}

fn verifier() -> VerifierOptions {
    VerifierOptions {
        max_tables: TABLES_MAX,
        max_apparent_size: APPARENT_MAX,
        ..VerifierOptions::default()
    }
}

fn unreadable(error: &InvalidFlatbuffer) -> ReadError {
    ReadError::Content(error.to_string())
}

/// Returns the maximum number of bytes that a batch of this many bytes may unpack to.
fn most_unpacked(len: usize) -> u64 {
    UNPACKED_MAX.max(EXPANSION.saturating_mul(len as u64))
}

fn within(bytes: u64, most: u64) -> Result<(), ReadError> {
    match bytes <= most {
        true => Ok(()),
        false => Err(ReadError::Content(format!(
            "a part of it unpacks to {bytes} bytes, more than the {most} that are read at one \
             time: write it in smaller record batches"
        ))),
    }
}

/// Returns the number of bytes that the buffers of a batch declare to unpack to, or zero without
/// compression.
fn unpacked(batch: &RecordBatch<'_>, block: &Block, bytes: &[u8]) -> u64 {
    if batch.compression().is_none() {
        return 0;
    }
    let body = usize::try_from(block.metaDataLength()).ok().and_then(|at| bytes.get(at..));
    let said = |buffer: &arrow_ipc::Buffer| {
        let at = usize::try_from(buffer.offset()).ok()?;
        let said = i64::from_le_bytes(*body?.get(at..)?.first_chunk()?);
        // A negative length is the mark of a buffer that is not compressed.
        u64::try_from(said).ok()
    };
    batch.buffers().iter().flatten().filter_map(said).fold(0, u64::saturating_add)
}

/// Fields of a file that are read.
struct ArrowFields {
    schema: SchemaRef,
    /// Table of the messages; `None` for order packets.
    table: Option<&'static Table>,
    /// Indices of the columns to read.
    ours: Vec<usize>,
    /// Dictionaries of the columns to read.
    dictionaries: Vec<i64>,
}

impl ArrowFields {
    fn of(footer: &Footer<'_>) -> Result<Self, ReadError> {
        let written = footer
            .schema()
            .ok_or_else(|| ReadError::Content("its footer has no schema".to_owned()))?;
        if !written.endianness().equals_to_target_endianness() {
            return Err(ReadError::Content("its numbers have another byte order".to_owned()));
        }
        let schema = try_fb_to_schema(written).map_err(fault)?;
        let table = columns::check(&schema)?;
        let names = columns::names(table);
        let ours: Vec<usize> = names.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let dictionary = |&at: &usize| Some(written.fields()?.get(at).dictionary()?.id());
        let dictionaries = ours.iter().filter_map(dictionary).collect();
        let fields = schema.fields().iter().enumerate().map(|(at, field)| {
            let field = field.as_ref().clone();
            match ours.contains(&at) {
                true => {
                    let kind = columns::undecoded(field.data_type());
                    field.with_data_type(kind)
                }
                false => field,
            }
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { schema, table, ours, dictionaries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::tape::in_memory::Tape;

    /// A compressed file of two batches, the first of one row, and how it is read.
    fn compressed() -> Vec<u8> {
        let options = IpcWriteOptions::default();
        let options = options.try_with_compression(Some(CompressionType::ZSTD)).unwrap();
        let schema = columns::schema();
        let mut out = FileWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
        let tape = Tape::sample(20_000);
        for frames in [&tape.frames()[..1], &tape.frames()[1..]] {
            let mut columns = ColumnBuilder::new();
            columns.put(Messages::Packets(frames), Arrival::UNKNOWN, &mut |_| Ok(())).unwrap();
            out.write(&columns.take().unwrap()).unwrap();
        }
        out.into_inner().unwrap()
    }

    fn read_bytes(bytes: &[u8]) -> Result<u64, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut packets = 0;
        let done = read(file, &mut |frames, _| {
            packets += frames.len();
            Ok(())
        });
        match done {
            Ok(()) => Ok(packets),
            Err(ReadError::Content(reason)) => Err(reason),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_part_unpacks_to_is_bounded() {
        assert_eq!(most_unpacked(0), UNPACKED_MAX);
        assert_eq!(most_unpacked(16 << 20), UNPACKED_MAX);
        assert_eq!(most_unpacked(17 << 20), 272 << 20);
        assert!(within(UNPACKED_MAX, UNPACKED_MAX).is_ok());
        assert!(within(UNPACKED_MAX + 1, UNPACKED_MAX).is_err());
        let mut bytes = compressed();
        assert_eq!(read_bytes(&bytes), Ok(20_000));
        // Before a compressed buffer stands how long it is without compression.
        let frame = bytes.windows(4).rposition(|four| four == b"\x28\xb5\x2f\xfd").unwrap();
        bytes[frame - 8..frame].copy_from_slice(&(UNPACKED_MAX + 1).to_le_bytes());
        let reason = read_bytes(&bytes).unwrap_err();
        assert!(reason.starts_with("a part of it unpacks to 26"), "{reason}");
        bytes[frame - 8..frame].copy_from_slice(&1u64.to_le_bytes());
        assert!(read_bytes(&bytes).is_err());
    }

    #[test]
    fn parts_that_share_their_bytes_are_refused() {
        let mut bytes = compressed();
        let parts = ArrowBlocks {
            len: bytes.len() as u64,
            storage: {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&bytes).unwrap();
                FileStorage::of(file).unwrap()
            },
        };
        let footer = parts.footer().unwrap();
        let footer = root_as_footer_with_opts(&verifier(), &footer).unwrap();
        let blocks: Vec<[u8; 24]> =
            footer.recordBatches().unwrap().iter().map(|block| block.0).collect();
        let small = bytes.windows(24).rposition(|window| window == blocks[0]).unwrap();
        bytes[small..small + 24].copy_from_slice(&blocks[1]);
        assert_eq!(read_bytes(&bytes).unwrap_err(), "its parts are together larger than it is");
    }
}
