//! Newest events, kept for the dashboard: lines of the log, and changes of the feed, which the
//! charts mark.

use crate::http::state::{Event, EventKind};
use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Maximum number of events in the list.
const EVENTS_MAX: usize = 50;
/// Maximum number of events that charts mark. The charts go back further than the list.
const MARKS_MAX: usize = 200;
/// Maximum length of an event's text, in bytes.
const TEXT_MAX: usize = 400;

/// Log target of commands. [`EventBuffer`] skips it, because [`note`] keeps commands with their
/// kind.
pub(crate) const CONTROL: &str = "betacrew::http::control";

static IS_KEEPING: AtomicBool = AtomicBool::new(false);
static EVENTS: Mutex<Rings> = Mutex::new(Rings::new());

/// Newest events: one ring of all, and one of those that charts mark. With one ring, log lines
/// would push the marks out.
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
        put(&mut self.all, event, EVENTS_MAX);
    }
}

fn put(ring: &mut VecDeque<Event>, event: Event, max: usize) {
    if ring.len() == max {
        ring.pop_front();
    }
    ring.push_back(event);
}

fn events() -> MutexGuard<'static, Rings> {
    EVENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the time in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(crate::clock::since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// Starts to keep events. Without an HTTP address none are kept.
pub(crate) fn start_keeping() {
    IS_KEEPING.store(true, Ordering::Relaxed);
}

/// Returns the kept events, newest first.
pub(crate) fn newest() -> Vec<Event> {
    events().all.iter().rev().cloned().collect()
}

/// Returns the events that charts mark, oldest first.
pub(crate) fn marks() -> Vec<Event> {
    events().marks.iter().cloned().collect()
}

/// Keeps an event. `at` is its time in milliseconds since 1970.
pub(crate) fn note(kind: EventKind, at: u64, text: String) {
    if IS_KEEPING.load(Ordering::Relaxed) {
        events().push(event(kind, at, text));
    }
}

fn event(kind: EventKind, at: u64, mut text: String) -> Event {
    let end = (0..=TEXT_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.truncate(end.unwrap_or(0));
    Event { at, kind, text }
}

/// Log layer that keeps every line as an event, including lines below the displayed level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventBuffer;

impl<S: tracing::Subscriber> Layer<S> for EventBuffer {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == CONTROL || !IS_KEEPING.load(Ordering::Relaxed) {
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
    fn log_lines_do_not_push_out_marked_events() {
        let mut rings = Rings::new();
        for at in 0..1000 {
            let kind = if at % 10 == 0 { EventKind::Stall } else { EventKind::Log };
            rings.push(event(kind, at, String::new()));
        }
        assert_eq!((rings.all.len(), rings.marks.len()), (EVENTS_MAX, 100));
        (0..1000).for_each(|at| rings.push(event(EventKind::Cut, at, String::new())));
        assert_eq!((rings.all.len(), rings.marks.len()), (EVENTS_MAX, MARKS_MAX));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = event(EventKind::Log, 0, "ä".repeat(TEXT_MAX)).text;
        assert_eq!(long, "ä".repeat(TEXT_MAX / 2));
    }
}
