//! Lines and requests of MoldUDP64 in the summary.

use crate::text::formatting::{count, grouped, took};
use feed::client::Recorder;
use feed::wire::Protocol;
use std::fmt::Write;

/// Writes the datagrams of each MoldUDP64 line, and the requests to all servers.
pub(super) fn lines(text: &mut String, addresses: &[String], recorder: &Recorder) {
    let lines = (0..).map_while(|line| recorder.line(line)).zip(addresses);
    let mut lines = lines.filter(|(line, _)| line.protocol == Protocol::Mold).peekable();
    if lines.peek().is_none() {
        return;
    }
    for (line, address) in lines {
        let mold = line.mold;
        let datagrams = count(mold.datagrams, "datagram");
        let missed = count(line.missed, "message");
        let _ = write!(text, "  group    {address}: {datagrams}, {missed} missed");
        for (number, what) in [
            (mold.duplicates, "duplicate"),
            (mold.reordered, "late"),
            (mold.kernel_drops, "dropped by this machine's kernel"),
            (mold.other_session, "of other sessions"),
            (mold.strangers, "of other senders"),
            (mold.malformed, "malformed"),
        ] {
            if number > 0 {
                let _ = write!(text, ", {} {what}", grouped(number));
            }
        }
        text.push('\n');
    }
    let stats = recorder.request_stats();
    if stats.sent > 0 {
        let answered = match stats.answered {
            0 => "none answered".to_owned(),
            some => {
                format!("{} answered, the slowest after {}", grouped(some), took(stats.slowest))
            }
        };
        let unanswered = match stats.timed_out {
            0 => String::new(),
            some => format!("; {} sent again without an answer in time", grouped(some)),
        };
        let requests = count(stats.sent, "request");
        let _ = writeln!(text, "  requests {requests}, {answered}{unanswered}");
    }
    if let Some(from) = recorder.served_from() {
        let _ = writeln!(text, "  servers  reach back to message {}", grouped(from));
    }
    let first = recorder.violations().datagrams.first_malformed;
    if let Some(error) = first {
        let _ = writeln!(text, "  WARNING  datagrams were ignored that are no MoldUDP64: {error}");
    }
}
