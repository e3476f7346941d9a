//! Users of an exchange, and the limit on wrong passwords.

use crate::wire::soup::{Password, Text};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

/// Number of wrong passwords of an address that are answered at once.
pub const FREE_TRIES: u32 = 5;

/// Interval between two logins of an address that has used up its [`FREE_TRIES`], right ones
/// included: else a quick answer would tell that a password is right.
pub const TRY_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum time for which a login waits for its turn. One that would wait longer is not answered.
pub const TURN_MAX: Duration = Duration::from_secs(10);

/// Time without a wrong password after which those of an address are forgotten.
pub const FORGIVEN: Duration = Duration::from_secs(60);

/// Maximum number of addresses whose wrong passwords are counted. The one that was wrong longest
/// ago is forgotten for another.
pub const ADDRESSES_MAX: usize = 4096;

/// Users with their passwords, and the wrong passwords of each address. Without a list, every user
/// and every password is right.
#[derive(Debug, Default)]
pub struct Users {
    list: Option<Vec<(Text<6>, Password)>>,
    wrong: BTreeMap<IpAddr, WrongTries>,
}

/// Wrong passwords of an address.
#[derive(Clone, Copy, Debug)]
struct WrongTries {
    count: u32,
    /// Time of the last wrong password.
    last: Duration,
    /// Time of the last turn that was given.
    turn: Duration,
}

/// Time at which a login is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// At once.
    Now,
    /// At a later time.
    At(Duration),
    /// Never: too many wait already.
    Never,
}

/// Returns the address that stands for a client: an IPv6 network of 64 bits belongs to one.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

impl Users {
    /// Creates the list of users who may log in.
    #[must_use]
    pub fn new(list: Vec<(Text<6>, Password)>) -> Self {
        Self { list: Some(list), wrong: BTreeMap::new() }
    }

    /// Returns whether a user may log in with a password.
    pub(super) fn is_right(&self, user: &Text<6>, password: &Password) -> bool {
        let Some(list) = &self.list else { return true };
        let is_user = |known: &Text<6>| known.as_bytes().eq_ignore_ascii_case(user.as_bytes());
        // All entries are compared, so that time does not tell which users there are.
        list.iter().fold(false, |is_right, (known, expected)| {
            is_right | (password.matches(expected) & is_user(known))
        })
    }

    /// Returns when a login of an address is answered, and takes that turn.
    pub(super) fn turn(&mut self, client: Option<IpAddr>, now: Duration) -> Turn {
        let Some(tries) = client.and_then(|client| self.wrong.get_mut(&network(client))) else {
            return Turn::Now;
        };
        if tries.count < FREE_TRIES || now >= tries.last + FORGIVEN {
            return Turn::Now;
        }
        let turn = now.max(tries.turn + TRY_INTERVAL);
        if turn > now + TURN_MAX {
            return Turn::Never;
        }
        tries.turn = turn;
        if turn == now { Turn::Now } else { Turn::At(turn) }
    }

    /// Counts a wrong password of an address.
    pub(super) fn note_wrong(&mut self, client: Option<IpAddr>, now: Duration) {
        let Some(client) = client.map(network) else { return };
        if self.wrong.len() >= ADDRESSES_MAX && !self.wrong.contains_key(&client) {
            let oldest = self.wrong.iter().min_by_key(|(_, tries)| tries.last);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.wrong.remove(&oldest);
            }
        }
        let fresh = WrongTries { count: 0, last: now, turn: now };
        let tries = self.wrong.entry(client).or_insert(fresh);
        if now >= tries.last + FORGIVEN {
            *tries = fresh;
        }
        tries.count = tries.count.saturating_add(1);
        tries.last = now;
        tries.turn = tries.turn.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::net::Ipv4Addr;

    fn password(text: &str) -> Password {
        Password::new(Text::new(text).unwrap())
    }

    fn user(text: &str) -> Text<6> {
        Text::new(text).unwrap()
    }

    fn address(number: u32) -> Option<IpAddr> {
        Some(Ipv4Addr::from_bits(number).into())
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn users_log_in_with_their_own_password_in_any_case() {
        let users = Users::new(vec![
            (user("ann"), password("secret")),
            (user("bob"), password("")),
            (user("ann"), password("other")),
        ]);
        for (name, word, right) in [
            ("ANN", "Secret", true),
            ("ann", "other", true),
            ("ann", "", false),
            ("bob", "", true),
            ("bob", "secret", false),
            ("", "", false),
            ("carl", "secret", false),
        ] {
            assert_eq!(users.is_right(&user(name), &password(word)), right, "{name} {word}");
        }
        assert!(Users::default().is_right(&user("any"), &password("thing")));
        assert!(!Users::new(Vec::new()).is_right(&user("any"), &password("thing")));
    }

    #[test]
    fn wrong_passwords_slow_an_address_down_and_no_other() {
        let mut users = Users::new(Vec::new());
        for _ in 0..FREE_TRIES {
            assert_eq!(users.turn(address(1), SECOND), Turn::Now);
            users.note_wrong(address(1), SECOND);
        }
        assert_eq!(users.turn(address(2), SECOND), Turn::Now);
        assert_eq!(users.turn(None, SECOND), Turn::Now);
        let turns = (0..12).map(|_| users.turn(address(1), SECOND));
        let turns: Vec<Turn> = turns.collect();
        let later = |seconds| Turn::At(SECOND + TRY_INTERVAL * seconds);
        assert_eq!(turns[..3], [later(1), later(2), later(3)], "one after the other");
        assert_eq!((turns[9], turns[10], turns[11]), (later(10), Turn::Never, Turn::Never));
        assert_eq!(users.turn(address(1), SECOND + FORGIVEN), Turn::Now, "forgiven");
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let mut users = Users::new(Vec::new());
        let host = |low: u128| Some(IpAddr::V6(Ipv6Addr::from_bits((7 << 64) + low)));
        (0..FREE_TRIES).for_each(|low| users.note_wrong(host(low.into()), SECOND));
        assert_ne!(users.turn(host(99), SECOND), Turn::Now);
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let mut users = Users::new(Vec::new());
        for number in (0_u32..).take(ADDRESSES_MAX + 10) {
            (0..FREE_TRIES).for_each(|_| users.note_wrong(address(number), SECOND * number));
        }
        assert_eq!(users.wrong.len(), ADDRESSES_MAX);
        assert!(!users.wrong.contains_key(&address(9).unwrap()), "the oldest is forgotten");
        assert!(users.wrong.contains_key(&address(10).unwrap()));
    }
}
