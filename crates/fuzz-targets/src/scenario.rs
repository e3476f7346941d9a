//! Scenario files: any text is refused with its place or means something, which written again
//! means the same, and which an exchange can play.

use betacrew::scenario::ScenarioFile;
use feed::exchange::server::MockExchange;
use feed::exchange::{Exchange, Step};
use feed::tape::in_memory::Tape;
use feed::wire::Protocol;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn run(text: &str) {
    let resolved = match text.parse::<ScenarioFile>().and_then(|file| file.resolve("fuzzed", text))
    {
        Ok(resolved) => resolved,
        Err(refusal) => {
            let (line, column) = refusal.at.unwrap_or((1, 1));
            assert!(line >= 1 && column >= 1 && line <= text.lines().count().max(1) + 1);
            assert!(!refusal.to_string().is_empty());
            return;
        }
    };
    let file = ScenarioFile::from(&resolved.scenario);
    let next = if resolved.next.is_some() { "next = \"classic\"\n" } else { "" };
    let written = format!("{next}{}", toml::to_string(&file).expect("it can be written"));
    let read = written.parse::<ScenarioFile>().and_then(|file| file.resolve("again", &written));
    assert_eq!(read.expect("it can be read").scenario, resolved.scenario, "{written}");

    let mut player = MockExchange::new(Arc::new(Tape::classic()), resolved.scenario);
    let mut out = [0; 256];
    for calls in [&[1, 0][..], &[3, 1, 4, 0, 0, 0, 0, 1, 0, 0, 0, 14], &[2, 1, 2, 14, 2, 15]] {
        let mut now = Duration::ZERO;
        let mut seat = player.open(Protocol::Betacrew, now);
        player.receive(&mut seat, calls, now);
        for _ in 0..200 {
            let count = player.peek(&mut seat, &mut out, now);
            if count > 0 {
                player.sent(&mut seat, count, now);
            } else if player.step(&mut seat, now) != Step::Wait {
                break;
            } else {
                let Some(later) = player.deadline(&seat) else { break };
                now = now.max(later);
            }
        }
    }
}
