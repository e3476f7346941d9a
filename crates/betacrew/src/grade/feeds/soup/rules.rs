//! Rules of SoupBinTCP that a client can break without a trace in its output.

use crate::grade::feeds::soup::conversation::{ReceivedKind, SentKind, SoupConversation};
use crate::grade::observe::evidence::Evidence;
use crate::grade::observe::wire::WireEventKind;
use crate::text::formatting::took;
use feed::base::seq::Seq;
use feed::wire::soup::{LoginRequest, RejectReason};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Maximum silence of a client. The specification asks for a heartbeat after a second; the rest is
/// for timers that count whole seconds and for a busy machine.
const SILENCE_MAX: Duration = Duration::from_millis(2500);
/// Maximum number of logins after the exchange has said that user or password is wrong.
const REFUSED_LOGINS_MAX: usize = 3;
/// Maximum number of logins within a second.
const LOGINS_MAX: usize = 20;

/// Rule of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SoupRule {
    /// The fields of a login are padded as the specification says.
    LoginForm,
    /// The client sends only packets that a client may send, and the login first.
    LegalPackets,
    /// A client that has nothing to say sends heartbeats.
    Heartbeats,
    /// A further login requests the next message, in the session of the acceptance.
    Resume,
    /// Each login has the user and the password of the first one.
    SameUser,
    /// A rejected or broken login is not repeated over and over.
    FewLogins,
    /// No login follows the end of the session.
    EndIsTheEnd,
    /// The client does not log out before the end of the session.
    Logout,
}

impl SoupRule {
    /// All rules.
    pub(crate) const ALL: [Self; 8] = [
        Self::LoginForm,
        Self::LegalPackets,
        Self::Heartbeats,
        Self::Resume,
        Self::SameUser,
        Self::FewLogins,
        Self::EndIsTheEnd,
        Self::Logout,
    ];

    /// Returns what the rule expects, as a noun.
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Self::LoginForm => "login fields padded with spaces, texts right and numbers left",
            Self::LegalPackets => "only packets that a client may send, the login first",
            Self::Heartbeats => "a packet of the client at least each second",
            Self::Resume => "a further login for the next message, in the same session",
            Self::SameUser => "the same user and password in each login",
            Self::FewLogins => "pauses between logins, and none after a wrong password",
            Self::EndIsTheEnd => "no login after the end of the session",
            Self::Logout => "no logout request before the end of the session",
        }
    }

    /// Describes what a client has not done by which the rule could be judged, as a clause; `None`
    /// if it has.
    pub(crate) fn not_shown(self, evidence: &Evidence) -> Option<String> {
        let all = conversations(evidence);
        let logins = all.iter().filter(|(_, soup)| soup.logins().next().is_some()).count();
        let has_end = || all.iter().any(|(_, soup)| soup.ended_at().is_some());
        match self {
            _ if logins == 0 => Some("it sent no login request".to_owned()),
            Self::Resume | Self::SameUser if logins == 1 && !has_end() => {
                Some("it did not log in again after the break".to_owned())
            }
            Self::Heartbeats | Self::EndIsTheEnd | Self::Logout if !has_end() => {
                Some("it left before the end of the session".to_owned())
            }
            _ => None,
        }
    }

    /// Describes how a client breaks the rule, as a clause; `None` if it does not.
    pub(crate) fn broken(self, evidence: &Evidence) -> Option<String> {
        let all = conversations(evidence);
        match self {
            Self::LoginForm => login_form(&all),
            Self::LegalPackets => illegal_packet(&all),
            Self::Heartbeats => silence(evidence, &all),
            Self::Resume => wrong_resume(evidence, &all),
            Self::SameUser => other_user(&all),
            Self::FewLogins => many_logins(&all),
            Self::EndIsTheEnd => login_after_end(&all),
            Self::Logout => early_logout(&all),
        }
    }
}

/// Returns the connections of a run, with their indexes.
pub(crate) fn conversations(evidence: &Evidence) -> Vec<(usize, &SoupConversation)> {
    let conns = evidence.wire.conns.iter().enumerate();
    conns.filter_map(|(conn, state)| Some((conn, state.soup.as_ref()?))).collect()
}

/// Returns whether an event is the end of a connection, or of one of its sides.
pub(super) const fn ends_a_side(what: &WireEventKind) -> bool {
    matches!(
        what,
        WireEventKind::ClientEnded
            | WireEventKind::Finished
            | WireEventKind::Closed
            | WireEventKind::Reset
            | WireEventKind::ResetByExchange
    )
}

fn login_form(all: &[(usize, &SoupConversation)]) -> Option<String> {
    let fault = all.iter().flat_map(|(_, soup)| soup.logins()).find_map(|(_, _, fault)| fault);
    fault.map(str::to_owned)
}

fn illegal_packet(all: &[(usize, &SoupConversation)]) -> Option<String> {
    for (_, soup) in all {
        let mut has_logged_in = false;
        for packet in &soup.received {
            match &packet.what {
                ReceivedKind::Illegal(what) => return Some(format!("it sends {what}")),
                ReceivedKind::Login(..) if has_logged_in => {
                    return Some("it sends a second login request on a connection".to_owned());
                }
                ReceivedKind::Login(..) => has_logged_in = true,
                ReceivedKind::Ignored(_) | ReceivedKind::Heartbeat | ReceivedKind::Logout => {
                    if !has_logged_in {
                        return Some("it sends a packet before its login request".to_owned());
                    }
                }
            }
        }
    }
    None
}

/// Describes a silence of the client on a connection that was logged in. A session that is shorter
/// than the silence shows nothing.
fn silence(evidence: &Evidence, all: &[(usize, &SoupConversation)]) -> Option<String> {
    // Times at which the connections ended; there may be thousands.
    let mut ends: BTreeMap<usize, Duration> = BTreeMap::new();
    let mut last = Duration::ZERO;
    for event in evidence.events_before_kill() {
        last = event.at;
        if ends_a_side(&event.what) {
            ends.entry(event.conn).or_insert(event.at);
        }
    }
    all.iter().find_map(|(conn, soup)| {
        let closed = ends.get(conn).copied().unwrap_or(last);
        silence_before(soup, soup.ended_at().map_or(closed, |ended| ended.min(closed)))
    })
}

/// Describes a silence of the client on one connection before `end`.
fn silence_before(soup: &SoupConversation, end: Duration) -> Option<String> {
    let (accepted, ..) = soup.accepted()?;
    let mut since = soup.received.first().map_or(accepted, |packet| packet.at.max(accepted));
    let heard = soup.received.iter().map(|packet| packet.at).filter(|at| *at < end);
    for at in heard.chain([end]) {
        if at.saturating_sub(since) > SILENCE_MAX {
            let sent = soup.received.iter().any(|packet| packet.what == ReceivedKind::Heartbeat);
            let what = if sent { "heartbeats are too far apart" } else { "it sends no heartbeats" };
            return Some(format!("{what}: it was silent for {}", took(at.saturating_sub(since))));
        }
        since = since.max(at);
    }
    None
}

/// Describes a login that requests messages again that the client has received, or that names no
/// session although the client knows it.
fn wrong_resume(evidence: &Evidence, all: &[(usize, &SoupConversation)]) -> Option<String> {
    let is_reset = |what: &WireEventKind| {
        matches!(what, WireEventKind::Reset | WireEventKind::ResetByExchange)
    };
    let resets = evidence.wire.events.iter().filter(|event| is_reset(&event.what));
    let resets: BTreeSet<usize> = resets.map(|event| event.conn).collect();
    let mut next: Seq = 1;
    let mut known = None;
    for (conn, soup) in all {
        if let Some((_, request, _)) = soup.logins().next() {
            if request.sequence < next && next > 1 {
                return Some(format!(
                    "it had messages up to {} and logged in again for message {}",
                    next - 1,
                    request.sequence
                ));
            }
            if known.is_some() && request.session.is_blank() {
                return Some(
                    "it logged in again without the session, so that it would have counted on in \
                     another one"
                        .to_owned(),
                );
            }
        }
        if let Some((_, session, _)) = soup.accepted() {
            known = Some(session);
        }
        // Bytes before a reset may not have reached the client.
        if !resets.contains(conn) {
            next = soup.messages().map(|(seq, _)| seq + 1).fold(next, Seq::max);
        }
    }
    None
}

/// Describes a login with another user or password than the first one's.
fn other_user(all: &[(usize, &SoupConversation)]) -> Option<String> {
    let mut logins = all.iter().flat_map(|(_, soup)| soup.logins()).map(|(_, login, _)| login);
    let first = logins.next()?;
    let name = |login: &LoginRequest| login.user.as_bytes().to_ascii_uppercase();
    logins.find_map(|login| {
        let is_same_user = name(login) == name(first);
        let what = match (is_same_user, login.password.matches(&first.password)) {
            (true, true) => return None,
            (false, _) => "user",
            (true, false) => "password",
        };
        Some(format!("it logged in again with another {what}, which an exchange rejects"))
    })
}

fn many_logins(all: &[(usize, &SoupConversation)]) -> Option<String> {
    let refused = |soup: &SoupConversation| {
        soup.sent
            .iter()
            .any(|packet| packet.what == SentKind::Rejected(RejectReason::NotAuthorized))
    };
    let refused = all.iter().filter(|(_, soup)| refused(soup)).count();
    if refused > REFUSED_LOGINS_MAX {
        return Some(format!(
            "it logged in {refused} times although user or password was wrong each time"
        ));
    }
    let mut times: Vec<Duration> =
        all.iter().flat_map(|(_, soup)| soup.logins()).map(|(at, ..)| at).collect();
    times.sort_unstable();
    // A client can send so many logins that comparing each with each would take minutes.
    let busy = times.iter().enumerate().map(|(place, from)| {
        times.partition_point(|at| *at < *from + Duration::from_secs(1)) - place
    });
    let most = busy.max().unwrap_or(0);
    (most > LOGINS_MAX).then(|| format!("it logged in {most} times within a second"))
}

fn login_after_end(all: &[(usize, &SoupConversation)]) -> Option<String> {
    let ended = all.iter().filter_map(|(_, soup)| soup.ended_at()).min()?;
    let again = all.iter().flat_map(|(_, soup)| soup.logins()).find(|(at, ..)| *at > ended);
    again.map(|(at, ..)| {
        format!("it logged in again {} after the end of the session", took(at - ended))
    })
}

/// Describes a logout request before the end of the session that was recorded first. To leave
/// another session is right.
fn early_logout(all: &[(usize, &SoupConversation)]) -> Option<String> {
    let mut accepted = all.iter().filter_map(|(_, soup)| soup.accepted());
    let first = accepted.next().map(|(_, session, _)| session)?;
    all.iter().find_map(|(_, soup)| {
        let (_, session, sequence) = soup.accepted()?;
        let at = soup.logged_out_at().filter(|_| session == first)?;
        if soup.ended_at().is_some_and(|ended| ended <= at) {
            return None;
        }
        let had = soup.messages().filter(|(_, packet)| packet.at <= at).last();
        let had = had.map_or(sequence.saturating_sub(1), |(seq, _)| seq);
        Some(format!("it logged out after message {had}, and the session had not ended"))
    })
}
