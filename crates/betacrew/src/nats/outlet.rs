//! Sink that publishes recorded packets into a stream.

use crate::error::Failure;
use crate::format::{Arrival, StreamMark};
use crate::nats::order_packets;
use crate::net::Stop;
use crate::output::counters::WriteCounters;
use crate::output::sink::PacketSink;
use crate::text::formatting::{count, grouped};
use feed::base::seq::{FIRST_SEQ, Seq};
use feed::wire::{Messages, SessionId};
use gateway::{Gateway, Notice, Published, Settings};
use std::time::{Duration, Instant};

/// Interval between checks of the publisher's state.
const LOOK: Duration = Duration::from_millis(100);

/// Sink that publishes into a stream.
pub(super) struct PublishSink {
    settings: Settings,
    gateway: Option<Gateway>,
    limit: PublishLimit,
    /// Count of packets that the gateway has taken, as bytes on the wire.
    published: WriteCounters,
}

/// Limit after which publishing without progress is given up.
pub(crate) struct PublishLimit {
    patience: Duration,
    stop: Stop,
    /// Number of the user's stops when waiting began.
    stops: Option<u32>,
    /// Last published sequence, and the time when it was reached.
    reached: (Seq, Instant),
}

impl PublishLimit {
    pub(crate) fn new(patience: Duration, stop: &Stop) -> Self {
        Self { patience, stop: stop.clone(), stops: None, reached: (0, Instant::now()) }
    }

    /// Waits a moment for the gateway to take more packets.
    ///
    /// # Errors
    /// Returns an error after too long without progress, or if the user stops again.
    pub(crate) fn wait(&mut self, gateway: &Gateway, last: Seq) -> Result<(), Failure> {
        let began = self.stops.is_none();
        let stops = *self.stops.get_or_insert(self.stop.times());
        let reached = gateway.published().reached;
        if began || reached != self.reached.0 {
            self.reached = (reached, Instant::now());
        }
        if self.reached.1.elapsed() >= self.patience || self.stop.times() > stops {
            return Err(gateway.unfinished(last, self.reached.1.elapsed()).into());
        }
        gateway.wait(LOOK / 10);
        Ok(())
    }
}

impl PublishSink {
    pub(super) fn new(
        settings: Settings,
        patience: Duration,
        stop: &Stop,
        published: WriteCounters,
    ) -> Self {
        Self { settings, gateway: None, limit: PublishLimit::new(patience, stop), published }
    }
}

/// Logs the gateway's notices.
pub(crate) fn notice(gateway: &Gateway, settings: &Settings) {
    for notice in gateway.notices() {
        match notice {
            Notice::Waiting(why) => {
                tracing::warn!(
                    "{}: {why}; the tape keeps what is to be published",
                    settings.target
                );
            }
            Notice::Publishing => tracing::warn!("{}: publishing again", settings.target),
        }
    }
}

/// Prints the result of publishing.
pub(crate) fn tell(published: &Published, settings: &Settings) {
    let counts = published.counts;
    let before = match counts.compared {
        0 => String::new(),
        compared => format!("; {} there before, the same", count(compared, "packet")),
    };
    let &Published { reached, confirmed, continues, .. } = published;
    if !confirmed && counts.published == 0 {
        // The reason is part of the failure that ends the command.
        return;
    }
    let has = match confirmed {
        true => "it has all up to",
        // Publishing failed, or the final state was not checked.
        false => "the last that it has confirmed is",
    };
    let more = if continues { ", and more than this recording" } else { "" };
    crate::terminal::message::message!(
        "published {} in {} to {}: {has} {}{more}{before}",
        count(counts.published, "packet"),
        count(counts.messages, "message"),
        settings.target.named(&published.stream),
        grouped(reached),
    );
}

impl PacketSink for PublishSink {
    fn begin(&mut self, session: Option<SessionId>) -> Result<Seq, Failure> {
        self.gateway = Some(Gateway::start(&self.settings, session)?);
        Ok(FIRST_SEQ)
    }

    fn put(&mut self, messages: Messages<'_>, _: Arrival) -> Result<u64, Failure> {
        let frames = order_packets(messages)?;
        let taken = self.gateway.as_ref().map_or(Ok(0), |gateway| gateway.put(frames))?;
        self.published.add(taken as u64, size_of_val(&frames[..taken]) as u64);
        Ok(taken as u64)
    }

    fn mark(&mut self, _: StreamMark) -> Result<(), Failure> {
        Ok(())
    }

    fn wants(&mut self, next: Seq) -> Result<Seq, Failure> {
        let wanted = self.gateway.as_ref().map(Gateway::wants).transpose()?.flatten();
        Ok(wanted.unwrap_or(next))
    }

    /// Returns true if the sink leaves out missing packets. A log has every packet up to its last
    /// one, so this is false.
    fn skips(&self) -> bool {
        false
    }

    fn idle(&mut self, now: Duration) -> Result<Option<Duration>, Failure> {
        if let Some(gateway) = &self.gateway {
            notice(gateway, &self.settings);
        }
        Ok(self.gateway.as_ref().map(|_| now + LOOK))
    }

    fn wait(&mut self) -> Result<(), Failure> {
        let Some(gateway) = &self.gateway else { return Ok(()) };
        notice(gateway, &self.settings);
        self.limit.wait(gateway, 0)
    }

    fn settled(&mut self, next: Seq) -> Result<bool, Failure> {
        let last = next.saturating_sub(1);
        let Some(gateway) = self.gateway.as_ref().filter(|_| last >= FIRST_SEQ) else {
            return Ok(true);
        };
        if gateway.done(last)? {
            return Ok(true);
        }
        notice(gateway, &self.settings);
        self.limit.wait(gateway, last)?;
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        if let Some(gateway) = &self.gateway {
            tell(&gateway.published(), &self.settings);
        }
        Ok(())
    }
}
