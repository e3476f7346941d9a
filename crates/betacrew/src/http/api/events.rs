//! What has happened, kept to be shown: the log's lines, and what happened to the feed, which is
//! marked in the charts.

use crate::http::state::{Event, EventKind};
use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Number of events kept for the list.
const KEPT: usize = 50;
/// Number of events kept that are marked in the charts, which go back further than the list.
const MARKS_MAX: usize = 200;
/// The longest text of one, in bytes.
const LONGEST: usize = 400;

/// Target of log lines about orders. They are kept by [`note`], which knows their kind.
pub(crate) const CONTROL: &str = "betacrew::http::control";

static WANTED: AtomicBool = AtomicBool::new(false);
static EVENTS: Mutex<Rings> = Mutex::new(Rings::new());

/// The newest events: a bounded number of all, and of those that charts mark.
#[derive(Debug)]
struct Rings {
    all: VecDeque<Event>,
    marks: VecDeque<Event>,
}

impl Rings {
    const fn new() -> Self {
        Self { all: VecDeque::new(), marks: VecDeque::new() }
    }

    fn push(&mut self, event: Event) {
        if event.kind != EventKind::Log {
            put(&mut self.marks, event.clone(), MARKS_MAX);
        }
        put(&mut self.all, event, KEPT);
    }
}

fn put(ring: &mut VecDeque<Event>, event: Event, most: usize) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(event);
}

fn events() -> MutexGuard<'static, Rings> {
    EVENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(crate::clock::since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// From now on they are kept.
pub(crate) fn keep() {
    WANTED.store(true, Ordering::Relaxed);
}

/// Those that are kept, the newest first.
pub(crate) fn newest() -> Vec<Event> {
    events().all.iter().rev().cloned().collect()
}

/// Returns the events that charts mark, the oldest first.
pub(crate) fn marks() -> Vec<Event> {
    events().marks.iter().cloned().collect()
}

/// Keeps an event of a time in milliseconds since 1970.
pub(crate) fn note(kind: EventKind, at: u64, text: String) {
    if WANTED.load(Ordering::Relaxed) {
        events().push(event(kind, at, text));
    }
}

fn event(kind: EventKind, at: u64, mut text: String) -> Event {
    let end = (0..=LONGEST.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.truncate(end.unwrap_or(0));
    Event { at, kind, text }
}

/// Keeps what is logged, whatever of it is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventBuffer;

impl<S: tracing::Subscriber> Layer<S> for EventBuffer {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == CONTROL || !WANTED.load(Ordering::Relaxed) {
            return;
        }
        let mut text = EventText(String::new());
        event.record(&mut text);
        note(EventKind::Log, now(), text.0);
    }
}

struct EventText(String);

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => self.0.write_str(&crate::text::escape::line(&format!("{value:?}"))),
            _ => Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_do_not_push_out_what_charts_mark() {
        let mut rings = Rings::new();
        for at in 0..1000 {
            let kind = if at % 10 == 0 { EventKind::Stall } else { EventKind::Log };
            rings.push(event(kind, at, String::new()));
        }
        assert_eq!((rings.all.len(), rings.marks.len()), (KEPT, 100));
        (0..1000).for_each(|at| rings.push(event(EventKind::Cut, at, String::new())));
        assert_eq!((rings.all.len(), rings.marks.len()), (KEPT, MARKS_MAX));
    }

    #[test]
    fn a_text_has_a_bound_and_whole_characters() {
        let long = event(EventKind::Log, 0, "ä".repeat(LONGEST)).text;
        assert_eq!(long, "ä".repeat(LONGEST / 2));
    }
}
