//! Checks of `serve` before it listens: that files, faults, tapes and protocols fit together.

use super::ServeArgs;
use crate::error::Failure;
use crate::output::place::CommandPlaces;
use crate::scenario::{self, EngineSection, ResolvedScenario};
use crate::tape::name::{AnyTape, FailingTape, TapeName};
use feed::base::seq::{FIRST_SEQ, SeqRange};
use feed::faults::scenario::{Played, SlowSubscriberPolicy};
use feed::tape::source::TapeSource;
use feed::wire::{Messages, Protocol, Protocols};

impl ServeArgs {
    /// Checks that the record would not overwrite a file that is read.
    pub(super) fn compare_places(&self, resolved: &ResolvedScenario) -> Result<(), Failure> {
        let mut places = CommandPlaces::printing();
        for tape in [Some(&resolved.tape), resolved.next.as_ref()].into_iter().flatten() {
            if let TapeName::File(path) = tape {
                places.reads("--tape", path)?;
            }
        }
        if let Some(path) = self.scenario.as_deref().and_then(scenario::file_of) {
            places.reads("--scenario", path)?;
        }
        if let Some(path) = &self.users {
            places.reads("--users", path)?;
        }
        for (flag, path) in self.web.files() {
            places.reads(flag, path)?;
        }
        self.record.as_ref().map_or(Ok(()), |path| places.writes("--record", path))
    }

    /// Checks that at least one requested fault can happen, and logs those that cannot.
    pub(super) fn check_faults(
        &self,
        resolved: &ResolvedScenario,
        played: Played,
    ) -> Result<(), Failure> {
        self.check_drops(played.protocols)?;
        let listed = self.scenario.is_some() || !self.skip.is_empty();
        self.check_skip(resolved, played)?;
        if let Some(reason) = scenario::unknown_lines(&resolved.scenario, played) {
            return Err(Failure::Usage(format!(
                "{reason}: lines are counted from 1 in the order of --listen mold://...; change \
                 `lines`, or add a line"
            )));
        }
        let impossible = scenario::impossible_faults(&resolved.scenario, played);
        if impossible.is_empty() || !listed && self.drop.is_none() {
            return Ok(());
        }
        let faults = impossible.join("; ");
        if listed && impossible.len() == resolved.scenario.faults.len() {
            return Err(Failure::Usage(format!(
                "none of the faults can happen to {}: {faults}. Choose faults that fit the tape, \
                 or another --tape",
                resolved.tape
            )));
        }
        tracing::warn!("faults that cannot happen to {}: {faults}", resolved.tape);
        Ok(())
    }

    /// Checks that the tape has every sequence of `--skip`, because a sequence beyond its end would
    /// silently never be dropped.
    fn check_skip(&self, resolved: &ResolvedScenario, played: Played) -> Result<(), Failure> {
        let Some(last) = played.last else { return Ok(()) };
        let next = last.saturating_add(1);
        let beyond = self.skip.at_or_after(next);
        let beyond = beyond.and_then(|range| SeqRange::new(range.first().max(next), range.last()));
        let Some(beyond) = beyond else { return Ok(()) };
        let has = match last {
            0 => "no packets".to_owned(),
            1 => "packet 1 alone".to_owned(),
            last => format!("packets 1-{last}"),
        };
        Err(Failure::Usage(format!(
            "--skip {beyond}: the exchange sends no packet above {last}, because {} has {has}. \
             Skip sequences of the tape, or choose another --tape",
            resolved.tape
        )))
    }

    /// Checks that a flag for dropped packets meets a protocol that can drop packets.
    fn check_drops(&self, protocols: Protocols) -> Result<(), Failure> {
        let flag = match (&self.drop, self.skip.is_empty()) {
            (Some(_), _) => "--drop",
            (None, false) => "--skip",
            (None, true) => return Ok(()),
        };
        match protocols != Protocols::of(Protocol::Soup) {
            true => Ok(()),
            false => Err(Failure::Usage(format!(
                "{flag}: SoupBinTCP never loses a message. It can lose connections, logins, \
                 heartbeats and ends of sessions: choose a --scenario of the group SoupBinTCP \
                 (betacrew scenarios), or add a betacrew:// or mold:// listener"
            ))),
        }
    }

    /// Checks that the listeners' protocols can carry what is played.
    pub(super) fn check_protocols(
        &self,
        resolved: &ResolvedScenario,
        tapes: &mut [&mut AnyTape],
        protocols: Protocols,
    ) -> Result<(), Failure> {
        let has_soup = protocols.contains(Protocol::Soup);
        let others = protocols != Protocols::of(Protocol::Betacrew);
        if others && resolved.engine == EngineSection::Original {
            return Err(Failure::Usage(
                "the original exchange speaks its own protocol alone: leave soup:// and mold:// \
                 out of --listen"
                    .to_owned(),
            ));
        }
        if !has_soup && self.users.is_some() {
            return Err(Failure::Usage(
                "--users: only SoupBinTCP has logins; add --listen soup://HOST:PORT".to_owned(),
            ));
        }
        if matches!(resolved.scenario.slow, SlowSubscriberPolicy::Skip(_))
            && !protocols.contains(Protocol::Betacrew)
            && has_soup
        {
            return Err(Failure::Usage(
                "--slow skip: SoupBinTCP cannot leave messages out; use wait, or cut:N".to_owned(),
            ));
        }
        if resolved.tape == TapeName::Lengths && protocols.contains(Protocol::Mold) {
            return Err(Failure::Usage(format!(
                "{} has messages that are longer than a datagram, so no mold:// listener can send \
                 them: use --listen soup://HOST:PORT alone",
                resolved.tape
            )));
        }
        if !protocols.contains(Protocol::Betacrew) {
            return Ok(());
        }
        let is_run = |tape: &mut &mut AnyTape| {
            matches!(tape.messages(SeqRange::one(FIRST_SEQ)), Messages::Run(_))
        };
        match tapes.iter_mut().any(is_run) {
            true => Err(Failure::Usage(format!(
                "the messages of {} are no order packets, and a betacrew:// listener can send \
                 nothing else: use --listen soup://HOST:PORT or mold://HOST:PORT alone",
                resolved.tape
            ))),
            false => Ok(()),
        }
    }
}

/// Checks that a tape has arrival times, which playing it at its recorded pace needs.
pub(super) fn check_arrival_times(tape: &mut AnyTape) -> Result<(), Failure> {
    if tape.last() == 0 || tape.arrived(FIRST_SEQ).is_some() {
        return Ok(());
    }
    // A tape that cannot be read has no times either; that error explains more.
    Err(tape.failed().unwrap_or_else(|| {
        Failure::Usage(
            "this tape has no arrival times; give a rate instead, such as --pace 5000/s".to_owned(),
        )
    }))
}
