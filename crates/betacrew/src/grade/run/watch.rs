//! Watch over a running client: whether there is any use in waiting longer.

use crate::grade::cases::Case;
use crate::grade::feeds::evidence::FeedEvidence;
use crate::grade::feeds::output::Place;
use crate::grade::feeds::tape::CaseTape;
use crate::grade::judge::compare::Differences;
use crate::grade::observe::evidence::ClientOutput;
use crate::grade::observe::output_finder::{self, Reading, STDOUT};
use crate::grade::run::attempt::{AttemptSetup, SharedState};
use crate::grade::run::endless::SilentWork;
use crate::grade::run::exchange_host::ExchangeHost;
use crate::grade::run::process::{EarlyEnd, PollDecision, RunningClient, STDOUT_MAX};
use crate::grade::run::stuck::{self, Standstill};
use crate::grade::run::workdir::CaseWorkdir;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Interval at which a running client is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// Time without an event on the wire after which a client can count as stuck. On a busy machine
/// the exchange may need part of it to take what the client has sent.
const SILENT_MIN: Duration = Duration::from_millis(600);

/// Watch over the client of one case.
pub(crate) struct ClientWatch<'a> {
    pub(crate) setup: &'a AttemptSetup,
    pub(crate) case: &'a Case,
    pub(crate) workdir: &'a CaseWorkdir,
    pub(crate) host: &'a ExchangeHost,
    pub(crate) tape: &'a CaseTape,
    pub(crate) shared: SharedState<'a>,
    pub(crate) checks: ClientChecks,
}

/// Results of earlier checks.
#[derive(Default)]
pub(crate) struct ClientChecks {
    checked_at: Option<Instant>,
    /// Time since which the output has been complete.
    complete_since: Option<Instant>,
    /// Time for which the client had waited for a processor when it first connected.
    pub(crate) queued_before: Option<Duration>,
    /// True if the case counts as one that rests.
    rests: bool,
    /// State of a client that seemed to wait for ever at the last check.
    standstill: Option<Standstill>,
    /// State of the client when the wire fell silent.
    pub(crate) silent_work: Option<SilentWork>,
}

impl Drop for ClientWatch<'_> {
    fn drop(&mut self) {
        self.set_rests(false);
    }
}

impl ClientWatch<'_> {
    /// Returns the time limit of the case.
    pub(crate) fn limit(&self) -> Duration {
        self.setup.timeout * self.case.timeout_factor
    }

    /// Decides about the client.
    pub(crate) fn decide(&mut self, client: RunningClient<'_>) -> PollDecision {
        if self.shared.stop.asked() {
            return PollDecision::Stop;
        }
        if self.checks.queued_before.is_none() && self.host.has_connections() {
            self.checks.queued_before = client.queued();
        }
        let is_recent = self.checks.checked_at.is_some_and(|at| at.elapsed() < CHECK_INTERVAL);
        if is_recent || self.host.idle_time() < CHECK_INTERVAL {
            return PollDecision::Wait;
        }
        let now = Instant::now();
        self.checks.checked_at = Some(now);
        self.set_rests(self.host.idle_time() >= SILENT_MIN);
        if let Some(why) = self.early_end(client) {
            return PollDecision::EndEarly(why);
        }
        // In cases about the end, a client that lingers must be left alone until the time limit.
        if self.case.is_about_the_end() || !self.is_complete(client) {
            self.checks.complete_since = None;
            return PollDecision::Wait;
        }
        let patience = self.shared.lingering.patience();
        match self.checks.complete_since.get_or_insert(now).elapsed() >= patience {
            true => PollDecision::EndLingering,
            false => PollDecision::Wait,
        }
    }

    /// Notes whether the case rests: nothing happens on its wire.
    fn set_rests(&mut self, rests: bool) {
        match (std::mem::replace(&mut self.checks.rests, rests), rests) {
            (false, true) => drop(self.shared.resting.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.shared.resting.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// Returns why there is no use in waiting for a client on whose wire nothing happens.
    fn early_end(&mut self, client: RunningClient<'_>) -> Option<EarlyEnd> {
        let is_idle = self.host.idle_time() >= SILENT_MIN;
        let nothing_comes = is_idle && self.setup.stdin.is_none();
        if !nothing_comes || !self.host.rests_for(self.limit()) {
            self.checks.standstill = None;
        } else if self.is_stuck(client.id) {
            return Some(EarlyEnd::Stuck);
        }
        if !is_idle {
            self.checks.silent_work = None;
            return None;
        }
        let work = self.checks.silent_work.get_or_insert_with(|| SilentWork::begin(client));
        let endless = work.endless(client, self.shared.spinning);
        // In cases about the end, a client that computes may need all of its time.
        endless.filter(|why| *why != EarlyEnd::Spinning || !self.case.is_about_the_end())
    }

    /// Returns whether nothing has run since the last check, and nothing ever will.
    fn is_stuck(&mut self, id: u32) -> bool {
        let now = stuck::standstill(id, self.host.port);
        let before = std::mem::replace(&mut self.checks.standstill, now);
        before.is_some() && before == self.checks.standstill
    }

    /// Returns whether the client's output has all packets now.
    fn is_complete(&self, client: RunningClient<'_>) -> bool {
        let named = self.setup.output.as_deref();
        let began = self.host.began;
        let earlier = self.shared.output_name.get().map(String::as_str);
        // A client that prints every packet may still write its file, unless it never writes one.
        let prints = earlier == Some(STDOUT) || named == Some(Path::new("-"));
        let printed = if prints { client.printed() } else { Vec::new() };
        // A client that prints without end is not worth reading again and again.
        if printed.len() >= STDOUT_MAX {
            return false;
        }
        match self.tape {
            CaseTape::Packets(tape) => {
                let reading = Reading { names: &self.setup.fields, tape, earlier };
                match output_finder::output(self.workdir, named, &printed, began, reading) {
                    ClientOutput::Found { name, rows, .. } => {
                        // A client may also have the packets of another exchange.
                        let is_complete = self.host.has_connections()
                            && Differences::between(tape, &rows).is_complete();
                        if is_complete && !tape.is_empty() {
                            // Another case may have set it.
                            let _ = self.shared.complete_name.set(name);
                        }
                        is_complete
                    }
                    ClientOutput::None
                    | ClientOutput::Unclear { .. }
                    | ClientOutput::Foreign { .. } => false,
                }
            }
            CaseTape::Messages(tape) => {
                let (workdir, stdout) = (self.workdir, &printed[..]);
                let output = Place { workdir, named, stdout, began, earlier }.read(tape);
                let is_found = matches!(output, ClientOutput::Found { .. });
                is_found && FeedEvidence::new(tape.clone(), output).differences.is_complete()
            }
        }
    }
}
