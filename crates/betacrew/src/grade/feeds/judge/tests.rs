use crate::grade::feeds::conditions::FeedCondition::{self, Mold, NothingWrong, Soup};
use crate::grade::feeds::mold::log::{DatagramKind, MoldEventKind, RequestKind};
use crate::grade::feeds::mold::rules::MoldRule;
use crate::grade::feeds::run_builder::{FeedRun, encoded, message};
use crate::grade::feeds::soup::rules::SoupRule;
use crate::grade::observe::wire::WireEventKind;
use crate::grade::run::process::ProcessEnd;
use feed::base::seq::SeqRange;
use feed::wire::soup::{Packet, RejectReason};
use std::time::{Duration, Instant};

fn passes(run: FeedRun, condition: FeedCondition) {
    assert_eq!(run.result(condition), ("passed".to_owned(), "none"), "{condition:?}");
}

/// Asserts that a run fails with a result that contains this text, and with this cause.
fn fails(run: FeedRun, condition: FeedCondition, text: &str, cause: &str) {
    let (actual, named) = run.result(condition);
    assert!(actual.contains(text), "{condition:?}: {actual}");
    assert_eq!(named, cause, "{condition:?}: {actual}");
}

/// Returns a session that a client records to its end.
fn whole() -> FeedRun {
    FeedRun::soup().logs_in("", 1).accepts(1).sends(1, 10).exchange(&Packet::EndOfSession)
}

#[test]
fn a_client_that_does_nothing_passes_no_rule_of_soup() {
    for rule in SoupRule::ALL {
        fails(FeedRun::soup(), Soup(rule), "no output", "none");
        let silent = || FeedRun::soup().connects();
        fails(
            silent(),
            Soup(rule),
            "it sent no login request; it ended with exit code 0",
            "no-login",
        );
        let killed = silent().ended(ProcessEnd::Killed);
        fails(killed, Soup(rule), "it sent no login request; it did not end", "no-login");
    }
    for rule in [SoupRule::LoginForm, SoupRule::LegalPackets, SoupRule::FewLogins] {
        passes(FeedRun::soup().logs_in("", 1), Soup(rule));
    }
    for rule in [SoupRule::Heartbeats, SoupRule::EndIsTheEnd] {
        passes(whole(), Soup(rule));
        let leaves = || FeedRun::soup().logs_in("", 1).accepts(1).sends(1, 3);
        let left = leaves().wire(WireEventKind::ClientEnded).writes(1..=3);
        fails(left, Soup(rule), "it left before the end of the session", "ends-early");
    }
}

#[test]
fn a_client_that_does_not_return_shows_no_resumption() {
    let broken = || {
        let run = FeedRun::soup().logs_in("", 1).accepts(1).sends(1, 4);
        run.wire(WireEventKind::Closed)
    };
    let resume = Soup(SoupRule::Resume);
    fails(broken().writes(1..=4), resume, "did not log in again after the break", "gives-up");
    passes(broken().logs_in("DAY1", 5), resume);
    fails(broken().logs_in("DAY1", 1), resume, "logged in again for message 1", "starts-over");
    passes(whole(), resume);
}

#[test]
fn a_client_that_does_nothing_passes_no_rule_of_mold() {
    // A tape without gaps, of which the client reads nothing.
    for rule in [MoldRule::LegalRequests, MoldRule::OnlyMissing, MoldRule::NoStorm] {
        let idle = || FeedRun::mold().datagram(1, 4).datagram(6, 10).announces_end();
        fails(idle().writes((1..=4).chain(6..=10)), Mold(rule), "no request", "never-requests");
        passes(idle().requests(5, 5), Mold(rule));
    }
    let other = || {
        let named = DatagramKind::OtherSession(SeqRange::new(3, 4));
        FeedRun::mold().datagram(1, 2).event(MoldEventKind::Sent(named)).datagram(5, 10)
    };
    let only_this = Mold(MoldRule::OtherSession);
    fails(other(), only_this, "no output", "stops-in-silence");
    passes(other().writes([1, 2, 5, 6, 7, 8, 9, 10]), only_this);
    fails(other().writes(1..=10), only_this, "took messages 3-4", "other-session-kept");
}

#[test]
fn an_output_in_another_order_or_without_messages_is_wrong() {
    passes(whole().writes([3, 4, 5]), NothingWrong);
    fails(whole().writes([3, 5, 4]), NothingWrong, "out of order: 4 after 5", "none");
    fails(whole().writes([]), NothingWrong, "out.itch has no messages", "none");
}

#[test]
fn requests_beyond_the_last_message_are_told_apart() {
    let legal = Mold(MoldRule::LegalRequests);
    let run = || FeedRun::mold().datagram(1, 10).announces_end();
    let text = "it sends a request for 5 messages from 9, and the session has 10";
    fails(run().requests(9, 13), legal, text, "none");
    let wrong = RequestKind::Wrong("a request for 0 messages from 4, which are none".to_owned());
    let none = FeedRun::mold().datagram(1, 10).event(MoldEventKind::Requested(wrong));
    fails(none, legal, "it sends a request for 0 messages", "none");
    let complete = FeedCondition::EndsWithZero;
    let cause = |run: FeedRun| run.writes(1..=10).ended(ProcessEnd::Killed).result(complete).1;
    assert_eq!(cause(run().requests(11, 20)), "end-as-count");
    // Before the end, or if a damaged datagram names a higher sequence, the end is not to blame.
    let early = FeedRun::mold().datagram(1, 10).requests(11, 20).announces_end();
    assert_eq!(cause(early), "none");
    let damaged = run().event(MoldEventKind::Sent(DatagramKind::Damaged)).requests(11, 20);
    assert_eq!(cause(damaged), "none");
}

#[test]
fn a_tail_is_one_even_if_other_messages_are_missing() {
    let tail = Mold(MoldRule::TailByHeartbeat);
    let shown = |gap: bool| {
        let run = FeedRun::mold().datagram(1, if gap { 3 } else { 5 }).datagram(5, 8);
        run.event(MoldEventKind::Sent(DatagramKind::Heartbeat(11)))
    };
    for gap in [false, true] {
        let text = "messages 9-10 had been sent, and it requested none";
        fails(shown(gap).announces_end(), tail, text, "none");
        fails(shown(gap).announces_end().requests(9, 10), tail, text, "none");
        passes(shown(gap).requests(9, 10).announces_end(), tail);
    }
    // A gap in the middle is no tail.
    let middle = FeedRun::mold().datagram(1, 3).datagram(5, 10);
    let middle = middle.event(MoldEventKind::Sent(DatagramKind::Heartbeat(11)));
    passes(middle.announces_end(), tail);
}

#[test]
fn each_login_has_the_same_user_and_password() {
    let same = Soup(SoupRule::SameUser);
    let first = || FeedRun::soup().logs_in_as("ann", "secret").wire(WireEventKind::Closed);
    fails(first(), same, "it did not log in again after the break", "gives-up");
    passes(first().logs_in_as("ANN", "Secret"), same);
    fails(first().logs_in_as("bob", "secret"), same, "with another user,", "none");
    fails(first().logs_in_as("ann", ""), same, "with another password,", "none");
    passes(whole(), same);
}

#[test]
fn a_logout_is_early_before_the_end_of_the_session() {
    let logout = Soup(SoupRule::Logout);
    let leaves = |run: FeedRun| run.client(&Packet::LogoutRequest, 1).wire(WireEventKind::Finished);
    let recorded = || FeedRun::soup().logs_in("", 1).accepts(1).sends(1, 3);
    let early = leaves(recorded()).writes(1..=3);
    fails(early, logout, "it logged out after message 3", "ends-early");
    // The exchange ends the connection first, because it was asked to.
    let complete = leaves(recorded()).writes(1..=3);
    fails(complete, FeedCondition::Complete, "missing 4-10", "ends-early");
    passes(leaves(whole()), logout);
    passes(whole(), logout);
    // To leave another session is right.
    let next = recorded().wire(WireEventKind::Closed).logs_in("DAY1", 4).accepts_session("DAY2", 4);
    fails(leaves(next), logout, "it left before the end of the session", "ends-early");
}

#[test]
fn a_client_that_leaves_inside_a_packet_does_not_join_its_parts() {
    let packet = encoded(&Packet::Sequenced(&message(4)));
    let leaves = |run: FeedRun| run.wire(WireEventKind::ClientEnded).writes(1..=3);
    let run = || FeedRun::soup().logs_in("", 1).accepts(1).sends(1, 3);
    let cut = leaves(run().write(&packet[..5]));
    fails(cut, FeedCondition::Complete, "missing 4-10", "split-packet");
    let whole = leaves(run().write(&packet));
    fails(whole, FeedCondition::Complete, "missing 4-10", "ends-early");
    let closed = run().write(&packet[..5]).wire(WireEventKind::Finished).writes(1..=3);
    fails(closed, FeedCondition::Complete, "missing 4-10", "gives-up");
    // A client that has joined another packet ends for another reason.
    let third = encoded(&Packet::Sequenced(&message(3)));
    let joins = FeedRun::soup().logs_in("", 1).accepts(1).sends(1, 2);
    let joins = joins.write(&third[..4]).write(&third[4..]).write(&packet[..5]);
    fails(leaves(joins), FeedCondition::Complete, "missing 4-10", "ends-early");
}

#[test]
fn a_client_that_stops_at_an_unknown_type_is_told_so() {
    let unknown = Packet::Unknown { kind: b'?', payload: b"x" };
    let run = |packet| FeedRun::soup().logs_in("", 1).accepts(1).sends(1, 3).exchange(packet);
    let ends = |run: FeedRun| run.sends(4, 10).exchange(&Packet::EndOfSession);
    let again = |run: FeedRun| run.logs_in("DAY1", 4).writes(1..=3);
    let complete = FeedCondition::Complete;
    fails(again(ends(run(&unknown))), complete, "missing 4-10", "stops-at-others");
    let heartbeat = again(ends(run(&Packet::ServerHeartbeat)));
    fails(heartbeat, complete, "missing 4-10", "none");
    // Only a client that has read everything takes no notice of the end.
    let next = ends(run(&unknown)).logs_in("DAY1", 11).writes(1..=3);
    fails(next, complete, "missing 4-10", "end-ignored");
    // A client that ends its connections there is never sent more.
    let leaves = |run: FeedRun| run.wire(WireEventKind::ClientEnded);
    let once = leaves(run(&unknown));
    let twice = leaves(leaves(run(&unknown)).logs_in("DAY1", 4).accepts(4).exchange(&unknown));
    fails(twice.writes(1..=3), complete, "missing 4-10", "stops-at-others");
    fails(once.writes(1..=3), complete, "missing 4-10", "ends-early");
    let broken = again(run(&unknown).sends(4, 4).wire(WireEventKind::Closed));
    let broken = broken.wire(WireEventKind::Closed);
    fails(broken, complete, "missing 4-10", "none");
}

#[test]
fn a_client_that_waits_on_an_ended_connection_is_told_so() {
    let run = |ends: bool| {
        let run = FeedRun::soup().logs_in("", 1);
        let run = if ends { run.wire(WireEventKind::Finished) } else { run };
        let judged = run.waits(Duration::from_secs(1)).ended(ProcessEnd::Killed);
        judged.judged(FeedCondition::Complete).failure.unwrap().cause.unwrap()
    };
    assert_eq!((run(true).id, run(false).id), ("waits-for-login", "waits-for-login"));
    assert!(run(true).text.starts_with("its connection ended after 3.0 ms"), "{:?}", run(true));
    assert!(run(false).text.starts_with("its login was not answered"), "{:?}", run(false));
}

#[test]
fn a_client_that_reads_on_behind_a_length_of_0_is_told_so() {
    let run = || FeedRun::soup().logs_in("", 1).accepts(1).sends(1, 3).write(&[0, 0]);
    let closed = || run().wire(WireEventKind::Closed);
    let complete = FeedCondition::Complete;
    fails(closed().writes_rows([1, 2, 3], &[b"x"]), complete, "missing 4", "no-length-ignored");
    fails(closed().writes(1..=3), complete, "missing 4", "gives-up");
    let kept = run().writes(1..=3).ended(ProcessEnd::Killed);
    fails(kept, complete, "missing 4", "no-length-ignored");
}

#[test]
fn a_client_that_waits_for_a_dead_line_is_told_so() {
    let run = || FeedRun::mold().datagram(1, 3).ended(ProcessEnd::Killed).writes(1..=3);
    let reports = FeedCondition::ReportsFailure;
    let silence = Duration::from_secs(4);
    fails(run().waits(silence), reports, "it did not end", "waits-in-silence");
    fails(run(), reports, "it did not end", "none");
    let other = MoldEventKind::Sent(DatagramKind::OtherSession(None));
    fails(run().waits(silence).event(other), reports, "it did not end", "waits-in-silence");
    let beat = MoldEventKind::Sent(DatagramKind::Heartbeat(4));
    fails(run().waits(silence).event(beat), reports, "it did not end", "none");
}

#[test]
fn a_client_that_logs_in_for_ever_is_told_so() {
    let logins = |count| {
        let run = FeedRun::soup().logs_in("", 1).accepts(1).sends(1, 3);
        (0..count).fold(run, |run, _| run.logs_in("DAY1", 4).accepts(4))
    };
    let reports = FeedCondition::ReportsFailure;
    let killed = |run: FeedRun| run.writes(1..=3).ended(ProcessEnd::Killed);
    fails(killed(logins(6)), reports, "it did not end", "retries-for-ever");
    fails(killed(logins(5)), reports, "it did not end", "none");
    fails(killed(logins(6).sends(4, 4)), reports, "it did not end", "none");
}

#[test]
fn logins_are_counted_a_second() {
    let few = Soup(SoupRule::FewLogins);
    let logins = |count: u32, pause: Duration| {
        (0..count).fold(FeedRun::soup(), |run, _| run.logs_in("", 1).waits(pause))
    };
    passes(logins(20, Duration::ZERO), few);
    fails(logins(21, Duration::ZERO), few, "it logged in 21 times within a second", "none");
    passes(logins(100, Duration::from_millis(60)), few);
    let refused = |count| {
        (0..count).fold(FeedRun::soup(), |run, _| {
            let run = run.logs_in("", 1).rejects(RejectReason::NotAuthorized);
            run.waits(Duration::from_secs(1))
        })
    };
    passes(refused(3), few);
    fails(refused(4), few, "user or password was wrong each time", "none");
    // That many take minutes if each is compared with each.
    let began = Instant::now();
    let many = FeedRun::soup().connects().client(&FeedRun::login("", 1), 100_000);
    fails(many, few, "it logged in 100000 times within a second", "none");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn heartbeats_are_missed_on_the_connection_that_has_none() {
    let beats = Soup(SoupRule::Heartbeats);
    let wait = Duration::from_millis(2600);
    let second = |run: FeedRun| {
        let run = run.wire(WireEventKind::Closed).waits(wait).logs_in("DAY1", 4).accepts(4);
        run.sends(4, 10)
    };
    let end = |run: FeedRun| run.exchange(&Packet::EndOfSession);
    let first = || FeedRun::soup().logs_in("", 1).accepts(1).sends(1, 3);
    // Between two connections nothing can be sent, and after the end nothing must be.
    passes(end(second(first())).waits(wait), beats);
    fails(end(second(first().waits(wait))), beats, "it sends no heartbeats", "no-heartbeats");
    fails(end(second(first()).waits(wait)), beats, "it sends no heartbeats", "no-heartbeats");
    let beat = |run: FeedRun| run.waits(wait / 2).client(&Packet::ClientHeartbeat, 1);
    passes(end(beat(beat(second(first())))), beats);
    let late = beat(second(first())).waits(wait);
    fails(end(late), beats, "heartbeats are too far apart", "no-heartbeats");
}
