//! Check of a stream's settings: whether it keeps a whole session, as published, for as long as it
//! exists.

use crate::target::Settings;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use feed::wire::SessionId;
use std::time::Duration;

/// Maximum length of a message's headers, in bytes.
pub(crate) const HEADERS_LEN: usize = 1024;

/// Maximum number of packets in a message of `bytes`, headers included.
pub(crate) fn packets_in(bytes: usize, settings: &Settings) -> usize {
    bytes.saturating_sub(HEADERS_LEN) / settings.encoding.packet_len()
}

/// Lists the settings with which the stream could lose, change or refuse messages, each with the
/// value that it needs. An empty text means that the stream is suitable.
pub(crate) fn unsuitable(
    config: &Config,
    settings: &Settings,
    session: Option<SessionId>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    discards(config, &mut wrong);
    refuses(config, settings, session, &mut wrong);
    wrong
}

/// Adds settings with which a stream removes messages, or takes those of others.
fn discards(config: &Config, wrong: &mut Vec<String>) {
    let retention = match config.retention {
        RetentionPolicy::Limits => None,
        RetentionPolicy::Interest => Some("interest"),
        RetentionPolicy::WorkQueue => Some("workqueue"),
    };
    wrong.extend(retention.map(|is| format!("retention is {is}, not limits")));
    if config.max_age > Duration::ZERO {
        wrong.push(format!("max_age is {:?}, not 0", config.max_age));
    }
    // With discard policy `new`, a full stream refuses a message instead of removing another one.
    let drops_old = config.discard == DiscardPolicy::Old;
    let limits = [("max_msgs", config.max_messages), ("max_bytes", config.max_bytes)];
    for (name, limit) in limits.into_iter().filter(|(_, limit)| drops_old && *limit > 0) {
        wrong.push(format!(
            "{name} is {limit} with discard old: set discard to new, or {name} to -1"
        ));
    }
    let per_subject = config.max_messages_per_subject;
    if per_subject > 0 && (drops_old || !config.discard_new_per_subject) {
        wrong.push(format!("max_msgs_per_subject is {per_subject}, not -1"));
    }
    if config.storage == StorageType::Memory {
        wrong.push("storage is memory, which a restart empties, not file".to_owned());
    }
    if config.allow_rollup {
        wrong.push("allow_rollup_hdrs is true: one message can remove all others".to_owned());
    }
    if config.mirror.is_some() {
        wrong.push("it is a mirror, which takes messages from its origin alone".to_owned());
    }
    if config.sources.as_ref().is_some_and(|sources| !sources.is_empty()) {
        wrong.push("it has sources, which put other messages between".to_owned());
    }
}

/// Adds settings with which a stream refuses or changes our messages.
fn refuses(
    config: &Config,
    settings: &Settings,
    session: Option<SessionId>,
    wrong: &mut Vec<String>,
) {
    if config.sealed {
        wrong.push("it is sealed, and takes nothing any more".to_owned());
    }
    if config.no_ack {
        wrong.push("no_ack is true, so nothing is confirmed".to_owned());
    }
    if config.subject_transform.is_some() {
        wrong.push("subject_transform gives messages other subjects".to_owned());
    }
    if let Some(first) = config.first_sequence.filter(|first| *first > 1) {
        wrong.push(format!("first_seq is {first}, not 1"));
    }
    let largest = usize::try_from(config.max_message_size).ok().filter(|size| *size > 0);
    let (packets, holds) = (settings.packets(), largest.map(|size| packets_in(size, settings)));
    if let Some(most) = holds.filter(|most| *most < packets as usize) {
        let is =
            format!("max_msg_size is {}, too small for {packets} packets", config.max_message_size);
        wrong.push(match most {
            0 => format!("{is}: set it to -1"),
            most => format!("{is}: set it to -1, or --publish-block to {most}"),
        });
    }
    let subject = settings.published_subject(session);
    if !config.subjects.iter().any(|filter| covers(filter, &subject)) {
        let subjects = config.subjects.join(", ");
        wrong.push(format!(
            "subjects are {subjects:?}, without {subject}: add it, or set --publish-subject"
        ));
    }
}

/// Returns true if a filter matches every message of a subject, which may have `*` for a token.
fn covers(filter: &str, subject: &str) -> bool {
    let (mut filters, mut tokens) = (filter.split('.'), subject.split('.'));
    loop {
        match (filters.next(), tokens.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some(filter), Some(token)) if filter == "*" || filter == token => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_nats::jetstream::stream::{Source, SubjectTransform};

    type Change = fn(&mut Config);

    fn settings() -> Settings {
        Settings::new("nats://h/x".parse().unwrap())
    }

    fn good() -> Config {
        Config { subjects: vec!["betacrew.x".to_owned()], ..Config::default() }
    }

    fn wrong(change: impl FnOnce(&mut Config)) -> String {
        let mut config = good();
        change(&mut config);
        unsuitable(&config, &settings(), None).join("; ")
    }

    #[test]
    fn a_stream_that_can_lose_or_change_messages_is_refused_with_what_to_set() {
        let cases: [(Change, &str); 17] = [
            (|c| c.retention = RetentionPolicy::Interest, "retention is interest, not limits"),
            (|c| c.retention = RetentionPolicy::WorkQueue, "retention is workqueue, not limits"),
            (|c| c.max_age = Duration::from_secs(60), "max_age is 60s, not 0"),
            (|c| c.max_messages = 5, "max_msgs is 5 with discard old"),
            (|c| c.max_bytes = 9, "max_bytes is 9 with discard old"),
            (|c| c.max_messages_per_subject = 1, "max_msgs_per_subject is 1, not -1"),
            (
                |c| (c.max_messages_per_subject, c.discard) = (1, DiscardPolicy::New),
                "max_msgs_per_subject is 1, not -1",
            ),
            (|c| c.storage = StorageType::Memory, "storage is memory"),
            (|c| c.allow_rollup = true, "allow_rollup_hdrs is true"),
            (|c| c.mirror = Some(Source::default()), "it is a mirror"),
            (|c| c.sources = Some(vec![Source::default()]), "it has sources"),
            (|c| c.sealed = true, "it is sealed"),
            (|c| c.no_ack = true, "no_ack is true"),
            (
                |c| {
                    let (source, destination) = (">".to_owned(), "y.>".to_owned());
                    c.subject_transform = Some(SubjectTransform { source, destination });
                },
                "subject_transform gives",
            ),
            (|c| c.first_sequence = Some(100), "first_seq is 100, not 1"),
            (|c| c.max_message_size = 100, "set it to -1"),
            (|c| c.subjects = vec!["other".to_owned()], "without betacrew.x: add it"),
        ];
        for (change, word) in cases {
            let said = wrong(change);
            assert!(said.contains(word) && !said.contains("; "), "{word}: {said}");
        }
        let all = wrong(|c| (c.no_ack, c.sealed) = (true, true));
        assert!(all.contains("; "), "everything at once: {all}");
    }

    #[test]
    fn a_stream_that_refuses_rather_than_discards_can_keep_a_session() {
        for change in [
            (|_| ()) as Change,
            |c| (c.max_messages, c.max_bytes, c.max_message_size) = (-1, -1, -1),
            |c| (c.max_messages, c.discard) = (5, DiscardPolicy::New),
            |c| (c.max_bytes, c.discard) = (5, DiscardPolicy::New),
            |c| {
                (c.max_messages_per_subject, c.discard) = (5, DiscardPolicy::New);
                c.discard_new_per_subject = true;
            },
            |c| c.first_sequence = Some(1),
            |c| c.subjects = vec!["a".to_owned(), "betacrew.>".to_owned()],
        ] {
            assert_eq!(wrong(change), "");
        }
    }

    #[test]
    fn the_largest_message_says_how_many_packets_fit() {
        let len = i32::try_from(HEADERS_LEN).unwrap() + 512 * 17;
        assert_eq!(wrong(|c| c.max_message_size = len), "");
        let said = wrong(|c| c.max_message_size = len - 1);
        assert!(said.contains("--publish-block to 511"), "{said}");
    }

    #[test]
    fn a_filter_takes_a_subject_token_by_token() {
        for (filter, subject) in
            [("a.b", "a.b"), ("a.*", "a.b"), ("a.>", "a.b.c"), (">", "a"), ("a.*.c", "a.*.c")]
        {
            assert!(covers(filter, subject), "{filter} {subject}");
        }
        for (filter, subject) in
            [("a.b", "a"), ("a", "a.b"), ("a.>", "a"), ("a.b", "a.*"), ("a.*", "a.b.c"), ("", "a")]
        {
            assert!(!covers(filter, subject), "{filter} {subject}");
        }
    }
}
