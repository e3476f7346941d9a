//! Apache Arrow IPC files, which are Feather files of version 2 too.

use super::columns::{self, Builder, failed, fault};
use super::rows::Batch;
use super::{Arrival, Each, Encoder, Fault};
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use feed::wire::RawFrame;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};

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

pub(super) fn read(file: File, each: &mut Each<'_>) -> Result<(), Fault> {
    let mut batch = Batch::new(each);
    let mut number = 0;
    for columns in FileReader::try_new(BufReader::new(file), None).map_err(fault)? {
        columns::read(&columns.map_err(fault)?, &mut number, &mut batch)?;
    }
    batch.flush()?;
    Ok(())
}
