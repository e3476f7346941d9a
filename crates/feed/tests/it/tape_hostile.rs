//! Tape files that somebody made to do harm: every checksum is right and nothing else.

use feed::base::rng::Rng;
use feed::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange};
use feed::ledger::{Origin, Source};
use feed::sim::disk::Disk;
use feed::storage::crc32c;
use feed::tape::file::{FileHead, OpenMode, TapeFile, TapeFileError};
use feed::tape::in_memory::Tape;
use feed::tape::source::{FileTapeSource, TapeSource};
use feed::wire::{MAX_PACKET_SEQ, RawFrame, SessionId, packet_seq, sequence_of};

const SALT: u64 = 0x1234_5678_9abc_def0;

fn salted(bytes: &[u8]) -> [u8; 4] {
    crc32c(&[bytes, &SALT.to_be_bytes()].concat()).to_be_bytes()
}

/// A number that is likely to be at some limit.
fn number(rng: &mut Rng) -> u64 {
    let limits = [
        0,
        1,
        2,
        17,
        48,
        3855,
        3856,
        65_535,
        65_536,
        1 << 30,
        MAX_PACKET_SEQ,
        MAX_PACKET_SEQ + 1,
        u32::MAX.into(),
        MAX_SEQ,
        MAX_SEQ + 1,
        u64::MAX,
    ];
    match rng.below(4) {
        0 => limits[rng.below(limits.len() as u32) as usize],
        1 => rng.below(300).into(),
        2 => rng.bits() >> 32,
        _ => rng.bits(),
    }
}

/// The lower half of such a number.
fn short(rng: &mut Rng) -> u32 {
    number(rng) as u32
}

/// A block that says what it likes.
fn block(rng: &mut Rng, kind: u8, [first, last, count]: [u64; 3], payload: &[u8]) -> Vec<u8> {
    let mut head = b"\x8aBLK".to_vec();
    head.extend([kind, rng.below(4) as u8, 0, rng.below(3) as u8]);
    head.extend(short(rng).to_be_bytes());
    head.extend([first.to_be_bytes(), last.to_be_bytes()].concat());
    head.extend((count as u32).to_be_bytes());
    head.extend((u64::from(short(rng)) << 31).to_be_bytes());
    let len = if rng.below(20) == 0 { short(rng) } else { payload.len() as u32 };
    head.extend(len.to_be_bytes());
    head.extend(crc32c(payload).to_be_bytes());
    head.extend([0; 12]);
    let sum = salted(&head);
    head.extend(sum);
    [&head, payload].concat()
}

/// Packets of a tape: in order, or with something wrong about them.
fn packets(rng: &mut Rng, tape: &Tape) -> Vec<u8> {
    let from = rng.seq_between(0, tape.len() - 1);
    let count = rng.seq_between(1, 40);
    let range = SeqRange::counted(FIRST_SEQ + from, count).unwrap();
    let mut frames: Vec<RawFrame> = tape.slice(range).to_vec();
    match rng.below(6) {
        0 => frames.reverse(),
        1 => frames
            .iter_mut()
            .for_each(|frame| frame[13..].copy_from_slice(&short(rng).to_be_bytes())),
        2 => frames.iter_mut().for_each(|frame| frame[4] = b'Z'),
        _ => {}
    }
    let ends = [frames.first(), frames.last()].map(|frame| frame.map_or(0, sequence_of));
    let odd = rng.below(4) == 0;
    let mut fields = [ends[0], ends[1], frames.len() as u64];
    if odd {
        fields[rng.below(3) as usize] = number(rng);
    }
    block(rng, 1, fields, frames.as_flattened())
}

/// The index entry of a block: sequences, count, length, offset, layout.
fn entry_of(bytes: &[u8], at: u64) -> Vec<u8> {
    let head = &bytes[at as usize..][..64];
    [&head[12..32], &head[40..44], &at.to_be_bytes(), &head[4..5], &[0; 3]].concat()
}

/// A run of messages: whole, or with something wrong about it.
fn run(rng: &mut Rng) -> Vec<u8> {
    let first = rng.seq_between(0, 200);
    let count = rng.seq_between(1, 20);
    let kind = 4 + rng.below(2) as u8;
    let mut payload = Vec::new();
    for _ in 0..count {
        let message: Vec<u8> = (0..rng.below(20)).map(|_| rng.bits() as u8).collect();
        let extra = usize::from(kind == 5);
        payload.extend((message.len() as u16 + extra as u16).to_be_bytes());
        payload.extend(&b"S"[..extra]);
        payload.extend(message);
    }
    match rng.below(6) {
        0 => drop(payload.pop()),
        1 => payload.push(0),
        2 => payload[0] = 0xff,
        _ => {}
    }
    let mut fields = [first, first + count - 1, count];
    if rng.below(4) == 0 {
        fields[rng.below(3) as usize] = number(rng);
    }
    block(rng, kind, fields, &payload)
}

/// An index: of the blocks that are there, of some of them, with a lie in it, or of anything.
fn index(rng: &mut Rng, bytes: &[u8], blocks: &[u64]) -> Vec<u8> {
    let mut payload = vec![0; 32];
    (0..12).for_each(|at| payload[at] = number(rng) as u8);
    let (honest, complete) = (rng.below(4) > 0, rng.below(2) == 0);
    let messages = |at: &&u64| {
        let block = &bytes[**at as usize..];
        block.starts_with(b"\x8aBLK") && [1, 4, 5].contains(&block[4])
    };
    for &at in blocks.iter().filter(messages) {
        let mut entry = entry_of(bytes, at);
        if !honest && rng.below(5) == 0 {
            let field = rng.below(9) as usize * 4;
            entry[field..field + 4].copy_from_slice(&short(rng).to_be_bytes());
        }
        if complete || rng.below(3) > 0 {
            payload.extend(entry);
        }
    }
    let fields = [number(rng), number(rng), number(rng)];
    block(rng, 3, fields, &payload)
}

fn hostile(rng: &mut Rng, tape: &Tape) -> Vec<u8> {
    let head = FileHead { session: Some(SessionId::of(*b"EVIL")), created: 1, salt: SALT };
    let mut bytes = TapeFile::create(Disk::new(), head).unwrap().into_storage().bytes().to_vec();
    let mut blocks = Vec::new();
    let is_of_runs = rng.below(2) == 0;
    for _ in 0..rng.below(30) {
        let at = bytes.len() as u64;
        let part = match rng.below(8) {
            0 => index(rng, &bytes, &blocks),
            1 => block(rng, 2, [0, 1, 2], b"EVIL"),
            2 => (0..rng.below(200)).map(|_| rng.bits() as u8).collect(),
            3 => b"\x8aBLK\x8aINDEX\r\n".to_vec(),
            4 if is_of_runs => packets(rng, tape),
            _ if is_of_runs => run(rng),
            4 => run(rng),
            _ => packets(rng, tape),
        };
        blocks.push(at);
        bytes.extend(part);
    }
    if rng.below(2) == 0 {
        let at = bytes.len() as u64;
        let part = index(rng, &bytes, &blocks);
        bytes.extend(part);
        let offset = if rng.below(4) == 0 { number(rng) << 33 } else { at };
        let mut trailer = b"\x8aINDEX\r\n".to_vec();
        trailer.extend(offset.to_be_bytes());
        let sum = salted(&trailer);
        trailer.extend(sum);
        trailer.extend([0; 4]);
        bytes.extend(trailer);
    }
    bytes
}

/// Reads it in every way. What is given out must be packets, ascending, and no more than fit.
fn read(bytes: &[u8], rng: &mut Rng) -> bool {
    let fit = bytes.len() / 2;
    let mut indexed = false;
    for mode in [OpenMode::Index, OpenMode::Scan] {
        let (mut file, opened) = TapeFile::open(Disk::with(bytes.to_vec()), mode).unwrap();
        indexed |= opened.indexed;
        assert!(opened.damaged_bytes <= bytes.len() as u64);
        let (mut next, mut count, mut damages): (Seq, usize, usize) = (FIRST_SEQ, 0, 0);
        let mut reading = file.in_order(FIRST_SEQ);
        loop {
            match reading.next() {
                Ok(Some(piece)) => {
                    for (seq, message) in piece.messages.iter() {
                        assert!(seq >= next && message.len() < bytes.len());
                        next = seq + 1;
                        count += 1;
                    }
                    let mut packets = piece.packets().iter();
                    assert!(packets.all(|frame| packet_seq(frame).is_some()));
                }
                Ok(None) => break,
                Err(TapeFileError::Damaged { .. }) => damages += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(count <= fit && damages <= fit);
        for _ in 0..5 {
            let seq = number(rng);
            if let Ok(Some(frame)) = file.get(seq) {
                assert_eq!(packet_seq(&frame), Some(seq));
            }
        }
        file.missing().unwrap();
        assert!(file.packets() <= fit as u64);
        // What was forgotten is not given out.
        let mut reading = file.in_order(FIRST_SEQ);
        while reading.next().unwrap().is_some() {}
        let (file, _) = TapeFile::open(Disk::with(bytes.to_vec()), mode).unwrap();
        if let Ok(mut play) = FileTapeSource::new(file) {
            let last = play.last();
            if let Some(all) = SeqRange::new(FIRST_SEQ, last) {
                assert!(play.messages(all).len() <= fit as u64);
            }
            let _ = play.arrived(last);
        }
    }
    let mut places = 0;
    TapeFile::check(Disk::with(bytes.to_vec()), &mut |_| places += 1).unwrap();
    assert!(places <= bytes.len());
    indexed
}

fn attack(seeds: std::ops::Range<u64>) {
    let tape = Tape::random(200, 1);
    let mut indexed = 0;
    for seed in seeds.clone() {
        let mut rng = Rng::new(seed);
        let bytes = hostile(&mut rng, &tape);
        indexed += u64::from(read(&bytes, &mut rng));
    }
    // An attack that is turned away at the door shows nothing.
    assert!(indexed > (seeds.end - seeds.start) / 20, "only {indexed} had an index");
}

#[test]
fn files_made_to_do_harm_are_read_to_an_end() {
    attack(0..3000);
}

/// A block that an index lists a thousand times would be held a thousand times.
#[test]
fn an_index_lists_a_block_once() {
    let head = FileHead { session: Some(SessionId::of(*b"EVIL")), created: 1, salt: SALT };
    let mut file = TapeFile::create(Disk::new(), head).unwrap();
    let origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
    file.append(origin, 1, Tape::sample(9).frames()).unwrap();
    file.flush().unwrap();
    for (times, indexed) in [(1, true), (2, false), (1000, false)] {
        let mut bytes = file.storage().bytes().to_vec();
        let at = bytes.len() as u64;
        let entry = entry_of(&bytes, 48);
        let payload = [vec![0; 32], entry.repeat(times)].concat();
        bytes.extend(block(&mut Rng::new(2), 3, [1, 9, 1], &payload));
        let trailer = [&b"\x8aINDEX\r\n"[..], &at.to_be_bytes()].concat();
        bytes.extend([&trailer[..], &salted(&trailer), &[0; 4]].concat());
        let (found, opened) = TapeFile::open(Disk::with(bytes), OpenMode::Index).unwrap();
        assert_eq!((opened.indexed, found.packets()), (indexed, 9), "{times} times");
    }
}

/// Runs longer: `cargo test -p feed --test it --release -- --ignored harm`.
#[test]
#[ignore = "takes minutes"]
fn files_made_to_do_harm_for_longer() {
    attack(3000..1_000_000);
}
