//! What has happened, kept to be shown: the log's lines, the newest of them.

use super::state::Event;
use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// So many are kept.
const KEPT: usize = 50;
/// The longest text of one.
const LONGEST: usize = 400;

static WANTED: AtomicBool = AtomicBool::new(false);
static EVENTS: Mutex<VecDeque<Event>> = Mutex::new(VecDeque::new());

fn events() -> MutexGuard<'static, VecDeque<Event>> {
    EVENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time in milliseconds since 1970.
pub(super) fn now() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// From now on they are kept.
pub(super) fn keep() {
    WANTED.store(true, Ordering::Relaxed);
}

/// Those that are kept, the newest first.
pub(super) fn newest() -> Vec<Event> {
    events().iter().rev().cloned().collect()
}

/// Keeps what is logged, whatever of it is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep;

impl<S: tracing::Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if !WANTED.load(Ordering::Relaxed) {
            return;
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        let end = (0..=LONGEST.min(text.0.len())).rev().find(|&end| text.0.is_char_boundary(end));
        text.0.truncate(end.unwrap_or(0));
        let mut events = events();
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(Event { at: now(), text: text.0 });
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => self.0.write_str(&crate::escape::line(&format!("{value:?}"))),
            _ => Ok(()),
        };
    }
}
