//! Log: reads a session back from a stream.

use crate::block::Block;
use crate::nats::{Error, Link, connect};
use crate::publisher::named;
use crate::target::Settings;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// Number of messages that are requested ahead.
const AHEAD: u64 = 64;
/// Interval between retries.
const PAUSE: Duration = Duration::from_millis(200);

/// Messages that were removed from a log.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Removed {
    /// Number of removed messages.
    pub messages: u64,
    /// Number of removed messages behind the last remaining one. Packets between two remaining
    /// messages are known to be missing; the number of packets after the last one is unknown.
    pub at_end: u64,
}

/// Stream with a session's packets, read from its first message to the one that was the last when
/// it was opened.
pub struct Log {
    runtime: Runtime,
    link: Link,
    log: String,
    /// Number of the stream's first message.
    begin: u64,
    first: u64,
    last: u64,
    patience: Duration,
}

impl Log {
    /// Connects to a stream. Failures are retried for the time `patience`.
    ///
    /// # Errors
    /// Returns an error if the log cannot be reached, or has no such stream.
    pub fn open(settings: &Settings, patience: Duration) -> Result<Self, Error> {
        let Some(name) = settings.target.stream(None) else {
            return Err(Error::Usage(format!(
                "{0} does not say which stream to read: {0}/betacrew-SESSION, for example",
                settings.target
            )));
        };
        let log = settings.target.named(&name);
        let runtime = runtime()?;
        let began = Instant::now();
        let (link, stream) = runtime.block_on(async {
            loop {
                let done = match connect(settings, &name, |_| {}).await {
                    Ok(link) => match link.open().await {
                        Ok(Some(stream)) => Ok((link, stream)),
                        Ok(None) => Err(Error::Usage(format!("there is no stream {log}"))),
                        Err(reason) => Err(Error::Unreachable { log: log.clone(), reason }),
                    },
                    Err(error) => Err(error),
                };
                match done {
                    Err(Error::Unreachable { .. }) if began.elapsed() < patience => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    done => return done,
                }
            }
        })?;
        let info = stream.cached_info();
        let (first, last) = (info.state.first_sequence.max(1), info.state.last_sequence);
        let begin = info.config.first_sequence.unwrap_or(1).clamp(1, first);
        Ok(Self { runtime, link, log, begin, first, last, patience })
    }

    /// Returns the number of the last message; 0 if there is none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Passes all blocks to `each` in order, and returns the messages that were removed. `each`
    /// checks that a block continues the one before.
    ///
    /// # Errors
    /// Returns an error if a message is not of a gateway, is of another session than those before,
    /// or cannot be read; and errors of `each`.
    pub fn read<E: From<Error>>(
        &self,
        each: &mut dyn FnMut(&Block) -> Result<(), E>,
    ) -> Result<Removed, E> {
        let mut asked = VecDeque::new();
        let mut next = self.first;
        let before = self.first - self.begin;
        let none = if self.first > self.last { before } else { 0 };
        let mut removed = Removed { messages: before, at_end: none };
        let mut session = None;
        self.runtime.block_on(async {
            loop {
                while next <= self.last && next < u64::MAX && (asked.len() as u64) < AHEAD {
                    let (link, number, patience) = (self.link.clone(), next, self.patience);
                    asked.push_back((
                        next,
                        tokio::spawn(async move { patiently(&link, number, patience).await }),
                    ));
                    next = next.saturating_add(1);
                }
                let Some((number, answer)) = asked.pop_front() else { return Ok(removed) };
                let read = answer.await.map_err(|error| Error::System(error.to_string()))?;
                let log = self.log.clone();
                let read = read.map_err(|reason| Error::Unreachable { log, reason })?;
                let Some(read) = read else {
                    removed.messages += 1;
                    removed.at_end += 1;
                    continue;
                };
                removed.at_end = 0;
                let wrong = |reason| Error::Content { log: self.log.clone(), reason };
                let block = read.map_err(|reason| {
                    wrong(format!("its message {number} is no message of betacrew's: {reason}"))
                })?;
                let of = *session.get_or_insert(block.session);
                if of != block.session {
                    let (first, second) = (named(of), named(block.session));
                    let packet = block.first();
                    return Err(E::from(wrong(format!(
                        "it has two sessions: {first}, and from message {number} (packet {packet}) \
                         on {second}; a log has one"
                    ))));
                }
                each(&block)?;
            }
        })
    }
}

async fn patiently(
    link: &Link,
    number: u64,
    patience: Duration,
) -> Result<Option<Result<Block, String>>, String> {
    let began = Instant::now();
    loop {
        match link.read(number).await {
            Err(_) if began.elapsed() < patience => {
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

pub(crate) fn runtime() -> Result<Runtime, Error> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::System(error.to_string()))
}
