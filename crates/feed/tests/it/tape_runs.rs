//! Tape files of messages of any length.

use feed::base::rng::Rng;
use feed::base::seq::{FIRST_SEQ, Seq, SeqRange};
use feed::ledger::{Ledger, Limits, Origin, Sink, Source, StreamPosition};
use feed::sim::disk::Disk;
use feed::tape::file::{FileHead, OpenMode, TapeFile, TapeFileError};
use feed::tape::in_memory::Tape;
use feed::tape::recorder::{SyncPolicy, TapeRecorder};
use feed::tape::source::{FileTapeSource, TapeSource};
use feed::wire::{Framing, Info, Messages, Run, SessionId};
use std::time::Duration;

const SESSION: SessionId = SessionId::new(*b"LONG NAME ");
const HEAD: FileHead = FileHead { session: Some(SESSION), created: 5, salt: 77 };

fn origin(line: u16) -> Origin {
    Origin { line, source: Source::Stream { pass: 1 } }
}

/// Messages of a session, mostly short, some empty, a few as long as messages can be.
fn messages(rng: &mut Rng, count: usize) -> Vec<Vec<u8>> {
    let message = |_| {
        let len = match rng.below(200) {
            0 => 65_534,
            1..20 => 0,
            _ => rng.below(60),
        };
        (0..len).map(|at| (rng.bits() >> (at % 32)) as u8).collect()
    };
    (0..count).map(message).collect()
}

/// The bytes of consecutive messages.
fn framed(framing: Framing, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        let (extra, kind) = match framing {
            Framing::Length => (0, &b""[..]),
            Framing::LengthAndType => (1, &b"S"[..]),
        };
        bytes.extend((message.len() as u16 + extra).to_be_bytes());
        bytes.extend(kind);
        bytes.extend(message);
    }
    bytes
}

/// Cuts a session into runs of random lengths, each with its framing and its line.
fn pieces(rng: &mut Rng, count: Seq) -> Vec<(SeqRange, Framing, u16)> {
    let (mut pieces, mut first) = (Vec::new(), FIRST_SEQ);
    while first <= count {
        let last = (first + rng.seq_between(0, 400)).min(count);
        let framing = [Framing::Length, Framing::LengthAndType][rng.below(2) as usize];
        pieces.push((SeqRange::new(first, last).unwrap(), framing, rng.below(3) as u16));
        first = last + 1;
    }
    pieces
}

fn read(file: &TapeFile<Disk>, from: Seq) -> Vec<(Seq, Vec<u8>)> {
    let mut reading = file.in_order(from);
    let mut all = Vec::new();
    while let Some(piece) = reading.next().unwrap() {
        assert!(!piece.messages.is_empty());
        all.extend(piece.messages.iter().map(|(seq, message)| (seq, message.to_vec())));
    }
    let (mut reading, mut merged) = (file.in_order(from), Vec::new());
    loop {
        let part = reading.merged().unwrap();
        if part.is_empty() {
            break;
        }
        merged.extend(part.iter().map(|(seq, message)| (seq, message.to_vec())));
    }
    assert!(merged == all);
    all
}

#[test]
fn runs_are_read_in_order_whatever_order_they_came_in() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let session = messages(&mut rng, 3000);
        let all: Vec<_> = (FIRST_SEQ..).zip(session.iter().cloned()).collect();
        let mut pieces = pieces(&mut rng, 3000);
        // Some of the runs come late.
        for _ in 0..rng.below(6) {
            let piece = pieces.remove(rng.below(pieces.len() as u32) as usize);
            pieces.push(piece);
        }
        let mut file = TapeFile::create(Disk::new(), HEAD).unwrap();
        for (range, framing, line) in pieces {
            let part = &session[range.first() as usize - 1..range.last() as usize];
            let bytes = framed(framing, part);
            let run = Run::new(range.first(), framing, &bytes).unwrap();
            file.append(origin(line), 1, run).unwrap();
            let mut differing = Vec::new();
            file.compare(run, &mut |seq, _, _| differing.push(seq)).unwrap();
            assert!(differing.is_empty());
            if rng.below(5) == 0 {
                file.flush().unwrap();
            }
        }
        assert_eq!(file.packets(), 3000);
        let refused = file.append(origin(0), 1, Tape::sample(1).frames());
        assert!(matches!(refused, Err(TapeFileError::Mixed { .. })));
        file.finish(9).unwrap();
        assert!(read(&file, FIRST_SEQ) == all, "seed {seed}");
        let from = rng.seq_between(1, 3100);
        assert!(read(&file, from) == all[all.len().min(from as usize - 1)..], "seed {seed} {from}");
        let bytes = file.into_storage().bytes().to_vec();
        for mode in [OpenMode::Index, OpenMode::Scan] {
            let (mut again, opened) = TapeFile::open(Disk::with(bytes.clone()), mode).unwrap();
            assert_eq!((opened.indexed, opened.damages), (mode == OpenMode::Index, 0));
            assert_eq!(again.session_id(), Some(SESSION));
            assert!(again.missing().unwrap().0.is_empty());
            assert!(read(&again, FIRST_SEQ) == all);
            plays(again, &all, &mut rng);
        }
        // A block that is damaged is missing, and nothing else is.
        let mut bytes = bytes;
        let at = rng.between(48, bytes.len() as u32 - 1) as usize;
        bytes[at] ^= 1;
        let (mut file, _) = TapeFile::open(Disk::with(bytes), OpenMode::Scan).unwrap();
        let (missing, _) = file.missing().unwrap();
        let last = file.span().map_or(0, SeqRange::last);
        let left: Vec<_> = all
            .iter()
            .filter(|(seq, _)| *seq <= last && !missing.contains(*seq))
            .cloned()
            .collect();
        assert!(read(&file, FIRST_SEQ) == left, "seed {seed}");
    }
}

/// Plays the tape from many places at once.
fn plays(file: TapeFile<Disk>, all: &[(Seq, Vec<u8>)], rng: &mut Rng) {
    let Ok(mut tape) = FileTapeSource::new(file) else {
        // The session's end is not in the file, so it is played as a session of its own.
        panic!("a file of all messages is played");
    };
    assert_eq!(tape.last(), all.len() as Seq);
    let mut places = [1, 500, 2999, 3000];
    for _ in 0..300 {
        let place = &mut places[rng.below(4) as usize];
        let range = SeqRange::counted(*place, rng.seq_between(1, 700)).unwrap();
        assert_eq!(tape.arrived(range.first()), Some(1));
        let got: Vec<_> =
            tape.messages(range).iter().map(|(seq, message)| (seq, message.to_vec())).collect();
        assert!(!got.is_empty() && got[0].0 == *place && got.len() as Seq <= range.len());
        assert!(got == all[*place as usize - 1..][..got.len()]);
        *place = got.last().unwrap().0 + 1;
        if *place > all.len() as Seq {
            *place = rng.seq_between(1, 3000);
        }
    }
    assert!(tape.messages(SeqRange::one(3001)).is_empty());
}

#[test]
fn a_run_of_many_blocks_is_whole_or_ends_with_the_write_that_failed() {
    for seed in 0..30 {
        let mut rng = Rng::new(seed);
        let session = messages(&mut rng, 20_000);
        let all: Vec<_> = (FIRST_SEQ..).zip(session.iter().cloned()).collect();
        let framing = [Framing::Length, Framing::LengthAndType][rng.below(2) as usize];
        let bytes = framed(framing, &session);
        let run = Run::new(FIRST_SEQ, framing, &bytes).unwrap();
        // The first messages wait for a block, behind which those of the others are written.
        let (before, rest) = run.split_within(rng.below(60_000) as usize);
        let append = |disk: Disk| {
            let mut file = TapeFile::create(disk, HEAD).unwrap();
            let done = file
                .append(origin(0), 1, before)
                .and_then(|()| file.append(origin(0), 2, rest.unwrap()))
                .and_then(|()| file.flush());
            (file, done)
        };
        let (file, done) = append(Disk::new());
        done.unwrap();
        assert!(read(&file, FIRST_SEQ) == all, "seed {seed}");
        let len = file.into_storage().bytes().len() as u64;
        let mut full = Disk::new();
        full.limit(Some(rng.seq_between(100, len - 1)));
        let (file, done) = append(full);
        assert!(done.is_err(), "seed {seed}");
        let bytes = file.into_storage().bytes().to_vec();
        let (file, _) = TapeFile::open(Disk::with(bytes), OpenMode::Index).unwrap();
        let stored = read(&file, FIRST_SEQ);
        assert!(stored == all[..stored.len()], "seed {seed}");
    }
}

/// An exchange that keeps the recorded pace asks for times far ahead of what it sends.
#[test]
fn a_message_that_was_resent_has_the_time_of_those_beside_it() {
    let resend = Origin { line: 0, source: Source::Resend };
    // Blocks in the order of their arrival, at 1000, 2000 and so on.
    let tape = |blocks: &[(usize, usize, Origin)]| {
        let mut file = TapeFile::create(Disk::new(), HEAD).unwrap();
        for (time, &(first, last, from)) in (1..).zip(blocks) {
            let bytes = framed(Framing::Length, &vec![vec![7]; last - first + 1]);
            let run = Run::new(first as Seq, Framing::Length, &bytes).unwrap();
            file.append(from, time * 1000, run).unwrap();
            file.flush().unwrap();
        }
        FileTapeSource::new(file).unwrap()
    };
    let within = [(1, 10, origin(0)), (21, 30, origin(0)), (11, 15, resend), (16, 20, resend)];
    let mut within = tape(&within);
    assert_eq!(within.arrived(18), Some(2000), "not the time of the resend, and not 1970");
    let times: Vec<_> = (1..=30).map(|seq| within.arrived(seq).unwrap()).collect();
    assert!(times.is_sorted() && times[..10] == [1000; 10] && times[20..] == [2000; 10]);
    assert!(times.iter().all(|time| [1000, 2000].contains(time)), "{times:?}");
    let mut beginning = tape(&[(11, 20, origin(0)), (1, 10, resend)]);
    assert_eq!((beginning.arrived(1), beginning.arrived(20)), (Some(1000), Some(1000)));
    let mut all = tape(&[(6, 10, resend), (1, 5, resend)]);
    assert_eq!((all.arrived(1), all.arrived(10)), (Some(2000), Some(2000)));
    assert_eq!(tape(&[(1, 10, resend)]).arrived(5), None);
}

#[test]
fn lines_of_runs_are_recorded_once_and_compared() {
    let mut rng = Rng::new(4);
    let session = messages(&mut rng, 2000);
    let (mut recorder, now) = (
        TapeRecorder::create(Disk::new(), SyncPolicy::Never, Duration::ZERO, 1).unwrap(),
        Duration::ZERO,
    );
    let info = Info { session: SESSION, version: 1, first: 1, last: 2000 };
    recorder.on_session(info, &[], now);
    let mut ledger = Ledger::new(Limits::default());
    let mut tracks = [StreamPosition::default(); 2];
    let mut conflicts = 0;
    // Line 1 has one message that differs, and misses 100 to 199; line 0 misses 150 to 299.
    let mut other = session.clone();
    other[41] = b"not the same".to_vec();
    for (line, session, missed) in [(0, &session, 150..300), (1, &other, 100..200)] {
        for (range, framing, _) in pieces(&mut rng, 2000) {
            let kept = |seq: &Seq| !missed.contains(seq);
            let seqs: Vec<Seq> = (range.first()..=range.last()).filter(kept).collect();
            for part in seqs.chunk_by(|one, two| one + 1 == *two) {
                let (first, last) = (part[0], part[part.len() - 1]);
                let bytes = framed(framing, &session[first as usize - 1..last as usize]);
                let run = Run::new(first, framing, &bytes).unwrap();
                let track = &mut tracks[usize::from(line)];
                let taken = ledger.take_run(run, origin(line), now, track, &mut recorder);
                assert_eq!((taken.frames as u64, taken.stop), (run.range().len(), None));
                conflicts += taken.conflicts;
            }
        }
    }
    assert_eq!(conflicts, 1);
    let [conflict] = recorder.conflicts() else { panic!("one conflict") };
    assert_eq!((conflict.seq, &conflict.kept, &conflict.came), (42, &session[41], &other[41]));
    assert_eq!(conflict.kept_from, Some(origin(0)));
    let missing: Vec<SeqRange> = ledger.gaps().ranges().collect();
    assert_eq!(missing, [SeqRange::new(150, 199).unwrap()]);
    recorder.finish(now).unwrap();
    let (file, _) = TapeFile::open(recorder.into_storage(), OpenMode::Index).unwrap();
    let mut reading = file.in_order(FIRST_SEQ);
    let mut count = 0;
    while let Some(piece) = reading.next().unwrap() {
        assert!(matches!(piece.messages, Messages::Run(_)));
        for (seq, message) in piece.messages.iter() {
            assert!(message == session[seq as usize - 1] && !(150..200).contains(&seq));
            count += 1;
        }
    }
    assert_eq!(count, 1950);
}
