//! Lines of our exchange in MoldUDP64, whatever is requested and whenever the driver asks: each
//! request has one answer at most, for who asked, and every datagram can be read.

use feed::exchange::Exchange;
use feed::exchange::datagrams::DatagramBatch;
use feed::exchange::server::MockExchange;
use feed::exchange::server::mold::{DatagramLimits, LineOptions, Retention};
use feed::faults::scenario::Scenario;
use feed::tape::in_memory::Tape;
use feed::tape::pace::Pace;
use feed::tape::source::TapeSource;
use feed::wire::mold::{Datagram, PayloadLimit, Request, Session};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Number of messages of the tape.
const MESSAGES: u64 = 500;

pub(crate) fn run(bytes: &[u8]) {
    let [setup, chance, rest @ ..] = bytes else { return };
    let limits = DatagramLimits {
        payload: PayloadLimit::new(22 + usize::from(*setup) * 8).unwrap(),
        messages: 1 + u16::from(*setup % 50),
    };
    let retention = match setup % 3 {
        0 => None,
        1 => Some(Retention::Messages(u64::from(*setup))),
        _ => Some(Retention::Time(Duration::from_millis(u64::from(*setup) * 10))),
    };
    let options = LineOptions {
        limits,
        lead: Duration::from_millis(u64::from(setup % 4)),
        flush: Duration::from_millis(u64::from(setup % 7)),
        retention,
        request_rate: u32::from(*setup) * 4,
    };
    let chance = format!("{}%", chance % 101).parse().unwrap();
    let pace = if setup % 2 == 0 { Pace::Unlimited } else { Pace::PerSecond(10_000) };
    let scenario = Scenario { pace, ..Scenario::losing(1, chance) };
    let tape = Arc::new(Tape::sample(MESSAGES));
    let session = Session(tape.session().padded());
    let mut exchange = MockExchange::new(tape, scenario).with_line(options);
    let lines = exchange.lines().unwrap();
    let (mut now, mut rest, mut answers) = (Duration::ZERO, rest, 0u64);
    while let [what, value, more @ ..] = rest {
        rest = more;
        let mut batch = DatagramBatch::default();
        let value = u64::from(*value);
        match what % 4 {
            0 => {
                now += Duration::from_millis(value * value / 16);
                lines.send_due(0, &mut batch, now);
                assert!(batch.iter().all(|(receiver, _)| receiver.is_none()));
            }
            kind => {
                let client = SocketAddr::from((Ipv4Addr::from_bits(value as u32 % 5), 9));
                let legal = Request { session, sequence: value * 2, count: 1 + value as u16 * 99 };
                let mut request = legal.encode().to_vec();
                if kind > 1 {
                    let length = rest.len().min(usize::from(*what) / 8);
                    let at = usize::from(*what) % 20;
                    let end = (at + length).min(request.len());
                    request.splice(at.min(end)..end, rest[..length].iter().copied());
                    rest = &rest[length..];
                }
                lines.receive_request(0, client, &request, &mut batch, now);
                assert!(batch.len() <= 1);
                assert!(batch.iter().all(|(receiver, _)| receiver == Some(client)));
                answers += batch.len() as u64;
            }
        }
        for (_, datagram) in batch.iter() {
            let datagram = Datagram::parse(datagram).unwrap();
            assert_eq!(datagram.session(), session);
            assert!(datagram.next_sequence() <= MESSAGES + 1);
        }
        assert!(lines.line_deadline(0).is_none_or(|at| at <= now + Duration::from_secs(40)));
    }
    let stats = exchange.stats().mold;
    assert_eq!(stats.requests, stats.answers + stats.refused + stats.unanswered);
    assert_eq!(stats.answers, answers);
}
