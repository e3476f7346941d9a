//! Log lines of `serve`: the tape and its faults, events of connections, and totals at the end.

use super::FLAGS;
use crate::scenario::ResolvedScenario;
use crate::tape::name::AnyTape;
use crate::text::formatting::{count, grouped, took};
use feed::base::seq::FIRST_SEQ;
use feed::exchange::server::mold::{END_ANNOUNCED, MoldEvent};
use feed::exchange::server::soup::{LOGIN_TIMEOUT, SoupEvent, SoupTimeout};
use feed::exchange::server::{
    EndCause, Ending, MockExchange, ServerEvent, ServerStats, SlowTreatment,
};
use feed::faults::scenario::FaultSelector;
use feed::tape::source::TapeSource;
use feed::wire::mold::PayloadLimit;
use feed::wire::soup::MESSAGE_MAX;
use feed::wire::{Protocol, Protocols, Reason};
use std::fmt::Write;

/// Returns the first log line: the tape, its session, the faults and the seed.
pub(super) fn introduction(
    tape: &AnyTape,
    resolved: &ResolvedScenario,
    protocols: Protocols,
) -> String {
    let packets = match tape {
        AnyTape::Itch(tape) if tape.is_endless() => "an endless market of ITCH messages".to_owned(),
        tape if tape.is_endless() => "an endless market".to_owned(),
        AnyTape::Itch(tape) => count(tape.last(), "ITCH message"),
        tape if tape.has_order_packets() => count(tape.last(), "packet"),
        tape => count(tape.last(), "message"),
    };
    let mut text = format!("playing {packets}, session {}", tape.session());
    // SoupBinTCP loses nothing, whatever the flags are.
    let where_dropped = match protocols.contains(Protocol::Soup) {
        true if protocols.contains(Protocol::Mold) => " on listeners other than soup://",
        true => " on betacrew:// listeners",
        false => "",
    };
    if resolved.name == FLAGS {
        for fault in &resolved.scenario.faults {
            if let FaultSelector::Random { chance, .. } = fault.pick {
                let last = if resolved.scenario.keep_last { " but the last" } else { "" };
                let each = match protocols == Protocols::of(Protocol::Mold) {
                    true => "each datagram",
                    false => "each one",
                };
                let _ = write!(
                    text,
                    "; {each}{last} is dropped with probability {chance}{where_dropped}"
                );
            }
            if let Some(skip) = &fault.sequences {
                let _ = write!(text, "; {skip:.8} always dropped{where_dropped}");
            }
        }
    } else {
        let _ = write!(text, "; scenario {}", resolved.name);
        if !resolved.about.is_empty() {
            let _ = write!(text, ": {}", resolved.about);
        }
    }
    let _ = write!(text, "; --seed {} repeats this run", resolved.scenario.seed);
    text
}

/// Maximum number of packets of a tape for which dropped sequences are listed in the log.
const LISTED: u64 = 10_000;

/// Logs an event of the exchange.
pub(super) fn log<P: TapeSource>(exchange: &MockExchange<P>, event: ServerEvent) {
    match event {
        ServerEvent::Stream { connection, pass } => {
            let all = exchange.tape().last();
            if all > LISTED {
                let all = grouped(all);
                tracing::info!("connection {connection}: streaming {all} packets");
                return;
            }
            let dropped = exchange.dropped_sequences(connection, pass);
            let kept = all - dropped.count();
            let (kept, all) = (grouped(kept), grouped(all));
            match dropped.is_empty() {
                true => tracing::info!("connection {connection}: streaming all {all}"),
                false => tracing::info!(
                    "connection {connection}: streaming {kept} of {all}, dropping {dropped:.12}"
                ),
            }
        }
        ServerEvent::Subscribed { connection, first, .. } => {
            tracing::info!("connection {connection}: subscribes from packet {first}");
        }
        ServerEvent::Refused { connection, seq, reason: Reason::OutOfRange } => {
            tracing::info!(
                "connection {connection}: requested {seq}, which the tape does not have"
            );
        }
        ServerEvent::Refused { connection, seq, reason } => {
            tracing::info!("connection {connection}: refused packets from {seq}: {reason}");
        }
        ServerEvent::Slow { connection, packets, treatment } => {
            let what = match treatment {
                SlowTreatment::CutOff => "is disconnected before",
                SlowTreatment::Skipped => "misses",
            };
            let packets = count(packets, "packet");
            tracing::info!("connection {connection}: too slow, {what} {packets}");
        }
        ServerEvent::Soup { connection, event } => log_soup(connection, event),
        ServerEvent::Mold { line, event } => log_mold(line, event),
        ServerEvent::Ended { connection, ending, cause } => {
            let how = match ending {
                Ending::Close => "ended".to_owned(),
                Ending::Reset => "reset".to_owned(),
                Ending::Silence => "silent from here on".to_owned(),
                Ending::Die => "the exchange crashes".to_owned(),
                Ending::Restart { down, renew } => {
                    let session = if renew { "a new" } else { "the same" };
                    format!("the exchange is down for {}, then plays {session} session", took(down))
                }
            };
            let why = match cause {
                EndCause::Order => "by a command over HTTP",
                EndCause::Fault => "by the scenario",
            };
            tracing::info!("connection {connection}: {how}, {why}");
        }
    }
}

/// Logs an event of a line in MoldUDP64.
fn log_mold(line: u64, event: MoldEvent) {
    match event {
        MoldEvent::Began => tracing::info!("line {line}: sends the first message"),
        MoldEvent::Ended { next } => {
            let sent = count(next.saturating_sub(FIRST_SEQ), "message");
            let time = took(END_ANNOUNCED);
            tracing::info!("line {line}: the session ends after {sent}; announced for {time}");
        }
        MoldEvent::Stopped { next } => {
            let next = grouped(next);
            tracing::info!("line {line}: stops before message {next}, by the scenario");
        }
        MoldEvent::MessageTooLong { seq } => tracing::warn!(
            "line {line}: message {seq} is longer than {} bytes, which no datagram can carry",
            PayloadLimit::MAX.message_max()
        ),
        MoldEvent::OverRate { client } => tracing::info!(
            "line {line}: client {client} sends more requests than it may; the others are ignored"
        ),
    }
}

/// Logs an event of a connection in SoupBinTCP.
fn log_soup(connection: u64, event: SoupEvent) {
    match event {
        SoupEvent::LoggedIn { user, first } => {
            tracing::info!("connection {connection}: user \"{user}\" logs in from message {first}");
        }
        SoupEvent::Rejected { user, reason, cause } => {
            let code = reason.code().escape_ascii();
            tracing::info!(
                "connection {connection}: login of user \"{user}\" is rejected ({code}): {cause}"
            );
        }
        SoupEvent::Unanswered => tracing::info!(
            "connection {connection}: login is not answered: too many logins of this address wait \
             after wrong passwords"
        ),
        SoupEvent::LoggedOut => tracing::info!("connection {connection}: logs out"),
        SoupEvent::TimedOut(SoupTimeout::Login) => {
            tracing::info!("connection {connection}: no login within {}", took(LOGIN_TIMEOUT));
        }
        SoupEvent::TimedOut(SoupTimeout::Heartbeat) => {
            tracing::info!("connection {connection}: no heartbeat of the client in time");
        }
        SoupEvent::Violation(violation) => {
            tracing::info!("connection {connection}: the client sent {violation}");
        }
        SoupEvent::MessageTooLong { seq } => tracing::warn!(
            "connection {connection}: message {seq} is longer than {MESSAGE_MAX} bytes, which \
             SoupBinTCP cannot carry"
        ),
    }
}

/// Returns the last log line: the totals of the exchange.
pub(super) fn farewell(stats: &ServerStats) -> String {
    let mut text = format!(
        "served {}: {} ({} dropped on purpose), {}",
        count(stats.connections, "connection"),
        count(stats.streams, "stream"),
        count(stats.dropped, "packet"),
        count(stats.resends, "resend"),
    );
    if stats.refused > 0 {
        let _ = write!(text, ", {}", count(stats.refused, "refusal"));
    }
    let soup = stats.soup;
    if soup.logins + soup.rejects > 0 {
        let _ = write!(
            text,
            "; SoupBinTCP: {}, {} rejected, {}, {}",
            count(soup.logins, "login"),
            grouped(soup.rejects),
            count(soup.messages, "message"),
            count(soup.heartbeats, "heartbeat"),
        );
    }
    let mold = stats.mold;
    if mold.datagrams + mold.heartbeats + mold.requests > 0 {
        let _ = write!(
            text,
            "; MoldUDP64: {} ({} dropped on purpose), {}, {} answered, {} refused",
            count(mold.datagrams, "datagram"),
            grouped(mold.dropped),
            count(mold.requests, "request"),
            grouped(mold.answers),
            grouped(mold.refused),
        );
    }
    if stats.resets > 0 {
        let _ = write!(text, ", {} by clients", count(stats.resets, "reset"));
    }
    text
}
