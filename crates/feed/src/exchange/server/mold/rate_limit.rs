//! Limit on the requests of each client, in bounded memory.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;

/// Maximum number of clients whose requests are counted apart. Further ones share one allowance.
pub(super) const CLIENTS_MAX: usize = 4096;

/// Time that a client needs to have its whole allowance again.
const REFILL: Duration = Duration::from_secs(3);

/// Token buckets, one a client: as many requests at once as in [`REFILL`].
#[derive(Debug)]
pub(super) struct RateLimit {
    /// Number of requests in a second.
    rate: u32,
    clients: BTreeMap<IpAddr, Bucket>,
    /// Allowance of all clients that have no place in `clients`.
    others: Bucket,
    /// Time until which no client can be forgotten.
    full_until: Duration,
}

/// Allowance of a client, as the time at which it is whole again.
#[derive(Clone, Copy, Default, Debug)]
struct Bucket {
    whole_at: Duration,
}

impl Bucket {
    /// Takes a request of the allowance; returns false if there is none.
    fn take(&mut self, rate: u32, now: Duration) -> bool {
        let used = self.whole_at.max(now);
        let after = used + Duration::from_secs(1) / rate.max(1);
        let allowed = rate > 0 && after <= now + REFILL;
        if allowed {
            self.whole_at = after;
        }
        allowed
    }
}

impl RateLimit {
    /// Creates the limit of a number of requests in a second.
    pub(super) fn new(rate: u32) -> Self {
        let clients = BTreeMap::new();
        Self { rate, clients, others: Bucket::default(), full_until: Duration::ZERO }
    }

    /// Counts a request of a client; returns false if it is above the client's rate.
    pub(super) fn allows(&mut self, client: IpAddr, now: Duration) -> bool {
        if let Some(bucket) = self.clients.get_mut(&client) {
            return bucket.take(self.rate, now);
        }
        if self.clients.len() >= CLIENTS_MAX && now >= self.full_until {
            // A client with its whole allowance is as good as a new one.
            self.clients.retain(|_, bucket| bucket.whole_at > now);
            if self.clients.len() >= CLIENTS_MAX {
                let first = self.clients.values().map(|bucket| bucket.whole_at).min();
                self.full_until = first.unwrap_or(now);
            }
        }
        match self.clients.len() < CLIENTS_MAX {
            true => self.clients.entry(client).or_default().take(self.rate, now),
            false => self.others.take(self.rate, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn a_client_has_three_times_its_rate_at_once_and_then_its_rate_in_each_second() {
        let mut limit = RateLimit::new(10);
        let now = Duration::from_secs(5);
        let taken = |limit: &mut RateLimit, client, now| {
            (0..100).filter(|_| limit.allows(address(client), now)).count()
        };
        let second = Duration::from_secs(1);
        assert_eq!(taken(&mut limit, 1, now), 30);
        assert_eq!(taken(&mut limit, 2, now), 30, "another client has its own allowance");
        assert_eq!(taken(&mut limit, 1, now + second / 2), 5);
        assert_eq!(taken(&mut limit, 1, now + second * 9), 30);
        assert_eq!(taken(&mut RateLimit::new(0), 1, now), 0);
    }

    #[test]
    fn ten_thousand_clients_take_bounded_memory() {
        let mut limit = RateLimit::new(1000);
        let now = Duration::from_secs(5);
        let allowed = (0..10_000).filter(|&client| limit.allows(address(client), now)).count();
        assert_eq!(limit.clients.len(), CLIENTS_MAX);
        assert_eq!(allowed, CLIENTS_MAX + 3000, "the others share one allowance");
        assert!(limit.allows(address(20_000), now + REFILL), "the first ones are forgotten");
        assert_eq!(limit.clients.len(), 1);
    }
}
