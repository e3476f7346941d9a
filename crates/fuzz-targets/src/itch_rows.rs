//! Rows of messages in JSON, NDJSON and CSV: any bytes are read or refused with words, and what was
//! read comes back when it is written again in the same format, and as an ITCH file.

use betacrew::format::{DamagePolicy, Format, SessionFacts, read};
use betacrew::output::Output;
use feed::base::seq::Seq;
use std::path::Path;

type Messages = Vec<(Seq, Vec<u8>)>;

/// Reads a file, and returns its messages, or `None` if it is refused.
fn messages_of(path: &Path, format: Format) -> Option<Messages> {
    let mut all: Messages = Vec::new();
    let done = read(path, format, DamagePolicy::Refuse, &mut |messages, _| {
        all.extend(messages.iter().map(|(seq, message)| (seq, message.to_vec())));
        Ok(())
    });
    if let Err(failure) = &done {
        assert!(!failure.to_string().is_empty());
    }
    done.ok().map(|_| all)
}

/// Writes the messages of a file in another format. Returns whether they fit it.
fn write(path: &Path, to: Format, from: (&Path, Format)) -> bool {
    let output = Output::begin_as(path, to).expect("it can be written");
    let written = output.encode(to, |put| {
        let read = read(from.0, from.1, DamagePolicy::Refuse, put);
        read.map(|_| SessionFacts::default())
    });
    if let Err(failure) = &written {
        assert!(!failure.to_string().is_empty());
    }
    written.is_ok()
}

pub(crate) fn run(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else { return };
    let format = [Format::Ndjson, Format::Csv, Format::Json][usize::from(first % 3)];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let (file, same, itch) = (path("file"), path("same"), path("itch"));
    std::fs::write(&file, bytes).expect("a temporary file can be written");
    let Some(messages) = messages_of(&file, format) else { return };
    let is_ascending = messages.windows(2).all(|two| two[0].0 < two[1].0);
    if !is_ascending {
        return;
    }
    // The first message decides the payload, and later ones may not fit it.
    if write(&same, format, (&file, format)) {
        assert_eq!(messages_of(&same, format).as_ref(), Some(&messages));
    }
    if write(&itch, Format::Itch, (&file, format)) {
        let read = messages_of(&itch, Format::Itch).expect("what was written can be read");
        let bytes = |all: &Messages| all.iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>();
        assert_eq!(bytes(&read), bytes(&messages));
    }
}
