//! Builder of the evidence of one run, for tests.

use crate::grade::cases::{Case, PassCondition};
use crate::grade::feeds::conditions::FeedCondition;
use crate::grade::feeds::evidence::FeedEvidence;
use crate::grade::feeds::judge::judge;
use crate::grade::feeds::mold::log::{DatagramKind, MoldEventKind, MoldLog, RequestKind};
use crate::grade::feeds::output::{FeedRow, FeedRows};
use crate::grade::feeds::protocol::GradedProtocol;
use crate::grade::feeds::tape::FeedTape;
use crate::grade::judge::Judged;
use crate::grade::observe::evidence::{ClientOutput, Evidence};
use crate::grade::observe::wire::{WireEventKind, WireLog};
use crate::grade::run::process::{FinishedProcess, ProcessEnd};
use feed::base::seq::{Seq, SeqRange};
use feed::wire::Protocol;
use feed::wire::mold::Session;
use feed::wire::soup::{LoginAccepted, LoginRequest, Packet, Password, RejectReason, Text};
use std::time::Duration;

/// Number of messages on the tape.
const LAST: Seq = 10;
/// Session of the exchange.
const SESSION: &str = "DAY1";

/// Run of a client, event by event. Each event takes a millisecond.
pub(crate) struct FeedRun {
    wire: WireLog,
    now: Duration,
    ended: ProcessEnd,
    output: ClientOutput<FeedRows>,
}

impl FeedRun {
    /// Returns a run in SoupBinTCP without any event.
    pub(crate) fn soup() -> Self {
        let ended = ProcessEnd::Exited(0);
        Self { wire: WireLog::default(), now: Duration::ZERO, ended, output: ClientOutput::None }
    }

    /// Returns a run in MoldUDP64 with one line, to whose port the client listens.
    pub(crate) fn mold() -> Self {
        let mut run = Self::soup();
        run.wire.mold = Some(MoldLog::new(Session::new(SESSION).unwrap(), LAST, vec![3000]));
        run.wire.open(Protocol::Mold, run.now);
        run.event(MoldEventKind::Joined)
    }

    fn tick(&mut self) -> Duration {
        self.now += Duration::from_millis(1);
        self.now
    }

    fn conn(&self) -> usize {
        self.wire.conns.len() - 1
    }

    /// Lets some time pass.
    pub(crate) fn waits(mut self, time: Duration) -> Self {
        self.now += time;
        self
    }

    /// Opens a connection.
    pub(crate) fn connects(mut self) -> Self {
        let now = self.tick();
        self.wire.open(Protocol::Soup, now);
        self
    }

    /// Sends a packet of the client on the last connection, some times at once.
    pub(crate) fn client(mut self, packet: &Packet<'_>, times: usize) -> Self {
        let (now, conn) = (self.tick(), self.conn());
        self.wire.receive(now, conn, &encoded(packet).repeat(times));
        self
    }

    /// Sends bytes of the exchange on the last connection, in one write.
    pub(crate) fn write(mut self, bytes: &[u8]) -> Self {
        let (now, conn) = (self.tick(), self.conn());
        self.wire.send(now, conn, bytes);
        self
    }

    /// Sends a packet of the exchange on the last connection, in a write of its own.
    pub(crate) fn exchange(self, packet: &Packet<'_>) -> Self {
        self.write(&encoded(packet))
    }

    /// Returns a login for a message of a session.
    pub(crate) fn login(session: &str, sequence: Seq) -> Packet<'static> {
        Packet::LoginRequest(LoginRequest {
            user: Text::BLANK,
            password: Password::new(Text::BLANK),
            session: Text::new(session).unwrap(),
            sequence,
            heartbeat_timeout: None,
        })
    }

    /// Opens a connection and logs in for message 1 with a user and a password.
    pub(crate) fn logs_in_as(self, user: &str, password: &str) -> Self {
        let Packet::LoginRequest(request) = Self::login("DAY1", 1) else { unreachable!() };
        let password = Password::new(Text::new(password).unwrap());
        let request = LoginRequest { user: Text::new(user).unwrap(), password, ..request };
        self.connects().client(&Packet::LoginRequest(request), 1)
    }

    /// Opens a connection and logs in for a message of a session.
    pub(crate) fn logs_in(self, session: &str, sequence: Seq) -> Self {
        self.connects().client(&Self::login(session, sequence), 1)
    }

    /// Accepts a login from this message on.
    pub(crate) fn accepts(self, sequence: Seq) -> Self {
        self.accepts_session(SESSION, sequence)
    }

    /// Accepts a login for a session, from this message on.
    pub(crate) fn accepts_session(self, session: &str, sequence: Seq) -> Self {
        let session = Text::new(session).unwrap();
        self.exchange(&Packet::LoginAccepted(LoginAccepted { session, sequence }))
    }

    /// Rejects a login.
    pub(crate) fn rejects(self, reason: RejectReason) -> Self {
        self.exchange(&Packet::LoginRejected(reason))
    }

    /// Sends messages of the tape in SoupBinTCP.
    pub(crate) fn sends(self, first: Seq, last: Seq) -> Self {
        (first..=last).fold(self, |run, seq| run.exchange(&Packet::Sequenced(&message(seq))))
    }

    /// Adds an event of the last connection.
    pub(crate) fn wire(mut self, what: WireEventKind) -> Self {
        let (now, conn) = (self.tick(), self.conn());
        self.wire.add_event(now, conn, what);
        self
    }

    /// Adds an event of the line.
    pub(crate) fn event(mut self, what: MoldEventKind) -> Self {
        let now = self.tick();
        self.wire.mold.as_mut().unwrap().add(now, 0, what);
        self
    }

    /// Sends a datagram of messages.
    pub(crate) fn datagram(self, first: Seq, last: Seq) -> Self {
        let range = SeqRange::new(first, last).unwrap();
        self.event(MoldEventKind::Sent(DatagramKind::Messages(range)))
    }

    /// Announces the end of the session in MoldUDP64.
    pub(crate) fn announces_end(self) -> Self {
        self.event(MoldEventKind::Sent(DatagramKind::End(LAST + 1)))
    }

    /// Requests messages.
    pub(crate) fn requests(self, first: Seq, last: Seq) -> Self {
        let range = SeqRange::new(first, last).unwrap();
        let kind = match last <= LAST {
            true => RequestKind::Messages(range),
            false => RequestKind::Beyond(range),
        };
        self.event(MoldEventKind::Requested(kind))
    }

    /// Writes messages of the tape without their sequences.
    pub(crate) fn writes(mut self, seqs: impl IntoIterator<Item = Seq>) -> Self {
        let row = |seq| FeedRow { sequence: None, content: message(seq) };
        let rows = FeedRows { rows: seqs.into_iter().map(row).collect(), shape: "columns" };
        let name = "out.itch".to_owned();
        self.output = ClientOutput::Found { name, rows, written: Some(self.now) };
        self
    }

    /// Writes messages of the tape, and rows that are none.
    pub(crate) fn writes_rows(self, seqs: impl IntoIterator<Item = Seq>, others: &[&[u8]]) -> Self {
        let mut run = self.writes(seqs);
        if let ClientOutput::Found { rows, .. } = &mut run.output {
            let others = others.iter().map(|row| row.to_vec());
            rows.rows.extend(others.map(|content| FeedRow { sequence: None, content }));
        }
        run
    }

    /// Ends the client in another way than with exit code 0.
    pub(crate) fn ended(mut self, ended: ProcessEnd) -> Self {
        self.ended = ended;
        self
    }

    /// Returns the evidence of the run.
    pub(crate) fn evidence(mut self) -> Evidence {
        let process = FinishedProcess {
            ended: self.ended,
            took: self.tick(),
            killed_at: None,
            early: None,
            busy: None,
            queued: None,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        let tape = FeedTape::new((1..=LAST).map(message).collect(), Vec::new());
        Evidence::of_feed(self.wire, process, FeedEvidence::new(tape, self.output))
    }

    /// Judges the run by a condition.
    pub(crate) fn judged(self, condition: FeedCondition) -> Judged {
        let evidence = self.evidence();
        let case = GradedProtocol::Soup.cases()[0];
        let case = Case { passes: PassCondition::Feed(condition), ..case };
        judge(&case, &evidence, evidence.feed.as_ref().unwrap())
    }

    /// Judges the run by a condition. Returns the actual result and the name of its cause, or
    /// "passed".
    pub(crate) fn result(self, condition: FeedCondition) -> (String, &'static str) {
        let judged = self.judged(condition);
        assert!(judged.not_judged.is_none(), "{judged:?}");
        judged.failure.map_or(("passed".to_owned(), "none"), |failure| {
            (failure.actual, failure.cause.map_or("none", |cause| cause.id))
        })
    }
}

/// Returns the message of a sequence.
pub(crate) fn message(seq: Seq) -> Vec<u8> {
    format!("message {seq}").into_bytes()
}

/// Returns the bytes of a packet.
pub(crate) fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).unwrap();
    bytes
}
