//! Gateways and real servers.

use crate::server::{Server, servers};
use feed::tape::Tape;
use feed::wire::{RawFrame, SessionId};
use gateway::{Encoding, Error, Gateway, Log, Settings};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(50);

pub(crate) fn settings(url: &str) -> Settings {
    Settings::new(format!("{url}/x").parse().unwrap())
}

/// Publishes all of a tape.
fn publish(settings: &Settings, session: Option<SessionId>, tape: &[RawFrame]) -> Result<Gateway, Error> {
    let gateway = Gateway::start(settings, session)?;
    let last = tape.len() as u32;
    let began = Instant::now();
    while !gateway.done(last)? {
        assert!(began.elapsed() < PATIENCE, "{}", gateway.unfinished(last, PATIENCE));
        let wanted = gateway.wants()?.filter(|&next| next <= last);
        let taken = wanted.map_or(Ok(0), |next| gateway.put(&tape[next as usize - 1..]))?;
        if taken == 0 {
            gateway.wait(STEP);
        }
    }
    Ok(gateway)
}

fn read(settings: &Settings) -> Vec<RawFrame> {
    let log = Log::open(settings, PATIENCE).unwrap();
    let mut frames = Vec::new();
    log.read(&mut |block| {
        frames.extend(&block.frames);
        Ok::<(), Error>(())
    })
    .unwrap();
    frames
}

#[test]
fn a_tape_is_published_and_read_back() {
    if !servers() {
        return;
    }
    let server = Server::start();
    let tape = Tape::random(20_000, 1);
    let session = Some(tape.session());
    for (stream, block, encoding, subject) in [
        ("wire", 512, Encoding::Wire, None),
        ("json", 100, Encoding::Json, Some("md.{session}")),
        ("each", 512, Encoding::Wire, Some("each.{session}.{symbol}")),
    ] {
        let target = format!("{}/{stream}", server.url()).parse().unwrap();
        let subject = subject.map_or(Some(format!("{stream}.only")), |text| Some(text.to_owned()));
        let settings = Settings { block, encoding, subject, ..Settings::new(target) };
        let gateway = publish(&settings, session, tape.frames()).unwrap();
        let counts = gateway.published().counts;
        assert_eq!((counts.published, counts.races), (20_000, 0));
        assert!(read(&settings) == tape.frames(), "{stream}");
        // A second one finds all of it there.
        let settings = Settings { check: true, ..settings };
        let counts = publish(&settings, session, tape.frames()).unwrap().published().counts;
        assert_eq!((counts.published, counts.compared), (0, 20_000));
    }
}
