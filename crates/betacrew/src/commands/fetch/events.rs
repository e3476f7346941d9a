//! Events of a recorder, as log lines and messages.

use crate::terminal::progress::Progress;
use crate::text::formatting::{count, noun, took};
use feed::client::{LineStats, PassEnd, Recorder, RecorderEvent};
use feed::wire::Protocol;

/// Logs an event of the recorder, and shows lines that are not reached in the progress bar.
pub(super) fn log_event(
    addresses: &[String],
    recorder: &Recorder,
    event: RecorderEvent,
    progress: &mut Progress,
) {
    let at = |line: u16| addresses.get(usize::from(line)).map_or("?", String::as_str);
    match event {
        RecorderEvent::Unreachable { line, .. } => {
            if let Some(stats) = recorder.line(line) {
                progress.waiting(line, at(line), stats);
            }
            tracing::debug!("{}: no connection", at(line));
        }
        RecorderEvent::LineGivenUp { line } => {
            if let Some(stats) = recorder.line(line) {
                log_given_up(at(line), stats);
            }
        }
        RecorderEvent::Described { line, info } => tracing::debug!(
            "{}: session {}, packets {} to {}",
            at(line),
            info.session,
            info.first,
            info.last
        ),
        RecorderEvent::LoggedIn { line, .. }
        | RecorderEvent::LoginRejected { line, .. }
        | RecorderEvent::LoginMoved { line, .. } => log_login(at(line), event),
        RecorderEvent::Heard { line, session, sequence } => {
            tracing::debug!("{}: session {session}, now at message {sequence}", at(line));
        }
        RecorderEvent::ServedFrom { sequence } => tracing::warn!(
            "the request servers reach back to message {sequence}; earlier ones that are missing \
             cannot be recovered"
        ),
        RecorderEvent::PassBegan { line, .. } | RecorderEvent::PassEnded { line, .. } => {
            let protocol = recorder.line(line).map_or(Protocol::Betacrew, |stats| stats.protocol);
            log_pass(at(line), protocol, event, noun(recorder));
        }
        RecorderEvent::PacketsForgotten { packets } => tracing::warn!(
            "{} recorded before the exchange announced its session: requested again",
            count(packets, "packet")
        ),
        RecorderEvent::GapAbandoned { range } => {
            tracing::warn!("abandoned: {} {range} did not arrive in time", noun(recorder));
        }
        RecorderEvent::OtherSession { line, session } => {
            let recorded = recorder.session().map(|id| format!(" instead of {id}"));
            let instead = recorded.unwrap_or_default();
            tracing::warn!("{}: the exchange plays another session, {session}{instead}", at(line));
        }
        RecorderEvent::Stopping { wait } => crate::terminal::message::message!(
            "stopping: waiting up to {} for the exchange to end its connections; Ctrl+C again \
             leaves now",
            took(wait)
        ),
        RecorderEvent::AwaitingResends { packets, wait } => crate::terminal::message::message!(
            "stopping: waiting up to {} for {}; Ctrl+C again leaves now",
            took(wait),
            count(packets, &format!("missing {}", noun(recorder)))
        ),
        RecorderEvent::ResendFailed { line, tries } => {
            tracing::debug!("{}: resend requests unanswered, try {tries}", at(line));
        }
    }
}

/// Logs that a line is given up.
fn log_given_up(address: &str, line: &LineStats) {
    match (line.protocol, line.reached) {
        (_, false) => tracing::debug!("{address}: giving up"),
        (Protocol::Mold, true) => {
            tracing::warn!("{address}: no datagram for too long; the line is not waited for");
        }
        (Protocol::Soup, true) => {
            tracing::warn!("{address}: giving up after rejected logins or failed connections");
        }
        (Protocol::Betacrew, true) => {
            tracing::warn!("{address}: giving up after too many failed connections");
        }
    }
}

/// Logs the answer to a SoupBinTCP login.
fn log_login(address: &str, event: RecorderEvent) {
    match event {
        RecorderEvent::LoggedIn { session, sequence, .. } => {
            tracing::debug!("{address}: logged in, session {session} from message {sequence}");
        }
        RecorderEvent::LoginRejected { reason, .. } => {
            tracing::warn!("{address}: login rejected: {reason}");
        }
        RecorderEvent::LoginMoved { requested, accepted, .. } => tracing::warn!(
            "{address}: login from message {requested} accepted from message {accepted}; logging \
             in again"
        ),
        _ => {}
    }
}

/// Logs the begin or the end of a pass, or the end of a SoupBinTCP connection.
fn log_pass(address: &str, protocol: Protocol, event: RecorderEvent, noun: &str) {
    match event {
        RecorderEvent::PassEnded { delivered, .. } if protocol == Protocol::Soup => tracing::warn!(
            "{address}: connection ended after {}; logging in again",
            count(delivered, "message")
        ),
        RecorderEvent::PassBegan { pass, .. } => tracing::debug!("{address}: pass {pass} starts"),
        RecorderEvent::PassEnded { pass, delivered, end, .. } => {
            let received = count(delivered, noun);
            match end {
                PassEnd::Complete => {
                    tracing::debug!("{address}: pass {pass} ends after {received}");
                }
                PassEnd::Silent => {
                    tracing::warn!("{address}: pass {pass} fell silent after {received}");
                }
                PassEnd::CutOff => {
                    tracing::warn!("{address}: pass {pass} was cut off after {received}");
                }
            }
        }
        _ => {}
    }
}
