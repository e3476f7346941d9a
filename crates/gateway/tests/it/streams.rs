//! Streams whose settings or messages are not those of a gateway.

use crate::live::{PATIENCE, publish, read, settings};
use crate::server::{Server, servers};
use feed::tape::in_memory::Tape;
use feed::wire::{RawFrame, SessionId};
use gateway::{Error, Log, Removed, Settings};

/// Settings of a stream besides those that a test changes.
const PLAIN: &str = r#""subjects":["betacrew.x"],"storage":"file","num_replicas":1"#;

/// Makes the stream `x`, with these settings instead of a gateway's.
fn make(server: &Server, more: &str) {
    server.stream("CREATE", "x", &format!("{PLAIN},{more}"));
}

/// A server of its own, how to publish to it, and a tape of so many packets; `None` where no server
/// is installed.
fn begin(packets: u64) -> Option<(Server, Settings, Tape)> {
    let server = servers().then(Server::start)?;
    let settings = settings(&server.url());
    Some((server, settings, Tape::random(packets, 1)))
}

#[test]
fn a_stream_that_discards_is_refused_before_anything_is_published() {
    let Some((server, settings, tape)) = begin(3000) else { return };
    for (more, word) in [
        (r#""retention":"limits","discard":"old","max_msgs":5"#, "max_msgs is 5"),
        (r#""retention":"limits","discard":"old","max_bytes":20000"#, "max_bytes is 20000"),
        (r#""retention":"limits","max_msgs_per_subject":1"#, "max_msgs_per_subject is 1"),
        (r#""retention":"interest""#, "retention is interest"),
        (r#""retention":"workqueue""#, "retention is workqueue"),
        (r#""retention":"limits","max_age":3600000000000"#, "max_age is 3600s"),
        (r#""retention":"limits","max_msg_size":5000"#, "--publish-block to 233"),
    ] {
        make(&server, more);
        let check = Settings { check: true, ..settings.clone() };
        for settings in [&settings, &check] {
            let refused = publish(settings, Some(tape.session()), tape.frames()).err().unwrap();
            assert!(matches!(refused, Error::Unsuitable { .. }), "{more}: {refused}");
            assert!(refused.to_string().contains(word), "{more}: {refused}");
        }
        assert_eq!(Log::open(&settings, PATIENCE).unwrap().last(), 0, "{more}");
        server.request("$JS.API.STREAM.DELETE.x", "");
    }
    // One that refuses what it has no room for can keep a session.
    make(&server, r#""retention":"limits","discard":"new","max_bytes":2000000"#);
    publish(&settings, Some(tape.session()), tape.frames()).unwrap();
    assert!(read(&settings) == tape.frames());
}

#[test]
fn a_stream_that_is_changed_while_it_is_published_into_is_found_out_at_the_end() {
    let Some((server, settings, tape)) = begin(3000) else { return };
    make(&server, r#""retention":"limits""#);
    let gateway = publish(&settings, Some(tape.session()), &tape.frames()[..2000]).unwrap();
    server.stream("UPDATE", "x", &format!(r#"{PLAIN},"retention":"limits","max_msgs":2"#));
    assert_eq!(gateway.put(&tape.frames()[2000..]).unwrap(), 1000);
    let end = || loop {
        match gateway.done(3000) {
            Ok(true) => return None,
            Ok(false) => gateway.wait(PATIENCE / 1000),
            Err(error) => return Some(error),
        }
    };
    let error = end().expect("it is found out");
    assert!(matches!(error, Error::Unsuitable { .. }), "{error}");
    assert!(!gateway.published().confirmed);
    drop(gateway);
    // Once it is mended, what it has lost is still lost.
    server.stream("UPDATE", "x", &format!(r#"{PLAIN},"retention":"limits""#));
    let error = publish(&settings, Some(tape.session()), tape.frames()).err().unwrap();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    assert!(error.to_string().contains("messages 1 to "), "{error}");
}

#[test]
fn what_was_removed_from_a_log_is_missing_from_it() {
    let Some((server, settings, tape)) = begin(3000) else { return };
    make(&server, r#""retention":"limits""#);
    publish(&settings, Some(tape.session()), tape.frames()).unwrap();
    let look = || {
        let mut frames: Vec<RawFrame> = Vec::new();
        let log = Log::open(&settings, PATIENCE).unwrap();
        let removed = log.read(&mut |block| {
            frames.extend(&block.frames);
            Ok::<(), Error>(())
        });
        (removed.unwrap(), frames.len(), log.last())
    };
    let (none, all, last) = look();
    assert_eq!((none, all), (Removed::default(), 3000));
    let mut left = 3000;
    for (count, (number, at_end)) in (1..).zip([(3, 0), (1, 0), (last, 1)]) {
        server.remove("x", number);
        let (removed, packets, _) = look();
        assert_eq!(removed, Removed { messages: count, at_end });
        assert!(packets < left, "{packets}");
        left = packets;
        let error = publish(&settings, Some(tape.session()), tape.frames()).err().unwrap();
        assert!(matches!(error, Error::Missing { .. }), "{error}");
    }
    server.request("$JS.API.STREAM.PURGE.x", "");
    assert_eq!(look(), (Removed { messages: last, at_end: last }, 0, last));
}

#[test]
fn a_log_of_two_sessions_is_refused_with_both_names_and_where_the_second_begins() {
    let Some((server, settings, tape)) = begin(1000) else { return };
    let [first, second] = [*b"AAAA", *b"BBBB"].map(|id| Some(SessionId::of(id)));
    publish(&settings, first, &tape.frames()[..600]).unwrap();
    // No gateway would go on with it.
    let refused = publish(&settings, second, tape.frames()).err().unwrap();
    assert!(matches!(refused, Error::Conflict { .. }), "{refused}");
    assert!(
        refused.to_string().contains("is of session AAAA, and the recording is of session BBBB")
    );
    let messages = Log::open(&settings, PATIENCE).unwrap().last();
    let frames = &tape.frames()[600..];
    let id = gateway::block::Id::of(second, frames).unwrap();
    server.say_message(
        "betacrew.x",
        &[("Nats-Msg-Id", &id.to_string()), ("Betacrew-Format", "wire")],
        frames.as_flattened(),
    );
    let log = Log::open(&settings, PATIENCE).unwrap();
    assert_eq!(log.last(), messages + 1);
    let error = log.read(&mut |_| Ok::<(), Error>(())).unwrap_err();
    assert!(matches!(error, Error::Content { .. }), "{error}");
    let said =
        format!("session AAAA, and from message {} (packet 601) on session BBBB", messages + 1);
    assert!(error.to_string().contains(&said), "{error}");
    for session in [first, second] {
        for check in [false, true] {
            let settings = Settings { check, ..settings.clone() };
            let refused = publish(&settings, session, tape.frames()).err().unwrap();
            assert!(matches!(refused, Error::Conflict { .. }), "{refused}");
            assert!(refused.to_string().contains("is of session"), "{refused}");
        }
    }
}
