//! Request server of a line: sends messages again to the client that asks for them.
//!
//! A request has at most one answer, of one datagram, which goes to the address that asked and to
//! no other. Everything else is ignored and counted: MoldUDP64 has no refusal.

use super::rate_limit::RateLimit;
use super::{DatagramLimits, LineContext, MoldEvent, MoldLine, Retention};
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::exchange::datagrams::DatagramBatch;
use crate::exchange::server::closing::Ending;
use crate::exchange::server::mold::strike::PickedNumbers;
use crate::faults::scenario::FaultPlace;
use crate::tape::source::TapeSource;
use crate::wire::mold::{Builder, PayloadLimit, Request, Session};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Maximum number of answers that a fault has delayed. Further ones are not sent.
pub(super) const LATE_MAX: usize = 4096;

/// Number of steps in which messages age.
const AGE_STEPS: u32 = 64;

/// Interval between two reports of a client above its rate.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// State of a request server.
#[derive(Debug)]
pub(super) struct RequestServer {
    limit: RateLimit,
    /// Number of requests that could be answered. Faults pick by it.
    answerable: u64,
    /// Numbers of requests that faults pick.
    picked: PickedNumbers,
    /// Version of the faults in which a fault has silenced the server.
    silent_since: Option<u32>,
    /// Answers that a fault has delayed, by their time and number.
    late: BTreeMap<(Duration, u64), (SocketAddr, Vec<u8>)>,
    /// Number of answers delayed so far.
    late_count: u64,
    /// Times, each with the next message of that time. Messages age by them.
    marks: VecDeque<(Duration, Seq)>,
    /// Time of the next report of a client above its rate.
    report_at: Duration,
}

/// Reason for which a request has no answer.
enum Refusal {
    Malformed,
    OtherSession,
    OutOfRange,
    AgedOut,
    OverRate,
}

impl RequestServer {
    /// Creates a server that answers a number of requests of each client in a second.
    pub(super) fn new(rate: u32) -> Self {
        Self {
            limit: RateLimit::new(rate),
            answerable: 0,
            picked: PickedNumbers::default(),
            silent_since: None,
            late: BTreeMap::new(),
            late_count: 0,
            marks: VecDeque::new(),
            report_at: Duration::ZERO,
        }
    }

    /// Forgets the session before.
    pub(super) fn begin(&mut self) {
        self.marks.clear();
        self.late.clear();
    }

    /// Returns the time of the next late answer.
    pub(super) fn late_at(&self) -> Option<Duration> {
        self.late.first_key_value().map(|((at, _), _)| *at)
    }

    /// Notes that messages before `next` were sent, so that they age.
    pub(super) fn note_sent(&mut self, age: Duration, next: Seq, now: Duration) {
        match self.marks.back_mut() {
            // Messages of one step age together.
            Some((at, seq)) if now < *at + age / AGE_STEPS => *seq = next,
            Some((_, seq)) if *seq == next => {}
            _ => self.marks.push_back((now, next)),
        }
        while self.marks.get(1).is_some_and(|(at, _)| *at + age <= now) {
            self.marks.pop_front();
        }
    }

    /// Returns the first message that is younger than `age`.
    fn first_younger(&self, age: Duration, now: Duration) -> Seq {
        let old = self.marks.iter().rev().find(|(at, _)| *at + age <= now);
        old.map_or(FIRST_SEQ, |(_, seq)| *seq)
    }
}

impl MoldLine {
    /// Answers a request, or ignores and counts it.
    pub(super) fn answer<P: TapeSource>(
        &mut self,
        context: &mut LineContext<'_, P>,
        client: SocketAddr,
        request: &[u8],
        out: &mut DatagramBatch,
    ) {
        self.stats.requests += 1;
        let wanted = match self.check(context, client, request) {
            Ok(wanted) => wanted,
            Err(refusal) => {
                self.stats.refused += 1;
                *match refusal {
                    Refusal::Malformed => &mut self.stats.malformed,
                    Refusal::OtherSession => &mut self.stats.other_session,
                    Refusal::OutOfRange => &mut self.stats.out_of_range,
                    Refusal::AgedOut => &mut self.stats.aged_out,
                    Refusal::OverRate => &mut self.stats.over_rate,
                } += 1;
                return;
            }
        };
        let version = context.faults.version();
        // Other faults than the one that has silenced the server end its silence.
        self.requests.silent_since = self.requests.silent_since.filter(|since| *since == version);
        if self.requests.silent_since.is_some() {
            self.stats.unanswered += 1;
            return;
        }
        self.answer_wanted(context, client, wanted, out);
    }

    /// Returns the messages that a request is answered with, as many as are sent already.
    fn check<P: TapeSource>(
        &mut self,
        context: &mut LineContext<'_, P>,
        client: SocketAddr,
        request: &[u8],
    ) -> Result<SeqRange, Refusal> {
        let now = context.now;
        if !self.requests.limit.allows(client.ip(), now) {
            if now >= self.requests.report_at {
                self.requests.report_at = now + REPORT_INTERVAL;
                context.report(self.index, MoldEvent::OverRate { client: client.ip() });
            }
            return Err(Refusal::OverRate);
        }
        let request = Request::parse(request).map_err(|_| Refusal::Malformed)?;
        let session = self.session.ok_or(Refusal::OtherSession)?;
        if request.session != session.name {
            return Err(Refusal::OtherSession);
        }
        let wanted = SeqRange::counted(request.sequence, request.count.into());
        let sent = SeqRange::new(FIRST_SEQ, self.next - 1);
        let common = sent.zip(wanted).and_then(|(sent, wanted)| wanted.intersect(sent));
        let common = common.filter(|common| common.first() == request.sequence);
        let common = common.ok_or(Refusal::OutOfRange)?;
        let oldest = match self.options.retention {
            None => FIRST_SEQ,
            Some(Retention::Messages(count)) => self.next.saturating_sub(count),
            Some(Retention::Time(age)) => self.requests.first_younger(age, now),
        };
        if common.first() < oldest { Err(Refusal::AgedOut) } else { Ok(common) }
    }

    /// Answers with messages, as the faults will have it.
    fn answer_wanted<P: TapeSource>(
        &mut self,
        context: &mut LineContext<'_, P>,
        client: SocketAddr,
        wanted: SeqRange,
        out: &mut DatagramBatch,
    ) {
        self.requests.answerable += 1;
        let (number, run_id) = (self.requests.answerable, self.run_id(FaultPlace::Resend));
        let picked = &mut self.requests.picked;
        let outcome = picked.strike(context.faults, run_id, number, wanted);
        if outcome.ending == Some(Ending::Silence) {
            self.requests.silent_since = Some(context.faults.version());
        }
        if outcome.dropped || outcome.ending.is_some() {
            context.faults.tally_mut().count_dropped_resend();
            self.stats.unanswered += 1;
            return;
        }
        let mut range = wanted;
        if let Some(by) = outcome.replace {
            range = replaced(wanted, by.into(), self.next - 1);
        }
        let limits = outcome.limits.unwrap_or(self.options.limits);
        let Some(session) = self.session else { return };
        let (mut datagram, count) = answer_of(context.tape, session.name, range, limits);
        if count == 0 {
            self.stats.unanswered += 1;
            return;
        }
        outcome.damage(&mut datagram);
        let copies = 1 + outcome.copies.len() as u64;
        self.stats.answered += count;
        self.stats.damaged += u64::from(outcome.is_damaged());
        for _ in 0..copies {
            match outcome.delay {
                None => self.push_answer(client, &datagram, out),
                Some(_) if self.requests.late.len() >= LATE_MAX => self.stats.unanswered += 1,
                Some(delay) => {
                    self.requests.late_count += 1;
                    let key = (context.now + delay, self.requests.late_count);
                    self.requests.late.insert(key, (client, datagram.clone()));
                }
            }
        }
    }

    /// Adds the answers that a fault has delayed until now.
    pub(super) fn late_answers(&mut self, out: &mut DatagramBatch, now: Duration) {
        while self.requests.late_at().is_some_and(|at| at <= now)
            && !out.is_full()
            && let Some((_, (client, datagram))) = self.requests.late.pop_first()
        {
            self.push_answer(client, &datagram, out);
        }
    }

    /// Counts a request that is not answered because of a pause or an outage.
    pub(super) fn ignore_request(&mut self) {
        self.stats.requests += 1;
        self.stats.unanswered += 1;
    }

    fn push_answer(&mut self, client: SocketAddr, datagram: &[u8], out: &mut DatagramBatch) {
        out.push_to(client, datagram);
        self.stats.answers += 1;
        self.stats.bytes += datagram.len() as u64;
    }
}

/// Returns as many messages `by` sequences higher, or lower if there are none.
fn replaced(wanted: SeqRange, by: u64, last: Seq) -> SeqRange {
    let higher = wanted.first().saturating_add(by);
    let first = match higher <= last {
        true => higher,
        false => wanted.first().saturating_sub(by).max(FIRST_SEQ),
    };
    let end = first.saturating_add(wanted.len() - 1).min(last);
    SeqRange::new(first, end).unwrap_or(wanted)
}

/// Returns the datagram with the messages of `range`, as many as it has room for, and their number.
fn answer_of<P: TapeSource>(
    tape: &mut P,
    session: Session,
    range: SeqRange,
    limits: DatagramLimits,
) -> (Vec<u8>, u64) {
    let mut datagram = Vec::new();
    let most = u64::from(limits.messages.max(1));
    // A message that is too long for the limit has a datagram of its own, as downstream.
    for payload in [limits.payload, PayloadLimit::MAX] {
        datagram.clear();
        let mut builder = Builder::new(&mut datagram, session, range.first(), payload);
        let alone = payload != limits.payload;
        let most = if alone { 1 } else { most.min(range.len()) };
        while u64::from(builder.count()) < most {
            let count = u64::from(builder.count());
            let Some(rest) = SeqRange::counted(range.first() + count, most - count) else { break };
            let messages = tape.messages(rest);
            let pushed = builder.push_all(messages.iter().map(|(_, message)| message));
            if pushed == 0 || (pushed as u64) < messages.len() {
                break;
            }
        }
        let count = builder.count();
        drop(builder);
        if count > 0 {
            return (datagram, count.into());
        }
    }
    (datagram, 0)
}
