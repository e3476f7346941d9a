//! Gateway: a publisher in a thread of its own.

use crate::block::Block;
use crate::log::runtime;
use crate::nats::{Error, Failed, Link, connect};
use crate::publisher::{Answer, Counts, Options, Order, Publisher, State};
use crate::stream::packets_in;
use crate::target::Settings;
use async_nats::Event;
use feed::base::seq::Seq;
use feed::wire::{RawFrame, SessionId};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Interval between attempts to reach a server.
const PAUSE: Duration = Duration::from_millis(200);
/// Maximum number of notices kept until they are read.
const NOTICES: usize = 16;

/// Notice about the log, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The log cannot be reached, or does not take messages; the gateway retries.
    Waiting(String),
    /// The log takes packets.
    Publishing,
}

/// Result of publishing so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    /// Name of the stream.
    pub stream: String,
    /// Last packet of the recording that the log is known to have.
    pub reached: Seq,
    /// True if all packets were published and the log's own state has then shown that none is
    /// missing.
    pub confirmed: bool,
    /// True if the log has packets behind the recording's last one.
    pub continues: bool,
    /// Counts of packets and messages.
    pub counts: Counts,
}

/// Publisher of packets into a log, each once and in order, in a thread of its own.
pub struct Gateway {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    stream: String,
    log: String,
}

struct Shared {
    inner: Mutex<Inner>,
    /// Signals a change to a caller that waits.
    changed: Condvar,
    /// Signals a change to the thread.
    poke: Notify,
    began: Instant,
}

struct Inner {
    publisher: Publisher,
    failure: Option<Error>,
    notices: Vec<Notice>,
    /// Current problem, if there is one.
    wrong: Option<String>,
    stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Inner {
    fn wrong(&mut self, reason: Option<String>) {
        if self.wrong.is_some() != reason.is_some() && self.notices.len() < NOTICES {
            let notice = reason.clone().map_or(Notice::Publishing, Notice::Waiting);
            self.notices.push(notice);
        }
        self.wrong = reason;
    }
}

impl Gateway {
    /// Starts to publish the packets of a session, which may have no id.
    ///
    /// # Errors
    /// [`Error::Usage`] if the stream's name depends on a session id that is unknown.
    pub fn start(settings: &Settings, session: Option<SessionId>) -> Result<Self, Error> {
        let Some(stream) = settings.target.stream(session) else {
            return Err(Error::Usage(format!(
                "this session has no name, so its stream needs one: {}/NAME",
                settings.target
            )));
        };
        let log = settings.target.named(&stream);
        let publisher = Publisher::new(Options {
            session,
            block: settings.packets(),
            window: settings.window.max(1),
            // Without a session id, only a comparison of all packets shows that a log has this
            // session.
            check: settings.check || session.is_none(),
            patience: settings.patience,
        });
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                publisher,
                failure: None,
                notices: Vec::new(),
                wrong: None,
                stopped: false,
            }),
            changed: Condvar::new(),
            poke: Notify::new(),
            began: Instant::now(),
        });
        let runtime = runtime()?;
        let thread = std::thread::Builder::new().name("gateway".to_owned()).spawn({
            let (shared, settings, name) = (Arc::clone(&shared), settings.clone(), stream.clone());
            move || {
                if let Err(error) = runtime.block_on(drive(&shared, &settings, &name, session)) {
                    shared.lock().failure.get_or_insert(error);
                }
                shared.changed.notify_all();
            }
        });
        let thread = Some(thread.map_err(|error| Error::System(error.to_string()))?);
        Ok(Self { shared, thread, stream, log })
    }

    /// Returns the sequence of the next packet to put; `None` until the state of the log is known.
    ///
    /// # Errors
    /// Returns the reason why publishing cannot continue.
    pub fn wants(&self) -> Result<Option<Seq>, Error> {
        self.shared.lock().check(&self.log).map(|inner| inner.publisher.wants())
    }

    /// Takes packets, of which the first must be the one that is wanted next. Returns the number
    /// taken.
    ///
    /// # Errors
    /// Returns the reason why publishing cannot continue.
    pub fn put(&self, frames: &[RawFrame]) -> Result<usize, Error> {
        let taken = self.shared.lock().check(&self.log)?.publisher.put(frames);
        self.shared.poke.notify_one();
        Ok(taken)
    }

    /// Waits until the gateway takes more packets or is done, or until the time is over.
    pub fn wait(&self, at_most: Duration) {
        let inner = self.shared.lock();
        let full = |inner: &mut Inner| inner.failure.is_none() && !inner.publisher.is_ready();
        let _ = self.shared.changed.wait_timeout_while(inner, at_most, full);
    }

    /// Returns the notices since the last call.
    pub fn notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.shared.lock().notices)
    }

    /// Returns the result so far.
    #[must_use]
    pub fn published(&self) -> Published {
        let inner = self.shared.lock();
        Published {
            stream: self.stream.clone(),
            reached: inner.publisher.reached(),
            confirmed: inner.publisher.done(),
            continues: inner.publisher.continues(),
            counts: inner.publisher.counts(),
        }
    }

    /// Marks a packet as the last one. Returns true if the log has all packets.
    ///
    /// # Errors
    /// Returns the reason why publishing cannot continue.
    pub fn done(&self, last: Seq) -> Result<bool, Error> {
        let mut inner = self.shared.lock();
        let inner = inner.check(&self.log)?;
        inner.publisher.ends_with(last);
        let done = inner.publisher.done();
        // The thread finds out what is left to do.
        self.shared.poke.notify_one();
        Ok(done)
    }

    /// Returns the error that the log has taken no packet for a time.
    #[must_use]
    pub fn unfinished(&self, last: Seq, waited: Duration) -> Error {
        let inner = self.shared.lock();
        Error::Unfinished {
            log: self.log.clone(),
            reached: inner.publisher.reached(),
            last,
            waited,
            reason: inner.wrong.as_ref().map(|why| format!(": {why}")).unwrap_or_default(),
        }
    }
}

impl Inner {
    fn check(&mut self, log: &str) -> Result<&mut Self, Error> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        if let Some(failure) = self.publisher.failure() {
            let (log, failure) = (log.to_owned(), failure.clone());
            return Err(match failure.is_missing() {
                true => Error::Missing { log, reason: failure.to_string() },
                false => Error::Conflict { log, failure },
            });
        }
        Ok(self)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.poke.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Result of an order.
enum Done {
    State(Result<State, Failed>),
    Read(u64, Result<Result<Block, String>, String>),
    Answered(u64, (Answer, Option<String>)),
}

/// Connects, and then carries out the publisher's orders until it is stopped.
async fn drive(
    shared: &Arc<Shared>,
    settings: &Settings,
    name: &str,
    session: Option<SessionId>,
) -> Result<(), Error> {
    let Some(link) = reach(shared, settings, name).await? else { return Ok(()) };
    let most = packets_in(link.client.server_info().max_payload, settings);
    if (settings.packets() as usize) > most {
        let message = format!(
            "the log {} takes no messages of {} packets: at most {most} a message",
            settings.target,
            settings.packets()
        );
        return Err(Error::Usage(message));
    }
    let log = settings.target.named(name);
    let mut work = JoinSet::new();
    loop {
        let wake = loop {
            let (order, epoch, frames) = {
                let mut inner = shared.lock();
                if inner.stopped || inner.check(&log).is_err() {
                    return Ok(());
                }
                let Some(order) = inner.publisher.order(shared.now()) else {
                    break inner.publisher.wake();
                };
                let frames = match &order {
                    Order::Publish(flight) => inner.publisher.frames(flight),
                    _ => Vec::new(),
                };
                (order, inner.publisher.epoch(), frames)
            };
            let link = link.clone();
            match order {
                Order::Ask => {
                    let settings = settings.clone();
                    work.spawn(
                        async move { (epoch, Done::State(link.ask(&settings, session).await)) },
                    );
                }
                Order::Read(number) => {
                    work.spawn(async move {
                        // A missing message shows in the log's state, which is requested next.
                        let gone = || format!("it has no message {number}");
                        let read = link.read(number).await.and_then(|read| read.ok_or_else(gone));
                        (epoch, Done::Read(number, read))
                    });
                }
                Order::Publish(flight) => {
                    let answer = link.publish(settings, &flight, frames).await;
                    work.spawn(async move { (epoch, Done::Answered(flight.number, answer.await)) });
                }
            }
        };
        let pause = wake.map(|wake| wake.saturating_sub(shared.now()));
        tokio::select! {
            biased;
            Some(Ok((epoch, done))) = work.join_next(), if !work.is_empty() => {
                apply(shared, &log, epoch, done);
                while let Some(Ok((epoch, done))) = work.try_join_next() {
                    apply(shared, &log, epoch, done);
                }
                shared.changed.notify_all();
            }
            () = shared.poke.notified() => {}
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
}

/// Connects, however long it takes. Returns `None` if it is stopped before.
async fn reach(
    shared: &Arc<Shared>,
    settings: &Settings,
    name: &str,
) -> Result<Option<Link>, Error> {
    loop {
        let events = Arc::clone(shared);
        let event = move |event: &Event| {
            let mut inner = events.lock();
            match event {
                Event::Connected => inner.publisher.on_connected(),
                // The contents of a log may have changed when it comes back.
                Event::Disconnected => {
                    inner.publisher.on_no_answer(events.now());
                    inner.wrong(Some("the connection has ended".to_owned()));
                }
                _ => {}
            }
            drop(inner);
            events.poke.notify_one();
        };
        match connect(settings, name, event).await {
            Ok(link) => return Ok(Some(link)),
            Err(error @ Error::Unreachable { .. }) => {
                let Error::Unreachable { reason, .. } = error else { continue };
                shared.lock().wrong(Some(reason));
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = shared.poke.notified() => {}
        }
        if shared.lock().stopped {
            return Ok(None);
        }
    }
}

/// Passes a result to the publisher.
fn apply(shared: &Shared, log: &str, epoch: u32, done: Done) {
    let now = shared.now();
    let mut inner = shared.lock();
    let inner = &mut *inner;
    let late = epoch != inner.publisher.epoch();
    match done {
        Done::State(Ok(state)) => inner.publisher.on_state(epoch, state, now),
        Done::Read(number, Ok(found)) => inner.publisher.on_block(epoch, number, found, now),
        Done::State(Err(Failed::Refused(reason))) => {
            let log = log.to_owned();
            inner.failure.get_or_insert(Error::Refused { log, reason });
        }
        Done::State(Err(Failed::Unsuitable(reason))) => {
            let log = log.to_owned();
            inner.failure.get_or_insert(Error::Unsuitable { log, reason });
        }
        Done::State(Err(Failed::Again(reason))) | Done::Read(_, Err(reason)) => {
            if !late {
                inner.publisher.on_no_answer(now);
                inner.wrong(Some(reason));
            }
        }
        Done::Answered(number, (answer, reason)) => {
            inner.publisher.on_answer(epoch, number, answer, now);
            if !late && let Some(reason) = reason {
                inner.wrong(Some(reason));
            }
            if matches!(answer, Answer::Stored { .. }) {
                inner.wrong(None);
            }
        }
    }
}
