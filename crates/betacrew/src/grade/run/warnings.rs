//! Warnings of the exchanges of all cases. Each is told once, with its number, because a client
//! that connects over and over would fill the terminal with one.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::{Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// Maximum number of different warnings that are kept.
const KINDS_MAX: usize = 20;

/// Numbers of the warnings by their texts.
static WARNINGS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// Runs a function, and counts the warnings of its thread instead of logging them.
pub(crate) fn counted<T>(run: impl FnOnce() -> T) -> T {
    let outer = tracing::dispatcher::get_default(Clone::clone);
    tracing::subscriber::with_default(WarningCounter { outer }, run)
}

/// Returns the warnings so far with their numbers, and forgets them.
pub(crate) fn take() -> BTreeMap<String, u64> {
    std::mem::take(&mut *WARNINGS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Subscriber that counts warnings and errors, and passes on everything else.
struct WarningCounter {
    outer: Dispatch,
}

/// Returns whether an event is counted.
fn is_counted(about: &Metadata<'_>) -> bool {
    *about.level() <= Level::WARN
}

impl Subscriber for WarningCounter {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        is_counted(about) || self.outer.enabled(about)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.outer.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.outer.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.outer.record_follows_from(span, follows);
    }

    fn event(&self, event: &Event<'_>) {
        if !is_counted(event.metadata()) {
            return self.outer.event(event);
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let mut warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < KINDS_MAX || warnings.contains_key(&message.0) {
            *warnings.entry(message.0).or_default() += 1;
        }
    }

    fn enter(&self, span: &Id) {
        self.outer.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.outer.exit(span);
    }
}

/// Message of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing into a string never fails.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_warnings_are_counted() {
        let said = counted(|| {
            (0..3).for_each(|_| tracing::warn!("no {} left", "room for a test"));
            tracing::info!("not counted");
            7
        });
        assert_eq!(said, 7);
        let warnings = WARNINGS.lock().unwrap();
        assert_eq!(warnings.get("no room for a test left"), Some(&3));
        assert!(warnings.keys().all(|text| text != "not counted"));
    }
}
