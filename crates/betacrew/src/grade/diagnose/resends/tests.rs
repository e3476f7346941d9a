//! Tests of the causes: each is found on evidence made by hand.

use super::super::testing::{classic_run, named_in, run_on};
use crate::grade::run::process::ProcessEnd;
use feed::base::seq::Seq;
use feed::tape::in_memory::Tape;
use feed::wire::Call;

/// Returns the sequences from 1 to `last` except those in `missing`.
fn without(last: Seq, missing: &[Seq]) -> Vec<Seq> {
    (1..=last).filter(|seq| !missing.contains(seq)).collect()
}

#[test]
fn requests_after_the_stream_call_are_a_cause() {
    let late = classic_run().connect().call(Call::Stream).send(without(14, &[5])).finished();
    let (id, text) = late.call(Call::Resend(5)).hang_up().write(without(14, &[5])).cause();
    assert_eq!(id, "after-stream");
    assert!(text.contains("requested packet 5 on the connection of the stream"), "{text}");
}

#[test]
fn a_client_that_requests_nothing_is_recognised() {
    let (id, text) = classic_run().stream(without(14, &[5, 6])).write(without(14, &[5, 6])).cause();
    assert_eq!((id, &text[..26]), ("never-asks", "packets 5-6 were missing, "));
    assert_eq!(classic_run().stream(1..=14).write(1..=14).id(), "none");
}

#[test]
fn an_unseen_first_gap_is_recognised() {
    let (id, text) = classic_run().stream(2..=14).write(2..=14).cause();
    assert_eq!(id, "first-gap-unseen");
    assert!(text.starts_with("packet 1 was missing and not requested"), "{text}");
    let both = without(14, &[1, 2, 7]);
    let requested = classic_run().stream(both.clone()).fill([7]).write(3..=14);
    assert_eq!(requested.id(), "first-gap-unseen");
    // A client that requests the first packet knows that there is one.
    let requested = classic_run().stream(both).ask([1, 2, 7]).finished().closed();
    let requested = requested.write(without(14, &[1, 2, 7]));
    assert_ne!(requested.id(), "first-gap-unseen");
}

#[test]
fn an_unseen_last_gap_is_recognised() {
    let missing = [10, 12, 13];
    let one = classic_run().stream(without(14, &missing)).fill([10, 12]).write(without(14, &[13]));
    assert_eq!(one.id(), "last-gap-unseen");
    // Two causes explain this run, so none is named.
    let either = classic_run().stream(without(14, &[3, 13])).fill([3]).write(without(14, &[13]));
    assert_eq!(either.id(), "none");
}

#[test]
fn counting_packets_instead_of_sequences_is_recognised() {
    // Nine packets are received and the highest is 14, so 10 to 13 are not searched.
    let missing = [2, 3, 10, 11, 12];
    let one = classic_run().stream(without(14, &missing)).fill([2, 3]);
    let (id, text) = one.write(without(14, &[10, 11, 12])).cause();
    assert_eq!(id, "counts-packets");
    assert!(text.contains("up to 9, the number of packets"), "{text}");
}

#[test]
fn taking_the_last_packet_for_the_highest_is_recognised() {
    let streamed_count = [1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 14, 11];
    let one = classic_run().stream(streamed_count).fill([3]).write(without(14, &[13]));
    assert_eq!(one.id(), "last-for-highest");
}

#[test]
fn a_crash_on_a_large_sequence_is_recognised() {
    let one = run_on(Tape::sample(300)).stream(without(300, &[290])).connect().hang_up();
    let crash = one.ended(ProcessEnd::Exited(1)).says("RangeError: It must be >= 0 and <= 255.");
    assert_eq!(crash.id(), "too-large-to-ask");
}

#[test]
fn requests_off_by_one_are_recognised() {
    let missing = [5, 9];
    let one = classic_run().stream(without(14, &missing)).fill([4, 8]).write(without(14, &missing));
    assert_eq!(one.id(), "off-by-one");
}

#[test]
fn an_assumed_session_of_fourteen_is_recognised() {
    let (id, text) = run_on(Tape::sample(5)).stream(1..=5).ask(6..=14).hang_up().cause();
    assert_eq!(id, "fixed-length");
    assert!(text.contains("requested packets 6-14"), "{text}");
    let long = run_on(Tape::sample(20)).stream(without(20, &[4, 17])).fill([4]);
    assert_eq!(long.write(without(20, &[17])).id(), "fixed-length");
    let unanswered = run_on(Tape::sample(5)).stream(1..=5).ask([6]).finished();
    assert_eq!(unanswered.id(), "fixed-length");
}

#[test]
fn sequences_cut_to_a_byte_are_recognised() {
    let one = run_on(Tape::sample(300)).stream(without(300, &[290])).fill([34]);
    let (id, text) = one.write(without(300, &[290])).cause();
    assert_eq!(id, "sequence-cut");
    assert!(text.contains("requested packet 34 when packet 290"), "{text}");
}

#[test]
fn unread_answers_are_recognised() {
    let ask = || classic_run().stream(without(14, &[5, 9])).ask([5, 9]);
    assert_eq!(ask().send([5]).reset().write(without(14, &[9])).id(), "answers-unread");
    let (id, text) = ask().send([5]).ends().send([9]).closed().write(without(14, &[9])).cause();
    assert_eq!(id, "answers-unread");
    assert!(text.contains("closed connection 2 after 20 ms, before it had read"), "{text}");
    // Packet 9 was sent before the end, so it is missing for another reason.
    let read = ask().send([5, 9]).hang_up().write(without(14, &[9]));
    assert_ne!(read.id(), "answers-unread");
    // The client ends only its own side, and the exchange sends nothing that could be unread.
    let half = ask().ends().finished().closed().write(without(14, &[5, 9]));
    assert_eq!(half.id(), "not-asked-again");
}

#[test]
fn an_answer_stored_under_the_requested_sequence_is_recognised() {
    use crate::grade::observe::fields::OutputField;
    let one = classic_run().stream(without(14, &[5])).ask([5]).send([6]).hang_up();
    let wrong = one.write_as(1..=14, |packet, fields| {
        if packet.sequence == 5 {
            fields[OutputField::Price as usize].1 = Some("1".to_owned());
        }
    });
    assert_eq!(wrong.id(), "trusts-the-request");
}

#[test]
fn a_single_request_without_an_answer_is_recognised() {
    let one = classic_run().stream(without(14, &[5])).ask([5]).finished().closed();
    let (id, text) = one.write(without(14, &[5])).cause();
    assert_eq!(id, "not-asked-again");
    assert!(text.contains("requested packet 5 once, received no answer"), "{text}");
    // A client that repeats a request without an answer may still give up after a damaged one.
    let rest = || without(14, &[5]);
    let damaged = classic_run().stream(rest()).ask([5]).damaged(5, 4, b'x').hang_up().write(rest());
    let again = (0..3).fold(classic_run().stream(rest()), |run, _| run.ask([5]).hang_up());
    let named = named_in(vec![(damaged, true), (again.write(rest()), true)]);
    assert_eq!(named[0], "not-asked-again");
}

#[test]
fn requests_that_stop_at_the_limit_of_a_byte_are_recognised() {
    let gaps = [9, 100, 200, 258, 300];
    let run = |asked: &[Seq]| {
        let run = run_on(Tape::sample(400)).stream(without(400, &gaps)).ask(asked.to_vec());
        run.send(asked.to_vec()).idle().ended(ProcessEnd::Killed)
    };
    let (id, text) = run(&[9, 100, 200]).cause();
    assert_eq!(id, "too-large-to-ask");
    assert!(text.contains("every missing packet up to 255 and none above"), "{text}");
    let signed = run(&[9, 100]).cause().1;
    assert!(signed.contains("up to 127 and none above"), "{signed}");
    assert_ne!(run(&[9]).id(), "too-large-to-ask", "100 fits into a byte");
    assert_ne!(run(&[9, 100, 200, 258]).id(), "too-large-to-ask");
}

#[test]
fn a_copy_that_is_unread_is_no_answer_that_is_unread() {
    let run = |sent: &[Seq]| {
        let run = classic_run().stream(without(14, &[2])).ask([2]).send(sent.to_vec());
        run.reset().write(without(14, &[2]))
    };
    assert_eq!(run(&[2]).id(), "answers-unread");
    assert_ne!(run(&[2, 2]).id(), "answers-unread");
}

#[test]
fn copies_do_not_explain_what_is_missing() {
    let run = classic_run().stream(without(14, &[2, 4])).ask([2, 4]).send([3, 5]).hang_up();
    let rows = without(14, &[2, 4]).into_iter().chain([3, 5]);
    assert_eq!(run.write(rows).id(), "not-asked-again");
}

#[test]
fn dropped_tails_and_short_streams_are_recognised() {
    assert_eq!(classic_run().stream(1..=12).write(1..=12).id(), "tail-unseen");
    let cut = classic_run().connect().call(Call::Stream).send(1..=6).pieces([7], 9);
    let whole = cut.finished().closed().write(1..=6);
    assert_ne!(whole.id(), "short-stream", "the packet arrived complete");
    let reset = classic_run().connect().call(Call::Stream).send(1..=6).reset_by_exchange();
    assert_eq!(reset.write(1..=6).id(), "short-stream");
    let again = classic_run().stream(1..=12).stream(1..=13).write(1..=13);
    assert_eq!(again.id(), "none");
}
