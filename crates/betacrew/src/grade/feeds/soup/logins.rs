//! Causes in how a client of SoupBinTCP logs in, and logs in again.

use crate::grade::feeds::soup::causes::{GAVE_UP_AFTER, Run};
use crate::grade::feeds::soup::conversation::{SentKind, SoupConversation};
use crate::text::formatting::took;
use feed::base::seq::SeqRange;
use feed::wire::soup::RejectReason;

/// Number of connections in a row without a message after which a client should give up.
const FRUITLESS_MAX: usize = 5;

/// Detects a client that connects and never logs in.
pub(super) fn no_login(run: &Run<'_>) -> Option<String> {
    let has_logged_in = run.all.iter().any(|soup| soup.logins().next().is_some());
    (!run.all.is_empty() && !has_logged_in).then(|| {
        "it connected and sent no login request (type L): an exchange sends nothing before it"
            .to_owned()
    })
}

/// Detects a login with sequence 0, which asks for no earlier message.
pub(super) fn from_the_end(run: &Run<'_>) -> Option<String> {
    let zero =
        run.all.iter().flat_map(|soup| soup.logins()).any(|(_, login, _)| login.sequence == 0);
    (zero && !run.feed.differences.missing.is_empty()).then(|| {
        "it logs in with sequence 0, which asks for new messages only: the first message of a \
         session is 1"
            .to_owned()
    })
}

/// Detects that a client does not log in again after a break or a rejection.
pub(super) fn gives_up(run: &Run<'_>) -> Option<String> {
    let last = run.all.last()?;
    let has_ended = run.all.iter().any(|soup| soup.ended_at().is_some()) || run.has_left();
    let had = run.sent().last().copied().unwrap_or(0);
    let missing = &run.feed.differences.missing;
    let rest = SeqRange::new(had + 1, run.feed.tape.last());
    let only_rest = rest.is_some_and(|rest| *missing == [rest].into_iter().collect());
    if has_ended || !only_rest || run.was_killed() {
        return None;
    }
    let rejected = last.sent.iter().find_map(|packet| match packet.what {
        SentKind::Rejected(reason) => Some(reason),
        _ => None,
    });
    Some(match rejected {
        Some(RejectReason::SessionNotAvailable) => {
            "it gives up when a login is rejected because the session is not available (S): that \
             may pass"
                .to_owned()
        }
        Some(_) => return None,
        None if last.accepted().is_none() => {
            "it gives up when a connection ends before its login is answered".to_owned()
        }
        None => format!(
            "it ends when its connection breaks, after message {had}: log in again for message {}",
            had + 1
        ),
    })
}

/// Detects a client that waits for the answer to a login for ever.
pub(super) fn waits_for_login(run: &Run<'_>) -> Option<String> {
    let last = run.all.last().filter(|_| run.was_killed())?;
    let (at, ..) = last.logins().next()?;
    let is_silent = last.accepted().is_none() && last.sent.is_empty();
    let waited = run.evidence.process.took.saturating_sub(at);
    (is_silent && waited > GAVE_UP_AFTER).then(|| {
        if let Some(ended) = run.ended_by_exchange() {
            return format!(
                "its connection ended after {} without an answer to its login, and it went on \
                 waiting: a read of no bytes is the end",
                took(ended)
            );
        }
        format!(
            "its login was not answered, and it was still waiting after {}: give such a connection \
             up, and log in again",
            took(waited)
        )
    })
}

/// Detects a client that repeats a login which brings nothing.
pub(super) fn retries_for_ever(run: &Run<'_>) -> Option<String> {
    let rejected = run
        .all
        .iter()
        .filter(|soup| soup.sent.iter().any(|packet| matches!(packet.what, SentKind::Rejected(_))));
    let rejected = rejected.count();
    if !run.was_killed() {
        return None;
    }
    if rejected > 1 {
        return Some(format!(
            "it was rejected {rejected} times and goes on: a rejection is an answer"
        ));
    }
    let is_fruitless = |soup: &&&SoupConversation| soup.messages().next().is_none();
    let fruitless = run.all.iter().rev().take_while(is_fruitless).count();
    (fruitless > FRUITLESS_MAX)
        .then(|| format!("its last {fruitless} connections brought no message, and it goes on"))
}
