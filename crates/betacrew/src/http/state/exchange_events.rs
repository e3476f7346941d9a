//! Events of an exchange: their kinds, and the texts of changes of its feed.

use crate::http::control::command::ControlCommand;
use crate::http::state::EventKind;
use crate::http::state::feed_state::FeedState;
use crate::text::formatting::took;
use std::time::Duration;

/// Returns the kind of event that the history shows for a command.
pub(crate) fn event_kind(command: &ControlCommand) -> EventKind {
    match command {
        ControlCommand::Faults(_) => EventKind::Faults,
        ControlCommand::DropNext(_) => EventKind::Drop,
        ControlCommand::Pause | ControlCommand::Resume => EventKind::Pause,
        ControlCommand::Cut(..) => EventKind::Cut,
        ControlCommand::Stall(..) => EventKind::Stall,
        ControlCommand::Strip { .. } => EventKind::Log,
    }
}

/// Returns the event of a change of the feed's state, if it is worth one. `lasted` is the time that
/// `before` has lasted. Commands and connections have events of their own.
pub(crate) fn state_change(
    before: FeedState,
    after: FeedState,
    lasted: Duration,
) -> Option<(EventKind, String)> {
    match (before, after) {
        (_, FeedState::Stalled) => Some((EventKind::Stall, "every stream is stalled".to_owned())),
        (_, FeedState::Down) => Some((EventKind::Cut, "the exchange is down".to_owned())),
        (_, FeedState::Over) => Some((EventKind::Over, "the session is over".to_owned())),
        (FeedState::Stalled, FeedState::Playing) => {
            Some((EventKind::Stall, format!("sending again after about {}", took(lasted))))
        }
        (FeedState::Down, _) => Some((
            EventKind::Connected,
            format!("the exchange is back after about {}", took(lasted)),
        )),
        _ => None,
    }
}
