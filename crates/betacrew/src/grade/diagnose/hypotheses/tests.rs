//! Tests of the choice among claims: each withdraws a claim that another run contradicts, or names
//! the cause that explains the most.

use super::super::testing::{RunBuilder, causes_for, causes_in, classic_run, named_in, run_on};
use crate::grade::cases::PassCondition;
use crate::grade::judge::protocol_rules::ProtocolRule;
use crate::grade::observe::call_lengths::CallKind;
use crate::grade::run::process::ProcessEnd;
use feed::base::seq::Seq;
use feed::tape::in_memory::Tape;
use feed::wire::Call;
use std::ops::RangeInclusive;

const ALL: RangeInclusive<Seq> = 1..=14;

fn without(missing: &[Seq]) -> Vec<Seq> {
    ALL.filter(|seq| !missing.contains(seq)).collect()
}

fn stream() -> RunBuilder {
    classic_run().connect().call(Call::Stream)
}

/// Asserts that a claim stands alone and is withdrawn beside a run that passed.
fn assert_withdrawn(id: &str, run: impl Fn() -> RunBuilder, passed: RunBuilder) {
    assert_eq!(named_in(vec![(run(), true)]), [id]);
    assert_ne!(named_in(vec![(run(), true), (passed, false)])[0], id);
}

#[test]
fn a_client_that_never_requests_has_no_search_that_begins_late() {
    let first = || classic_run().stream(2..=14).write(2..=14);
    let inner = classic_run().stream(without(&[5])).write(without(&[5]));
    assert_eq!(named_in(vec![(first(), true), (inner, true)]), ["never-asks"; 2]);
    let asks = classic_run().stream(without(&[5])).fill([5]).write(ALL);
    assert_eq!(named_in(vec![(first(), true), (asks, false)])[0], "first-gap-unseen");
}

#[test]
fn a_search_that_begins_at_two_is_told_from_one_that_begins_at_the_first_received() {
    let first = || classic_run().stream(2..=14).write(2..=14);
    let three = classic_run().stream(4..=14).fill([2, 3]).write(2..=14);
    let named = named_in(vec![(first(), true), (three, true)]);
    assert_eq!(named, ["search-starts-late"; 2]);
}

#[test]
fn a_request_before_the_last_packet_withdraws_a_search_that_ends_early() {
    let missing = [10, 12, 13];
    let run = || classic_run().stream(without(&missing)).fill([10, 12]).write(without(&[13]));
    let passed = classic_run().stream(without(&[13])).fill([13]).write(ALL);
    assert_withdrawn("last-gap-unseen", run, passed);
}

#[test]
fn tries_that_end_too_early_are_no_search_that_ends_early() {
    let gaps = [2, 4, 6, 8, 13];
    let run = classic_run().stream(without(&gaps));
    let run = run.ask([2]).ask([4]).send([4]).finished().closed().ask([6, 8]).send([6, 8]);
    let run = run.finished().closed().ask([13]).finished().closed().write(without(&[2, 13]));
    let (id, text) = run.cause();
    assert_eq!(id, "tries-too-few");
    assert!(text.contains("on 4 connections") && text.contains("packets 2, 13"), "{text}");
}

#[test]
fn a_request_above_the_count_withdraws_a_search_up_to_the_count() {
    let missing = [2, 3, 10, 11, 12];
    let run = || classic_run().stream(without(&missing)).fill([2, 3]).write(without(&[10, 11, 12]));
    let high = [2, 3, 4, 12];
    let passed = classic_run().stream(without(&high)).fill(high).write(ALL);
    assert_withdrawn("counts-packets", run, passed);
}

#[test]
fn two_packets_of_one_read_withdraw_first_of_read() {
    let run = || {
        let run = stream().send(1..=3).together([4, 5]).send(6..=14).finished().closed();
        run.write(without(&[5]))
    };
    let passed = stream().together([1, 2, 3]).send(4..=14).finished().closed().write(ALL);
    assert_withdrawn("first-of-read", run, passed);
    let answers = || {
        let run = classic_run().stream(without(&[2, 3])).ask([2, 3]).together([2, 3]).hang_up();
        run.write(without(&[3]))
    };
    let passed = classic_run().stream(without(&[2, 3])).ask([2, 3]).together([2, 3]).hang_up();
    assert_withdrawn("first-answer-of-read", answers, passed.write(ALL));
}

#[test]
fn a_joined_packet_withdraws_split_packet_in_the_same_place_only() {
    let cut = || stream().one_by_one().send(1..=6).pieces([7], 9).send(8..=14).finished().closed();
    let run = || cut().write(without(&[7]));
    assert_withdrawn("split-packet", run, cut().write(ALL));
    let answers = classic_run().stream(without(&[7])).connect().one_by_one();
    let answers = answers.call(Call::Resend(7)).pieces([7], 9).hang_up().write(ALL);
    assert_eq!(named_in(vec![(run(), true), (answers, false)])[0], "split-packet");
}

#[test]
fn an_output_without_resends_withdraws_hangs_complete() {
    let run = || classic_run().stream(ALL).ended(ProcessEnd::Killed);
    assert_withdrawn("hangs-complete", run, classic_run().stream(ALL).write(ALL));
    let resends = || classic_run().stream(without(&[5])).fill([5]).write(ALL);
    let named = named_in(vec![(run(), true), (resends(), false), (resends(), false)]);
    assert_eq!(named[0], "hangs-complete");
    // A client that writes nothing after resends either has another mistake.
    let none = || classic_run().stream(without(&[5])).fill([5]).ended(ProcessEnd::Killed);
    let named = named_in(vec![(run(), true), (none(), true), (none(), true)]);
    assert_eq!(named[0], "never-writes");
}

#[test]
fn a_value_that_another_run_has_right_withdraws_a_decoding_mistake() {
    use crate::grade::observe::fields::OutputField;
    let absent = || {
        let change = |_: &_, fields: &mut Vec<(OutputField, Option<String>)>| {
            fields[OutputField::Price as usize].1 = None;
        };
        classic_run().stream(ALL).write_as(ALL, change)
    };
    assert_withdrawn("absent-field", absent, classic_run().stream(ALL).write(ALL));
}

#[test]
fn a_closed_stream_withdraws_waits_for_stream() {
    let silent = || stream().send(1..=6).idle().idle();
    let run = || silent().ended(ProcessEnd::Killed);
    assert_withdrawn("waits-for-stream", run, silent().hang_up().stream(ALL).write(ALL));
}

#[test]
fn a_resend_connection_that_the_client_ends_withdraws_waits_for_end() {
    let asked = || classic_run().stream(without(&[5])).ask([5]).send([5]);
    let run = || asked().ended(ProcessEnd::Killed);
    assert_withdrawn("waits-for-end", run, asked().hang_up().write(ALL));
    // The exchange has ended the connection, so the client waits for something else.
    assert_ne!(asked().finished().idle().ended(ProcessEnd::Killed).id(), "waits-for-end");
}

#[test]
fn an_error_that_passing_runs_have_as_well_is_no_cause() {
    let report = "Traceback (most recent call last):\nEOFError: EOF when reading a line";
    let run = || classic_run().stream(1..=13).ended(ProcessEnd::Exited(1)).says(report);
    let passed = classic_run().stream(ALL).write(ALL).ended(ProcessEnd::Exited(1)).says(report);
    assert_withdrawn("crash", run, passed);
}

#[test]
fn one_request_too_many_in_every_session_is_no_fixed_length() {
    let short = || run_on(Tape::sample(5)).stream(1..=5).ask([6]).hang_up();
    let usual = classic_run().stream(ALL).ask([15]).hang_up().write(ALL);
    assert_withdrawn("fixed-length", short, usual);
}

#[test]
fn an_established_cause_explains_runs_with_a_part_of_its_pattern() {
    let cut = |seq| stream().one_by_one().send(1..seq).pieces([seq], 9).send(seq + 1..=14);
    let shown = |seq| cut(seq).finished().closed().write(without(&[seq]));
    let spins = cut(5).finished().closed().busy().ended(ProcessEnd::Killed);
    let causes = causes_in(vec![(shown(7), true), (shown(9), true), (spins, true)]);
    let (id, text, cases) = &causes[2];
    assert_eq!((*id, *cases), ("split-packet", 2), "{text}");
    assert!(text.starts_with("as in another case: packet 7 arrived in pieces"), "{text}");
}

#[test]
fn a_read_that_ends_inside_a_packet_explains_what_follows_from_it() {
    let gaps = [5, 6, 7];
    let unread = || {
        let ask = classic_run().stream(without(&gaps)).ask(gaps).send([5]);
        ask.ends().send([6, 7]).closed().write(without(&[6, 7]))
    };
    // The misread packet has made the client request others, and close the connection too early.
    let cut = stream().one_by_one().send(1..=6).pieces([7], 9).send(8..=14).finished().closed();
    let cut = cut.ask([2, 9]).send([2]).ends().send([9]).closed().write(without(&[7, 9]));
    let runs = vec![(cut, true), (unread(), true), (unread(), true), (unread(), true)];
    let named = named_in(runs);
    assert_eq!(named[..2], ["split-packet", "answers-unread"]);
}

#[test]
fn the_number_of_runs_that_show_a_cause_is_reported() {
    let run = |seq: Seq| classic_run().stream(without(&[seq])).write(without(&[seq]));
    let causes = causes_in((4..=9).map(|seq| (run(seq), true)).collect());
    assert!(causes.iter().all(|(id, _, cases)| *id == "never-asks" && *cases == 6), "{causes:?}");
}

#[test]
fn streams_that_replace_requests_and_waits_for_no_packet_are_recognised() {
    let again = (0..4).fold(classic_run(), |run, _| run.stream(without(&[5])));
    let (id, text) = again.ended(ProcessEnd::Killed).cause();
    assert_eq!(id, "streams-instead");
    assert!(text.contains("called for 4 streams") && text.contains("packet 5 was"), "{text}");
    let zero = classic_run().stream(without(&[5])).ask([0, 5]).send([5]).write(without(&[5]));
    let (id, text) = zero.ended(ProcessEnd::Killed).cause();
    assert_eq!(id, "waits-for-answer");
    assert!(text.contains("requested packet 0, which the session does not have"), "{text}");
    assert_eq!(classic_run().connect().idle().ended(ProcessEnd::Killed).id(), "never-calls");
}

#[test]
fn a_stream_that_a_client_always_ends_shows_no_split_packet() {
    let part = || stream().send(1..=5).together_cut(6, 9);
    assert_eq!(named_in(vec![(part(), true)]), ["split-packet"]);
    let whole = stream().send(1..=2).ends().send(3..=14).closed();
    assert_eq!(named_in(vec![(part(), true), (whole, true)]), ["leaves-stream"; 2]);
    // A crash ends the connections of a client, too.
    let report = "Traceback (most recent call last):\nIndexError: list index out of range";
    let crash = part().ended(ProcessEnd::Exited(1)).says(report);
    assert_eq!(crash.id(), "crash-in-packet");
}

#[test]
fn a_client_that_ends_its_stream_is_recognised_unless_it_reads_on() {
    let left = || stream().send(1..=2).ends().send(3..=14).closed();
    let (id, text) = left().write(1..=2).cause();
    assert_eq!(id, "leaves-stream");
    assert!(text.contains("ended connection 1 directly after 2 packets"), "{text}");
    let reads_on = left().write(ALL);
    assert_ne!(named_in(vec![(left().write(1..=2), true), (reads_on, false)])[0], "leaves-stream");
}

const CRASH: &str = "Traceback (most recent call last):\nIndexError: index out of range";

/// Returns a run in which the client searches for gaps up to the number of packets only.
fn counts() -> RunBuilder {
    let missing = [2, 3, 10, 11, 12];
    classic_run().stream(without(&missing)).fill([2, 3]).write(without(&[10, 11, 12]))
}

/// Returns a run in which each read overwrites the output.
fn overwrites() -> RunBuilder {
    classic_run().stream(ALL).write([14])
}

#[test]
fn a_wait_without_an_end_is_no_matter_of_missing_packets() {
    let missing = [2, 3, 10, 11, 12];
    let waits = classic_run().stream(without(&missing)).ask([0, 2, 3]).send([2, 3]).idle();
    let waits = waits.write(without(&[10, 11, 12])).ended(ProcessEnd::Killed);
    let runs = (0..4).map(|_| (counts(), true)).chain([(waits, true)]).collect();
    let (id, text, _) = &causes_in(runs)[4];
    assert_eq!(*id, "waits-for-answer");
    assert!(text.contains("packet 0, which the session does not have"), "{text}");
}

#[test]
fn an_error_about_a_byte_is_no_crash_in_a_packet() {
    let cut = || stream().send(1..=6).pieces([7], 9).ended(ProcessEnd::Exited(1)).says(CRASH);
    let long = Tape::sample(1000);
    let high = run_on(long).connect().call(Call::Stream).together_all((1..=299).chain(301..=1000));
    let said = "Traceback\nnode:internal\nRangeError: It must be >= 0 and <= 255. Received 300";
    let high = high.finished().closed().ended(ProcessEnd::Exited(1)).says(said);
    let runs = (0..4).map(|_| (cut(), true)).chain([(high, true)]).collect();
    assert_eq!(named_in(runs)[4], "too-large-to-ask");
    let logged = run_on(Tape::sample(400)).stream((1..=299).chain(301..=400));
    let logged = logged.logs("failed: RangeError: It must be >= 0 and <= 255. Received 300");
    assert_eq!(logged.write(1..=299).ended(ProcessEnd::Killed).id(), "too-large-to-ask");
}

#[test]
fn a_broken_rule_is_not_explained_by_the_packets() {
    let whole = PassCondition::FollowsRule(ProtocolRule::CallLength);
    let half = stream().half().send(ALL).finished().closed().write([14]);
    let long = stream().long(CallKind::Stream, 5).send(ALL).finished().closed().write([14]);
    let complete = (0..5).map(|_| (overwrites(), PassCondition::Complete, true));
    let ends = (overwrites(), PassCondition::ReportsFailure, true);
    let runs = complete.chain([(half, whole, true), (long, whole, true), ends]);
    let causes = causes_for(runs);
    assert_eq!(causes[5].0, "half-call");
    assert_eq!(causes[6].0, "long-call");
    assert!(causes[6].1.contains("stream call on connection 1 has 5 bytes"), "{}", causes[6].1);
    assert_eq!(causes[7].0, "always-zero", "it failed by its exit code");
}

#[test]
fn the_death_of_the_original_is_explained_by_what_killed_it() {
    let early = || classic_run().stream(without(&[5])).ask([0, 5]).write(without(&[5])).send([5]);
    let died = early().dies();
    let complete = (0..5).map(|_| (early(), PassCondition::Complete, true));
    let causes = causes_for(complete.chain([(died, PassCondition::Original, true)]));
    assert_eq!(causes[0].0, "written-early");
    assert_eq!(causes[5].0, "asks-beyond-end");
    assert!(causes[5].1.contains("the client requested packet 0"), "{}", causes[5].1);
    // The original does not answer half a call, and ends the stream when the client is killed.
    let mute = stream().half().idle().ended(ProcessEnd::Killed);
    assert_eq!(mute.cause_for(PassCondition::Original).0, "half-call");
    let late = stream().send(without(&[5])).finished().call(Call::Resend(5)).write(without(&[5]));
    assert_eq!(late.dies().cause_for(PassCondition::Original).0, "after-stream");
}

#[test]
fn what_ended_a_stream_is_not_explained_by_other_runs() {
    let reset = || stream().send(1..=6).reset_by_exchange();
    let crash = "node:internal\nError: connect ECONNREFUSED 127.0.0.1:3000\nNode.js v20";
    let crashed = reset().ended(ProcessEnd::Exited(1)).says(crash);
    let runs = (0..3).map(|_| (reset().write(1..=6), true)).chain([(crashed, true)]).collect();
    let named = named_in(runs);
    assert_eq!((named[0], named[3]), ("short-stream", "crash"));
    // The packets behind the reset were never sent, whatever the client requests.
    let gap = || classic_run().stream(without(&[5])).write(without(&[5]));
    let cut = stream().send([1, 3]).reset_by_exchange().write([1, 3]);
    let runs = (0..5).map(|_| (gap(), true)).chain([(cut, true)]).collect();
    assert_eq!(named_in(runs)[5], "short-stream");
    // A client that lacks what arrived has another mistake.
    assert_ne!(reset().write([6]).id(), "short-stream");
}

#[test]
fn a_crash_that_most_runs_have_is_no_crash_in_a_packet() {
    let missing = "Traceback (most recent call last):\nFileNotFoundError: Error: data.json";
    let crash = || classic_run().stream(ALL).ended(ProcessEnd::Exited(1)).says(missing);
    let cut = || stream().send(1..=6).pieces([7], 9).ended(ProcessEnd::Exited(1)).says(CRASH);
    let large = run_on(Tape::sample(200)).connect().call(Call::Stream).together_all(1..=200);
    let large = large.finished().closed().ended(ProcessEnd::Exited(1)).says(missing);
    let crashes = (0..4).map(|_| (crash(), true));
    let runs = crashes.chain([(cut(), true), (cut(), true), (large, true)]).collect();
    let named = named_in(runs);
    assert_eq!(named[4..], ["crash-in-packet", "crash-in-packet", "crash"]);
}

#[test]
fn a_crash_in_an_answer_says_nothing_about_the_stream() {
    // The client joins the parts of streams, but not those of answers.
    let end = |run: RunBuilder| run.ended(ProcessEnd::Exited(1)).says(CRASH);
    let cut = || {
        let run = stream().one_by_one().send(1..=4).pieces([6], 9).send(7..=14);
        run.finished().closed()
    };
    let answer = end(classic_run().stream(without(&[5])).ask([5]).part(5, 9));
    let both = end(cut().ask([5]).part(5, 9));
    let runs = vec![(answer, true), (both, true), (cut().write(without(&[5])), true)];
    assert_eq!(named_in(runs)[..2], ["crash-in-packet"; 2]);
}

#[test]
fn a_request_that_is_not_answered_is_a_request() {
    let late = || {
        let run = stream().send(without(&[5])).finished().call(Call::Resend(5)).closed();
        (run.write(without(&[5])), true)
    };
    let none = classic_run().stream(without(&[6])).write(without(&[6]));
    let named = named_in(vec![late(), (none, true)]);
    assert_eq!(named[0], "after-stream");
    assert_ne!(named[1], "never-asks", "it requests packets elsewhere");
}

#[test]
fn a_packet_cut_in_the_stream_may_come_as_a_whole_in_an_answer() {
    let cut = || {
        let run = stream().one_by_one().send(1..=6).pieces([7], 9).send(8..=14);
        run.finished().closed()
    };
    let shown = || cut().write(without(&[7]));
    let asked = cut().fill([7]).busy().ended(ProcessEnd::Killed);
    let named = named_in(vec![(shown(), true), (shown(), true), (asked, true)]);
    assert_eq!(named[2], "split-packet");
}
