//! Tests of kinds of clients of which one run alone suggests a wrong cause, or none.

use super::super::testing::{RunBuilder, causes_in, classic_run, named_in, run_on};
use super::{CaseRun, settle};
use crate::grade::cases::PassCondition;
use crate::grade::judge::protocol_rules::ProtocolRule;
use crate::grade::run::process::ProcessEnd;
use feed::base::seq::Seq;
use feed::tape::in_memory::Tape;
use feed::wire::Call;
use std::ops::RangeInclusive;
use std::time::Duration;

const ALL: RangeInclusive<Seq> = 1..=14;

fn without(missing: &[Seq]) -> Vec<Seq> {
    ALL.filter(|seq| !missing.contains(seq)).collect()
}

fn stream() -> RunBuilder {
    classic_run().connect().call(Call::Stream)
}

/// Returns the names of the causes of failed runs with their conditions.
fn named_for(runs: Vec<(RunBuilder, PassCondition)>) -> Vec<&'static str> {
    let runs: Vec<_> = runs.into_iter().map(|(run, passes)| (run.evidence(), passes)).collect();
    let runs: Vec<CaseRun<'_>> = runs
        .iter()
        .map(|(evidence, passes)| CaseRun { case: None, passes: *passes, evidence, failed: true })
        .collect();
    let found = settle(&runs);
    found.into_iter().map(|cause| cause.map_or("none", |cause| cause.id)).collect()
}

/// Returns a run in which a packet arrived in pieces and is missing.
fn cut(seq: Seq) -> RunBuilder {
    let run = stream().one_by_one().send(1..seq).pieces([seq], 9).send(seq + 1..=14);
    run.finished().closed().write(without(&[seq]))
}

#[test]
fn an_error_that_a_run_reports_itself_is_not_replaced() {
    let report = |error: &str| format!("Traceback (most recent call last):\nRangeError: {error}");
    let crash = || cut(7).ended(ProcessEnd::Exited(1)).says(&report("offset is out of range"));
    let first: [Seq; 200] = std::array::from_fn(|place| Seq::try_from(place).unwrap() + 1);
    let large = run_on(Tape::sample(300)).connect().call(Call::Stream).together(first);
    let large = large.send((201..=257).chain(259..=300)).finished().closed();
    let large = large.ended(ProcessEnd::Exited(1)).says(&report("must be >= 0 and <= 255"));
    let named = named_in(vec![(crash(), true), (crash(), true), (crash(), true), (large, true)]);
    assert_eq!(named[2..], ["crash-in-packet", "too-large-to-ask"]);
}

#[test]
fn a_caught_error_about_a_byte_is_found_in_the_log() {
    let missing = [9, 154];
    let rest = (1..=300).filter(|seq| !missing.contains(seq));
    let run = run_on(Tape::sample(300)).stream(rest).fill([9]).fill([9]);
    let run = run.ended(ProcessEnd::Killed);
    let log = "asked for 9\nError: It must be >= -128 and <= 127. Received 154";
    let (id, text) = run.prints(log).cause();
    assert_eq!(id, "too-large-to-ask");
    assert!(text.contains("the request for packet 154"), "{text}");
}

#[test]
fn requests_that_come_again_are_not_slow_ones() {
    let run = || classic_run().stream(without(&[5, 9])).fill([5]).ended(ProcessEnd::Killed);
    assert_eq!(run().id(), "too-slow");
    let again = classic_run().stream(without(&[5, 9])).fill([5]).fill([5]).waits(SECONDS);
    assert_ne!(again.ended(ProcessEnd::Killed).id(), "too-slow");
    let one_call = stream().waits(SECONDS).ends().ended(ProcessEnd::Killed);
    assert_ne!(one_call.id(), "too-slow", "its only call was at the beginning");
}

const SECONDS: Duration = Duration::from_secs(3);

#[test]
fn half_a_stream_call_is_no_dropped_tail() {
    let half = || stream().half_call().waits(SECONDS).finished().hang_up();
    assert_eq!(half().cause_for(PassCondition::Original).0, "half-call");
    let whole = stream().finished().hang_up();
    assert_ne!(whole.cause_for(PassCondition::Original).0, "half-call");
}

#[test]
fn requests_behind_a_stream_call_show_a_search_for_gaps() {
    let first = || classic_run().stream(2..=14).write(2..=14);
    let late = stream().send(without(&[5])).finished().call(Call::Resend(5)).hang_up();
    let named = named_in(vec![(first(), true), (late.write(without(&[5])), true)]);
    assert_eq!(named, ["first-gap-unseen", "after-stream"]);
    // A client that streams again because of a gap searches for gaps, too.
    let again = (0..4).fold(classic_run(), |run, _| run.stream(without(&[5])));
    let named = named_in(vec![(first(), true), (again.ended(ProcessEnd::Killed), true)]);
    assert_eq!(named, ["first-gap-unseen", "streams-instead"]);
    // One that streams twice in any case does not.
    let twice = || classic_run().stream(2..=14).stream(2..=14).write(2..=14);
    let inner = classic_run().stream(without(&[5])).stream(without(&[5])).write(without(&[5]));
    assert_ne!(named_in(vec![(twice(), true), (inner, true)])[0], "first-gap-unseen");
}

#[test]
fn answers_behind_a_sorted_stream_are_not_withdrawn_by_it() {
    let behind = || {
        let run = classic_run().stream(without(&[5])).fill([5]);
        run.write(without(&[5]).into_iter().chain([5]))
    };
    let disordered = || classic_run().stream([1, 3, 2].into_iter().chain(4..=14));
    let causes = causes_in(vec![(behind(), true), (disordered().write(ALL), false)]);
    assert_eq!(causes[0].0, "arrival-order");
    assert!(causes[0].1.starts_with("answers are written behind"), "{}", causes[0].1);
    let sorted = classic_run().stream(without(&[5])).fill([5]).write(ALL);
    assert_eq!(named_in(vec![(behind(), true), (sorted, false)])[0], "none");
    // A client that sorts its answers in may write the stream as it came.
    let as_it_came = || disordered().write([1, 3, 2].into_iter().chain(4..=14));
    let sorted = || classic_run().stream(without(&[5])).fill([5]).write(ALL);
    assert_eq!(named_in(vec![(as_it_came(), true), (sorted(), false)])[0], "arrival-order");
    let named = named_in(vec![(as_it_came(), true), (disordered().write(ALL), false)]);
    assert_eq!(named[0], "none");
}

#[test]
fn second_copies_explain_no_missing_packets() {
    let twice = || without(&[2]).into_iter().chain([3]);
    let run = classic_run().stream(twice()).ask([2]).finished().closed();
    assert_eq!(run.write(twice()).id(), "not-asked-again");
}

#[test]
fn a_second_copy_that_a_client_did_not_wait_for_refutes_nothing() {
    let run = stream().one_by_one().send(without(&[2, 4])).finished().closed();
    let run = run.ask([2]).one_by_one().send([2, 2]).hang_up();
    let run = run.ask([4]).one_by_one().send([4]).ends().send([4]).closed();
    assert_eq!(run.write(ALL.chain([2])).id(), "duplicates-kept");
}

#[test]
fn a_pair_of_copies_says_nothing_about_one_that_comes_later() {
    let late = || stream().send((1..=9).chain([3]).chain(10..=14)).finished().closed();
    let kept = || late().write(ALL.chain([3]));
    let pair = stream().one_by_one().send((1..=3).chain(3..=14)).finished().closed();
    assert_eq!(named_in(vec![(kept(), true), (pair.write(ALL), false)])[0], "duplicates-kept");
    let once = stream().one_by_one().send((1..=9).chain([3]).chain(10..=14)).finished().closed();
    assert_ne!(named_in(vec![(kept(), true), (once.write(ALL), false)])[0], "duplicates-kept");
}

#[test]
fn answers_that_came_twice_are_counted_though_second_copies_follow() {
    let gaps = [2, 4, 6];
    let run = classic_run().stream(without(&gaps)).ask(gaps).send([2, 2, 4]).ends();
    let run = run.send([4, 6, 6]).closed().write(without(&[6]));
    assert_eq!(run.id(), "counts-answers");
}

#[test]
fn another_resend_connection_is_no_second_try_to_connect() {
    let refused = || classic_run().connect().reset_by_exchange().ended(ProcessEnd::Exited(1));
    assert_eq!(classic_run().connect().reset_by_exchange().waits(SECONDS).id(), "gives-up");
    let each = classic_run().stream(without(&[5, 6])).ask([5]).reset_by_exchange();
    let each = each.fill([6]).write(without(&[5]));
    assert_eq!(named_in(vec![(refused(), true), (each, true)])[0], "gives-up");
    let again = classic_run().connect().reset_by_exchange().stream(ALL).write(ALL);
    assert_ne!(named_in(vec![(refused(), true), (again, false)])[0], "gives-up");
}

#[test]
fn requests_made_twice_by_accident_are_no_second_try() {
    let once = || {
        let run = classic_run().stream(without(&[5])).ask([5]).finished().closed();
        run.write(without(&[5]))
    };
    // Packet 261 has the byte of packet 5.
    let high = run_on(Tape::sample(300)).stream((1..=300).filter(|seq| ![5, 261].contains(seq)));
    let high = high.ask([5]).finished().closed().fill([5]).write(1..=260);
    assert_eq!(named_in(vec![(once(), true), (high, true)])[0], "not-asked-again");
    let beside = classic_run().stream(without(&[5])).ask([5]).ask([5]).send([5]).hang_up();
    assert_eq!(named_in(vec![(once(), true), (beside.write(ALL), false)])[0], "not-asked-again");
    let again = classic_run().stream(without(&[5])).ask([5]).finished().closed().fill([5]);
    assert_ne!(named_in(vec![(once(), true), (again.write(ALL), false)])[0], "not-asked-again");
}

#[test]
fn a_gap_ends_the_reading_where_little_arrived_after_it() {
    let stops = |gap: Seq| classic_run().stream(without(&[gap])).write(1..gap);
    let last = classic_run().stream([14]).write([]);
    let late = classic_run().stream([1, 3, 2].into_iter().chain(4..=14)).write([1, 2]);
    let runs = vec![(stops(5), true), (stops(9), true), (last, true), (late, true)];
    assert_eq!(named_in(runs), ["stops-at-gap"; 4]);
}

#[test]
fn a_client_without_calls_is_named_in_all_cases() {
    let silent = || classic_run().connect().idle().ended(ProcessEnd::Killed);
    let reset = classic_run().connect().reset_by_exchange();
    assert_eq!(named_in(vec![(silent(), true), (reset, true)]), ["never-calls"; 2]);
    let rule = PassCondition::FollowsRule(ProtocolRule::Twice);
    assert_eq!(silent().cause_for(rule).0, "never-calls");
}

#[test]
fn a_number_from_a_misread_packet_is_no_packet_to_wait_for() {
    let misread = cut_stream(5).ask([131_074]).waits(SECONDS).ended(ProcessEnd::Killed);
    let named = named_in(vec![(cut(7), true), (cut(9), true), (misread, true)]);
    assert_eq!(named, ["split-packet"; 3]);
    let next = cut_stream(5).ask([6, 15]).send([6]).waits(SECONDS).ended(ProcessEnd::Killed);
    let named = named_in(vec![(cut(7), true), (cut(9), true), (next, true)]);
    assert_eq!(named, ["split-packet"; 3]);
    // The answer has the packet as a whole, and the stream did not.
    let filled = cut_stream(5).fill([5, 6]).ask([15]).finished().closed();
    let named = named_in(vec![(cut(7), true), (cut(9), true), (filled, true)]);
    assert_eq!(named, ["split-packet"; 3]);
}

/// Returns a run in which a packet of the stream arrived in pieces, without an output.
fn cut_stream(seq: Seq) -> RunBuilder {
    let run = stream().one_by_one().send(1..seq).pieces([seq], 9).send(seq + 1..=14);
    run.finished().closed()
}

#[test]
fn a_client_that_acts_after_a_silence_has_a_time_out() {
    let silent = || stream().send(1..=6).waits(SECONDS);
    assert_eq!(silent().ended(ProcessEnd::Killed).id(), "waits-for-stream");
    let again = silent().call(Call::Stream).waits(SECONDS).ended(ProcessEnd::Killed);
    let (id, text) = again.cause();
    assert_eq!(id, "short-stream");
    assert!(text.contains("another one on the same connection (1)"), "{text}");
    // Two calls at the beginning are no sign of a time-out.
    let doubled = stream().call(Call::Stream).send(1..=6).waits(SECONDS);
    assert_eq!(doubled.ended(ProcessEnd::Killed).id(), "waits-for-stream");
    // A pause before a request is no time-out in a stream.
    let pause = classic_run().stream(without(&[5])).waits(SECONDS).fill([5]).connect();
    let pause = pause.call(Call::Stream).send(1..=6).waits(SECONDS);
    assert_eq!(pause.ended(ProcessEnd::Killed).id(), "waits-for-stream");
}

#[test]
fn a_frame_that_is_no_packet_does_not_make_a_client_write() {
    let complete = || classic_run().stream(ALL);
    let filled = classic_run().stream(without(&[5])).fill([5]).write(ALL);
    let broken = stream().send(1..=5).damaged(6, 4, b'x').send(7..=14).finished().closed();
    let runs = vec![(complete(), true), (complete(), true), (filled, false), (broken, true)];
    assert_eq!(named_in(runs), ["hangs-complete", "hangs-complete", "none", "hangs-complete"]);
}

#[test]
fn streams_without_end_are_named_where_a_packet_never_comes() {
    let run = (0..4).fold(classic_run(), |run, _| run.stream(without(&[5])));
    let filled = (0..4).fold(classic_run().fill([5]), |run, _| run.stream(without(&[5])));
    let filled = filled.ended(ProcessEnd::Killed).cause_for(PassCondition::ReportsFailure).0;
    assert_ne!(filled, "asks-for-ever", "an answer had the packet");
    let (id, text) = run.ended(ProcessEnd::Killed).cause_for(PassCondition::ReportsFailure);
    assert_eq!(id, "asks-for-ever");
    assert!(
        text.starts_with("the client called for 4 streams, none of them had packet 5"),
        "{text}"
    );
}

#[test]
fn causes_of_packets_explain_no_exit_code_and_no_breach() {
    let code = cut_stream(5).write(without(&[5]));
    let each = cut_stream(5).fill([2]).fill([4]).fill([6]).write(without(&[5]));
    let mut runs: Vec<_> = (3..=10).map(|seq| (cut(seq), IN_ORDER)).collect();
    runs.push((code, PassCondition::ReportsFailure));
    let rule = PassCondition::FollowsRule(ProtocolRule::ConnectionEach);
    runs.push((each, rule));
    assert_eq!(named_for(runs)[7..], ["split-packet", "always-zero", "connection-each"]);
}

const IN_ORDER: PassCondition = PassCondition::InOrder;

#[test]
fn an_output_that_is_never_valid_is_named_where_it_has_no_packet() {
    let why = "invalid or incomplete JSON: EOF while parsing a value at line 9 column 2";
    let open = || classic_run().stream(ALL).unclear("data.json", why);
    let none = classic_run().stream([]).unclear("data.json", "neither JSON nor CSV");
    let named = named_in(vec![(open(), true), (open(), true), (open(), true), (none, true)]);
    assert_eq!(named, ["not-json"; 4]);
}

#[test]
fn a_search_up_to_the_last_packet_ends_at_an_answer_too() {
    let order = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 11];
    let late = || classic_run().stream(order.into_iter().chain([14, 10])).write(without(&[13]));
    let answer = || {
        let run = classic_run().stream(without(&[2, 4, 6])).ask([2, 4, 6]).send([2]);
        run.finished().closed().write(without(&[4, 6]))
    };
    // A client that requests packets again searches for gaps again.
    let again = classic_run().stream(without(&[5])).ask([5]).finished().closed().fill([5]);
    let named = named_in(vec![(late(), true), (answer(), true), (again.write(ALL), false)]);
    assert_eq!(named[..2], ["last-for-highest"; 2]);
    let named = named_in(vec![(late(), true), (answer(), true)]);
    assert_eq!(named, ["last-for-highest", "not-asked-again"]);
}

#[test]
fn a_client_that_was_started_late_shows_no_endless_loop() {
    let begin = |waited| classic_run().waits(waited).connect().call(Call::Stream).send(1..=9);
    let busy = |waited| begin(waited).waits(SECONDS).busy().ended(ProcessEnd::Killed).id();
    assert_eq!(busy(Duration::ZERO), "spins");
    // It prints each packet, and never comes to its search for gaps.
    let prints = classic_run().stream(without(&[5])).write(without(&[5])).busy();
    assert_eq!(prints.ended(ProcessEnd::Killed).id(), "spins");
    assert_ne!(busy(SECONDS * 4), "spins");
    let slow = |waited| {
        let run = classic_run().waits(waited).stream(without(&[5, 9])).fill([5]);
        run.ended(ProcessEnd::Killed).id()
    };
    assert_eq!(slow(Duration::ZERO), "too-slow");
    assert_ne!(slow(SECONDS), "too-slow");
}

#[test]
fn broken_answers_are_called_so() {
    let run = classic_run().stream(without(&[5])).ask([5]).damaged(5, 4, b'x').finished().closed();
    let (id, text) = run.write(without(&[5])).cause();
    assert_eq!(id, "not-asked-again");
    assert!(text.contains("once, received a frame that is not a packet, and"), "{text}");
}
