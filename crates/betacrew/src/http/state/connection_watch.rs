//! Detector of opened and closed connections of an exchange, between two looks at it.

use crate::http::state::EventKind;
use std::fmt::Write;

/// Maximum number of open connections whose closing is noticed. With more, only opening is.
const WATCHED_MAX: usize = 1000;

/// Connections that were open at the last look.
#[derive(Clone, Default, Debug)]
pub(crate) struct ConnectionWatch {
    /// Ids of the open connections, ascending.
    open: Vec<u64>,
    /// Number of connections accepted in all, which is the newest id.
    accepted: u64,
}

impl ConnectionWatch {
    /// Takes the number of connections `accepted` in all and the ids of the `open` ones. Returns
    /// the changes since the last look, in words.
    pub(crate) fn update(
        &mut self,
        accepted: u64,
        open: impl Iterator<Item = u64>,
    ) -> Vec<(EventKind, String)> {
        let mut open: Vec<u64> = open.take(WATCHED_MAX).collect();
        open.sort_unstable();
        let opened: Vec<u64> = (self.accepted + 1..=accepted).take(WATCHED_MAX).collect();
        let watched = open.len() < WATCHED_MAX;
        let is_closed = |id: &u64| watched && open.binary_search(id).is_err();
        let closed: Vec<u64> = self.open.iter().chain(&opened).copied().filter(is_closed).collect();
        let changes = [
            (EventKind::Connected, describe(&opened, "opened")),
            (EventKind::Disconnected, describe(&closed, "closed")),
        ];
        (self.open, self.accepted) = (open, accepted);
        changes.into_iter().filter_map(|(kind, text)| Some((kind, text?))).collect()
    }
}

/// Returns `connection 7 opened` or `connections 3-5, 9 closed`; `None` for no ids.
fn describe(ids: &[u64], what: &str) -> Option<String> {
    let mut text = match ids {
        [] => return None,
        [_] => "connection ".to_owned(),
        _ => "connections ".to_owned(),
    };
    for (index, run) in ids.chunk_by(|one, next| one + 1 == *next).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = match run {
            [one] => write!(text, "{comma}{one}"),
            [first, .., last] => write!(text, "{comma}{first}-{last}"),
            [] => Ok(()),
        };
    }
    Some(format!("{text} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(watch: &mut ConnectionWatch, accepted: u64, open: &[u64]) -> Vec<String> {
        let changes = watch.update(accepted, open.iter().copied());
        changes.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn opened_and_closed_connections_are_named() {
        let mut watch = ConnectionWatch::default();
        assert_eq!(look(&mut watch, 0, &[]), [""; 0]);
        assert_eq!(look(&mut watch, 1, &[1]), ["connection 1 opened"]);
        assert_eq!(look(&mut watch, 1, &[1]), [""; 0]);
        assert_eq!(look(&mut watch, 4, &[4, 2, 3, 1]), ["connections 2-4 opened"]);
        assert_eq!(look(&mut watch, 4, &[4, 3]), ["connections 1-2 closed"]);
        // Connection 5 is opened and closed between two looks.
        let both = ["connections 5-6 opened", "connections 4-5 closed"];
        assert_eq!(look(&mut watch, 6, &[3, 6]), both);
        assert_eq!(look(&mut watch, 6, &[]), ["connections 3, 6 closed"]);
    }

    #[test]
    fn closing_is_not_noticed_above_a_thousand_connections() {
        let mut watch = ConnectionWatch::default();
        let many = WATCHED_MAX as u64 * 3;
        let all: Vec<u64> = (1..=many).collect();
        assert_eq!(look(&mut watch, many, &all), ["connections 1-1000 opened"]);
        assert_eq!(watch.open.len(), WATCHED_MAX);
        assert_eq!(look(&mut watch, many, &all[..2000]), [""; 0]);
    }
}
