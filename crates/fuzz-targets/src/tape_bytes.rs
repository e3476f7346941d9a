//! A tape file with any bytes, by somebody who knows how checksums are made: here they are always
//! right. Opening and reading end, without a panic, and agree with each other.

use arbitrary::Arbitrary;
use core::convert::Infallible;
use feed::base::seq::{FIRST_SEQ, SeqRange};
use feed::ledger::{Origin, Source};
use feed::storage::Storage;
use feed::tape::file::{FileHead, OpenMode, TapeFile};
use feed::tape::in_memory::Tape;
use feed::wire::{SessionId, sequence_of};

/// Memory whose checksums are all the same.
#[derive(Clone, Default, Debug)]
struct Forged(Vec<u8>);

impl Storage for Forged {
    type Error = Infallible;

    fn len(&self) -> Result<u64, Infallible> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<usize, Infallible> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let count = out.len().min(self.0.len() - from);
        out[..count].copy_from_slice(&self.0[from..from + count]);
        Ok(count)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn checksum(_: &[u8]) -> u32 {
        0
    }
}

/// A file that was written, and what was done to it then.
#[derive(Arbitrary, Debug)]
pub(crate) struct Harmed<'a> {
    /// Blocks of so many packets of a tape from there on.
    blocks: Vec<(u8, u8)>,
    finished: bool,
    /// Bytes put over others.
    edits: Vec<(u16, [u8; 4])>,
    cut: u16,
    added: &'a [u8],
}

fn written(harmed: &Harmed<'_>) -> Option<Forged> {
    let tape = Tape::sample(300);
    let head = FileHead { session: Some(SessionId::of(*b"FUZZ")), created: 1, salt: 0 };
    let mut file = TapeFile::create(Forged::default(), head).ok()?;
    for &(first, count) in harmed.blocks.iter().take(20) {
        let range = SeqRange::counted(u64::from(first) + 1, count.into())?;
        let origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
        file.append(origin, first.into(), tape.slice(range)).ok()?;
        file.flush().ok()?;
    }
    if harmed.finished {
        file.finish(5).ok()?;
    }
    let Forged(mut bytes) = file.into_storage();
    for (at, edit) in &harmed.edits {
        let place = usize::from(*at) % bytes.len();
        for (byte, new) in bytes[place..].iter_mut().zip(edit) {
            *byte = *new;
        }
    }
    bytes.truncate(bytes.len() - usize::from(harmed.cut) % bytes.len());
    bytes.extend_from_slice(harmed.added);
    Some(Forged(bytes))
}

pub(crate) fn run(harmed: Harmed<'_>) {
    let Some(storage) = written(&harmed) else { return };
    let _ = feed::tape::file::is_stillborn(&storage);
    let mut damaged = 0;
    let checked = TapeFile::check(storage.clone(), &mut |_| damaged += 1);
    for mode in [OpenMode::Scan, OpenMode::Index] {
        let Ok((mut file, opened)) = TapeFile::open(storage.clone(), mode) else {
            assert!(checked.is_err(), "one way of opening refuses what another takes");
            continue;
        };
        assert!(mode == OpenMode::Index || !opened.indexed);
        let (missing, _) = file.missing().expect("damage is no error");
        let mut before = 0;
        let mut count = 0;
        let mut reading = file.in_order(FIRST_SEQ);
        while let Some(piece) = reading.next().expect("what is damaged was forgotten") {
            for frame in piece.packets() {
                let seq = sequence_of(frame);
                assert!(seq > before && !missing.contains(seq), "{seq} after {before}");
                before = seq;
                count += 1;
            }
        }
        assert!(count <= file.packets());
        assert!(missing.count() + count >= before, "neither there nor missing");
        for seq in [1, before / 2, before, before.saturating_add(1), u64::MAX] {
            let there = file.get(seq).expect("what is damaged was forgotten");
            assert_eq!(there.is_some(), seq >= 1 && seq <= before && !missing.contains(seq));
        }
    }
}
