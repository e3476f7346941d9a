//! Whole lives of recordings, drawn from seeds: see `feed::sim::life`.

use feed::sim::life::live;

#[test]
fn lives_are_safe_and_come_to_their_end() {
    let mut broken = Vec::new();
    let (mut crashes, mut incomplete, mut delivered) = (0, 0, 0);
    for seed in 0..20_000 {
        match live(seed, false) {
            Ok(lived) => {
                crashes += lived.crashes;
                incomplete += lived.incomplete;
                delivered += lived.delivered;
            }
            Err(life) => broken.push((life.seed, life.what)),
        }
    }
    assert!(broken.is_empty(), "{} broken: {:#?}", broken.len(), &broken[..broken.len().min(20)]);
    assert!(crashes > 1000 && incomplete > 1000, "{crashes} {incomplete} {delivered}");
}
