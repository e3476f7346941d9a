//! The client against peers that do what no exchange should. None may make it hang, crash, lose,
//! repeat or invent a packet.

use crate::support::{next_call, peer};
use betacrew::net::{Stop, fetch};
use feed::base::seq::Seq;
use feed::client::{IncompleteReason, Outcome, Recorder, RecorderOptions, Tail};
use feed::tape::in_memory::Tape;
use feed::tape::recording::MemoryRecording;
use feed::wire::{MAX_PACKET_SEQ, RawFrame};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Options for peers that would otherwise be waited for.
pub(crate) fn hasty() -> RecorderOptions {
    RecorderOptions {
        timeout: Duration::from_millis(400),
        retries: 2,
        ..RecorderOptions::default()
    }
}

pub(crate) fn record(address: SocketAddr, options: RecorderOptions) -> (Recorder, Vec<RawFrame>) {
    let mut recording = MemoryRecording::new();
    let mut recorder = Recorder::new(options, 1);
    fetch(&[vec![address].into()], &mut recorder, &mut recording, &Stop::new(), |_| {}).unwrap();
    (recorder, recording.in_order().flatten().copied().collect())
}

pub(crate) fn outcome(recorder: &Recorder) -> &Outcome {
    recorder.outcome().unwrap()
}

/// A well-behaved exchange of the original protocol but for what `stream` sends as the stream and
/// `resend` as the answer to a resend call.
fn classic(
    stream: impl Fn(&mut TcpStream, &[RawFrame]) + Send + Sync + 'static,
    resend: impl Fn(&mut TcpStream, &RawFrame, Seq) -> bool + Send + Sync + 'static,
) -> SocketAddr {
    let tape = Tape::classic();
    peer(move |mut socket, _| {
        while let Some([kind, seq]) = next_call(&mut socket) {
            match kind {
                1 => {
                    stream(&mut socket, tape.frames());
                    let _ = socket.shutdown(std::net::Shutdown::Write);
                }
                2 => {
                    let seq = Seq::from(seq);
                    if !resend(&mut socket, &tape.frames()[seq as usize - 1], seq) {
                        return;
                    }
                }
                _ => {}
            }
        }
    })
}

fn answer(socket: &mut TcpStream, frame: &RawFrame, _: Seq) -> bool {
    socket.write_all(frame).is_ok()
}

fn all_but(skip: &'static [usize]) -> impl Fn(&mut TcpStream, &[RawFrame]) {
    move |socket, frames| {
        for (_, frame) in frames.iter().enumerate().filter(|(i, _)| !skip.contains(&(i + 1))) {
            let _ = socket.write_all(frame);
        }
    }
}

pub(crate) fn assert_all(recorder: &Recorder, frames: &[RawFrame]) {
    assert!(outcome(recorder).is_complete(), "{:?}", outcome(recorder));
    assert_eq!(frames, Tape::classic().frames());
}

/// A server that serves one connection after the other, as small ones do.
#[test]
fn an_exchange_that_takes_one_connection_at_a_time_is_recorded() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let tape = Tape::classic();
            while let Some([kind, seq]) = next_call(&mut socket) {
                match kind {
                    1 => {
                        let kept: Vec<_> = tape
                            .frames()
                            .iter()
                            .filter(|f| ![3, 9].contains(&f[16]))
                            .copied()
                            .collect();
                        let _ = socket.write_all(kept.as_flattened());
                        break;
                    }
                    2 => drop(socket.write_all(&tape.frames()[usize::from(seq) - 1])),
                    _ => {}
                }
            }
        }
    });
    let options =
        RecorderOptions { timeout: Duration::from_secs(20), ..RecorderOptions::default() };
    let began = std::time::Instant::now();
    let (recorder, frames) = record(address, options);
    assert_all(&recorder, &frames);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn silence_is_not_waited_for_without_end() {
    let (recorder, frames) = record(peer(|socket, _| hold(socket)), hasty());
    assert!(!outcome(&recorder).is_complete() && frames.is_empty());
    assert_eq!(outcome(&recorder).tail, Tail::Unknown);
}

fn hold(mut socket: TcpStream) {
    let _ = socket.read_to_end(&mut Vec::new());
}

#[test]
fn a_stream_that_never_closes_ends_by_silence() {
    let address = {
        let tape = Tape::classic();
        peer(move |mut socket, _| {
            while let Some([kind, seq]) = next_call(&mut socket) {
                match kind {
                    1 => socket.write_all(tape.frames().as_flattened()).unwrap(),
                    2 => socket.write_all(&tape.frames()[usize::from(seq) - 1]).unwrap(),
                    _ => {}
                }
            }
        })
    };
    let (recorder, frames) = record(address, RecorderOptions { last: Some(14), ..hasty() });
    assert_all(&recorder, &frames);
    let (recorder, frames) = record(address, hasty());
    assert_all(&recorder, &frames);
}

#[test]
fn garbage_for_ever_is_cut_off() {
    let address = peer(|mut socket, _| {
        let mut state = 1;
        loop {
            let noise: Vec<u8> = (0..4096)
                .map(|i| {
                    state = feed::base::rng::nth(state, i);
                    state.to_be_bytes()[0]
                })
                .collect();
            if socket.write_all(&noise).is_err() {
                return;
            }
        }
    });
    let (recorder, _) = record(address, hasty());
    assert!(!outcome(&recorder).is_complete());
    assert!(recorder.violations().undecodable > 0);
}

#[test]
fn packets_that_repeat_for_ever_are_no_progress() {
    let address = peer(|mut socket, _| {
        let tape = Tape::classic();
        while socket.write_all(tape.frames()[..3].as_flattened()).is_ok() {}
    });
    let (recorder, frames) = record(address, hasty());
    assert_eq!(frames, &Tape::classic().frames()[..3]);
    assert!(recorder.stats().duplicates > 0);
}

#[test]
fn the_same_sequence_with_other_content_keeps_the_first_and_is_reported() {
    let other = |frames: &[RawFrame]| {
        let mut frame = frames[2];
        frame[12] ^= 1;
        frame
    };
    let address = classic(
        move |socket, frames| {
            let doubled = [&frames[..3], &[other(frames)], &frames[3..]].concat();
            let _ = socket.write_all(doubled.as_flattened());
        },
        answer,
    );
    let (recorder, frames) = record(address, RecorderOptions { last: Some(14), ..hasty() });
    assert_all(&recorder, &frames);
    assert_eq!(recorder.violations().conflicts, 1);
}

#[test]
fn illegal_frames_lose_nothing_else() {
    let address = classic(
        |socket, frames| {
            let (mut side, mut zero, mut negative) = (frames[2], frames[5], frames[6]);
            side[4] = b'X';
            zero[13..].fill(0);
            negative[13..].fill(0xff);
            let sent = [&frames[..2], &[side], &frames[3..5], &[zero, negative], &frames[7..]];
            let _ = socket.write_all(sent.concat().as_flattened());
        },
        answer,
    );
    let (recorder, frames) = record(address, RecorderOptions { last: Some(14), ..hasty() });
    assert_all(&recorder, &frames);
    assert_eq!(recorder.violations().undecodable, 3);
    let (offset, error) = recorder.violations().first_undecodable.unwrap();
    assert_eq!(
        (offset, error),
        (34, feed::client::UndecodableError::Frame(feed::wire::DecodeError::Kind(b'X')))
    );
}

#[test]
fn a_sequence_beyond_belief_opens_no_gap() {
    let address = classic(
        |socket, frames| {
            let mut far = frames[4];
            far[13..].copy_from_slice(&i32::MAX.to_be_bytes());
            let sent = [&frames[..4], &[far], &frames[4..]].concat();
            let _ = socket.write_all(sent.as_flattened());
        },
        answer,
    );
    let (recorder, frames) = record(address, RecorderOptions { last: Some(14), ..hasty() });
    assert_all(&recorder, &frames);
    assert_eq!(recorder.violations().first_implausible, Some(MAX_PACKET_SEQ));
}

#[test]
fn duplicates_and_disorder_are_sorted_out() {
    let address = classic(
        |socket, frames| {
            let order = [3, 3, 1, 0, 0, 2, 7, 6, 5, 4, 13, 12, 12, 8, 9, 13];
            for i in order {
                let _ = socket.write_all(&frames[i]);
            }
        },
        answer,
    );
    let (recorder, frames) = record(address, RecorderOptions { last: Some(14), ..hasty() });
    assert_all(&recorder, &frames);
    assert_eq!(recorder.violations().conflicts, 0);
}

#[test]
fn packets_arrive_whole_however_they_are_cut() {
    let address = classic(
        |socket, frames| {
            let _ = socket.set_nodelay(true);
            for byte in frames.as_flattened() {
                let _ = socket.write_all(&[*byte]);
            }
        },
        answer,
    );
    let (recorder, frames) = record(address, RecorderOptions { last: Some(14), ..hasty() });
    assert_all(&recorder, &frames);
}

#[test]
fn half_a_packet_dies_with_its_connection() {
    let address = classic(
        |socket, frames| {
            // Half of packet 5, then the end. The next stream must not begin with it.
            let _ = socket.write_all(&frames.as_flattened()[..4 * 17 + 9]);
        },
        answer,
    );
    let (recorder, frames) = record(address, RecorderOptions { last: Some(14), ..hasty() });
    assert_all(&recorder, &frames);
    assert_eq!(recorder.violations().undecodable, 0);
}

#[test]
fn half_a_packet_is_not_the_beginning_of_the_next_stream() {
    let address = {
        let streams = AtomicU32::new(0);
        classic(
            move |socket, frames| {
                let whole = frames.as_flattened();
                let first = streams.fetch_add(1, Ordering::SeqCst) == 0;
                let _ = socket.write_all(if first { &whole[..4 * 17 + 9] } else { whole });
            },
            answer,
        )
    };
    let (recorder, frames) = record(address, hasty());
    assert_all(&recorder, &frames);
    assert_eq!(recorder.violations().undecodable, 0);
}

#[test]
fn streams_that_are_always_cut_off_are_given_up() {
    let streams = Arc::new(AtomicU32::new(0));
    let address = classic(
        {
            let streams = Arc::clone(&streams);
            move |socket, frames| {
                streams.fetch_add(1, Ordering::SeqCst);
                let _ = socket.write_all(&frames.as_flattened()[..2 * 17 + 9]);
            }
        },
        answer,
    );
    let (recorder, frames) = record(address, hasty());
    assert_eq!(outcome(&recorder).reason, Some(IncompleteReason::CutOff));
    assert_eq!((frames.len(), recorder.passes().complete), (2, 0));
    // The first brought something; then two retries, as asked for.
    assert_eq!(streams.load(Ordering::SeqCst), 3);
}

#[test]
fn a_line_with_several_addresses_tries_them_in_turn() {
    let good = classic(all_but(&[3]), answer);
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let absent = bound.local_addr().unwrap().as_socket().unwrap();
    let mut recording = MemoryRecording::new();
    let mut recorder = Recorder::new(RecorderOptions { last: Some(14), ..hasty() }, 1);
    let line = vec![absent, good];
    fetch(&[line.into()], &mut recorder, &mut recording, &Stop::new(), |_| {}).unwrap();
    assert!(outcome(&recorder).is_complete());
}

#[test]
fn peers_that_close_after_every_answer_get_one_request_at_a_time() {
    let address = classic(all_but(&[1, 5, 6, 7, 13]), |socket, frame, _| {
        let _ = socket.write_all(frame);
        false
    });
    let (recorder, frames) = record(address, RecorderOptions { last: Some(14), ..hasty() });
    assert_all(&recorder, &frames);
    // Five at most on the first connection, and again if its close destroyed the one answer; then
    // one each.
    assert!(recorder.stats().resend_calls <= 13, "{:?}", recorder.stats());
}

#[test]
fn peers_that_answer_something_else_are_asked_again() {
    let address = classic(all_but(&[2, 9]), {
        let asked = AtomicU32::new(0);
        move |socket, frame, seq| {
            let round = asked.fetch_add(1, Ordering::SeqCst);
            let other = Tape::classic().frames()[(seq as usize + 3) % 14];
            socket.write_all(if round < 4 { &other } else { frame }).is_ok()
        }
    });
    let (recorder, frames) = record(address, RecorderOptions { last: Some(14), ..hasty() });
    assert_all(&recorder, &frames);
}

#[test]
fn resends_that_are_never_answered_come_with_further_passes() {
    let address = {
        let pass = AtomicU32::new(0);
        classic(
            move |socket, frames| {
                let skip = pass.fetch_add(1, Ordering::SeqCst) as usize % 5 + 2;
                for (_, frame) in frames.iter().enumerate().filter(|(i, _)| *i != skip) {
                    let _ = socket.write_all(frame);
                }
            },
            |_, _, _| true,
        )
    };
    let (recorder, frames) = record(address, hasty());
    assert_all(&recorder, &frames);
}

#[test]
fn what_is_served_in_no_way_is_named() {
    let asked = Arc::new(AtomicU32::new(0));
    let address = classic(all_but(&[4, 5]), {
        let asked = Arc::clone(&asked);
        move |_, _, _| {
            asked.fetch_add(1, Ordering::SeqCst);
            true
        }
    });
    let (recorder, frames) = record(address, hasty());
    // Both are asked for on two connections that describe as well; without that once and, twice,
    // again; then 4 is left out and so it goes for 5.
    assert_eq!(asked.load(Ordering::SeqCst), 2 * 2 + 3 * 2 + 3);
    assert_eq!(outcome(&recorder).missing, "4-5".parse().unwrap());
    assert_eq!(outcome(&recorder).reason, Some(IncompleteReason::NotServed));
    assert_eq!(frames.len(), 12);
}

#[test]
fn an_exchange_that_dies_in_mid_recording_leaves_a_named_rest() {
    let tape = Tape::classic();
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            drop(listener);
            next_call(&mut socket);
            socket.write_all(&tape.frames()[0]).unwrap();
            socket.write_all(&tape.frames()[3]).unwrap();
        });
        address
    };
    let (recorder, frames) = record(address, hasty());
    assert!(!outcome(&recorder).is_complete());
    assert_eq!(outcome(&recorder).reason, Some(IncompleteReason::Unreachable));
    assert_eq!(frames.len(), 2);
}
