//! Speed of publishing into a log, beside a plain publisher of messages of the same size without
//! any guarantee: `cargo bench -p gateway`. The bench needs a nats-server (`BETACREW_NATS_SERVER`).

#![allow(clippy::unwrap_used, reason = "a measurement that fails should say where")]

#[path = "../../betacrew/tests/it/in_time.rs"]
mod in_time;
#[path = "../tests/it/server.rs"]
mod server;

use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::Config;
use feed::base::seq::to_index;
use feed::tape::in_memory::Tape;
use feed::wire::{FRAME_LEN, RawFrame};
use gateway::{Error, Gateway, Log, Settings};
use server::Server;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Number of rounds of each; the best one counts.
const ROUNDS: usize = 3;
const WINDOW: usize = 32;

/// A publisher as the client library's examples have it: a window of messages whose answers are
/// awaited, no conditions, no headers.
fn plain(server: &Server, name: &str, tape: &[RawFrame], block: usize, replicas: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = ContextBuilder::new().backpressure_on_inflight(true).build(client);
        let name = name.to_owned();
        let subjects = vec![name.clone()];
        let config =
            Config { name: name.clone(), subjects, num_replicas: replicas, ..Config::default() };
        // A cluster takes a while to find together.
        while context.create_stream(config.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut flights = VecDeque::new();
        for frames in tape.chunks(block) {
            if flights.len() >= WINDOW {
                let oldest: async_nats::jetstream::context::PublishAckFuture =
                    flights.pop_front().unwrap();
                oldest.await.unwrap();
            }
            let payload = frames.as_flattened().to_vec().into();
            flights.push_back(context.publish(name.clone(), payload).await.unwrap());
        }
        for flight in flights {
            flight.await.unwrap();
        }
    });
}

fn ours(settings: &Settings, tape: &[RawFrame]) -> u64 {
    let gateway = Gateway::start(settings, None).unwrap();
    let last = tape.len() as u64;
    while !gateway.done(last).unwrap() {
        let wanted = gateway.wants().unwrap().filter(|&next| next <= last);
        let taken = wanted.map_or(0, |next| gateway.put(&tape[to_index(next - 1)..]).unwrap());
        if taken == 0 {
            gateway.wait(Duration::from_millis(20));
        }
    }
    gateway.published().counts.messages
}

fn best(mut work: impl FnMut(usize)) -> f64 {
    let times = (0..ROUNDS).map(|round| {
        let began = Instant::now();
        work(round);
        began.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

fn measure(what: &str, server: &Server, block: u32, packets: u64, replicas: usize) {
    let tape = Tape::random(packets, 1);
    let tape = tape.frames();
    let name = |who: &str, round: usize| format!("{who}-{what}-{block}-{round}").replace(' ', "-");
    // The first stream of a cluster waits for it.
    plain(server, &name("before", 0), &tape[..1], 1, replicas);
    let them = best(|round| plain(server, &name("plain", round), tape, block as usize, replicas));
    let settings = |name: &str| {
        let target = format!("{}/{name}", server.url()).parse().unwrap();
        Settings { block, replicas, window: WINDOW, ..Settings::new(target) }
    };
    let us = best(|round| {
        ours(&settings(&name("ours", round)), tape);
    });
    let back = best(|round| {
        let log = Log::open(&settings(&name("ours", round)), Duration::from_secs(10)).unwrap();
        let mut count = 0;
        log.read(&mut |block| {
            count += block.frames.len();
            Ok::<(), Error>(())
        })
        .unwrap();
        assert_eq!(count, tape.len());
    });
    let rate = |time: f64| packets as f64 / time;
    println!(
        "{what:12} {block:>5} {:>6} B {:>12.0} {:>12.0} {:>6.2} {:>12.0}",
        block as usize * FRAME_LEN,
        rate(them),
        rate(us),
        them / us,
        rate(back)
    );
}

fn main() {
    if !server::servers() {
        return;
    }
    println!("packets a second; the best of {ROUNDS}; {WINDOW} messages on their way");
    println!("server       block   size        plain      gateway  ratio    read back");
    let one = Server::start();
    for (block, packets) in [(1, 20_000), (64, 1_000_000), (512, 5_000_000), (3855, 10_000_000)] {
        measure("one", &one, block, packets, 1);
    }
    drop(one);
    if server::version().is_none_or(|(major, minor)| (major, minor) >= (2, 10)) {
        let synced = Server::synced();
        for (block, packets) in [(1, 5_000), (512, 1_000_000), (3855, 5_000_000)] {
            measure("one, synced", &synced, block, packets, 1);
        }
    }
    let three = Server::cluster();
    for (block, packets) in [(1, 20_000), (512, 2_000_000), (3855, 5_000_000)] {
        measure("three", &three[0], block, packets, 3);
    }
}
