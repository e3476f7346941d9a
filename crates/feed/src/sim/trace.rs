//! Trace of a simulated world, for people who look for the cause of a violation.

use super::SimWorld;
use crate::exchange::Exchange;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

impl<E: Exchange> SimWorld<E> {
    /// Records a trace from now on.
    pub fn start_trace(&mut self) {
        self.trace.get_or_insert_default();
    }

    /// Returns the trace since the last call.
    pub fn take_trace(&mut self) -> Vec<(Duration, String)> {
        self.trace.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// Adds an event to the trace.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push((now, what()));
        }
    }
}
