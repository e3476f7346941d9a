//! Connections and lines of an exchange that commands act on, and their positions for the log.

use crate::http::control::command::{StallTarget, not_found, refusal_of};
use crate::http::state::Refusal;
use crate::net::ConnectionRef;
use crate::text::formatting::{count, grouped};
use feed::exchange::server::{CutKind, MockExchange, ServerConnection};
use feed::tape::source::TapeSource;
use std::time::Duration;

/// Maximum number of connections and lines named in a log line.
const LOGGED_MAX: usize = 8;

/// Ends one connection, or all. Returns which, and a remark on lines in MoldUDP64: they have no
/// connections, so an exchange with nothing else refuses.
pub(super) fn cut<P: TapeSource>(
    exchange: &mut MockExchange<P>,
    connections: &mut [ConnectionRef<'_, ServerConnection>],
    which: Option<u64>,
    how: CutKind,
) -> Result<(String, &'static str), Refusal> {
    let lines = exchange.mold_lines().len();
    if lines > 0 && connections.is_empty() {
        return Err(refusal_of(
            "lines in MoldUDP64 have no connections, and no client is connected",
            "stall, for a line or all; pause; or faults such as what = \"silence\"",
        ));
    }
    let cut = |exchange: &mut MockExchange<P>, connection: &mut ServerConnection| {
        exchange.cut(connection, how);
    };
    let found = for_connections(exchange, connections, which, cut)?;
    let left = match which {
        None if lines > 0 => "; lines in MoldUDP64 have no connections",
        _ => "",
    };
    Ok((found, left))
}

/// Sends nothing for a time on one connection, on one line in MoldUDP64, or on all of them.
pub(super) fn stall<P: TapeSource>(
    exchange: &mut MockExchange<P>,
    connections: &mut [ConnectionRef<'_, ServerConnection>],
    target: StallTarget,
    (time, now): (Duration, Duration),
) -> Result<String, Refusal> {
    let stall = |exchange: &mut MockExchange<P>, connection: &mut ServerConnection| {
        exchange.stall(connection, time, now);
    };
    let lines = exchange.mold_lines().len() as u64;
    match target {
        StallTarget::Connection(which) => {
            for_connections(exchange, connections, Some(which), stall)
        }
        StallTarget::Line(line) if exchange.stall_line(line, time, now) => {
            Ok(format!("line {line}"))
        }
        StallTarget::Line(line) => Err(not_found(
            format!("there is no line {line} in MoldUDP64"),
            match lines {
                0 => "the exchange has no such lines".to_owned(),
                lines => format!("from 1 to {lines}, in the order of --listen mold://..."),
            },
        )),
        StallTarget::All => {
            let found = for_connections(exchange, connections, None, stall)?;
            let stalled = (1..=lines).filter(|line| exchange.stall_line(*line, time, now)).count();
            Ok(match stalled {
                0 => found,
                lines => format!("{found} and {}", count(lines as u64, "line")),
            })
        }
    }
}

/// Applies `action` to one connection, or to all.
fn for_connections<P: TapeSource>(
    exchange: &mut MockExchange<P>,
    connections: &mut [ConnectionRef<'_, ServerConnection>],
    which: Option<u64>,
    mut action: impl FnMut(&mut MockExchange<P>, &mut ServerConnection),
) -> Result<String, Refusal> {
    let mut found = 0;
    for connection in connections {
        if which.is_none_or(|which| exchange.view(connection.conn).connection == which) {
            action(exchange, connection.conn);
            found += 1;
        }
    }
    match which {
        Some(which) if found == 0 => Err(not_found(
            format!("no connection {which} is open"),
            "one of /api/state's connections",
        )),
        Some(which) => Ok(format!("connection {which}")),
        None => Ok(count(found, "connection")),
    }
}

/// Returns the next sequence of each stream and line, for the log.
pub(super) fn positions<P: TapeSource>(
    exchange: &MockExchange<P>,
    connections: &[ConnectionRef<'_, ServerConnection>],
) -> String {
    let mut text = String::new();
    let views = connections.iter().map(|connection| exchange.view(connection.conn));
    let streams = views.filter_map(|view| {
        view.next.map(|next| format!("connection {} before packet {next}", view.connection))
    });
    let lines = exchange.mold_lines();
    let lines = lines.map(|line| format!("line {} before message {}", line.line, line.next));
    let mut at = streams.chain(lines);
    for position in at.by_ref().take(LOGGED_MAX) {
        text += if text.is_empty() { " (" } else { ", " };
        text += &position;
    }
    match (text.is_empty(), at.count()) {
        (true, _) => text,
        (false, 0) => text + ")",
        (false, more) => format!("{text} and {} more)", grouped(more as u64)),
    }
}
