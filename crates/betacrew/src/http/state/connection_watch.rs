//! Which connections of an exchange were opened and closed since it was looked at last.

use crate::http::state::EventKind;
use std::fmt::Write;

/// Number of open connections whose end is noticed; of more, only that they open.
const WATCHED_MAX: usize = 1000;

/// The connections that were open when the exchange was looked at last.
#[derive(Clone, Default, Debug)]
pub(crate) struct ConnectionWatch {
    /// In ascending order.
    open: Vec<u64>,
    /// Connections accepted in all; they are numbered from 1.
    accepted: u64,
}

impl ConnectionWatch {
    /// Takes how many connections were `accepted` in all and which ones are `open`. Returns what
    /// has changed, in words.
    pub(crate) fn look(
        &mut self,
        accepted: u64,
        open: impl Iterator<Item = u64>,
    ) -> Vec<(EventKind, String)> {
        let mut open: Vec<u64> = open.take(WATCHED_MAX).collect();
        open.sort_unstable();
        let opened: Vec<u64> = (self.accepted + 1..=accepted).take(WATCHED_MAX).collect();
        let watched = open.len() < WATCHED_MAX;
        let gone = |id: &u64| watched && open.binary_search(id).is_err();
        let closed: Vec<u64> = self.open.iter().chain(&opened).copied().filter(gone).collect();
        let changes = [
            (EventKind::Connected, words(&opened, "opened")),
            (EventKind::Disconnected, words(&closed, "closed")),
        ];
        (self.open, self.accepted) = (open, accepted);
        changes.into_iter().filter_map(|(kind, text)| Some((kind, text?))).collect()
    }
}

/// `connection 7 opened`, `connections 3-5, 9 closed`; `None` of none.
fn words(ids: &[u64], what: &str) -> Option<String> {
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
        let changes = watch.look(accepted, open.iter().copied());
        changes.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn what_opens_and_closes_is_named() {
        let mut watch = ConnectionWatch::default();
        assert_eq!(look(&mut watch, 0, &[]), [""; 0]);
        assert_eq!(look(&mut watch, 1, &[1]), ["connection 1 opened"]);
        assert_eq!(look(&mut watch, 1, &[1]), [""; 0]);
        assert_eq!(look(&mut watch, 4, &[4, 2, 3, 1]), ["connections 2-4 opened"]);
        assert_eq!(look(&mut watch, 4, &[4, 3]), ["connections 1-2 closed"]);
        // Opened and closed between two looks.
        let both = ["connections 5-6 opened", "connections 4-5 closed"];
        assert_eq!(look(&mut watch, 6, &[3, 6]), both);
        assert_eq!(look(&mut watch, 6, &[]), ["connections 3, 6 closed"]);
    }

    #[test]
    fn of_very_many_the_end_is_not_noticed() {
        let mut watch = ConnectionWatch::default();
        let many = WATCHED_MAX as u64 * 3;
        let all: Vec<u64> = (1..=many).collect();
        assert_eq!(look(&mut watch, many, &all), ["connections 1-1000 opened"]);
        assert_eq!(watch.open.len(), WATCHED_MAX);
        assert_eq!(look(&mut watch, many, &all[..2000]), [""; 0]);
    }
}
