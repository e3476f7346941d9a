//! Counters of packets and bytes written to outputs, which other threads can read.

use crate::format::{Arrival, Encoder, EncoderTarget, Format, Payload, SessionFacts, StreamMark};
use feed::wire::Messages;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one output since the start of the program.
#[derive(Clone, Default, Debug)]
pub struct WriteCounters(Arc<WriteCounts>);

/// Counts that all clones of a [`WriteCounters`] share.
#[derive(Default, Debug)]
struct WriteCounts {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl WriteCounters {
    /// Returns the number of packets and of bytes.
    #[must_use]
    pub fn look(&self) -> (u64, u64) {
        (self.0.packets.load(Ordering::Relaxed), self.0.bytes.load(Ordering::Relaxed))
    }

    /// Adds to the counters.
    pub(crate) fn add(&self, packets: u64, bytes: u64) {
        self.0.packets.fetch_add(packets, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns an encoder of a format that counts what it writes.
    ///
    /// # Errors
    /// Errors of the output.
    pub(crate) fn encoder<'a>(
        &self,
        format: Format,
        payload: Option<Payload>,
        place: EncoderTarget<'a>,
    ) -> io::Result<Box<dyn Encoder + 'a>> {
        let written = self.clone();
        let (place, file) = match place {
            EncoderTarget::File(file, path) if !format.is_sequential() => {
                (EncoderTarget::File(file.try_clone()?, path), Some(file))
            }
            place => {
                let out = place.stream();
                (
                    EncoderTarget::Stream(Box::new(CountingWriter {
                        out,
                        written: written.clone(),
                    })),
                    None,
                )
            }
        };
        let encoder = format.encoder(payload, place);
        Ok(Box::new(CountingEncoder {
            encoder,
            growth: Growth { written, file, len: 0, since: 0 },
        }))
    }
}

/// Counters of all outputs of a recording.
#[derive(Clone, Default, Debug)]
pub struct OutputCounters {
    /// Counters of the tape file.
    pub tape: WriteCounters,
    /// Counters of each output, by its name.
    pub outputs: Vec<(String, WriteCounters)>,
}

/// Writer that counts its bytes.
struct CountingWriter<'a> {
    out: Box<dyn Write + 'a>,
    written: WriteCounters,
}

impl Write for CountingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.written.add(0, count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Encoder that counts its packets, and the bytes of a file that it writes in any order.
struct CountingEncoder<'a> {
    encoder: Box<dyn Encoder + 'a>,
    growth: Growth,
}

/// Number of packets between two checks of a file's length. A check is a system call, and packets
/// may come two at a time.
const CHECK_INTERVAL: u64 = 1 << 14;

/// Growth of a file; counts packets only if the output is not a file.
struct Growth {
    written: WriteCounters,
    file: Option<File>,
    /// Length of the file in bytes at the last check, and number of packets since.
    len: u64,
    since: u64,
}

impl Growth {
    fn put(&mut self, packets: u64) {
        self.written.add(packets, 0);
        self.since += packets;
        if self.since >= CHECK_INTERVAL {
            self.look();
        }
    }

    /// Counts the growth of the file. If the system reports an error, the next call counts it.
    fn look(&mut self) {
        self.since = 0;
        if let Some(Ok(found)) = self.file.as_ref().map(File::metadata) {
            self.written.add(0, found.len().saturating_sub(self.len));
            self.len = found.len().max(self.len);
        }
    }
}

impl Encoder for CountingEncoder<'_> {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        self.encoder.put(messages, arrival)?;
        self.growth.put(messages.len());
        Ok(())
    }

    fn mark(&mut self, mark: StreamMark) -> io::Result<()> {
        self.encoder.mark(mark)
    }

    fn session_facts(&mut self, facts: SessionFacts) -> io::Result<()> {
        self.encoder.session_facts(facts)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { encoder, mut growth } = *self;
        encoder.finish()?;
        growth.look();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::tape::in_memory::Tape;

    #[test]
    fn packets_and_bytes_are_counted_for_text_and_binary_formats() {
        let folder = tempfile::tempdir().unwrap();
        for format in [Format::Json, Format::Ndjson, Format::Csv, Format::Tape] {
            let path = folder.path().join(format.name());
            let file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
            let written = WriteCounters::default();
            let mut encoder =
                written.encoder(format, None, EncoderTarget::File(file, path.clone())).unwrap();
            let tape = Tape::classic();
            encoder.put(Messages::Packets(&tape.frames()[..9]), Arrival::UNKNOWN).unwrap();
            encoder.put(Messages::Packets(&tape.frames()[9..]), Arrival::UNKNOWN).unwrap();
            assert_eq!(written.look().0, 14);
            encoder.finish().unwrap();
            let len = path.metadata().unwrap().len();
            assert_eq!(written.look(), (14, len), "{}", format.name());
        }
    }

    #[test]
    fn what_goes_through_a_pipe_is_counted() {
        let (written, mut out) = (WriteCounters::default(), Vec::new());
        let place = EncoderTarget::Stream(Box::new(&mut out));
        let mut encoder = written.encoder(Format::Csv, None, place).unwrap();
        encoder.put(Messages::Packets(Tape::classic().frames()), Arrival::UNKNOWN).unwrap();
        encoder.finish().unwrap();
        assert_eq!(written.look(), (14, out.len() as u64));
    }
}
