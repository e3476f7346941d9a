//! The client against exchanges that speak the extension and lie with it.

use crate::hostile::{assert_all, hasty, outcome, record};
use crate::support::{betacrew, peer, run};
use feed::client::IncompleteReason;
use feed::exchange::Exchange;
use feed::exchange::server::MockExchange;
use feed::faults::scenario::Scenario;
use feed::tape::in_memory::Tape;
use feed::wire::{Frame, MAX_PACKET_SEQ, Protocol, RawFrame, decode, encode};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A peer that speaks the extension and lies with it, driven by our own player for the rest.
fn lying(lie: impl Fn(RawFrame) -> RawFrame + Send + Sync + 'static) -> SocketAddr {
    lying_as(Scenario::clean(0), lie)
}

fn lying_as(
    scenario: Scenario,
    lie: impl Fn(RawFrame) -> RawFrame + Send + Sync + 'static,
) -> SocketAddr {
    peer(move |mut socket, _| {
        let now = Duration::ZERO;
        let mut player = MockExchange::new(Arc::new(Tape::classic()), scenario.clone());
        let mut seat = player.open(Protocol::Betacrew, now);
        let (mut input, mut output) = ([0; 4096], [0; 4096]);
        while let Ok(count @ 1..) = socket.read(&mut input) {
            player.receive(&mut seat, &input[..count], now);
            loop {
                let ready = player.peek(&mut seat, &mut output, now);
                player.sent(&mut seat, ready, now);
                let frames = output[..ready].as_chunks().0.iter().copied().map(&lie);
                if ready == 0
                    || socket.write_all(frames.collect::<Vec<_>>().as_flattened()).is_err()
                {
                    break;
                }
            }
            if player.step(&mut seat, now) == feed::exchange::Step::Finish {
                let _ = socket.shutdown(std::net::Shutdown::Write);
            }
        }
    })
}

#[test]
fn a_session_said_to_be_endless_costs_nothing() {
    let address = lying(|frame| match decode(&frame) {
        Ok(Frame::Info(info)) => {
            encode(&Frame::Info(feed::wire::Info { last: MAX_PACKET_SEQ, ..info }))
        }
        _ => frame,
    });
    let (recorder, frames) = record(address, hasty());
    assert_eq!(frames, Tape::classic().frames());
    let outcome = outcome(&recorder);
    assert_eq!(outcome.missing, "15-2147483647".parse().unwrap());
    assert!(matches!(outcome.reason, Some(IncompleteReason::Refused(_))), "{outcome:?}");
}

#[test]
fn a_description_that_makes_no_sense_is_ignored() {
    let address = lying(|mut frame| {
        if frame[4] == b'I' {
            frame[9..13].fill(0xff);
        }
        frame
    });
    let (recorder, frames) = record(address, hasty());
    assert_all(&recorder, &frames);
    assert_eq!(recorder.violations().undecodable, 1);
}

#[test]
fn a_false_end_of_one_line_costs_the_other_nothing_and_is_reported() {
    // The honest one sends packet 3, and what comes behind it, once the liar has been asked for
    // that packet, for its lie has arrived then.
    let asked = Arc::new((Mutex::new(false), Condvar::new()));
    let (told, waits) = (Arc::clone(&asked), asked);
    let honest = lying_as(Scenario::skipping("3".parse().unwrap()), move |frame| {
        if matches!(decode(&frame), Ok(Frame::Packet(packet)) if packet.sequence > 2) {
            let guard = waits.0.lock().unwrap();
            let patience = Duration::from_secs(30);
            drop(waits.1.wait_timeout_while(guard, patience, |asked| !*asked).unwrap());
        }
        frame
    });
    let liar =
        lying_as(Scenario::skipping("3".parse().unwrap()), move |frame| match decode(&frame) {
            Ok(Frame::Info(info)) => {
                encode(&Frame::Info(feed::wire::Info { last: MAX_PACKET_SEQ, ..info }))
            }
            Ok(Frame::Packet(packet)) if packet.sequence == 3 => {
                *told.0.lock().unwrap() = true;
                told.1.notify_all();
                frame
            }
            _ => frame,
        });
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("out.json").display().to_string();
    let (honest, liar) = (honest.to_string(), liar.to_string());
    let tape = folder.path().join("x.tape").display().to_string();
    let args = ["fetch", &honest, &liar, "-o", &place, "--tape", &tape, "--timeout", "2s"];
    let (code, _, told) = run(&mut betacrew(&args));
    assert!(told.contains("packet 15-2147483647: one line claims it"), "{told}");
    assert_eq!(code, 4, "{told}");
    let written = std::fs::read_to_string(&place).unwrap();
    assert_eq!(written.matches("\"sequence\"").count(), 14, "{told}");
    // The lie is not in the tape, either.
    let (code, said, _) = run(&mut betacrew(&["inspect", "--verify", &tape]));
    assert_eq!(code, 0, "{said}");
}
