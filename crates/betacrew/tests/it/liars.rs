//! One line of two that lies.

use crate::hostile::lying_as;
use crate::support::{betacrew, run};
use feed::scenario::Scenario;
use feed::seq::MAX_SEQ;
use feed::wire::{Frame, decode, encode};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

#[test]
fn what_one_line_lies_about_the_end_costs_the_other_nothing_but_is_told() {
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
                encode(&Frame::Info(feed::wire::Info { last: MAX_SEQ, ..info }))
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
    let args = ["fetch", &honest, &liar, "-o", &place, "--timeout", "2s"];
    let (code, _, told) = run(&mut betacrew(&args));
    assert!(told.contains("packet 15-2147483647: one line claims it"), "{told}");
    assert_eq!(code, 4, "{told}");
    let written = std::fs::read_to_string(&place).unwrap();
    assert_eq!(written.matches("\"sequence\"").count(), 14, "{told}");
}
