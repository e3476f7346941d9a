//! Lines of the exchange, as a driver sees them.

use super::{LineContext, LineOptions, MoldLine, MoldLineView, MoldStats, Retention};
use crate::base::seq::FIRST_SEQ;
use crate::exchange::datagrams::{DatagramBatch, DatagramLines};
use crate::exchange::server::Downtime;
use crate::exchange::server::MockExchange;
use crate::exchange::server::closing::Ending;
use crate::tape::source::TapeSource;
use core::net::SocketAddr;
use core::time::Duration;

impl<P: TapeSource> MockExchange<P> {
    /// Adds a line in MoldUDP64.
    #[must_use]
    pub fn with_line(mut self, options: LineOptions) -> Self {
        let tape = self.tape();
        let first = if tape.over() { FIRST_SEQ } else { tape.last() + 1 };
        self.lines.push(MoldLine::new(self.lines.len() as u64, options, first));
        self
    }

    /// Returns snapshots of the lines in MoldUDP64.
    pub fn mold_lines(&self) -> impl ExactSizeIterator<Item = MoldLineView> {
        self.lines.iter().map(|line| MoldLineView {
            line: line.index + 1,
            phase: line.phase.name(),
            next: line.next,
            held_until: line.held_until,
            stats: line.stats,
        })
    }

    /// Sends nothing downstream on a line, numbered from 1, for `time`. Its request server goes on
    /// answering. Returns false if there is no such line.
    pub fn stall_line(&mut self, line: u64, time: Duration, now: Duration) -> bool {
        let line = self.lines.iter_mut().find(|it| it.index + 1 == line);
        line.map(|line| line.stall(now + time)).is_some()
    }

    /// Returns the sums of the counts of all lines in MoldUDP64.
    pub(in crate::exchange::server) fn mold_stats(&self) -> MoldStats {
        let mut sum = MoldStats::default();
        self.lines.iter().for_each(|line| sum.add(&line.stats));
        sum
    }

    /// Returns a line with the parts of the exchange that it works on; `None` while nothing is
    /// sent.
    fn line_at(
        &mut self,
        line: usize,
        now: Duration,
    ) -> Option<(&mut MoldLine, LineContext<'_, P>)> {
        self.come_up(now);
        let Self { tapes, faults, scenario, lines, events, drops_pending, .. } = self;
        let line = lines.get_mut(line)?;
        let tape = &mut tapes[0];
        tape.grow(now);
        let context = LineContext { tape, faults, pace: scenario.pace, drops_pending, events, now };
        if self.paused || self.died || self.outage.is_some() {
            return None;
        }
        if !line.plays(self.session_number) {
            line.begin(self.session_number, &context);
        }
        Some((line, context))
    }
}

impl<P: TapeSource> DatagramLines for MockExchange<P> {
    fn line_count(&self) -> usize {
        self.lines.len()
    }

    fn send_due(&mut self, line: usize, out: &mut DatagramBatch, now: Duration) {
        let Some((line, mut context)) = self.line_at(line, now) else { return };
        let ending = line.publish(&mut context, out);
        if let Some(Retention::Time(age)) = line.options.retention {
            line.requests.note_sent(age, line.next, now);
        }
        match ending {
            Some(Ending::Die) => self.died = true,
            Some(Ending::Restart { down, renew }) => {
                self.outage.get_or_insert(Downtime { until: now + down, renew });
            }
            Some(Ending::Close | Ending::Reset | Ending::Silence) | None => {}
        }
    }

    fn receive_request(
        &mut self,
        line: usize,
        client: SocketAddr,
        request: &[u8],
        out: &mut DatagramBatch,
        now: Duration,
    ) {
        match self.line_at(line, now) {
            Some((line, mut context)) => line.answer(&mut context, client, request, out),
            None => self.lines.get_mut(line).into_iter().for_each(MoldLine::ignore_request),
        }
    }

    fn send_late_answers(&mut self, line: usize, out: &mut DatagramBatch, now: Duration) {
        if let Some((line, _)) = self.line_at(line, now) {
            line.late_answers(out, now);
        }
    }

    fn line_deadline(&mut self, line: usize) -> Option<Duration> {
        if self.paused || self.died {
            return None;
        }
        if let Some(outage) = &self.outage {
            return Some(outage.until);
        }
        let growth = self.tapes[0].grows_at();
        let line = self.lines.get(line)?;
        // A tape that ends makes no message due, but the end of the session.
        let growth = growth.filter(|_| line.phase == super::Phase::Playing);
        [line.wake_at, line.requests.late_at(), growth].into_iter().flatten().min()
    }
}
