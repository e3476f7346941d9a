//! ITCH files: any bytes are read to their end or to a place that is said, and what was read comes
//! back when it is written again.

use betacrew::format::{DamagePolicy, Format, Payload, SessionFacts, read};
use betacrew::output::Output;
use feed::base::seq::Seq;
use std::path::Path;

type Messages = Vec<(Seq, Vec<u8>)>;

/// Reads a file, and returns its messages and whether it could be read to its end.
fn messages_of(path: &Path, damage: DamagePolicy) -> (Messages, bool) {
    let mut all: Messages = Vec::new();
    let done = read(path, Format::Itch, damage, &mut |messages, _| {
        for (seq, message) in messages.iter() {
            all.push((seq, message.to_vec()));
        }
        Ok(())
    });
    if let Err(failure) = &done {
        assert!(!failure.to_string().is_empty());
    }
    (all, done.is_ok())
}

/// Writes messages as an ITCH file.
fn write(path: &Path, from: &Path) {
    let output = Output::begin_as(path, Format::Itch).expect("it can be written");
    let written = output.with_payload(Some(Payload::Opaque)).encode(Format::Itch, |put| {
        read(from, Format::Itch, DamagePolicy::Refuse, put).map(|_| SessionFacts::default())
    });
    written.expect("what was read can be written");
}

pub(crate) fn run(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, again) = (folder.path().join("x.itch"), folder.path().join("y.itch"));
    std::fs::write(&file, bytes).expect("a temporary file can be written");
    let (whole, is_whole) = messages_of(&file, DamagePolicy::Refuse);
    let (skipped, is_read) = messages_of(&file, DamagePolicy::Skip);
    // Damage is skipped behind the last whole message.
    assert!(skipped.starts_with(&whole) && (is_read || !is_whole));
    assert!(!is_whole || whole == skipped);
    // Each message takes two bytes at least.
    assert!(
        2 * whole.len() <= crate::EXPANSION * bytes.len(),
        "{} of {}",
        whole.len(),
        bytes.len()
    );
    // Order packets have their own sequences; whoever uses a file checks that they ascend.
    let is_ascending = whole.windows(2).all(|two| two[0].0 < two[1].0);
    if is_whole && is_ascending {
        write(&again, &file);
        assert_eq!(messages_of(&again, DamagePolicy::Refuse), (whole, true));
    }
}
