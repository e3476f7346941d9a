//! What a connection of the player sends does not depend on how its socket takes it.

use feed::drops::Drops;
use feed::exchange::Exchange;
use feed::player::Player;
use feed::tape::Tape;
use feed::wire::Call;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Everything that the player sends for these calls when a socket takes `takes` bytes at a time of
/// what it is offered in buffers of `buffer` bytes.
fn sent(calls: &[u8], chance: &str, buffer: usize, takes: &[usize]) -> (Vec<u8>, u64, u64) {
    let now = Duration::ZERO;
    let drops = Drops { seed: 5, chance: chance.parse().unwrap(), ..Drops::none() };
    let mut player = Player::new(Arc::new(Tape::random(1000, 1)), drops);
    let mut seat = player.open(now);
    player.receive(&mut seat, calls, now);
    let (mut out, mut all) = (vec![0; buffer], Vec::new());
    for take in takes.iter().cycle() {
        let offered = player.peek(&seat, &mut out);
        let count = offered.min(*take);
        all.extend_from_slice(&out[..count]);
        player.sent(&mut seat, count, now);
        if offered == 0 {
            break;
        }
    }
    player.step(&mut seat, now);
    (all, player.served().bytes, player.served().lost)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_way_of_taking_it_gives_the_same_bytes(
        takes in prop::collection::vec(1usize..3000, 1..20),
        buffer in 17usize..5000,
        chance in prop::sample::select(vec!["0", "0.25", "0.9", "1"]),
        ranges in prop::collection::vec((1u32..1100, 1u32..40), 0..8),
        stream in any::<bool>(),
    ) {
        let mut calls = Vec::new();
        Call::Describe { version: 1 }.encode(&mut calls);
        for (first, count) in ranges {
            Call::ResendRange { first, count }.encode(&mut calls);
        }
        if stream {
            Call::Stream.encode(&mut calls);
        }
        let whole = sent(&calls, chance, 1 << 20, &[usize::MAX]);
        prop_assert_eq!(whole.0.len() as u64, whole.1);
        prop_assert_eq!(sent(&calls, chance, buffer, &takes), whole);
    }
}
