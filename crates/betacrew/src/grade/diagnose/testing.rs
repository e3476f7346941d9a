//! Builder of evidence for the tests of causes.

use super::super::cases::{CASES, Case, PassCondition};
use super::hypotheses::{CaseRun, settle};
use crate::grade::observe::call_lengths::{CallKind, LongCall};
use crate::grade::observe::evidence::{ClientOutput, Evidence};
use crate::grade::observe::fields::OutputField;
use crate::grade::observe::rows::{OutputRow, OutputRows};
use crate::grade::observe::wire::{WireEventKind, WireLog};
use crate::grade::run::process::{FinishedProcess, ProcessEnd};
use feed::base::seq::{Seq, to_index};
use feed::tape::in_memory::Tape;
use feed::wire::packet::Packet;
use feed::wire::{Call, FRAME_LEN, Frame, Protocol, decode};
use std::time::Duration;

/// Run under construction: events that follow each other at intervals of 20 ms.
pub(crate) struct RunBuilder {
    tape: Tape,
    packets: Vec<Packet>,
    wire: WireLog,
    now: Duration,
    conn: usize,
    rows: Option<Vec<OutputRow>>,
    written: Option<Duration>,
    ended: ProcessEnd,
    stderr: String,
    stdout: String,
    busy: Option<Duration>,
    unclear: Option<(String, String)>,
    foreign: bool,
    case: Option<&'static Case>,
}

/// Begins a run on the tape of the original exercise.
pub(crate) fn classic_run() -> RunBuilder {
    run_on(Tape::classic())
}

/// Begins a run on another tape.
pub(crate) fn run_on(tape: Tape) -> RunBuilder {
    let packet = |frame| match decode(frame) {
        Ok(Frame::Packet(packet)) => Some(packet),
        _ => None,
    };
    let packets = tape.frames().iter().filter_map(packet).collect();
    RunBuilder {
        tape,
        packets,
        wire: WireLog::default(),
        now: Duration::ZERO,
        conn: 0,
        rows: None,
        written: None,
        ended: ProcessEnd::Exited(0),
        stderr: String::new(),
        stdout: String::new(),
        busy: None,
        unclear: None,
        foreign: false,
        case: None,
    }
}

impl RunBuilder {
    fn tick(&mut self) -> Duration {
        self.now += Duration::from_millis(20);
        self.now
    }

    fn bytes(&self, seqs: &[Seq]) -> Vec<u8> {
        let frames = self.tape.frames();
        seqs.iter().flat_map(|seq| frames[to_index(*seq - 1)]).collect()
    }

    pub(crate) fn connect(mut self) -> Self {
        let now = self.tick();
        self.conn = self.wire.open(Protocol::Betacrew, now);
        self
    }

    /// Lets the client read everything on the connection before each write.
    pub(crate) fn one_by_one(mut self) -> Self {
        self.wire.conns[self.conn].read_one_by_one = true;
        self
    }

    pub(crate) fn call(mut self, call: Call) -> Self {
        let now = self.tick();
        self.wire.call(now, self.conn, call);
        self
    }

    fn what(mut self, what: WireEventKind) -> Self {
        let now = self.tick();
        self.wire.add_event(now, self.conn, what);
        self
    }

    /// Sends packets, each in a write of its own.
    pub(crate) fn send(mut self, seqs: impl IntoIterator<Item = Seq>) -> Self {
        for seq in seqs {
            self = self.together([seq]);
        }
        self
    }

    /// Sends packets in one write.
    pub(crate) fn together<const N: usize>(mut self, seqs: [Seq; N]) -> Self {
        let (bytes, now) = (self.bytes(&seqs), self.tick());
        self.wire.send(now, self.conn, &bytes);
        self
    }

    /// Sends any number of packets in one write.
    pub(crate) fn together_all(mut self, seqs: impl IntoIterator<Item = Seq>) -> Self {
        let seqs: Vec<Seq> = seqs.into_iter().collect();
        let (bytes, now) = (self.bytes(&seqs), self.tick());
        self.wire.send(now, self.conn, &bytes);
        self
    }

    /// Sends the first `size` bytes of a packet.
    pub(crate) fn part(mut self, seq: Seq, size: usize) -> Self {
        let (bytes, now) = (self.bytes(&[seq]), self.tick());
        self.wire.send(now, self.conn, &bytes[..size]);
        self
    }

    /// Sends packets in writes of `size` bytes.
    pub(crate) fn pieces(mut self, seqs: impl IntoIterator<Item = Seq>, size: usize) -> Self {
        let seqs: Vec<Seq> = seqs.into_iter().collect();
        let bytes = self.bytes(&seqs);
        for piece in bytes.chunks(size) {
            let now = self.tick();
            self.wire.send(now, self.conn, piece);
        }
        self
    }

    /// Sends the first `size` bytes of a packet, after which the client ends its side, and then the
    /// rest.
    pub(crate) fn together_cut(mut self, seq: Seq, size: usize) -> Self {
        let bytes = self.bytes(&[seq]);
        let now = self.tick();
        self.wire.send(now, self.conn, &bytes[..size]);
        self = self.ends();
        let now = self.tick();
        self.wire.send(now, self.conn, &bytes[size..]);
        self.finished().closed()
    }

    /// Sends a packet with another byte at `place`.
    pub(crate) fn damaged(mut self, seq: Seq, place: usize, byte: u8) -> Self {
        let (mut bytes, now) = (self.bytes(&[seq]), self.tick());
        assert!(place < FRAME_LEN);
        bytes[place] = byte;
        self.wire.send(now, self.conn, &bytes);
        self
    }

    /// Sends a stream of these packets, and ends it.
    pub(crate) fn stream(self, seqs: impl IntoIterator<Item = Seq>) -> Self {
        self.connect().call(Call::Stream).send(seqs).what(WireEventKind::Finished).closed()
    }

    /// Requests packets on a new connection.
    pub(crate) fn ask(self, seqs: impl IntoIterator<Item = Seq>) -> Self {
        seqs.into_iter()
            .fold(self.connect(), |classic_run, seq| classic_run.call(Call::Resend(seq)))
    }

    /// Requests packets, sends them, and closes the connection.
    pub(crate) fn fill(self, seqs: impl IntoIterator<Item = Seq> + Clone) -> Self {
        self.ask(seqs.clone()).send(seqs).hang_up()
    }

    pub(crate) fn closed(self) -> Self {
        self.what(WireEventKind::Closed)
    }

    pub(crate) fn finished(self) -> Self {
        self.what(WireEventKind::Finished)
    }

    pub(crate) fn ends(self) -> Self {
        self.what(WireEventKind::ClientEnded)
    }

    pub(crate) fn hang_up(self) -> Self {
        self.ends().closed()
    }

    pub(crate) fn reset(self) -> Self {
        self.what(WireEventKind::Reset)
    }

    pub(crate) fn reset_by_exchange(self) -> Self {
        self.what(WireEventKind::ResetByExchange)
    }

    /// Writes an output with these packets now.
    pub(crate) fn write(self, seqs: impl IntoIterator<Item = Seq>) -> Self {
        self.write_as(seqs, |_, _| {})
    }

    /// Writes an output with these packets, each changed by `change`.
    pub(crate) fn write_as(
        mut self,
        seqs: impl IntoIterator<Item = Seq>,
        change: impl Fn(&Packet, &mut Vec<(OutputField, Option<String>)>),
    ) -> Self {
        let packets = &self.packets;
        let row = |seq: Seq| {
            let packet = &packets[to_index(seq - 1)];
            let fields = OutputField::ALL.map(|field| (field, Some(field.expected(packet))));
            let mut fields = fields.to_vec();
            change(packet, &mut fields);
            let mut row = OutputRow::default();
            fields.into_iter().for_each(|(field, value)| row.set(field, value));
            row
        };
        self.rows = Some(seqs.into_iter().map(row).collect());
        self.written = Some(self.tick());
        self
    }

    pub(crate) fn unclear(mut self, name: &str, why: &str) -> Self {
        self.unclear = Some((name.to_owned(), why.to_owned()));
        self
    }

    /// Writes an output that is not understood.
    pub(crate) fn foreign(mut self) -> Self {
        self.foreign = true;
        self
    }

    pub(crate) fn ended(mut self, ended: ProcessEnd) -> Self {
        self.ended = ended;
        self
    }

    /// Lets a second pass without events.
    pub(crate) fn idle(self) -> Self {
        self.waits(Duration::from_secs(1))
    }

    /// Lets some time pass without events.
    pub(crate) fn waits(mut self, time: Duration) -> Self {
        self.now += time;
        self
    }

    /// Assigns the run to a case of the table.
    pub(crate) fn in_case(mut self, id: &str) -> Self {
        self.case = CASES.iter().find(|case| case.id == id);
        assert!(self.case.is_some(), "{id}");
        self
    }

    pub(crate) fn busy(mut self) -> Self {
        self.busy = Some(self.now);
        self
    }

    /// Lets the last call of the connection lack its second byte.
    pub(crate) fn half_call(mut self) -> Self {
        self.wire.conns[self.conn].half_call = true;
        self
    }

    /// Lets the client print a text to its standard output.
    pub(crate) fn prints(mut self, stdout: &str) -> Self {
        self.stdout = stdout.to_owned();
        self
    }

    pub(crate) fn says(mut self, stderr: &str) -> Self {
        self.stderr = stderr.to_owned();
        self
    }

    /// Prints on stdout what is no output.
    pub(crate) fn logs(mut self, stdout: &str) -> Self {
        self.stdout = stdout.to_owned();
        self
    }

    /// Sends only the first byte of the last call.
    pub(crate) fn half(mut self) -> Self {
        self.wire.conns[self.conn].half_call = true;
        self
    }

    /// Sends the last call with more bytes than two.
    pub(crate) fn long(mut self, kind: CallKind, len: usize) -> Self {
        self.wire.note_long_call(self.conn, LongCall { kind, len });
        self
    }

    /// Ends with the death of the exchange.
    pub(crate) fn dies(mut self) -> Self {
        self.wire.exchange_died = true;
        self
    }

    pub(crate) fn evidence(mut self) -> Evidence {
        let took = self.tick();
        let stderr = self.stderr.into_bytes();
        let process = FinishedProcess {
            ended: self.ended,
            took,
            killed_at: None,
            early: None,
            busy: self.busy,
            queued: None,
            stdout: self.stdout.into_bytes(),
            stderr,
        };
        let output = match (self.rows, self.unclear) {
            (Some(rows), _) => {
                let rows = OutputRows { rows, ..OutputRows::default() };
                ClientOutput::Found { name: "output.json".to_owned(), rows, written: self.written }
            }
            (None, Some((name, why))) => ClientOutput::Unclear { name, why },
            (None, None) if self.foreign => {
                let [name, why, remedy] =
                    ["stdout", "has packets, but in no known form", "--output FILE"];
                let (name, why, remedy) = (name.to_owned(), why.to_owned(), remedy.to_owned());
                ClientOutput::Foreign { name, why, remedy }
            }
            (None, None) => ClientOutput::None,
        };
        Evidence::new(self.packets, self.wire, process, output)
    }

    /// Returns the cause of the run for a case that expects a complete output in order.
    pub(crate) fn cause(self) -> (&'static str, String) {
        self.cause_for(PassCondition::InOrder)
    }

    /// Returns the cause of the run for another condition.
    pub(crate) fn cause_for(self, passes: PassCondition) -> (&'static str, String) {
        let (case, evidence) = (self.case, self.evidence());
        let run = CaseRun { case, passes, evidence: &evidence, failed: true };
        let found = settle(&[run]).pop().flatten().map(|cause| (cause.id, cause.text));
        found.unwrap_or(("none", String::new()))
    }

    /// Returns the name of the cause, or "none".
    pub(crate) fn id(self) -> &'static str {
        self.cause().0
    }
}

/// Returns the names of the causes of several runs of one client, or "none". The second member of
/// each run is true if it failed.
pub(crate) fn named_in(runs: Vec<(RunBuilder, bool)>) -> Vec<&'static str> {
    causes_in(runs).into_iter().map(|(id, ..)| id).collect()
}

/// Returns the name, the text and the number of runs that show it, of the cause of each of several
/// runs of one client.
pub(crate) fn causes_in(runs: Vec<(RunBuilder, bool)>) -> Vec<(&'static str, String, u32)> {
    causes_for(runs.into_iter().map(|(run, failed)| (run, PassCondition::InOrder, failed)))
}

/// Returns the causes of several runs of one client, each with its own condition.
pub(crate) fn causes_for(
    runs: impl IntoIterator<Item = (RunBuilder, PassCondition, bool)>,
) -> Vec<(&'static str, String, u32)> {
    let runs: Vec<_> = runs
        .into_iter()
        .map(|(run, passes, failed)| (run.case, passes, run.evidence(), failed))
        .collect();
    let runs: Vec<CaseRun<'_>> = runs
        .iter()
        .map(|(case, passes, evidence, failed)| CaseRun {
            case: *case,
            passes: *passes,
            evidence,
            failed: *failed,
        })
        .collect();
    let name = |cause: super::Cause| (cause.id, cause.text, cause.shown_by);
    settle(&runs).into_iter().map(|c| c.map_or(("none", String::new(), 0), name)).collect()
}
