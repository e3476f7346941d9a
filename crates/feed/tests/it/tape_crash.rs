//! A recording that is stopped at any operation goes on to the same bytes as an undisturbed one.

use feed::base::rng::Rng;
use feed::base::seq::{FIRST_SEQ, Seq, SeqRange};
use feed::ledger::{Origin, Source};
use feed::sim::disk::{Disk, DiskFailed};
use feed::tape::file::{Damage, FileHead, OpenMode, TapeFile, TapeFileError, is_stillborn};
use feed::tape::in_memory::Tape;
use feed::wire::{Info, RawFrame, SessionId, sequence_of};
use std::collections::BTreeSet;

const HEAD: FileHead =
    FileHead { session: Some(SessionId::of(*b"TEST")), created: 5, salt: 0x1234_5678_9abc_def0 };
const STREAM: Origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
const RESEND: Origin = Origin { line: 0, source: Source::Resend };

type Failed = TapeFileError<DiskFailed>;

/// State of a recording when it was stopped.
#[derive(Default)]
struct Believed {
    /// Packets that were added.
    added: BTreeSet<Seq>,
    /// Packets that must survive the end of the process, and a loss of power.
    flushed: BTreeSet<Seq>,
    synced: BTreeSet<Seq>,
}

/// Records what is `left` of a tape as a client would: a stream with losses, the resends behind it,
/// flushes and syncs now and then.
fn go_on(
    file: &mut TapeFile<Disk>,
    left: &[RawFrame],
    rng: &mut Rng,
    believed: &mut Believed,
) -> Result<(), Failed> {
    let mut lost: Vec<RawFrame> = Vec::new();
    for piece in left.chunks(rng.between(50, 400) as usize) {
        let (kept, gone): (Vec<_>, Vec<_>) = piece.iter().partition(|_| rng.below(4) > 0);
        for (origin, frames) in [(STREAM, &kept), (RESEND, &lost)] {
            file.append(origin, 7, frames)?;
            believed.added.extend(frames.iter().map(sequence_of));
        }
        lost = gone;
        let step = rng.below(4);
        match step {
            0 => file.flush()?,
            1 => file.sync()?,
            2 => file.finish(9)?,
            _ => {}
        }
        if step < 3 {
            believed.flushed.clone_from(&believed.added);
        }
        if step == 1 {
            believed.synced.clone_from(&believed.added);
        }
    }
    file.append(RESEND, 8, &lost)?;
    file.note_session(Info { session: SessionId::of(*b"TEST"), version: 1, first: 1, last: 9 }, 1)?;
    file.finish(9)
}

/// Opens what a crash has left and returns what is still to be asked for. `safe`: the head was
/// written durably.
fn reopen(disk: Disk, tape: &Tape, safe: bool) -> (TapeFile<Disk>, Vec<RawFrame>) {
    let new = || TapeFile::create(Disk::new(), HEAD).unwrap();
    let mut file = match is_stillborn(&disk).unwrap() {
        true => new(),
        false => match TapeFile::open(disk, OpenMode::Scan) {
            Ok((file, _)) => file,
            Err(TapeFileError::Head(_)) if !safe => new(),
            Err(error) => panic!("{error}"),
        },
    };
    let (missing, _) = file.missing().unwrap();
    let highest = file.span().map_or(0, SeqRange::last);
    let wanted = |frame: &&RawFrame| {
        let seq = sequence_of(frame);
        seq > highest || missing.contains(seq)
    };
    let left = tape.frames().iter().filter(wanted).copied().collect();
    (file, left)
}

fn content(file: &TapeFile<Disk>) -> Vec<RawFrame> {
    let mut all = Vec::new();
    let mut reading = file.in_order(FIRST_SEQ);
    while let Some(piece) = reading.next().unwrap() {
        all.extend_from_slice(piece.packets());
    }
    all
}

/// Stops at the operation after `writes` of them, by the end of the process or of the power.
/// Returns whether the recording was through before.
fn stopped_at(tape: &Tape, seed: u64, writes: u32, power: bool) -> bool {
    let mut rng = Rng::new(seed);
    let mut disk = Disk::new();
    disk.stop_after(writes, rng.below(5000).into());
    let mut believed = Believed::default();
    // A medium that takes not even the head is in the test below.
    let Ok(mut file) = TapeFile::create(disk, HEAD) else { return false };
    let stopped = go_on(&mut file, tape.frames(), &mut rng, &mut believed).is_err();
    let mut disk = file.into_storage();
    if power {
        disk = disk.power_loss(&mut rng);
    }
    let head_safe = !power || !believed.synced.is_empty();
    let (mut file, left) = reopen(Disk::with(disk.bytes().to_vec()), tape, head_safe);

    // Nothing that was durable is asked for again, and nothing is made up.
    let safe = if power { &believed.synced } else { &believed.flushed };
    let again = left.iter().map(sequence_of).find(|seq| safe.contains(seq));
    assert_eq!(again, None, "seed {seed}, stopped after {writes}: durable and asked for again");
    let held = content(&file);
    assert_eq!(held.len() + left.len(), tape.len() as usize, "seed {seed}, {writes}");
    assert!(held.iter().all(|frame| *frame == tape.frames()[sequence_of(frame) as usize - 1]));

    go_on(&mut file, &left, &mut rng, &mut Believed::default()).unwrap();
    assert_eq!(content(&file), tape.frames(), "seed {seed}, stopped after {writes}");
    // What a crash has torn is told from damage: nothing of it is missing.
    let mut damage: Vec<Damage> = Vec::new();
    let (_, opened) = TapeFile::check(file.into_storage(), &mut |at| damage.push(at)).unwrap();
    assert_eq!((opened.indexed, opened.misleading, damage), (true, false, Vec::new()));
    !stopped
}

#[test]
fn stopped_at_any_operation_it_ends_with_the_same_packets() {
    let mut cases = 0;
    for seed in 0..60 {
        let tape = Tape::random(Rng::new(seed).seq_between(1, 3000), seed);
        for power in [false, true] {
            for writes in 0.. {
                cases += 1;
                if stopped_at(&tape, seed, writes, power) {
                    break;
                }
            }
        }
    }
    assert!(cases > 2000, "only {cases} cases");
}

#[test]
fn a_head_that_was_never_whole_is_known_as_such() {
    let whole = TapeFile::create(Disk::new(), HEAD).unwrap().into_storage().bytes().to_vec();
    let stillborn = |bytes: &[u8]| is_stillborn(&Disk::with(bytes.to_vec())).unwrap();
    assert!((0..48).all(|len| stillborn(&whole[..len])));
    assert!(stillborn(&[0; 48]) && stillborn(&[0; 100_000]));
    assert!(!stillborn(&whole), "a whole head");
    assert!(!stillborn(b"my notes") && !stillborn(b"[]"), "somebody's file");
    let mut late = [0; 100_000];
    late[99_999] = 1;
    assert!(!stillborn(&late));
}

#[test]
fn a_medium_that_cannot_be_read_is_an_error_and_never_a_loss() {
    let tape = Tape::random(9000, 5);
    let mut file = TapeFile::create(Disk::new(), HEAD).unwrap();
    go_on(&mut file, tape.frames(), &mut Rng::new(5), &mut Believed::default()).unwrap();
    let disk = file.into_storage();
    let read = |mode: OpenMode, reads: Option<u32>| -> Result<usize, Failed> {
        disk.fail_reads_after(reads);
        let (mut file, _) = TapeFile::open(disk.clone(), mode)?;
        assert!(file.get(4500)?.is_some());
        assert_eq!(file.missing()?.0.count(), 0);
        let (mut reading, mut count) = (file.in_order(FIRST_SEQ), 0);
        while let Some(piece) = reading.next()? {
            count += piece.packets().len();
        }
        Ok(count)
    };
    for mode in [OpenMode::Index, OpenMode::Scan] {
        assert_eq!(read(mode, None).unwrap(), 9000);
        let mut failed = 0;
        while let Err(error) = read(mode, Some(failed)) {
            assert!(matches!(error, TapeFileError::Storage(DiskFailed)), "{error}");
            failed += 1;
        }
        assert!(failed > 20, "only {failed} reads");
    }
}
