//! The tape file: what is written is read back, in order, whatever happens to the medium.

use feed::base::rng::Rng;
use feed::base::seq::{Seq, SeqRange, SeqSet};
use feed::ledger::{Origin, Source};
use feed::sim::disk::Disk;
use feed::storage::Storage;
use feed::tape::file::{FileHead, FileHeadError, OpenMode, TapeFile, TapeFileError};
use feed::tape::in_memory::Tape;
use feed::wire::{Info, RawFrame, SessionId, sequence_of};
use std::collections::BTreeMap;

const HEAD: FileHead =
    FileHead { session: Some(SessionId::of(*b"TEST")), created: 5, salt: 0x1234_5678_9abc_def0 };

fn new() -> TapeFile<Disk> {
    TapeFile::create(Disk::new(), HEAD).unwrap()
}

fn origin(source: u32) -> Origin {
    let source = if source == 0 { Source::Resend } else { Source::Stream { pass: source } };
    Origin { line: 0, source }
}

/// Reads all packets in order.
fn read(file: &TapeFile<Disk>, from: Seq) -> Vec<RawFrame> {
    let mut all = Vec::new();
    let mut reading = file.in_order(from);
    while let Some(piece) = reading.next().unwrap() {
        assert!(!piece.packets().is_empty());
        all.extend_from_slice(piece.packets());
    }
    let (mut reading, mut merged) = (file.in_order(from), Vec::new());
    while let frames @ [_, ..] = reading.merged().unwrap().packets() {
        merged.extend_from_slice(frames);
    }
    assert_eq!(merged, all, "many at once are the same");
    all
}

/// Adds the frames of a tape in random pieces, streams and resends mixed, each frame once; `step`
/// is called after each piece. Returns what was added.
fn record(
    file: &mut TapeFile<Disk>,
    tape: &Tape,
    rng: &mut Rng,
    mut step: impl FnMut(
        &mut TapeFile<Disk>,
        &mut Rng,
    ) -> Result<(), TapeFileError<feed::sim::disk::DiskFailed>>,
) -> Result<BTreeMap<Seq, RawFrame>, BTreeMap<Seq, RawFrame>> {
    let mut left: Vec<RawFrame> = tape.frames().to_vec();
    let mut added = BTreeMap::new();
    let mut at = 0;
    while !left.is_empty() {
        at = if at >= left.len() { 0 } else { at };
        let count = (rng.between(1, 4000) as usize).min(left.len() - at);
        let lost = rng.between(0, 3);
        let (piece, kept): (Vec<_>, Vec<_>) = left[at..at + count]
            .iter()
            .partition(|frame| !(sequence_of(frame) * 7919 + u64::from(lost)).is_multiple_of(4));
        let piece = if piece.is_empty() { left[at..at + count].to_vec() } else { piece };
        let kept = if piece.len() == count { Vec::new() } else { kept };
        let pass = u32::from(at > 0 || added.is_empty());
        let origin = origin(pass * rng.between(1, 2));
        let now = added.len() as u64;
        if file.append(origin, now, &piece).and_then(|()| step(file, rng)).is_err() {
            added.extend(piece.iter().map(|frame| (sequence_of(frame), *frame)));
            return Err(added);
        }
        added.extend(piece.iter().map(|frame| (sequence_of(frame), *frame)));
        let more = kept.len();
        left.splice(at..at + count, kept);
        at += more;
    }
    Ok(added)
}

#[test]
fn a_recording_is_read_in_order_with_and_without_an_index() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let tape = Tape::random(rng.seq_between(1, 30_000), seed);
        let mut file = new();
        record(&mut file, &tape, &mut rng, |_, _| Ok(())).unwrap();
        file.flush().unwrap();
        assert_eq!(read(&file, 1), tape.frames(), "seed {seed}");
        let from = rng.seq_between(1, tape.last());
        assert_eq!(read(&file, from), tape.frames()[from as usize - 1..], "seed {seed} {from}");

        let unfinished = file.storage().clone();
        file.finish(9).unwrap();
        for (disk, indexed) in [(unfinished, false), (file.into_storage(), true)] {
            let (mut again, opened) = TapeFile::open(disk, OpenMode::Index).unwrap();
            assert_eq!((opened.indexed, opened.damages), (indexed, 0));
            assert_eq!(read(&again, 1), tape.frames());
            assert_eq!(again.packets(), tape.last());
            assert_eq!(again.missing().unwrap(), (SeqSet::new(), 0));
            for _ in 0..20 {
                let seq = rng.seq_between(1, tape.last() + 5);
                let expected = tape.slice(SeqRange::one(seq)).first().copied();
                assert_eq!(again.get(seq).unwrap(), expected);
            }
        }
    }
}

#[test]
fn what_is_missing_is_known_and_can_be_added_later() {
    let tape = Tape::random(20_000, 1);
    let mut file = new();
    let gaps: SeqSet = "1,100-5000,19999".parse().unwrap();
    let frames = |wanted: bool| -> Vec<RawFrame> {
        let all = tape.frames().iter().copied();
        all.filter(|frame| gaps.contains(sequence_of(frame)) == wanted).collect()
    };
    file.append(origin(1), 0, &frames(false)).unwrap();
    assert_eq!(file.missing().unwrap(), (gaps.clone(), 0));
    file.finish(1).unwrap();
    let (mut file, opened) = TapeFile::open(file.into_storage(), OpenMode::Index).unwrap();
    assert!(opened.indexed);
    assert_eq!(file.missing().unwrap(), (gaps.clone(), 0));
    file.append(origin(0), 2, &frames(true)).unwrap();
    assert_eq!(file.missing().unwrap(), (SeqSet::new(), 0));
    file.finish(3).unwrap();
    for mode in [OpenMode::Index, OpenMode::Scan] {
        let (file, opened) = TapeFile::open(file.storage().clone(), mode).unwrap();
        assert_eq!((opened.indexed, opened.damages), (mode == OpenMode::Index, 0));
        assert_eq!(read(&file, 1), tape.frames());
    }
}

#[test]
fn what_was_added_twice_is_read_once() {
    let tape = Tape::random(9000, 1);
    let mut file = new();
    file.append(origin(1), 0, tape.frames()).unwrap();
    file.flush().unwrap();
    file.append(origin(0), 0, &tape.frames()[10..8000]).unwrap();
    file.flush().unwrap();
    assert_eq!(read(&file, 1), tape.frames());
    assert_eq!(read(&file, 4000), tape.frames()[3999..]);
}

#[test]
fn behind_a_damaged_block_reading_goes_on() {
    let tape = Tape::random(400, 3);
    let mut file = new();
    for piece in tape.frames().chunks(50) {
        file.append(origin(1), 0, piece).unwrap();
        file.flush().unwrap();
    }
    file.finish(1).unwrap();
    let mut bytes = file.into_storage().bytes().to_vec();
    // In the payload of the third block, and the head of the sixth.
    let block = 64 + 50 * 17;
    bytes[48 + 2 * block + 99] ^= 1;
    bytes[48 + 5 * block + 9] ^= 1;
    let (file, _) = TapeFile::open(Disk::with(bytes.clone()), OpenMode::Index).unwrap();
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    let mut reading = file.in_order(1);
    loop {
        match reading.next() {
            Ok(Some(piece)) => found.extend_from_slice(piece.packets()),
            Ok(None) => break,
            Err(TapeFileError::Damaged { offset, span, packets, bytes }) => {
                damaged.push((offset as usize, span.first(), packets, bytes as usize));
            }
            Err(error) => panic!("{error}"),
        }
    }
    let places = [(48 + 2 * block, 101, 50, block), (48 + 5 * block, 251, 50, block)];
    assert_eq!(damaged, places);
    let left = [&tape.frames()[..100], &tape.frames()[150..250], &tape.frames()[300..]].concat();
    assert_eq!(found, left);
    let (mut reading, mut merged) = (file.in_order(1), Vec::new());
    loop {
        match reading.merged() {
            Ok(messages) if messages.is_empty() => break,
            Ok(messages) => merged.push(messages.len()),
            Err(error) => {
                assert!(matches!(error, TapeFileError::Damaged { .. }));
                merged.push(0);
            }
        }
    }
    assert_eq!(merged, [100, 0, 100, 0, 100], "what was read before damage comes before it");
    // Reading all of it finds the same places; the index knows what lay there.
    let mut told = Vec::new();
    TapeFile::check(Disk::with(bytes), &mut |place| told.push(place)).unwrap();
    let told: Vec<_> =
        told.iter().map(|at| (at.offset as usize, at.span.unwrap().first())).collect();
    assert_eq!(told, [(48 + 2 * block, 101), (48 + 5 * block, 251)]);
}

/// Far apart, close together, in two blocks at once and in neither.
#[test]
fn what_is_sparse_is_merged_as_well() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let widest = [2, 40, 3000, 100_000][seed as usize % 4];
        let mut file = new();
        let (mut seq, mut expected) = (0, Vec::new());
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..9000 {
            seq += rng.between(1, widest);
            let mut frame = Tape::sample(1).frames()[0];
            frame[13..].copy_from_slice(&seq.to_be_bytes());
            expected.push(frame);
            parts[rng.below(3) as usize].push(frame);
        }
        for (part, source) in parts.iter().zip(0..) {
            for piece in part.chunks(rng.between(1, 3000) as usize) {
                file.append(origin(source), 0, piece).unwrap();
                if rng.below(3) == 0 {
                    file.flush().unwrap();
                }
            }
        }
        file.flush().unwrap();
        assert_eq!(read(&file, 1), expected, "seed {seed}");
        let middle = sequence_of(&expected[4000]);
        assert_eq!(read(&file, middle), expected[4000..], "seed {seed}");
    }
}

#[test]
fn an_index_that_is_not_that_of_the_blocks_is_found_out() {
    let mut file = new();
    file.append(origin(1), 0, Tape::sample(5).frames()).unwrap();
    file.finish(1).unwrap();
    let mut other = new();
    other.append(origin(1), 0, Tape::sample(6).frames()).unwrap();
    other.flush().unwrap();
    // The blocks of one, the index of another, which has the same length.
    let (one, other) = (file.into_storage(), other.into_storage());
    let index = 48 + 64 + 5 * 17;
    let bytes = [&other.bytes()[..index], &one.bytes()[index..]].concat();
    let mut places = 0;
    let (_, opened) = TapeFile::check(Disk::with(bytes), &mut |_| places += 1).unwrap();
    assert!(opened.indexed && (opened.misleading || places > 0));
    let (_, opened) = TapeFile::check(one, &mut |_| places = 100).unwrap();
    assert!(!opened.misleading && places < 100);
}

#[test]
fn the_session_is_kept() {
    let mut file = new();
    assert_eq!((file.head(), file.session()), (HEAD, None));
    let info = Info { session: HEAD.session.unwrap(), version: 1, first: 1, last: 99 };
    file.note_session(info, 7).unwrap();
    // A file is of one session; what is said of it never becomes less.
    file.note_session(Info { session: SessionId::of(*b"ABCD"), ..info }, 7).unwrap();
    file.note_session(Info { last: 98, ..info }, 7).unwrap();
    file.append(origin(1), 0, Tape::classic().frames()).unwrap();
    file.finish(8).unwrap();
    for mode in [OpenMode::Index, OpenMode::Scan] {
        let (file, _) = TapeFile::open(file.storage().clone(), mode).unwrap();
        assert_eq!((file.head(), file.session()), (HEAD, Some(info)));
    }
}

fn by_sequence(frames: &[RawFrame]) -> BTreeMap<Seq, RawFrame> {
    frames.iter().map(|frame| (sequence_of(frame), *frame)).collect()
}

/// Power fails at a random moment, again and again; after each, the file is opened and the
/// recording goes on with what is missing.
#[test]
fn power_loss_costs_only_what_was_not_synced() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let tape = Tape::random(rng.seq_between(1, 20_000), seed);
        let mut file = new();
        file.sync().unwrap();
        let mut safe: BTreeMap<Seq, RawFrame> = BTreeMap::new();
        for round in 0.. {
            let (missing, _) = file.missing().unwrap();
            let highest = file.span().map_or(0, SeqRange::last);
            let left: Vec<RawFrame> = tape
                .frames()
                .iter()
                .filter(|frame| {
                    let seq = sequence_of(frame);
                    seq > highest || missing.contains(seq)
                })
                .copied()
                .collect();
            let recorded = read(&file, 1);
            assert_eq!(recorded.len() + left.len(), tape.len() as usize, "seed {seed}");
            assert!(recorded.iter().all(|f| *f == tape.frames()[sequence_of(f) as usize - 1]));
            if left.is_empty() {
                break;
            }
            assert!(round < 100, "seed {seed}: no progress");
            for piece in left.chunks(rng.between(100, 3000) as usize) {
                file.append(origin(rng.between(0, 2)), round, piece).unwrap();
                match rng.below(8) {
                    0 => file.flush().unwrap(),
                    1 => {
                        file.sync().unwrap();
                        safe = by_sequence(&read(&file, 1));
                    }
                    2 if round < 30 => break,
                    3 => file.finish(round).unwrap(),
                    _ => {}
                }
            }
            if round >= 30 {
                file.sync().unwrap();
            }
            let disk = file.storage().power_loss(&mut rng);
            let mode = if rng.below(2) == 0 { OpenMode::Index } else { OpenMode::Scan };
            file = TapeFile::open(disk, mode).unwrap().0;
            // Forgets what is damaged, so that the rest can be read.
            file.missing().unwrap();
            let after = by_sequence(&read(&file, 1));
            assert!(safe.iter().all(|(seq, f)| after.get(seq) == Some(f)), "seed {seed}");
        }
    }
}

#[test]
fn a_full_disk_is_an_error_and_the_recording_goes_on_once_there_is_room() {
    for seed in 0..100 {
        let mut rng = Rng::new(seed);
        let tape = Tape::random(5000, seed);
        let mut disk = Disk::new();
        disk.limit(Some(u64::from(rng.between(0, 90_000))));
        let Ok(mut file) = TapeFile::create(disk, HEAD) else { continue };
        let failed = record(&mut file, &tape, &mut rng, |file, _| file.flush()).is_err();
        let mut disk = file.into_storage();
        disk.limit(None);
        let (mut file, _) = TapeFile::open(disk, OpenMode::Index).unwrap();
        let (missing, damaged) = file.missing().unwrap();
        assert_eq!(damaged, 0);
        let highest = file.span().map_or(0, SeqRange::last);
        assert!(failed || (missing.is_empty() && highest == 5000));
        let left: Vec<RawFrame> = tape
            .frames()
            .iter()
            .filter(|f| sequence_of(f) > highest || missing.contains(sequence_of(f)))
            .copied()
            .collect();
        file.append(origin(0), 0, &left).unwrap();
        file.flush().unwrap();
        assert_eq!(read(&file, 1), tape.frames(), "seed {seed}");
    }
}

#[test]
fn any_flipped_bit_is_noticed_or_harmless() {
    let tape = Tape::random(400, 3);
    let mut file = new();
    for piece in tape.frames().chunks(50) {
        file.append(origin(1), 0, piece).unwrap();
        file.flush().unwrap();
    }
    file.finish(1).unwrap();
    let good = file.into_storage();
    let mut rng = Rng::new(5);
    for byte in 0..good.bytes().len() {
        let mut bytes = good.bytes().to_vec();
        bytes[byte] ^= 1 << rng.below(8);
        for mode in [OpenMode::Index, OpenMode::Scan] {
            let Ok((mut file, opened)) = TapeFile::open(Disk::with(bytes.clone()), mode) else {
                assert!(byte < 48, "only a damaged head keeps a file from being opened: {byte}");
                continue;
            };
            let (missing, damaged) = file.missing().unwrap();
            let highest = file.span().map_or(0, SeqRange::last);
            let recorded = read(&file, 1);
            assert!(recorded.iter().all(|f| *f == tape.frames()[sequence_of(f) as usize - 1]));
            let lost = missing.count() + (400 - highest);
            assert_eq!(recorded.len() as u64 + lost, 400);
            assert!(lost <= 50, "byte {byte}: {missing}");
            assert!(lost == 0 || damaged + opened.damages > 0, "byte {byte} is not told");
        }
    }
}

#[test]
fn truncation_anywhere_keeps_what_is_before() {
    let tape = Tape::random(400, 3);
    let mut file = new();
    for piece in tape.frames().chunks(50) {
        file.append(origin(1), 0, piece).unwrap();
        file.flush().unwrap();
    }
    file.finish(1).unwrap();
    let good = file.into_storage();
    let block = 64 + 50 * 17;
    for len in 48..good.bytes().len() {
        let cut = Disk::with(good.bytes()[..len].to_vec());
        let (file, _) = TapeFile::open(cut, OpenMode::Index).unwrap();
        let whole = ((len - 48) / block * 50).min(400);
        assert_eq!(read(&file, 1), tape.frames()[..whole], "{len}");
    }
}

#[test]
fn what_is_no_tape_is_refused() {
    let good = new().into_storage().bytes().to_vec();
    let open = |bytes: &[u8]| match TapeFile::open(Disk::with(bytes.to_vec()), OpenMode::Index) {
        Err(TapeFileError::Head(error)) => Some(error),
        Ok(_) => None,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(open(&good), None);
    assert_eq!(open(b""), Some(FileHeadError::Short));
    assert_eq!(open(&good[..47]), Some(FileHeadError::Short));
    assert_eq!(
        open(b"[\n  {\n    \"symbol\": \"SYMB\",\n    \"buySell\": 1}]"),
        Some(FileHeadError::Foreign)
    );
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert_eq!(open(&with(9, 2)), Some(FileHeadError::Older(2)));
    assert_eq!(open(&with(9, 4)), Some(FileHeadError::Newer(4)));
    assert_eq!(open(&with(13, b'x')), Some(FileHeadError::Damaged));
}

#[test]
fn packets_cannot_be_made_to_look_like_blocks() {
    // A peer sends packets in which a whole tape file is hidden; damage makes the reader search.
    let mut hidden = new();
    hidden.append(origin(1), 0, &Tape::sample(3).frames()[1..]).unwrap();
    hidden.flush().unwrap();
    let block = &hidden.storage().bytes()[48..];
    let mut bytes = new().into_storage().bytes().to_vec();
    let other = FileHead { salt: 99, ..HEAD };
    bytes.splice(..48, TapeFile::create(Disk::new(), other).unwrap().storage().bytes().to_vec());
    bytes.extend_from_slice(block);
    let (file, opened) = TapeFile::open(Disk::with(bytes), OpenMode::Index).unwrap();
    assert_eq!((file.packets(), opened.damages), (0, 1));
}

#[test]
fn a_storage_error_names_itself() {
    let mut disk = Disk::new();
    disk.limit(Some(10));
    let error = TapeFile::create(disk, HEAD).unwrap_err();
    assert_eq!(error.to_string(), "the simulated disk has failed");
    assert_eq!(Disk::checksum(b"123456789"), 0xe306_9283);
}
