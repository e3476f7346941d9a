//! The exchange as a client sees it.

use crate::support::{
    ServeProcess, betacrew, call, connect, losing, playing, read_all, read_frame, run, sequences,
};
use feed::base::seq::SeqRange;
use feed::faults::engine::{BLOCK, FaultEngine, RunId};
use feed::faults::scenario::FaultPlace;
use feed::tape::in_memory::Tape;
use feed::wire::{Call, Frame, Info, NotAvailable, Protocol, Reason, decode};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

fn all(tape: &Tape) -> Vec<u64> {
    (1..=tape.last()).collect()
}

fn clean(tape: &Tape) -> crate::support::Serving<feed::exchange::server::MockExchange> {
    playing(tape.clone(), losing(1, "0", ""))
}

#[test]
fn a_stream_is_the_tape_without_what_is_lost_and_then_the_end() {
    let tape = Tape::random(100_000, 3);
    let exchange = playing(tape.clone(), losing(9, "0.25", "7,1000-2000"));
    let mut stream = connect(exchange.address);
    call(&mut stream, Call::Stream);
    let bytes = read_all(&mut stream);
    // The verdict on each packet, asked for on its own.
    let faults = FaultEngine::new(&losing(9, "0.25", "7,1000-2000"), 100_000);
    let course = RunId {
        protocol: Protocol::Betacrew,
        place: FaultPlace::Stream,
        connection: 0,
        pass: 0,
        run: 0,
    };
    let dropped = |seq: u64| faults.drop_mask(course, seq / BLOCK) >> (seq % BLOCK) & 1 == 1;
    let kept: Vec<u64> = all(&tape).into_iter().filter(|&seq| !dropped(seq)).collect();
    assert_eq!(sequences(&bytes), kept);
    let frames: Vec<u8> = kept.iter().flat_map(|&seq| tape.slice(SeqRange::one(seq))[0]).collect();
    assert_eq!(bytes, frames);
    drop(stream);
    let served = exchange.end().stats();
    assert_eq!(served.dropped, 100_000 - kept.len() as u64);
    assert_eq!(served.bytes, bytes.len() as u64);
}

#[test]
fn one_byte_is_enough_to_call_for_the_stream() {
    let tape = Tape::classic();
    let exchange = clean(&tape);
    let mut stream = connect(exchange.address);
    stream.write_all(&[1]).unwrap();
    let mut first = read_frame(&mut stream).to_vec();
    stream.write_all(&[0]).unwrap();
    first.extend(read_all(&mut stream));
    assert_eq!(sequences(&first), all(&tape));
}

#[test]
fn after_a_stream_it_goes_on_reading_and_answers_nothing() {
    let tape = Tape::classic();
    let exchange = clean(&tape);
    let mut stream = connect(exchange.address);
    call(&mut stream, Call::Stream);
    assert_eq!(sequences(&read_all(&mut stream)), all(&tape));
    for _ in 0..100 {
        // A reset would fail one of these, or the read after them.
        stream.write_all(&[1, 0, 2, 3]).unwrap();
    }
    assert_eq!(read_all(&mut stream).len(), 0);
    drop(stream);
    assert_eq!(exchange.end().stats().streams, 1);
}

#[test]
fn resends_are_answered_in_order_and_silence_ends_the_connection() {
    let exchange = clean(&Tape::classic());
    let mut stream = connect(exchange.address);
    stream.write_all(&[2, 3, 2, 9, 2, 4, 2]).unwrap();
    stream.write_all(&[14]).unwrap();
    let mut bytes = Vec::new();
    (0..4).for_each(|_| bytes.extend(read_frame(&mut stream)));
    call(&mut stream, Call::Resend(1));
    bytes.extend(read_frame(&mut stream));
    assert_eq!(sequences(&bytes), [3, 9, 4, 14, 1]);
    let silent = Instant::now();
    assert_eq!(read_all(&mut stream).len(), 0);
    let waited = silent.elapsed();
    assert!(waited >= Duration::from_millis(350) && waited < Duration::from_secs(3), "{waited:?}");
}

#[test]
fn a_resend_and_then_a_stream_are_both_answered() {
    let exchange = clean(&Tape::sample(5));
    let mut stream = connect(exchange.address);
    stream.write_all(&[2, 3, 1, 0]).unwrap();
    assert_eq!(sequences(&read_all(&mut stream)), [3, 1, 2, 3, 4, 5]);
}

#[test]
fn a_half_close_does_not_end_what_was_asked_for() {
    let tape = Tape::random(200_000, 1);
    let exchange = clean(&tape);
    let mut stream = connect(exchange.address);
    call(&mut stream, Call::Stream);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(sequences(&read_all(&mut stream)), all(&tape));
    let mut resends = connect(exchange.address);
    resends.write_all(&[2, 3, 2, 4]).unwrap();
    resends.shutdown(Shutdown::Write).unwrap();
    assert_eq!(sequences(&read_all(&mut resends)), [3, 4]);
}

#[test]
fn an_unknown_sequence_ends_only_its_connection() {
    let exchange = clean(&Tape::classic());
    let mut other = connect(exchange.address);
    for unknown in [15, 127, 128, 200, 255] {
        let mut stream = connect(exchange.address);
        stream.write_all(&[2, 1, 2, unknown, 2, 2]).unwrap();
        assert_eq!(sequences(&read_all(&mut stream)), [1], "after what was asked before");
    }
    call(&mut other, Call::Resend(2));
    assert_eq!(sequences(&read_frame(&mut other)), [2]);
    assert_eq!(exchange.end().stats().refused, 5);
}

#[test]
fn sequence_zero_ends_its_connection_with_the_silence_after_it() {
    let exchange = clean(&Tape::classic());
    for bytes in [&[2, 0][..], &[2, 5, 2, 0]] {
        let mut stream = connect(exchange.address);
        stream.write_all(bytes).unwrap();
        assert_eq!(sequences(&read_all(&mut stream)).len(), bytes.len() / 2 - 1);
    }
}

#[test]
fn unknown_calls_are_ignored() {
    let exchange = clean(&Tape::classic());
    let mut stream = connect(exchange.address);
    for kind in [0, 3, 4, 5, 6, 100, 127, 128, 255] {
        stream.write_all(&[kind, 0]).unwrap();
    }
    call(&mut stream, Call::Resend(5));
    assert_eq!(sequences(&read_frame(&mut stream)), [5]);
}

#[test]
fn calls_in_halves_do_not_mix_between_connections() {
    let exchange = clean(&Tape::classic());
    let (mut one, mut other) = (connect(exchange.address), connect(exchange.address));
    one.write_all(&[2]).unwrap();
    other.write_all(&[2]).unwrap();
    // The exchange answers the third only after it has read the halves.
    let mut third = connect(exchange.address);
    call(&mut third, Call::Resend(1));
    read_frame(&mut third);
    other.write_all(&[7]).unwrap();
    one.write_all(&[6]).unwrap();
    assert_eq!(sequences(&read_frame(&mut one)), [6]);
    assert_eq!(sequences(&read_frame(&mut other)), [7]);
}

#[test]
fn a_thousand_clients_at_once() {
    betacrew::net::raise_descriptor_limit();
    let tape = Tape::classic();
    let exchange = clean(&tape);
    let mut streams: Vec<_> = (0..1000).map(|_| connect(exchange.address)).collect();
    streams.iter_mut().for_each(|stream| call(stream, Call::Stream));
    for stream in &mut streams {
        assert_eq!(sequences(&read_all(stream)), all(&tape));
    }
    drop(streams);
    assert_eq!(exchange.end().stats().streams, 1000);
}

#[test]
fn clients_that_connect_while_it_is_busy_are_not_turned_away() {
    betacrew::net::raise_descriptor_limit();
    // Nobody accepts; all of these wait in the listener's queue.
    let listener = betacrew::net::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let streams: Vec<_> = (0..1100)
        .map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(900)))
        .collect();
    assert!(streams.iter().all(Result::is_ok));
}

#[test]
fn clients_that_reset_or_stall_harm_nobody() {
    let tape = Tape::random(500_000, 1);
    let exchange = clean(&tape);
    // These never read: their connections fill up, and closing them resets.
    let mut stalled: Vec<_> = (0..20).map(|_| connect(exchange.address)).collect();
    stalled.iter_mut().for_each(|stream| call(stream, Call::Stream));
    for stream in &mut stalled {
        read_frame(stream);
    }
    let mut stream = connect(exchange.address);
    call(&mut stream, Call::Stream);
    let mut some = [0; 17 * 1000];
    stream.read_exact(&mut some).unwrap();
    drop(stalled);
    assert_eq!([sequences(&some), sequences(&read_all(&mut stream))].concat(), all(&tape));
    drop(stream);
    let mut after = connect(exchange.address);
    call(&mut after, Call::Resend(9));
    assert_eq!(sequences(&read_frame(&mut after)), [9]);
    assert_eq!(exchange.end().stats().resets, 20);
}

#[test]
fn the_extension_describes_and_resends_ranges() {
    let tape = Tape::random(1000, 5);
    let exchange = clean(&tape);
    let mut stream = connect(exchange.address);
    call(&mut stream, Call::Describe { version: 9 });
    let info = Info { session: tape.session(), version: 1, first: 1, last: 1000 };
    assert_eq!(decode(&read_frame(&mut stream)), Ok(Frame::Info(info)));

    let mut ask = |first, count| {
        call(&mut stream, Call::ResendRange { first, count });
        let packets = (0..count.min(1001_u64.saturating_sub(first.max(1))))
            .map(|_| read_frame(&mut stream))
            .collect::<Vec<_>>();
        sequences(packets.as_flattened())
    };
    assert_eq!(ask(200, 3), [200, 201, 202]);
    assert_eq!(ask(1, 1000), (1..=1000).collect::<Vec<_>>());
    assert_eq!(ask(999, 5), [999, 1000]);
    let mut refused = |first, count, reason| {
        let refusal = NotAvailable { first, count, reason };
        assert_eq!(decode(&read_frame(&mut stream)), Ok(Frame::NotAvailable(refusal)));
    };
    refused(1001, 3, Reason::OutOfRange);
    for (first, count, reason) in [
        (2000, 7, Reason::OutOfRange),
        (1001, u32::MAX.into(), Reason::OutOfRange),
        (0, 5, Reason::Malformed),
        (5, 0, Reason::Malformed),
        (1 << 31, 1, Reason::Malformed),
    ] {
        call(&mut stream, Call::ResendRange { first, count });
        let refusal = NotAvailable { first, count, reason };
        assert_eq!(decode(&read_frame(&mut stream)), Ok(Frame::NotAvailable(refusal)));
    }
    // The connection stays: silence ends only those that never described.
    call(&mut stream, Call::Resend(3));
    read_frame(&mut stream);
    stream.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    assert!(
        stream
            .read(&mut [0])
            .is_err_and(|error| error.kind() != std::io::ErrorKind::ConnectionReset)
    );
    call(&mut stream, Call::Resend(7));
    assert_eq!(sequences(&read_frame(&mut stream)), [7]);
}

#[test]
fn a_client_that_asks_without_reading_is_not_read_without_bound() {
    let exchange = clean(&Tape::random(1000, 5));
    let mut stream = connect(exchange.address);
    call(&mut stream, Call::Describe { version: 1 });
    read_frame(&mut stream);
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut asked = 0;
    let mut request = Vec::new();
    Call::ResendRange { first: 1, count: 1000 }.encode(&mut request);
    // 17 KB of answers to each 10 bytes: at some time it must stop reading.
    while stream.write_all(&request).is_ok() {
        asked += 1;
        assert!(asked < 5_000_000, "it reads on and on");
    }
    let mut other = connect(exchange.address);
    call(&mut other, Call::Resend(2));
    assert_eq!(sequences(&read_frame(&mut other)), [2]);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let args = ["--tape", "random:3000", "--seed", "11", "--no-keep-last", "--drop", "30%"];
    let streams = [(), ()].map(|()| {
        let serving = ServeProcess::listening(&["127.0.0.1:0", "[::1]:0"], &args);
        let mut streams = Vec::new();
        for address in serving.addresses.iter().cycle().take(4) {
            let mut stream = connect(address.parse().unwrap());
            call(&mut stream, Call::Stream);
            streams.push(read_all(&mut stream));
        }
        streams
    });
    assert_eq!(streams[0], streams[1]);
    assert_ne!(streams[0][0], streams[0][1], "each connection has its own losses");
}

#[test]
fn signals_end_it_in_order() {
    use rustix::process::Signal;
    for signal in [Signal::INT, Signal::TERM] {
        let serving = ServeProcess::start(&["--tape", "classic", "--skip", "3"]);
        let mut stream = connect(serving.addresses[0].parse().unwrap());
        call(&mut stream, Call::Stream);
        assert_eq!(sequences(&read_all(&mut stream)).len(), 13);
        let mut idle = connect(serving.addresses[0].parse().unwrap());
        call(&mut idle, Call::Resend(3));
        read_frame(&mut idle);
        serving.signal(signal);
        assert_eq!(read_all(&mut idle).len(), 0, "idle connections are closed");
        let (code, log) = serving.ends();
        assert_eq!(code, 0);
        assert!(
            log.contains("served 2 connections: 1 stream (1 packet dropped on purpose), 1 resend"),
            "{log}"
        );
        assert!(log.contains("streaming 13 of 14, dropping 3"), "{log}");
    }
}

#[test]
fn a_running_stream_is_finished_after_a_signal() {
    let serving = ServeProcess::start(&["--tape", "random:300000", "--drop", "0"]);
    let mut stream = connect(serving.addresses[0].parse().unwrap());
    call(&mut stream, Call::Stream);
    let mut bytes = read_frame(&mut stream).to_vec();
    serving.signal(rustix::process::Signal::TERM);
    bytes.extend(read_all(&mut stream));
    assert_eq!(sequences(&bytes).len(), 300_000);
    assert_eq!(serving.ends().0, 0);
}

#[test]
fn the_last_packet_is_kept_unless_told_otherwise() {
    for (args, kept) in [
        (&["--drop", "1"][..], &[14][..]),
        (&["--drop", "1", "--no-keep-last"], &[]),
        (&["--drop", "1", "--no-keep-last", "--keep-last"], &[14]),
        (&["--drop", "0", "--skip", "2-14"], &[1]),
    ] {
        let serving = ServeProcess::start(&[&["--tape", "classic"], args].concat());
        let mut stream = connect(serving.addresses[0].parse().unwrap());
        call(&mut stream, Call::Stream);
        assert_eq!(sequences(&read_all(&mut stream)), kept, "{args:?}");
    }
}

#[test]
fn a_drawn_seed_is_logged_and_repeats_the_run() {
    let bytes = |serving: &ServeProcess| {
        let mut stream = connect(serving.addresses[0].parse().unwrap());
        call(&mut stream, Call::Stream);
        read_all(&mut stream)
    };
    let serving = ServeProcess::start(&["--tape", "random:500"]);
    let first = bytes(&serving);
    serving.signal(rustix::process::Signal::TERM);
    let log = serving.ends().1;
    let seed = log.split("--seed ").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(bytes(&ServeProcess::start(&["--tape", "random:500", "--seed", seed])), first);
}

#[test]
fn what_makes_no_sense_is_refused_with_advice() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (args, code, message) in [
        (&["--listen", &address][..], 1, "choose another port"),
        (&["--listen", "nowhere:x"], 2, "is not an address"),
        (&["--tape", "random"], 2, "random:1000"),
        (&["--tape", "no-such-file"], 2, "neither one of sample"),
        (&["--tape", "Cargo.toml"], 6, "cannot use Cargo.toml"),
        (&["--tape", "src"], 6, "cannot read src"),
        (&["--drop", "1.5"], 2, "0.25 or 25%"),
        (&["--skip", "5-2"], 2, "lower to its higher"),
        (&["--skip", "0"], 2, "whole numbers from 1, with"),
        (&["--seed", "x"], 2, "--seed"),
    ] {
        let (exit, stdout, stderr) = run(betacrew(&["serve"]).args(args));
        assert_eq!(exit, code, "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
        assert_eq!(stdout, "");
    }
}

/// Starts an exchange that may have this many descriptors.
#[cfg(unix)]
fn with_descriptors(limit: u32) -> ServeProcess {
    ServeProcess::limited(&format!("ulimit -n {limit}"), &["--tape", "random:500000:1"])
}

#[test]
#[cfg(unix)]
fn idle_connections_make_room_when_descriptors_run_out() {
    betacrew::net::raise_descriptor_limit();
    // With 64 it knows how many connections it may have; with 16 the system refuses before that.
    for limit in [64, 16] {
        let exchange = with_descriptors(limit);
        let address = exchange.addresses[0].parse().unwrap();
        let mut streaming = connect(address);
        call(&mut streaming, Call::Stream);
        read_frame(&mut streaming);
        let idle: Vec<_> = (0..100).map(|_| connect(address)).collect();
        for _ in 0..20 {
            let mut one = connect(address);
            call(&mut one, Call::Resend(7));
            assert_eq!(sequences(&read_frame(&mut one)), [7], "{limit} descriptors");
        }
        drop(idle);
        assert!(read_all(&mut streaming).len() > 17 * 300_000, "the stream goes on");
        exchange.signal(rustix::process::Signal::TERM);
        let (code, log) = exchange.ends();
        assert_eq!(code, 0, "{log}");
        let warnings: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
        assert!((1..=4).contains(&warnings.len()), "{warnings:#?}");
    }
}

#[test]
#[cfg(unix)]
fn where_nobody_is_idle_others_wait_and_the_log_stays_short() {
    let exchange = with_descriptors(16);
    let address = exchange.addresses[0].parse().unwrap();
    // These call and do not read: they are streaming, however slowly.
    let mut stalled: Vec<_> = (0..20).map(|_| connect(address)).collect();
    stalled.iter_mut().for_each(|stream| call(stream, Call::Stream));
    read_frame(&mut stalled[0]);
    let mut other = connect(address);
    call(&mut other, Call::Resend(7));
    other.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    assert!(other.read(&mut [0]).is_err(), "there is no room");
    drop(stalled);
    other.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    assert_eq!(sequences(&read_frame(&mut other)), [7]);
    exchange.signal(rustix::process::Signal::TERM);
    let (_, log) = exchange.ends();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert!((1..=2).contains(&warnings.len()), "{warnings:#?}");
    assert!(warnings[0].contains("ulimit -n"), "{warnings:#?}");
}
