//! Apache Arrow IPC files, which are Feather files of version 2 too. Without compression, so that
//! no length in a file makes this program reserve more memory than the file has bytes.

use super::columns::{self, Builder, failed, fault};
use super::guard::guarded;
use super::rows::{Batch, COLUMNS};
use super::{Arrival, Each, Encoder, Fault};
use crate::file::FileStorage;
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::writer::FileWriter;
use arrow_ipc::{Footer, root_as_footer};
use arrow_schema::ArrowError;
use feed::storage::Storage;
use feed::wire::RawFrame;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

pub(super) struct Writer {
    out: FileWriter<BufWriter<File>>,
    columns: Builder,
}

impl Writer {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let out = FileWriter::try_new(BufWriter::new(file), &columns::schema()).map_err(failed)?;
        Ok(Self { out, columns: Builder::new() })
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

/// The file's last bytes: the length of its footer, and the magic number.
const TRAILER_LEN: usize = 10;

pub(super) fn read(file: File, each: &mut Each<'_>) -> Result<(), Fault> {
    let len = file.metadata()?.len();
    let storage = FileStorage::of(file)?;
    // What a damaged file says of its own parts is not believed: they lie within it.
    let part = |offset: u64, part_len: u64| {
        if offset.checked_add(part_len).is_none_or(|end| end > len) {
            return Err(Fault::Content("it is no whole Arrow file".to_owned()));
        }
        let mut bytes = vec![0; usize::try_from(part_len).unwrap_or(0)];
        storage.read_at(offset, &mut bytes)?;
        Ok(bytes)
    };
    let trailer_at = len.saturating_sub(TRAILER_LEN as u64);
    let mut trailer = [0; TRAILER_LEN];
    storage.read_at(trailer_at, &mut trailer)?;
    let footer_len = read_footer_length(trailer).map_err(fault)? as u64;
    let footer = part(trailer_at.saturating_sub(footer_len), footer_len)?;
    let footer = root_as_footer(&footer).map_err(|error| Fault::Content(error.to_string()))?;
    let decoder = guarded(|| decoder(&footer))?.map_err(fault)?;
    let mut batch = Batch::new(each);
    let mut number = 0;
    for block in footer.recordBatches().iter().flatten() {
        let lens = (u64::try_from(block.metaDataLength()), u64::try_from(block.bodyLength()));
        let (Ok(offset), (Ok(head), Ok(body))) = (u64::try_from(block.offset()), lens) else {
            return Err(Fault::Content("it has a negative length".to_owned()));
        };
        let bytes = Buffer::from_vec(part(offset, head.saturating_add(body))?);
        let columns = guarded(|| decoder.read_record_batch(block, &bytes))?.map_err(fault)?;
        if let Some(columns) = columns {
            columns::read(&columns, &mut number, &mut batch)?;
        }
    }
    batch.flush()?;
    Ok(())
}

/// A decoder of our columns alone.
fn decoder(footer: &Footer<'_>) -> Result<FileDecoder, ArrowError> {
    let schema = footer
        .schema()
        .ok_or_else(|| ArrowError::ParseError("its footer has no schema".to_owned()))?;
    let schema = try_fb_to_schema(schema)?;
    let ours = COLUMNS.iter().filter_map(|name| schema.index_of(name).ok()).collect();
    Ok(FileDecoder::new(Arc::new(schema), footer.version()).with_projection(ours))
}
