//! Detector of changes of a client's lines, session and recording, between two looks at it.

use crate::http::state::EventKind;
use crate::http::state::feed_state::LineState;
use crate::text::formatting::took;
use feed::session::completeness::Completeness;
use std::time::Duration;

/// Line as it is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineView<'a> {
    pub(crate) address: &'a str,
    pub(crate) state: LineState,
    /// Start of the state, from the recorder's start.
    pub(crate) since: Duration,
    /// Number of subscriptions that ended before the session did.
    pub(crate) cuts: u32,
}

/// Change: its kind, time (from the recorder's start) and description.
pub(crate) type Change = (EventKind, Duration, String);

/// Client as it was at the last look.
#[derive(Clone, Default, Debug)]
pub(crate) struct ClientWatch {
    /// State of each line, the start of that state, and the number of ended subscriptions.
    lines: Vec<(LineState, Duration, u32)>,
    session: Option<String>,
    over: bool,
}

impl ClientWatch {
    /// Takes the client as it is at `now`; `ended` is the end of the recording and its
    /// completeness. Returns the changes since the last look.
    pub(crate) fn update(
        &mut self,
        now: Duration,
        lines: &[LineView<'_>],
        session: Option<String>,
        ended: Option<(Duration, Completeness)>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        if session.is_some() && session != self.session {
            let id = session.as_deref().unwrap_or_default();
            changes.push((EventKind::Session, now, format!("session {id} is recorded")));
            self.session = session;
        }
        self.lines.resize(lines.len(), (LineState::Connecting, Duration::ZERO, 0));
        for (before, line) in self.lines.iter_mut().zip(lines) {
            if line.cuts > before.2 {
                let text = format!("{}: a subscription ended", line.address);
                changes.push((EventKind::Disconnected, now, text));
            }
            changes.extend(line_change(now, (before.0, before.1), line));
            *before = (line.state, line.since, line.cuts);
        }
        if let Some((at, complete)) = ended
            && !std::mem::replace(&mut self.over, true)
        {
            let how = match complete {
                Completeness::Complete => "complete",
                Completeness::SoFar => "complete so far",
                Completeness::Incomplete => "incomplete",
            };
            changes.push((EventKind::Over, at, format!("the recording is over, {how}")));
        }
        changes
    }
}

/// Returns the change of a line's state, if it is worth an event.
fn line_change(
    now: Duration,
    (before, since): (LineState, Duration),
    line: &LineView<'_>,
) -> Option<Change> {
    if before == line.state || before.is_receiving() && line.state.is_receiving() {
        return None;
    }
    // The old state ended between the last look and this one, so its duration is approximate.
    let after = took(now.saturating_sub(since));
    let (kind, at, what) = match (line.state, before) {
        (LineState::Connecting, _) => return None,
        (LineState::Silent, _) => (EventKind::Silent, line.since, "silent".to_owned()),
        (LineState::Unreachable, _) => {
            (EventKind::Unreachable, line.since, "cannot be reached".to_owned())
        }
        (LineState::Dead, _) => (EventKind::Unreachable, now, "given up".to_owned()),
        (_, LineState::Silent) => {
            (EventKind::Connected, now, format!("data again after about {after} of silence"))
        }
        (_, LineState::Unreachable | LineState::Dead) => {
            (EventKind::Connected, now, format!("reached again after about {after}"))
        }
        (LineState::Streaming, _) => (EventKind::Connected, now, "streaming".to_owned()),
        (LineState::Following, _) => (EventKind::Connected, now, "following".to_owned()),
    };
    Some((kind, at, format!("{}: {what}", line.address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn line(state: LineState, since: u64, cuts: u32) -> LineView<'static> {
        LineView { address: "a:1", state, since: at(since), cuts }
    }

    #[test]
    fn each_change_of_a_line_is_reported_once() {
        let mut watch = ClientWatch::default();
        let mut look = |now, state, since, cuts| {
            let session = Some("HURN".to_owned());
            watch.update(at(now), &[line(state, since, cuts)], session, None)
        };
        use LineState::{Connecting, Following, Silent, Unreachable};
        let session = (EventKind::Session, at(1), "session HURN is recorded".to_owned());
        assert_eq!(look(1, Connecting, 0, 0), [session]);
        let event = |kind, time, text: &str| (kind, at(time), format!("a:1: {text}"));
        assert_eq!(look(2, Following, 2, 0), [event(EventKind::Connected, 2, "following")]);
        assert_eq!(look(3, Following, 3, 0), []);
        assert_eq!(look(2000, Silent, 10, 0), [event(EventKind::Silent, 10, "silent")]);
        assert_eq!(look(2500, Silent, 10, 0), []);
        let back = event(EventKind::Connected, 3010, "data again after about 3.0 s of silence");
        assert_eq!(look(3010, Following, 3010, 0), [back]);
        assert_eq!(
            look(4000, Unreachable, 3500, 1),
            [
                event(EventKind::Disconnected, 4000, "a subscription ended"),
                event(EventKind::Unreachable, 3500, "cannot be reached"),
            ]
        );
        let back = event(EventKind::Connected, 5500, "reached again after about 2.0 s");
        assert_eq!(look(5500, Following, 5500, 1), [back]);
    }

    #[test]
    fn the_end_is_reported_once() {
        for (ended, words) in [
            (Completeness::Complete, "complete"),
            (Completeness::SoFar, "complete so far"),
            (Completeness::Incomplete, "incomplete"),
        ] {
            let mut watch = ClientWatch::default();
            let mut look = || watch.update(at(9), &[], None, Some((at(8), ended)));
            let over = (EventKind::Over, at(8), format!("the recording is over, {words}"));
            assert_eq!(look(), [over]);
            assert_eq!(look(), []);
        }
    }
}
