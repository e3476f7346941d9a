//! What `serve` logs: what it plays, what happens on connections, and what it has served.

use super::FLAGS;
use crate::scenario::ResolvedScenario;
use crate::tape::name::AnyTape;
use crate::text::formatting::{count, grouped, took};
use feed::exchange::server::{Ending, MockExchange, ServerEvent, ServerStats};
use feed::faults::scenario::FaultSelector;
use feed::tape::source::TapeSource;
use feed::wire::Reason;
use std::fmt::Write;

/// Describes what is played, and what goes wrong.
pub(super) fn introduction(tape: &AnyTape, plot: &ResolvedScenario) -> String {
    let packets = match tape {
        AnyTape::Market(_) => "an endless market".to_owned(),
        tape => count(tape.last().into(), "packet"),
    };
    let mut text = format!("playing {packets}, session {}", tape.session());
    if plot.name == FLAGS {
        for fault in &plot.scenario.faults {
            if let FaultSelector::Random { chance, .. } = fault.pick {
                let last = if plot.scenario.keep_last { " but the last" } else { "" };
                let _ = write!(text, "; each one{last} is lost with {chance}");
            }
            if let Some(skip) = &fault.sequences {
                let _ = write!(text, "; {skip:.8} always lost");
            }
        }
    } else {
        let _ = write!(text, "; scenario {}", plot.name);
        if !plot.about.is_empty() {
            let _ = write!(text, ": {}", plot.about);
        }
    }
    let _ = write!(text, "; --seed {} repeats this run", plot.scenario.seed);
    text
}

/// Losses are listed for tapes up to this length.
const LISTED: u32 = 10_000;

pub(super) fn log<P: TapeSource>(player: &MockExchange<P>, note: ServerEvent) {
    match note {
        ServerEvent::Stream { connection, pass } => {
            let all = player.tape().last();
            if all > LISTED {
                let all = grouped(all.into());
                tracing::info!("connection {connection}: streaming {all} packets");
                return;
            }
            let lost = player.dropped_sequences(connection, pass);
            let kept = u64::from(all) - lost.count();
            let (kept, all) = (grouped(kept), grouped(all.into()));
            match lost.is_empty() {
                true => tracing::info!("connection {connection}: streaming all {all}"),
                false => tracing::info!(
                    "connection {connection}: streaming {kept} of {all}, losing {lost:.12}"
                ),
            }
        }
        ServerEvent::Subscribed { connection, first, .. } => {
            tracing::info!("connection {connection}: subscribes from {first} on");
        }
        ServerEvent::Refused { connection, seq, reason: Reason::OutOfRange } => {
            tracing::info!(
                "connection {connection}: asked for {seq}, which the tape does not have"
            );
        }
        ServerEvent::Refused { connection, seq, reason } => {
            tracing::info!("connection {connection}: refused from {seq} on: {reason}");
        }
        ServerEvent::Slow { connection, packets, cut } => {
            let what = if cut { "is cut off before" } else { "misses" };
            let packets = count(packets, "packet");
            tracing::info!("connection {connection}: is too slow and {what} {packets}");
        }
        ServerEvent::Ended { connection, ending, by_order } => {
            let how = match ending {
                Ending::Close => "ended".to_owned(),
                Ending::Reset => "reset".to_owned(),
                Ending::Silence => "silent from here on".to_owned(),
                Ending::Die => "the exchange dies".to_owned(),
                Ending::Restart { down, renew } => {
                    let session = if renew { "another" } else { "the same" };
                    format!("the exchange goes down for {}, then {session} session", took(down))
                }
            };
            let why = if by_order { "cut by hand over HTTP" } else { "as the scenario says" };
            tracing::info!("connection {connection}: {how}, {why}");
        }
    }
}

pub(super) fn farewell(served: &ServerStats) -> String {
    let mut text = format!(
        "served {}: {} ({} lost on purpose), {}",
        count(served.connections, "connection"),
        count(served.streams, "stream"),
        count(served.dropped, "packet"),
        count(served.resends, "resend"),
    );
    if served.refused > 0 {
        let _ = write!(text, ", {}", count(served.refused, "refusal"));
    }
    if served.resets > 0 {
        let _ = write!(text, ", {} by clients", count(served.resets, "reset"));
    }
    text
}
