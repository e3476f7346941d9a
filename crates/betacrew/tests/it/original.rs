//! The client against a socket version of the original exchange, which dies when mistreated.

use crate::support::{Serving, call, connect, read_all};
use betacrew::net::{Stop, fetch};
use feed::client::{Recorder, RecorderOptions};
use feed::exchange::original::{Death, OriginalExchange};
use feed::tape::in_memory::Tape;
use feed::tape::recording::MemoryRecording;
use feed::wire::Call;
use std::io::Write;

#[test]
fn hundreds_of_recordings_from_one_original_lose_nothing_and_never_kill_it() {
    let tape = Tape::classic();
    let exchange = Serving::start(OriginalExchange::new(tape.clone(), 4));
    for round in 0..300 {
        let options = RecorderOptions { classic: round % 3 == 0, ..RecorderOptions::default() };
        let mut recording = MemoryRecording::new();
        let line = vec![exchange.address];
        let mut recorder = Recorder::new(options, 1);
        fetch(&[line.into()], &mut recorder, &mut recording, &Stop::new(), |_| {}).unwrap();
        let outcome = recorder.outcome().unwrap();
        assert!(outcome.is_complete(), "round {round}: {outcome:?}");
        let recorded: Vec<_> = recording.in_order().flatten().copied().collect();
        assert_eq!(recorded, tape.frames(), "round {round}");
    }
    assert_eq!(exchange.end().died_of(), None);
}

#[test]
fn the_socket_version_dies_too() {
    let exchange = Serving::start(OriginalExchange::new(Tape::classic(), 4));
    let mut stream = connect(exchange.address);
    call(&mut stream, Call::Resend(15));
    assert!(read_all(&mut stream).is_empty());
    assert_eq!(exchange.dies().died_of(), Some(Death::UnknownSequence(15)));

    let exchange = Serving::start(OriginalExchange::new(Tape::classic(), 4));
    let mut stream = connect(exchange.address);
    call(&mut stream, Call::Stream);
    read_all(&mut stream);
    stream.write_all(&[2, 1]).unwrap();
    let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    assert_eq!(exchange.dies().died_of(), Some(Death::WriteAfterEnd));
}
