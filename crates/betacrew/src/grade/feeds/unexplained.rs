//! Summary of a run whose failure has no known cause.

use crate::grade::feeds::evidence::FeedEvidence;
use crate::grade::feeds::soup::rules::conversations;
use crate::grade::observe::evidence::{ClientOutput, Evidence};
use crate::text::formatting::count;
use feed::base::seq::{SeqRange, SeqSet};

/// Returns what was observed in a run, as a sentence without its full stop.
pub(crate) fn unexplained(evidence: &Evidence, feed: &FeedEvidence) -> String {
    let output = match &feed.output {
        ClientOutput::Found { rows, .. } => {
            format!("the output has {}", count(rows.rows.len() as u64, "message"))
        }
        ClientOutput::Unclear { name, .. } | ClientOutput::Foreign { name, .. } => {
            format!("{name} cannot be read")
        }
        ClientOutput::None => "there is no output".to_owned(),
    };
    let all = count(feed.tape.last(), "message");
    let size = |ranges: &mut dyn Iterator<Item = SeqRange>| ranges.collect::<SeqSet>().count();
    let Some(log) = &evidence.wire.mold else {
        let conns = conversations(evidence);
        let logins = conns.iter().map(|(_, soup)| soup.logins().count() as u64).sum();
        let sent = conns.iter().flat_map(|(_, soup)| soup.messages());
        return format!(
            "no cause found: of {all}, {} sent after {}, and {output}",
            were(size(&mut sent.map(|(seq, _)| SeqRange::one(seq)))),
            count(logins, "login")
        );
    };
    format!(
        "no cause found: of {all}, {} sent, {} requested and {} sent as answers, and {output}",
        were(size(&mut log.sent().map(|(_, range)| range))),
        were(size(&mut log.requested().map(|(_, range)| range))),
        size(&mut log.answered().map(|(_, range)| range)),
    )
}

fn were(number: u64) -> String {
    if number == 1 { "1 was".to_owned() } else { format!("{number} were") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::feeds::run_builder::FeedRun;

    fn told(run: FeedRun) -> String {
        let evidence = run.evidence();
        unexplained(&evidence, evidence.feed.as_ref().unwrap())
    }

    #[test]
    fn what_was_observed_is_said_in_messages() {
        let soup = FeedRun::soup().logs_in("", 1).accepts(1).sends(1, 4).logs_in("", 4).accepts(4);
        assert_eq!(
            told(soup.sends(4, 5).writes(1..=3)),
            "no cause found: of 10 messages, 5 were sent after 2 logins, and the output has 3 \
             messages"
        );
        let mold = FeedRun::mold().datagram(1, 4).datagram(6, 10).requests(5, 5);
        assert_eq!(
            told(mold),
            "no cause found: of 10 messages, 9 were sent, 1 was requested and 0 sent as answers, \
             and there is no output"
        );
    }
}
