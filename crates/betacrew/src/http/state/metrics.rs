//! Metrics for Prometheus (`/metrics`), from the same snapshot as the JSON state.

use crate::http::control::loop_handle::Snapshot;
use crate::http::state::mold_lines::MoldLineState;
use crate::http::state::mold_snapshot::METRICS;
use crate::http::state::soup_counters::SoupCounters;
use crate::http::state::{LineSnapshot, SoupSnapshot, feed_state};
use std::fmt::Write;
use std::time::Duration;

/// Upper bounds of the latency histogram, in microseconds: 1, 2, 5 in each decade.
const BOUNDS: [u64; 16] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000, 10_000_000,
];

/// Histogram of durations.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Histogram {
    /// Number of durations up to each bound, and above the last one.
    counts: [u64; BOUNDS.len() + 1],
    /// Sum of all durations, in microseconds.
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

    /// Returns the durations added since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut counts = self.counts;
        for (count, before) in counts.iter_mut().zip(before.counts) {
            *count -= before;
        }
        Self { counts, sum: self.sum - before.sum }
    }

    /// Returns the duration in milliseconds that `share` (0 to 1) of all durations do not exceed.
    /// Durations between two bounds are taken to be spread evenly.
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

/// Values that metrics need besides the state.
#[derive(Clone, Default, Debug)]
pub(crate) struct MetricsExtra {
    /// Number of faults injected, by kind.
    pub(crate) faults: Vec<(&'static str, u64)>,
    pub(crate) latency: Histogram,
    /// Number of stream and subscribe calls answered.
    pub(crate) streams: u64,
    /// Number of packets and bytes written to the tape file, if there is one.
    pub(crate) tape: Option<(u64, u64)>,
    /// Number of packets and bytes written to each output of a client.
    pub(crate) outputs: Vec<(String, (u64, u64))>,
    /// Newest 400 gaps of a client, oldest first.
    pub(crate) gaps: Vec<crate::http::state::GapView>,
}

/// Type of a metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Counter,
    Gauge,
}

/// Text of the page so far.
struct MetricsPage {
    text: String,
}

impl MetricsPage {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn one(&mut self, kind: Kind, name: &str, help: &str, value: impl Into<f64>) {
        self.many(kind, name, help, [(String::new(), value.into())]);
    }

    /// Writes metrics without labels, whose names begin with `prefix`.
    fn scalars(&mut self, prefix: &str, metrics: &[Scalar]) {
        for &(kind, name, help, value) in metrics {
            self.one(kind, &format!("{prefix}{name}"), help, value);
        }
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

/// Returns labels in Prometheus' notation, values escaped.
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

/// Returns the page, in Prometheus' text format 0.0.4.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    let state = &snapshot.state;
    let mut page = MetricsPage { text: String::with_capacity(4096) };
    let version = labels([("version", &state.version), ("role", &state.role)]);
    page.many(
        Kind::Gauge,
        "betacrew_build_info",
        "Version and role of this program; always 1.",
        [(version, 1.0)],
    );
    let started = float(state.started) / 1e3;
    page.one(
        Kind::Gauge,
        "betacrew_start_time_seconds",
        "Start of the program, in seconds since 1970.",
        started,
    );
    feed_state(&mut page, snapshot);
    if state.role == "exchange" {
        exchange(&mut page, snapshot);
    } else {
        client(&mut page, snapshot);
    }
    page.text
}

/// Writes the state of the feed: 1 for the current state, 0 for the others.
fn feed_state(page: &mut MetricsPage, Snapshot { state, .. }: &Snapshot) {
    let states = match &*state.role {
        "exchange" => &feed_state::EXCHANGE[..],
        _ => &feed_state::CLIENT,
    };
    let samples = states.iter().map(|&known| {
        let is = f64::from(u8::from(known == state.feed.state));
        (labels([("state", known.name())]), is)
    });
    let name = format!("betacrew_{}_feed_state", state.role);
    page.many(
        Kind::Gauge,
        &name,
        "1 for the current state of the feed, 0 for the other states.",
        samples,
    );
}

/// Writes the counters of the tape file.
fn tape(page: &mut MetricsPage, role: &str, extra: &MetricsExtra) {
    let Some((packets, bytes)) = extra.tape else { return };
    let help = "Messages written to the tape file.";
    let name = format!("betacrew_{role}_tape_packets_written_total");
    page.one(Kind::Counter, &name, help, float(packets));
    let help = "Bytes written to the tape file.";
    page.one(
        Kind::Counter,
        &format!("betacrew_{role}_tape_written_bytes_total"),
        help,
        float(bytes),
    );
}

/// Metric without labels: its kind, the rest of its name, its help and its value.
type Scalar = (Kind, &'static str, &'static str, f64);

fn counter(name: &'static str, help: &'static str, count: u64) -> Scalar {
    (Kind::Counter, name, help, float(count))
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> Scalar {
    (Kind::Gauge, name, help, value)
}

fn exchange(page: &mut MetricsPage, Snapshot { state, extra, .. }: &Snapshot) {
    let counters = &state.counters;
    let faults = state.faults.clone().unwrap_or_default();
    let kinds = extra.faults.iter().map(|(kind, count)| (labels([("kind", kind)]), float(*count)));
    let table = [
        counter(
            "packets_sent_total",
            "Order packets and SoupBinTCP messages sent.",
            counters.packets,
        ),
        counter("sent_bytes_total", "Bytes sent.", counters.bytes),
        counter(
            "packets_resent_total",
            "Order packets requested again by clients.",
            counters.resent,
        ),
        counter(
            "packets_dropped_total",
            "Order packets dropped from streams on purpose.",
            counters.dropped.unwrap_or(0),
        ),
        counter("packets_streamed_total", "Order packets sent in streams.", counters.streamed),
        counter(
            "resends_dropped_total",
            "Resends dropped on purpose.",
            counters.resends_dropped.unwrap_or(0),
        ),
        counter(
            "resends_refused_total",
            "Resend calls, or parts of them, refused.",
            counters.refused.unwrap_or(0),
        ),
        counter("streams_total", "Stream and subscribe calls answered.", extra.streams),
        counter("connections_accepted_total", "Connections accepted.", counters.connections),
        counter(
            "connections_cut_total",
            "Connections ended by a fault or a command.",
            counters.reconnects,
        ),
        gauge("connections", "Open connections.", float(state.connections_total.unwrap_or(0))),
        gauge(
            "tape_last_sequence",
            "Last sequence of the tape so far.",
            state.session.as_ref().map_or(0.0, |session| float(session.last)),
        ),
        gauge(
            "lag_packets",
            "Messages between the slowest open stream and the end of the tape.",
            float(state.behind.unwrap_or(0)),
        ),
        gauge("paused", "1 while sending is paused.", f64::from(u8::from(faults.paused))),
        gauge(
            "drops_pending",
            "Order packets, or messages in MoldUDP64, still to be dropped.",
            faults.drops_pending.into(),
        ),
    ];
    page.scalars("betacrew_exchange_", &table);
    for (name, help, value) in state.soup.iter().flat_map(SoupCounters::metrics) {
        page.one(Kind::Counter, &format!("betacrew_exchange_soup_{name}"), help, float(value));
    }
    mold_lines(page, state.mold.as_deref().unwrap_or_default());
    let help = "Faults injected, by kind; drop_next: packets dropped by /api/drop.";
    page.many(Kind::Counter, "betacrew_exchange_faults_injected_total", help, kinds);
    tape(page, "exchange", extra);
}

/// Writes the counts of lines in MoldUDP64.
fn mold_lines(page: &mut MetricsPage, lines: &[MoldLineState]) {
    let tables: Vec<_> = lines.iter().map(MoldLineState::metrics).collect();
    let Some(first) = tables.first() else { return };
    for (index, (name, help, _)) in first.iter().enumerate() {
        let samples = lines.iter().zip(&tables).map(|(line, table)| {
            (labels([("line", line.line.to_string().as_str())]), float(table[index].2))
        });
        page.many(Kind::Counter, &format!("betacrew_exchange_mold_{name}"), help, samples);
    }
}

fn client(page: &mut MetricsPage, Snapshot { state, extra, .. }: &Snapshot) {
    let counters = &state.counters;
    let (frontier, highest) = (state.frontier.unwrap_or(0), state.highest.unwrap_or(0));
    let recorded = [("stream", counters.streamed), ("resend", counters.resent)];
    let recorded = recorded.map(|(source, count)| (labels([("source", source)]), float(count)));
    let name = "betacrew_client_packets_recorded_total";
    page.many(
        Kind::Counter,
        name,
        "Messages recorded, order packets or others, by source.",
        recorded,
    );
    let table = [
        counter("received_bytes_total", "Bytes received.", counters.bytes),
        counter(
            "duplicate_packets_total",
            "Messages received again after they were recorded.",
            counters.duplicates.unwrap_or(0),
        ),
        counter(
            "packets_recovered_total",
            "Messages that were missing and then arrived.",
            counters.recovered.unwrap_or(0),
        ),
        counter(
            "packets_abandoned_total",
            "Messages given up while they were missing.",
            counters.abandoned.unwrap_or(0),
        ),
        counter("gaps_total", "Gaps found.", counters.gaps.unwrap_or(0)),
        counter("connections_total", "Connections opened.", counters.connections),
        counter(
            "connections_failed_total",
            "Connections that broke, were cut or could not be opened.",
            counters.reconnects,
        ),
        gauge("open_gaps", "Open gaps.", float(state.open_gaps.unwrap_or(0))),
        gauge("missing_packets", "Messages missing now.", float(state.missing.unwrap_or(0))),
        gauge(
            "frontier_sequence",
            "Sequence up to which every message is recorded.",
            float(frontier),
        ),
        gauge("highest_sequence", "Highest sequence known to exist.", float(highest)),
        gauge(
            "frontier_lag_packets",
            "Messages between the frontier and the highest sequence known.",
            float(highest.saturating_sub(frontier)),
        ),
    ];
    page.scalars("betacrew_client_", &table);
    lines(page, state.lines.as_deref().unwrap_or_default());
    let help = "Time that recovered messages were missing.";
    page.histogram("betacrew_client_resend_latency_seconds", help, &extra.latency);
    tape(page, "client", extra);
    outputs(page, extra);
}

/// Writes the counters of each line.
fn lines(page: &mut MetricsPage, lines: &[LineSnapshot]) {
    use Kind::Counter;
    let by_line = |of: fn(&LineSnapshot) -> u64| {
        // Two lines may have the same address, so the number is a label, too.
        let samples = (1..).zip(lines).map(move |(number, line): (u32, _)| {
            let labels = labels([("line", &number.to_string()), ("address", &line.address)]);
            (labels, float(of(line)))
        });
        samples.collect::<Vec<_>>()
    };
    let delivered = by_line(|line| line.delivered);
    let name = "betacrew_client_line_packets_delivered_total";
    page.many(Counter, name, "Messages that a line delivered.", delivered);
    let missed = by_line(|line| line.missed);
    let help = "Messages that a line should have delivered and did not.";
    page.many(Counter, "betacrew_client_line_packets_missed_total", help, missed);
    let cuts = by_line(|line| line.reconnects);
    let help = "Subscriptions of a line that ended before the session did.";
    page.many(Counter, "betacrew_client_line_reconnects_total", help, cuts);
    logins(page, lines);
    datagrams(page, lines);
}

/// Writes the counters of each line that speaks SoupBinTCP.
fn logins(page: &mut MetricsPage, lines: &[LineSnapshot]) {
    let by_line = |of: fn(&SoupSnapshot) -> u64| {
        let samples = (1..).zip(lines).filter_map(move |(number, line): (u32, _)| {
            let soup = line.soup.as_ref()?;
            let labels = labels([("line", &number.to_string()), ("address", &line.address)]);
            Some((labels, float(of(soup))))
        });
        samples.collect::<Vec<_>>()
    };
    if lines.iter().all(|line| line.soup.is_none()) {
        return;
    }
    let name = "betacrew_client_line_logins_total";
    let help = "SoupBinTCP logins of a line that were accepted.";
    page.many(Kind::Counter, name, help, by_line(|soup| soup.logins));
    let name = "betacrew_client_line_rejected_logins_total";
    let help = "SoupBinTCP logins of a line that were rejected.";
    page.many(Kind::Counter, name, help, by_line(|soup| soup.rejects));
    let name = "betacrew_client_line_silences_total";
    let help = "SoupBinTCP connections of a line that were given up because they were silent.";
    page.many(Kind::Counter, name, help, by_line(|soup| soup.silences));
    let name = "betacrew_client_line_heartbeats_total";
    let help = "SoupBinTCP heartbeats that a line's exchange has sent.";
    page.many(Kind::Counter, name, help, by_line(|soup| soup.heartbeats));
}

/// Writes the counters of each line that speaks MoldUDP64.
fn datagrams(page: &mut MetricsPage, lines: &[LineSnapshot]) {
    if lines.iter().all(|line| line.mold.is_none()) {
        return;
    }
    let label = |number: u32, line: &LineSnapshot| {
        labels([("line", &number.to_string()), ("address", &line.address)])
    };
    for (name, help, of) in METRICS {
        let samples = (1..).zip(lines).filter_map(|(number, line)| {
            Some((label(number, line), float(of(line.mold.as_ref()?))))
        });
        let name = format!("betacrew_client_line_{name}_total");
        page.many(Kind::Counter, &name, help, samples.collect::<Vec<_>>());
    }
    let trips = (1..).zip(lines).filter_map(|(number, line)| {
        Some((label(number, line), line.mold.as_ref()?.round_trip_ms? / 1e3))
    });
    let help = "Smoothed time from a request to its answer, over the request servers of a line.";
    let name = "betacrew_client_line_request_round_trip_seconds";
    page.many(Kind::Gauge, name, help, trips.collect::<Vec<_>>());
}

/// Writes the counters of each output.
fn outputs(page: &mut MetricsPage, extra: &MetricsExtra) {
    use Kind::Counter;
    let by_output = |of: fn(&(u64, u64)) -> u64| {
        let outputs = extra.outputs.iter();
        outputs.map(move |(name, counts)| (labels([("output", name)]), float(of(counts))))
    };
    let (packets, bytes) = (by_output(|counts| counts.0), by_output(|counts| counts.1));
    let help = "Messages written to an output.";
    page.many(Counter, "betacrew_client_output_packets_written_total", help, packets);
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
    fn label_values_are_escaped() {
        let labels = labels([("line", "1"), ("address", "a\"b\\c\nd")]);
        assert_eq!(labels, "{line=\"1\",address=\"a\\\"b\\\\c\\nd\"}");
    }
}
