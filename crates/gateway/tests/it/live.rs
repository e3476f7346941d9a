//! Gateways and real servers.

use crate::in_time::ChildInTime;
use crate::server::{Server, servers};
use feed::tape::in_memory::Tape;
use feed::wire::{RawFrame, SessionId};
use gateway::{Encoding, Error, Gateway, Log, Notice, Settings};
use std::process::Stdio;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);

pub(crate) fn settings(url: &str) -> Settings {
    Settings::new(format!("{url}/x").parse().unwrap())
}

/// Publishes all of a tape; says how far it is. All who meet know what the log has before one of
/// them publishes.
fn publish_and_tell(
    settings: &Settings,
    session: Option<SessionId>,
    tape: &[RawFrame],
    (meeting, reached): (&Barrier, &AtomicU64),
) -> Result<Gateway, Error> {
    let gateway = Gateway::start(settings, session)?;
    let last = tape.len() as u64;
    let began = Instant::now();
    while gateway.wants()?.is_none() {
        assert!(began.elapsed() < PATIENCE, "{}", gateway.unfinished(last, PATIENCE));
        gateway.wait(STEP);
    }
    Barrier::wait(meeting);
    while !gateway.done(last)? {
        assert!(began.elapsed() < PATIENCE, "{}", gateway.unfinished(last, PATIENCE));
        let wanted = gateway.wants()?.filter(|&next| next <= last);
        let taken = wanted.map_or(Ok(0), |next| gateway.put(&tape[next as usize - 1..]))?;
        if taken == 0 {
            gateway.wait(STEP);
        }
        reached.fetch_max(gateway.published().reached, Ordering::Relaxed);
    }
    reached.fetch_max(last, Ordering::Relaxed);
    Ok(gateway)
}

pub(crate) fn publish(
    settings: &Settings,
    session: Option<SessionId>,
    tape: &[RawFrame],
) -> Result<Gateway, Error> {
    publish_and_tell(settings, session, tape, (&Barrier::new(1), &AtomicU64::new(0)))
}

pub(crate) fn read(settings: &Settings) -> Vec<RawFrame> {
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
    let tape = Tape::random(5_000, 1);
    let session = Some(tape.session());
    for (stream, block, encoding, subject) in [
        ("wire", 512, Encoding::Wire, None),
        ("json", 100, Encoding::Json, Some("md.{session}")),
        ("each", 512, Encoding::Wire, Some("each.{session}.{symbol}")),
    ] {
        let target = format!("{}/{stream}", server.url()).parse().unwrap();
        let subject = subject.map(str::to_owned);
        let settings = Settings { block, encoding, subject, ..Settings::new(target) };
        let gateway = publish(&settings, session, tape.frames()).unwrap();
        let counts = gateway.published().counts;
        assert_eq!((counts.published, counts.races), (5_000, 0));
        assert!(read(&settings) == tape.frames(), "{stream}");
        // A second one finds all of it there.
        let settings = Settings { check: true, ..settings };
        let counts = publish(&settings, session, tape.frames()).unwrap().published().counts;
        assert_eq!((counts.published, counts.compared), (0, 5_000));
    }
}

/// Two gateways at once; `failure` is made when a part of the tape is published, and later again.
fn two_at_once(settings: &Settings, packets: u64, failure: &mut dyn FnMut(usize)) {
    let tape = Tape::random(packets, 2);
    let session = Some(tape.session());
    let (meeting, reached) = (Barrier::new(2), AtomicU64::new(0));
    let races = std::thread::scope(|scope| {
        // They cut differently, so that one's messages never do for the other's.
        let work = [4, 3].map(|block| {
            let settings = Settings { block, patience: Duration::ZERO, ..settings.clone() };
            let (tape, shared) = (tape.frames(), (&meeting, &reached));
            scope.spawn(move || publish_and_tell(&settings, session, tape, shared).unwrap())
        });
        for time in 0..2 {
            let began = Instant::now();
            while reached.load(Ordering::Relaxed) < packets / 3 * (time as u64 + 1) {
                assert!(began.elapsed() < PATIENCE, "at {}", reached.load(Ordering::Relaxed));
                std::thread::yield_now();
            }
            failure(time);
        }
        work.map(|work| work.join().unwrap().published().counts.races).iter().sum::<u64>()
    });
    assert!(races > 0, "they were never in each other's way");
    assert!(read(settings) == tape.frames());
}

#[test]
fn two_at_once_and_a_server_that_is_killed() {
    if !servers() {
        return;
    }
    let mut server = Server::start();
    let settings = settings(&server.url());
    two_at_once(&settings, 40_000, &mut |_| {
        server.kill();
        server.again();
    });
}

#[test]
fn a_cluster_of_three_of_which_one_is_killed() {
    if !servers() {
        return;
    }
    let mut cluster = Server::cluster();
    let hosts: Vec<String> = cluster.iter().map(|s| s.url().replace("nats://", "")).collect();
    let target = format!("nats://{}/x", hosts.join(",")).parse().unwrap();
    let settings =
        Settings { block: 4, replicas: 3, patience: Duration::ZERO, ..Settings::new(target) };
    two_at_once(&settings, 20_000, &mut |time| {
        // The others have all that was confirmed, and go on.
        cluster[time].kill();
        if time == 0 {
            cluster[time].again();
        }
    });
}

#[test]
fn a_log_that_is_down_takes_nothing_and_gets_all_when_it_is_back() {
    if !servers() {
        return;
    }
    let mut server = Server::start();
    server.kill();
    let settings = settings(&server.url());
    let tape = Tape::random(60_000, 3);
    let gateway = Gateway::start(&settings, None).unwrap();
    let wait = |until: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !until() {
            assert!(began.elapsed() < PATIENCE);
            gateway.wait(STEP);
        }
    };
    wait(&|| gateway.notices().iter().any(|notice| matches!(notice, Notice::Waiting(_))));
    assert_eq!(gateway.wants().unwrap(), None, "what the log has is not known");
    assert_eq!(gateway.put(tape.frames()).unwrap(), 0);
    server.again();
    wait(&|| gateway.wants().unwrap() == Some(1));
    assert_eq!(gateway.put(&tape.frames()[..10]).unwrap(), 10);
    wait(&|| gateway.published().reached == 10);
    server.kill();
    wait(&|| gateway.notices().iter().any(|notice| matches!(notice, Notice::Waiting(_))));
    // The rest of it must stay where it is: only a window is held here.
    let held = gateway.put(&tape.frames()[10..]);
    assert_eq!(held.unwrap(), 512 * 32);
    assert_eq!(gateway.put(&tape.frames()[10 + 512 * 32..]).unwrap(), 0);
    server.again();
    wait(&|| gateway.published().reached == 10 + 512 * 32);
    assert!(read(&settings) == tape.frames()[..10 + 512 * 32]);
}

#[test]
fn what_does_not_go_together_is_refused_and_left_alone() {
    if !servers() {
        return;
    }
    let server = Server::start();
    let settings = Settings { check: true, ..settings(&server.url()) };
    let tape = Tape::random(1000, 4);
    let session = Some(tape.session());
    publish(&settings, session, &tape.frames()[..800]).unwrap();
    let refused = |session, frames: &[RawFrame], word: &str| {
        let error = publish(&settings, session, frames).err().expect("it is refused");
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(read(&settings) == tape.frames()[..800]);
    };
    refused(session, Tape::random(1000, 5).frames(), "message 1 has packet #1 ");
    refused(Some(SessionId::of(*b"ABCD")), tape.frames(), "is of session");
    // Somebody else's message.
    server.say("PUB betacrew.x 2\r\nhi\r\n");
    let error = publish(&settings, session, tape.frames()).err().unwrap().to_string();
    assert!(error.contains("is no message of betacrew's: it has no header Nats-Msg-Id"), "{error}");
    let log = Log::open(&settings, PATIENCE).unwrap();
    let error = log.read(&mut |_| Ok::<(), Error>(())).unwrap_err().to_string();
    assert!(error.contains("no message of betacrew's"), "{error}");
}

#[test]
fn what_cannot_be_is_said_at_once() {
    if !servers() {
        return;
    }
    let server = Server::with("authorization { user: a, password: secret }\n");
    let said = |url: &str| publish(&settings(url), None, &[]).err().map(|error| error.to_string());
    let refused = said(&server.url()).unwrap();
    assert!(refused.contains("refuses") && refused.contains("uthoriz"), "{refused}");
    let url = server.url().replace("nats://", "nats://a:secret@");
    assert_eq!(said(&url), None);
    let three = Settings { replicas: 3, ..Settings::new(format!("{url}/y").parse().unwrap()) };
    let refused = publish(&three, None, &[]).err().unwrap().to_string();
    assert!(refused.contains("replicas") && !refused.contains("secret"), "{refused}");
    let other = Settings {
        subject: Some("betacrew.x".to_owned()),
        ..Settings::new(format!("{url}/z").parse().unwrap())
    };
    let refused = publish(&other, None, &[]).err().unwrap().to_string();
    assert!(refused.contains("overlap"), "{refused}");
    let none = Log::open(&Settings::new(format!("{url}/none").parse().unwrap()), PATIENCE);
    assert!(none.err().unwrap().to_string().contains("there is no stream"));
    let unnamed = Settings::new(url.parse().unwrap());
    assert!(matches!(Gateway::start(&unnamed, None).err(), Some(Error::Usage(_))));
}

/// A certificate for this machine, signed by itself; `None` where nothing here makes one.
fn certificate(folder: &std::path::Path) -> Option<()> {
    let text = "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem \
                -subj /CN=x -addext subjectAltName=IP:127.0.0.1 \
                -addext basicConstraints=critical,CA:FALSE";
    let made = std::process::Command::new("openssl")
        .args(text.split_whitespace())
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    made.is_ok_and(|mut made| made.ends().success()).then_some(())
}

#[test]
fn through_tls_with_a_certificate_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    if !servers() {
        return;
    }
    if certificate(folder.path()).is_none() {
        println!("skipped: no openssl to make a certificate with");
        return;
    }
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    let server = Server::with(&format!("tls {{ cert_file: {cert:?}, key_file: {key:?} }}\n"));
    let settings = settings(&server.url().replace("nats://", "tls://"));
    let tape = Tape::random(2000, 6);
    let untrusted = publish(&settings, None, tape.frames()).err().unwrap();
    assert!(matches!(untrusted, Error::Refused { .. }), "{untrusted}");
    let settings = Settings { ca: Some(cert.into()), ..settings };
    publish(&settings, None, tape.frames()).unwrap();
    assert!(read(&settings) == tape.frames());
    let settings = Settings { creds: Some(folder.path().join("none")), ..settings };
    let error = publish(&settings, None, tape.frames()).err().unwrap().to_string();
    assert!(error.contains("cannot use the credentials file: "), "{error}");
}
