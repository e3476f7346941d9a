//! Recordings of MoldUDP64 lines that a seed draws.

use super::{DatagramNetwork, GroupWorld, ServerFaults};
use crate::base::rng::Rng;
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::client::mold::request_server::REQUESTS_IN_FLIGHT_MAX;
use crate::client::{LineProtocol, MoldFeed, Outcome, Recorder, RecorderOptions};
use crate::exchange::server::MockExchange;
use crate::exchange::server::mold::{DatagramLimits, LineOptions};
use crate::faults::scenario::Scenario;
use crate::ledger::{Origin, Sink};
use crate::sim::Progress;
use crate::sim::draw::pick;
use crate::tape::in_memory::Tape;
use crate::tape::recording::MemoryRecording;
use crate::wire::{Info, Messages, SessionId};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Time within which every plan's recording must end.
const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// Recording that a seed draws.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    /// Number of messages of the session.
    pub messages: u64,
    /// Maximum number of messages in a datagram.
    pub per: u16,
    /// Number of lines.
    pub lines: u16,
    /// Network while faults strike.
    pub network: DatagramNetwork,
    /// Faults of each line's request server. One server at least answers.
    pub servers: Vec<ServerFaults>,
    /// Settings of the recorder.
    pub options: RecorderOptions,
    /// Times after which the client's process is killed and started again.
    pub kills: Vec<Duration>,
}

impl GroupPlan {
    /// Draws the plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let lines = pick(&mut rng, &[1_u16, 1, 2, 2, 3]);
        let latency = Duration::from_micros(pick(&mut rng, &[20, 500, 10_000, 80_000]));
        let burst = pick(&mut rng, &[1_u32, 1, 3, 20]);
        let network = DatagramNetwork {
            latency,
            jitter: match rng.below(3) {
                0 => Duration::ZERO,
                1 => latency / 10,
                _ => Duration::from_micros(rng.between(0, 5_000).into()),
            },
            // Half of the datagrams at most, so that some end of session arrives.
            lost: pick(&mut rng, &[0, 1, 10, 50, 200, 500]) / burst,
            burst,
            duplicated: pick(&mut rng, &[0, 0, 20, 300]),
            cut: pick(&mut rng, &[0, 0, 20]),
            requests_lost: pick(&mut rng, &[0, 0, 50, 300]),
            keeps_ends: false,
        };
        let server = |rng: &mut Rng| match rng.below(8) {
            0 => ServerFaults { silent: true, ..ServerFaults::default() },
            1 => ServerFaults {
                slow: Duration::from_millis(rng.between(1, 400).into()),
                ..ServerFaults::default()
            },
            2 => ServerFaults { doubled: true, ..ServerFaults::default() },
            3 => {
                ServerFaults { most: Some(pick(rng, &[1, 2, 3, 4, 5])), ..ServerFaults::default() }
            }
            4 => ServerFaults { shifted: rng.between(1, 9).into(), ..ServerFaults::default() },
            _ => ServerFaults::default(),
        };
        let mut servers: Vec<ServerFaults> = (0..lines).map(|_| server(&mut rng)).collect();
        if let Some(first) = servers.first_mut() {
            // A recording can be complete only if some server tells the truth.
            (first.silent, first.shifted) = (false, 0);
        }
        let kills = (0..pick(&mut rng, &[0, 0, 1, 2]))
            .map(|_| Duration::from_millis(rng.between(900, 2_500).into()))
            .collect();
        let options = RecorderOptions {
            reorder_wait: Duration::from_millis(pick(&mut rng, &[0, 0, 5])),
            // With half of the requests lost, some pieces fail often.
            retries: 12,
            timeout: Duration::from_secs(60),
            ..RecorderOptions::default()
        };
        let messages = rng.between(0, 3_000).into();
        let per = pick(&mut rng, &[1, 3, 10, 80]);
        Self { messages, per, lines, network, servers, options, kills }
    }
}

/// Recording that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupReport {
    /// Requests sent by the last client.
    pub requests: u64,
    /// Messages recovered by requests, by the last client.
    pub recovered: u64,
    /// Time in simulated seconds.
    pub took: Duration,
}

/// Recording in memory that notes a message that is handed on twice.
#[derive(Default)]
struct CheckedRecording {
    recording: MemoryRecording,
    twice: Option<Seq>,
    session: Option<SessionId>,
}

impl Sink for CheckedRecording {
    fn on_messages(&mut self, origin: Origin, messages: Messages<'_>, now: Duration) {
        for range in messages.ranges() {
            let mut seqs = range.first()..=range.last();
            let again = seqs.find(|seq| self.recording.get(*seq).is_some());
            self.twice = self.twice.or(again);
        }
        self.recording.on_messages(origin, messages, now);
    }

    fn on_duplicates(&mut self, origin: Origin, messages: Messages<'_>) -> u32 {
        self.recording.on_duplicates(origin, messages)
    }

    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        self.session = Some(info.session);
        self.recording.on_session(info, vouched, now)
    }
}

impl CheckedRecording {
    /// Returns a recorder that goes on with the recording.
    fn recorder(&self, plan: &GroupPlan) -> Recorder {
        let lines: Vec<LineProtocol> =
            (0..plan.lines).map(|_| LineProtocol::Mold(MoldFeed { servers: 1 })).collect();
        let have: SeqSet = self
            .recording
            .in_order()
            .filter_map(|frames| Messages::Packets(frames).span())
            .collect();
        let highest = have.ranges().last().map_or(0, |range| range.last());
        let mut missing = SeqSet::new();
        let mut next = FIRST_SEQ;
        for range in have.ranges() {
            SeqRange::new(next, range.first() - 1).into_iter().for_each(|gap| missing.insert(gap));
            next = range.last() + 1;
        }
        let info = self.session.map(|session| Info { session, version: 1, first: 1, last: 0 });
        Recorder::resume(plan.options.clone(), lines, highest, &missing, info)
    }
}

/// Runs the plan of a seed to its end.
///
/// # Errors
/// Returns the promise that was broken, in words.
pub fn run(plan: &GroupPlan, seed: u64) -> Result<GroupReport, String> {
    let tape = Arc::new(Tape::random(plan.messages, seed));
    let limits = DatagramLimits { messages: plan.per, ..DatagramLimits::default() };
    let options = LineOptions { limits, request_rate: 1_000_000, ..LineOptions::default() };
    let exchange =
        |_| MockExchange::new(Arc::clone(&tape), Scenario::clean(seed)).with_line(options);
    let exchanges = (0..plan.lines).map(exchange).collect();
    let mut world = GroupWorld::new(exchanges, plan.network, seed);
    world.server_faults(&plan.servers);
    let mut checked = CheckedRecording::default();
    let mut kills = plan.kills.iter();
    loop {
        let mut recorder = checked.recorder(plan);
        let until = kills.next().map(|after| world.now() + *after);
        let driven = world.drive(&mut recorder, &mut checked, until);
        match driven.map_err(|stuck| format!("{stuck:?}: {}", recorder.timers()))? {
            Progress::Until => world.abandon(),
            Progress::Done => return judge(plan, &tape, &recorder, &checked, &world),
        }
    }
}

/// Checks the promises of a recording that has ended.
fn judge(
    plan: &GroupPlan,
    tape: &Tape,
    recorder: &Recorder,
    checked: &CheckedRecording,
    world: &GroupWorld<MockExchange>,
) -> Result<GroupReport, String> {
    if let Some(seq) = checked.twice {
        return Err(format!("message {seq} was handed on twice"));
    }
    if !recorder.outcome().is_some_and(Outcome::is_complete) {
        return Err(format!("not complete: {:?}", recorder.outcome()));
    }
    if !checked.recording.in_order().flatten().eq(tape.frames()) {
        return Err(format!("{} of {} messages, or others", checked.recording.len(), tape.len()));
    }
    if recorder.violations().conflicts > 0 {
        return Err("messages of one session conflict".into());
    }
    // A silent client's requests may still be on their way, twice as many with a slow server.
    let most = u64::from(REQUESTS_IN_FLIGHT_MAX) * u64::from(plan.lines) * 2;
    if world.most_in_flight() > most {
        return Err(format!("{} requests at once", world.most_in_flight()));
    }
    if world.now() > ENDS_WITHIN {
        return Err(format!("took {:?}", world.now()));
    }
    let stats = recorder.stats();
    Ok(GroupReport { requests: stats.resend_calls, recovered: stats.resent, took: world.now() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_over_any_network_are_complete() {
        let seeds = 400;
        let mut recovered = 0;
        for seed in 0..seeds {
            let plan = GroupPlan::draw(seed);
            match run(&plan, seed) {
                Ok(report) => recovered += report.recovered,
                Err(broken) => panic!("seed {seed}: {broken}\n{plan:?}"),
            }
        }
        assert!(recovered > 10 * seeds, "{recovered}");
    }

    #[test]
    fn a_seed_repeats_its_run() {
        for seed in 0..20 {
            let plan = GroupPlan::draw(seed);
            assert_eq!(run(&plan, seed), run(&plan, seed));
        }
    }
}
