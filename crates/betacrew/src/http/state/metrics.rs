//! `/metrics`: what Prometheus is told, from the same snapshot as everything else.

use crate::http::control::loop_handle::Snapshot;
use crate::http::state::feed_state;
use std::fmt::Write;
use std::time::Duration;

/// The bounds of the latency histogram, in microseconds: 1, 2, 5 in each decade.
const BOUNDS: [u64; 16] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000, 10_000_000,
];

/// How long something took, counted in a few numbers.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    /// In microseconds.
    sum: u64,
}

impl Histogram {
    pub(crate) fn add(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.counts[BOUNDS.partition_point(|&bound| bound < micros)] += 1;
        self.sum = self.sum.saturating_add(micros);
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What has been added since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut counts = self.counts;
        for (count, before) in counts.iter_mut().zip(before.counts) {
            *count -= before;
        }
        Self { counts, sum: self.sum - before.sum }
    }

    /// The value that this share (0 to 1) does not exceed, in milliseconds, as if what lies between
    /// two bounds were spread evenly.
    #[expect(clippy::cast_precision_loss)]
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let wanted = share * self.count() as f64;
        let (mut below, mut low) = (0.0, 0.0);
        for (at, &count) in self.counts.iter().enumerate() {
            let high = BOUNDS.get(at).map_or(low, |&bound| bound as f64 / 1e3);
            if count > 0 && below + count as f64 >= wanted {
                return low + (high - low) * ((wanted - below) / count as f64).clamp(0.0, 1.0);
            }
            (below, low) = (below + count as f64, high);
        }
        0.0
    }
}

/// What metrics need besides the state.
#[derive(Clone, Default, Debug)]
pub(crate) struct Raw {
    pub(crate) faults: Vec<(&'static str, u64)>,
    pub(crate) latency: Histogram,
    pub(crate) streams: u64,
    /// Packets and bytes written to a tape file, if there is one.
    pub(crate) tape: Option<(u64, u64)>,
    /// And to each output of a client.
    pub(crate) outputs: Vec<(String, (u64, u64))>,
    /// Of a client, the last few hundred gaps, the oldest first.
    pub(crate) gaps: Vec<crate::http::state::GapView>,
}

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Counter,
    Gauge,
}

struct MetricsText {
    text: String,
}

impl MetricsText {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn one(&mut self, kind: Kind, name: &str, help: &str, value: impl Into<f64>) {
        self.many(kind, name, help, [(String::new(), value.into())]);
    }

    fn many<I: IntoIterator<Item = (String, f64)>>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        samples: I,
    ) {
        self.head(name, if kind == Kind::Counter { "counter" } else { "gauge" }, help);
        for (labels, value) in samples {
            let _ = writeln!(self.text, "{name}{labels} {value}");
        }
    }

    #[expect(clippy::cast_precision_loss)]
    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let mut sum = 0;
        for (at, count) in histogram.counts.iter().enumerate() {
            sum += count;
            let bound = BOUNDS.get(at).map(|&bound| bound as f64 / 1e6);
            let le = bound.map_or("+Inf".to_owned(), |bound| bound.to_string());
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{le}\"}} {sum}");
        }
        let total = histogram.sum as f64 / 1e6;
        let _ = writeln!(self.text, "{name}_sum {total}\n{name}_count {sum}");
    }
}

/// Labels and their values, escaped.
fn labels<const N: usize>(labels: [(&str, &str); N]) -> String {
    let labels = labels.map(|(name, value)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    });
    format!("{{{}}}", labels.join(","))
}

#[expect(clippy::cast_precision_loss)]
fn float(number: u64) -> f64 {
    number as f64
}

/// The page, in Prometheus' text format 0.0.4.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    let state = &snapshot.state;
    let mut page = MetricsText { text: String::with_capacity(4096) };
    let version = labels([("version", &state.version), ("role", &state.role)]);
    page.many(Kind::Gauge, "betacrew_build_info", "Which program this is.", [(version, 1.0)]);
    let started = float(state.started) / 1e3;
    page.one(Kind::Gauge, "betacrew_start_time_seconds", "When it began, since 1970.", started);
    feed_state(&mut page, snapshot);
    if state.role == "exchange" {
        exchange(&mut page, snapshot);
    } else {
        client(&mut page, snapshot);
    }
    page.text
}

/// What the feed does: 1 for that state, 0 for the others.
fn feed_state(page: &mut MetricsText, Snapshot { state, .. }: &Snapshot) {
    let states = match &*state.role {
        "exchange" => &feed_state::EXCHANGE[..],
        _ => &feed_state::CLIENT,
    };
    let samples = states.iter().map(|&known| {
        let is = f64::from(u8::from(known == state.feed.state));
        (labels([("state", known.name())]), is)
    });
    let name = format!("betacrew_{}_feed_state", state.role);
    page.many(Kind::Gauge, &name, "1 for what the feed does, 0 for the other states.", samples);
}

/// What has been written to the tape file.
fn tape(page: &mut MetricsText, role: &str, raw: &Raw) {
    let Some((packets, bytes)) = raw.tape else { return };
    let help = "Packets written to the tape file.";
    let name = format!("betacrew_{role}_tape_written_packets_total");
    page.one(Kind::Counter, &name, help, float(packets));
    let help = "Bytes written to the tape file.";
    page.one(
        Kind::Counter,
        &format!("betacrew_{role}_tape_written_bytes_total"),
        help,
        float(bytes),
    );
}

fn exchange(page: &mut MetricsText, Snapshot { state, raw, .. }: &Snapshot) {
    use Kind::{Counter, Gauge};
    let counters = &state.counters;
    let faults = state.faults.clone().unwrap_or_default();
    let kinds = raw.faults.iter().map(|(kind, count)| (labels([("kind", kind)]), float(*count)));
    let table = [
        (Counter, "sent_packets_total", "Packets sent.", float(counters.packets)),
        (Counter, "sent_bytes_total", "Bytes sent.", float(counters.bytes)),
        (
            Counter,
            "resent_packets_total",
            "Packets owed to who asked again.",
            float(counters.resent),
        ),
        (
            Counter,
            "dropped_packets_total",
            "Packets that streams dropped on purpose.",
            float(counters.dropped.unwrap_or(0)),
        ),
        (Counter, "streamed_packets_total", "Packets that streams sent.", float(counters.streamed)),
        (
            Counter,
            "dropped_resends_total",
            "Resends dropped on purpose.",
            float(counters.resends_dropped.unwrap_or(0)),
        ),
        (
            Counter,
            "refusals_total",
            "Resend calls, or parts of them, that were refused.",
            float(counters.refused.unwrap_or(0)),
        ),
        (Counter, "streams_total", "Stream and subscribe calls answered.", float(raw.streams)),
        (
            Counter,
            "accepted_connections_total",
            "Connections accepted.",
            float(counters.connections),
        ),
        (
            Counter,
            "cut_connections_total",
            "Connections that a fault or an order has ended.",
            float(counters.reconnects),
        ),
        (Gauge, "connections", "Connections open.", float(state.connections_total.unwrap_or(0))),
        (
            Gauge,
            "tape_last_sequence",
            "The last sequence of the tape so far.",
            state.session.as_ref().map_or(0.0, |session| session.last.into()),
        ),
        (
            Gauge,
            "lag_packets",
            "How many packets the connection furthest behind is behind the tape.",
            state.behind.unwrap_or(0).into(),
        ),
        (Gauge, "paused", "1 while all sending stands still.", f64::from(u8::from(faults.paused))),
        (Gauge, "losing_packets", "Packets still to be lost by order.", faults.losing.into()),
    ];
    for (kind, name, help, value) in table {
        page.one(kind, &format!("betacrew_exchange_{name}"), help, value);
    }
    let help = "How often faults have happened, by kind; `order`: packets lost by /api/lose.";
    page.many(Counter, "betacrew_exchange_faults_injected_total", help, kinds);
    tape(page, "exchange", raw);
}

fn client(page: &mut MetricsText, Snapshot { state, raw, .. }: &Snapshot) {
    use Kind::{Counter, Gauge};
    let counters = &state.counters;
    let (frontier, highest) = (state.frontier.unwrap_or(0), state.highest.unwrap_or(0));
    let recorded = [("stream", counters.streamed), ("resend", counters.resent)];
    let recorded = recorded.map(|(source, count)| (labels([("source", source)]), float(count)));
    let name = "betacrew_client_recorded_packets_total";
    page.many(Counter, name, "Packets recorded, by what brought them.", recorded);
    let table = [
        (Counter, "received_bytes_total", "Bytes received.", float(counters.bytes)),
        (
            Counter,
            "repeated_packets_total",
            "Packets that had been recorded before.",
            float(counters.repeated.unwrap_or(0)),
        ),
        (
            Counter,
            "recovered_packets_total",
            "Packets that were missing and came.",
            float(counters.recovered.unwrap_or(0)),
        ),
        (
            Counter,
            "lost_packets_total",
            "Packets that were given up.",
            float(counters.lost.unwrap_or(0)),
        ),
        (Counter, "gaps_total", "Gaps found.", float(counters.gaps.unwrap_or(0))),
        (Counter, "connections_total", "Connections made.", float(counters.connections)),
        (
            Counter,
            "failed_connections_total",
            "Connections that broke, were cut off or could not be made.",
            float(counters.reconnects),
        ),
        (Gauge, "open_gaps", "Gaps open.", float(state.open_gaps.unwrap_or(0))),
        (Gauge, "missing_packets", "Packets missing.", float(state.missing.unwrap_or(0))),
        (Gauge, "frontier_sequence", "Everything up to it is recorded.", frontier.into()),
        (Gauge, "highest_sequence", "The highest sequence known.", highest.into()),
        (
            Gauge,
            "frontier_lag_packets",
            "How far the frontier is behind the highest sequence known.",
            highest.saturating_sub(frontier).into(),
        ),
    ];
    for (kind, name, help, value) in table {
        page.one(kind, &format!("betacrew_client_{name}"), help, value);
    }
    lines(page, state.lines.as_deref().unwrap_or_default());
    let help = "How long what was missing was missing until it came.";
    page.histogram("betacrew_client_resend_latency_seconds", help, &raw.latency);
    tape(page, "client", raw);
    outputs(page, raw);
}

/// What each line has done.
fn lines(page: &mut MetricsText, lines: &[crate::http::state::LineSnapshot]) {
    use Kind::Counter;
    let by_line = |of: fn(&crate::http::state::LineSnapshot) -> u64| {
        // Two of them may have one address.
        let samples = (1..).zip(lines).map(move |(number, line): (u32, _)| {
            let labels = labels([("line", &number.to_string()), ("address", &line.address)]);
            (labels, float(of(line)))
        });
        samples.collect::<Vec<_>>()
    };
    let delivered = by_line(|line| line.delivered);
    let name = "betacrew_client_line_delivered_packets_total";
    page.many(Counter, name, "Packets that a line has brought.", delivered);
    let lost = by_line(|line| line.lost);
    let help = "Packets that a line's subscriptions should have brought and did not.";
    page.many(Counter, "betacrew_client_line_lost_packets_total", help, lost);
    let cuts = by_line(|line| line.reconnects);
    let help = "Subscriptions of a line that ended before the session.";
    page.many(Counter, "betacrew_client_line_reconnects_total", help, cuts);
}

/// What has been written to each output.
fn outputs(page: &mut MetricsText, raw: &Raw) {
    use Kind::Counter;
    let by_output = |of: fn(&(u64, u64)) -> u64| {
        let outputs = raw.outputs.iter();
        outputs.map(move |(name, counts)| (labels([("output", name)]), float(of(counts))))
    };
    let (packets, bytes) = (by_output(|counts| counts.0), by_output(|counts| counts.1));
    let help = "Packets written to an output.";
    page.many(Counter, "betacrew_client_output_written_packets_total", help, packets);
    let help = "Bytes written to an output.";
    page.many(Counter, "betacrew_client_output_written_bytes_total", help, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_their_bounds() {
        let mut histogram = Histogram::default();
        assert!(histogram.quantile(0.5).abs() < 1e-9);
        for _ in 0..99 {
            histogram.add(Duration::from_millis(3));
        }
        histogram.add(Duration::from_secs(100));
        assert!((2.0..=5.0).contains(&histogram.quantile(0.5)));
        assert!((2.0..=5.0).contains(&histogram.quantile(0.99)));
        assert!((histogram.quantile(1.0) - 10_000.0).abs() < 1e-9, "beyond the last bound");
        let since = histogram.since(&Histogram::default());
        assert_eq!((since.count(), histogram.since(&since).count()), (100, 0));
    }

    #[test]
    fn what_a_label_says_cannot_end_it() {
        let labels = labels([("line", "1"), ("address", "a\"b\\c\nd")]);
        assert_eq!(labels, "{line=\"1\",address=\"a\\\"b\\\\c\\nd\"}");
    }
}
