//! A tape file as an operation list: packets are added, flushed, read; the process or the power
//! fails, the disk is full; it is opened again. Nothing that was said to be safe is lost, and
//! nothing is there that was not added.

use arbitrary::Arbitrary;
use feed::base::rng::Rng;
use feed::base::seq::{FIRST_SEQ, Seq};
use feed::ledger::{Origin, Source};
use feed::sim::disk::Disk;
use feed::tape::file::{FileHead, OpenMode, TapeFile, is_stillborn};
use feed::tape::in_memory::Tape;
use feed::wire::{RawFrame, SessionId, sequence_of};
use std::collections::BTreeSet;
use std::sync::LazyLock;

static TAPE: LazyLock<Tape> = LazyLock::new(|| Tape::sample(6000));
const HEAD: FileHead =
    FileHead { session: Some(SessionId::of(*b"FUZZ")), created: 1, salt: 0x5a17 };

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Op {
    /// Append packets that were not appended before.
    Append {
        line: u8,
        resend: bool,
        first: u16,
        count: u16,
    },
    Flush,
    Sync,
    Finish,
    Get(u16),
    Read,
    /// Fill the disk after this number of bytes; then end the process.
    Full(u16),
    Kill,
    Power(u64),
    Reopen {
        by_index: bool,
    },
}

/// Packets that must be in the file.
#[derive(Default)]
struct Believed {
    added: BTreeSet<Seq>,
    flushed: BTreeSet<Seq>,
    synced: BTreeSet<Seq>,
    /// True once the file's head is safe.
    begun: bool,
}

struct World {
    file: TapeFile<Disk>,
    believed: Believed,
}

fn empty() -> TapeFile<Disk> {
    TapeFile::create(Disk::new(), HEAD).expect("there is room")
}

impl World {
    fn new() -> Self {
        Self { file: empty(), believed: Believed::default() }
    }

    fn append(&mut self, line: u8, resend: bool, first: u16, count: u16) {
        let source = if resend { Source::Resend } else { Source::Stream { pass: 1 } };
        let origin = Origin { line: u16::from(line % 12), source };
        let from = usize::from(first) % TAPE.frames().len();
        let to = (from + usize::from(count)).min(TAPE.frames().len());
        for run in TAPE.frames()[from..to]
            .chunk_by(|a, b| {
                self.believed.added.contains(&sequence_of(a))
                    == self.believed.added.contains(&sequence_of(b))
            })
            .map(<[_]>::to_vec)
            .collect::<Vec<_>>()
        {
            if !self.believed.added.contains(&sequence_of(&run[0])) {
                self.file.append(origin, 7, &run).expect("the disk does not fail");
                self.believed.added.extend(run.iter().map(sequence_of));
            }
        }
    }

    /// Checks that the packets read are in order, were appended, and include all flushed ones.
    fn read(&self) -> BTreeSet<Seq> {
        let mut there = BTreeSet::new();
        let mut before = 0;
        let mut reading = self.file.in_order(FIRST_SEQ);
        while let Some(piece) = reading.next().expect("nothing is damaged") {
            for frame in piece.packets() {
                let seq = sequence_of(frame);
                assert!(seq > before && *frame == TAPE.frames()[seq as usize - 1]);
                before = seq;
                there.insert(seq);
            }
        }
        assert!(there.is_subset(&self.believed.added) && there.is_superset(&self.believed.flushed));
        there
    }

    fn flushed(&mut self) {
        self.believed.flushed.clone_from(&self.believed.added);
    }

    /// Opens the file again and continues.
    fn reopen(&mut self, disk: Disk, mode: OpenMode, power: bool) {
        let mut disk = disk;
        disk.limit(None);
        let Believed { added, flushed, synced, begun } = std::mem::take(&mut self.believed);
        let safe = if power { &synced } else { &flushed };
        if is_stillborn(&disk).expect("the disk can be read") {
            assert!(power && !begun, "a head that was safe is gone");
            *self = Self::new();
            return;
        }
        let (mut file, _) = match TapeFile::open(disk, mode) {
            Ok(opened) => opened,
            Err(error) => {
                assert!(power && !begun, "{error}");
                *self = Self::new();
                return;
            }
        };
        let (missing, _) = file.missing().expect("the disk can be read");
        let highest = file.span().map_or(0, |span| span.last());
        let there: BTreeSet<Seq> = (1..=highest).filter(|&seq| !missing.contains(seq)).collect();
        assert!(there.is_superset(safe), "what was safe is lost");
        assert!(there.is_subset(&added), "what was never added is there");
        assert_eq!(there.len() as u64, file.packets());
        self.file = file;
        let synced = if power { there.clone() } else { synced };
        self.believed = Believed { added: there.clone(), flushed: there, synced, begun };
        self.read();
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Append { line, resend, first, count } => {
                self.append(line, resend, first, count % 5000);
            }
            Op::Flush => {
                self.file.flush().expect("the disk does not fail");
                self.flushed();
            }
            Op::Sync => {
                self.file.sync().expect("the disk does not fail");
                self.flushed();
                self.believed.synced.clone_from(&self.believed.added);
                self.believed.begun = true;
            }
            Op::Finish => {
                self.file.finish(9).expect("the disk does not fail");
                self.flushed();
            }
            Op::Get(seq) => {
                let seq = Seq::from(seq);
                let got = self.file.get(seq).expect("nothing is damaged");
                assert_eq!(got.is_some(), self.believed.added.contains(&seq));
            }
            Op::Read => drop(self.read()),
            _ => self.fail(op),
        }
    }

    fn fail(&mut self, op: Op) {
        let file = std::mem::replace(&mut self.file, empty());
        let (disk, mode, power) = match op {
            Op::Full(room) => {
                // The process before has ended; a new one runs into the limit.
                self.reopen(file.into_storage(), OpenMode::Scan, false);
                let mut disk = std::mem::replace(&mut self.file, empty()).into_storage();
                disk.limit(Some(room.into()));
                let (mut file, _) = TapeFile::open(disk, OpenMode::Scan).expect("it can be read");
                let absent = |frame: &&RawFrame| !self.believed.added.contains(&sequence_of(frame));
                let left: Vec<_> =
                    TAPE.frames().iter().filter(absent).take(2000).copied().collect();
                let origin = Origin { line: 0, source: Source::Resend };
                if file.append(origin, 8, &left).and_then(|()| file.flush()).is_ok() {
                    self.believed.flushed.extend(left.iter().map(sequence_of));
                }
                self.believed.added.extend(left.iter().map(sequence_of));
                (file.into_storage(), OpenMode::Scan, false)
            }
            Op::Power(seed) => {
                (file.into_storage().power_loss(&mut Rng::new(seed)), OpenMode::Scan, true)
            }
            Op::Reopen { by_index } => {
                let mut file = file;
                file.finish(11).expect("the disk does not fail");
                self.flushed();
                let mode = if by_index { OpenMode::Index } else { OpenMode::Scan };
                (file.into_storage(), mode, false)
            }
            _ => (file.into_storage(), OpenMode::Scan, false),
        };
        self.reopen(disk, mode, power);
    }
}

pub(crate) fn run(ops: Vec<Op>) {
    let mut world = World::new();
    ops.into_iter().take(60).for_each(|op| world.run(op));
}
