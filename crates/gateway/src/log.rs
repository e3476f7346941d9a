//! What a log has, read back.

use crate::block::Block;
use crate::nats::{Error, Link, connect};
use crate::target::Settings;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// So many messages are asked for ahead.
const AHEAD: u64 = 64;
/// How often, and how long in all, what fails is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// A stream with a session's packets, to be read from its first message to the one that was its
/// last when it was opened.
pub struct Log {
    runtime: Runtime,
    link: Link,
    log: String,
    first: u64,
    last: u64,
    patience: Duration,
}

impl Log {
    /// Connects. What fails is tried again for so long.
    ///
    /// # Errors
    /// Where the log cannot be reached, or has no such stream.
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
        let state = &stream.cached_info().state;
        let (first, last) = (state.first_sequence.max(1), state.last_sequence);
        Ok(Self { runtime, link, log, first, last, patience })
    }

    /// The number of its last message; 0 where it has none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Hands on its blocks, one after the other. That one goes on where the one before ended is for
    /// `each` to check.
    ///
    /// # Errors
    /// Where a message is none of betacrew's, or cannot be read; or what `each` reports.
    pub fn read<E: From<Error>>(
        &self,
        each: &mut dyn FnMut(&Block) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut asked = VecDeque::new();
        let mut next = self.first;
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
                let Some((number, answer)) = asked.pop_front() else { return Ok(()) };
                let read = answer.await.map_err(|error| Error::System(error.to_string()))?;
                let log = self.log.clone();
                let read = read.map_err(|reason| Error::Unreachable { log, reason })?;
                let block = read.map_err(|reason| Error::Content {
                    log: self.log.clone(),
                    reason: format!("its message {number} is no message of betacrew's: {reason}"),
                })?;
                each(&block)?;
            }
        })
    }
}

async fn patiently(
    link: &Link,
    number: u64,
    patience: Duration,
) -> Result<Result<Block, String>, String> {
    let began = Instant::now();
    loop {
        match link.read(number).await {
            Err(reason) if began.elapsed() < patience && !reason.contains("no message") => {
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
