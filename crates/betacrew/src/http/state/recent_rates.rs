//! Rates and latencies of the last seconds, from counters that only grow.

use crate::http::state::Rates;
use crate::http::state::metrics::Histogram;
use std::collections::VecDeque;
use std::time::Duration;

/// Period over which rates are measured.
const RATE_PERIOD: Duration = Duration::from_secs(1);
/// Period over which latencies are measured.
const LATENCY_PERIOD: Duration = Duration::from_secs(5);
/// Minimum interval between two samples. With it, [`LATENCY_PERIOD`] has at most 63 samples.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(80);

/// Counters as they were at one time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    packets: u64,
    bytes: u64,
    latency: Histogram,
}

/// Samples of the counters over the last [`LATENCY_PERIOD`].
#[derive(Clone, Default, Debug)]
pub(crate) struct RecentRates {
    samples: VecDeque<Sample>,
}

impl RecentRates {
    /// Returns the rates over the last [`RATE_PERIOD`], and the latencies over the last
    /// [`LATENCY_PERIOD`]. The periods are longer if no sample was taken for longer.
    #[expect(clippy::cast_precision_loss)]
    pub(crate) fn update(
        &mut self,
        now: Duration,
        (packets, bytes): (u64, u64),
        latency: &Histogram,
    ) -> (Rates, Histogram) {
        let samples = &mut self.samples;
        while samples.get(1).is_some_and(|sample| now >= sample.at + LATENCY_PERIOD) {
            samples.pop_front();
        }
        let zero =
            Sample { at: Duration::ZERO, packets: 0, bytes: 0, latency: Histogram::default() };
        let before = samples.iter().rev().find(|sample| now >= sample.at + RATE_PERIOD);
        let before = before.or(samples.front()).unwrap_or(&zero);
        let seconds = (now - before.at).as_secs_f64().max(1e-3);
        let rates = Rates {
            packets: packets.saturating_sub(before.packets) as f64 / seconds,
            bytes: bytes.saturating_sub(before.bytes) as f64 / seconds,
        };
        let recent = latency.since(&samples.front().unwrap_or(&zero).latency);
        if samples.back().is_none_or(|sample| now >= sample.at + SAMPLE_INTERVAL) {
            samples.push_back(Sample { at: now, packets, bytes, latency: *latency });
        }
        (rates, recent)
    }
}
