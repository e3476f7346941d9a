//! One recording, from its beginning or from where it was left to where it is put away.

use super::sessions::{SessionName, SessionTurn};
use super::{FetchArgs, places};
use crate::error::{Exit, Failure};
use crate::format::Format;
use crate::http::{ClientMonitor, Web};
use crate::net::{self, LoopEvent, Stop};
use crate::output::Output;
use crate::output::counters::{OutputCounters, WriteCounters};
use crate::output::place::fitting_name;
use crate::output::rotating::{RotatingFiles, with_part};
use crate::output::sink::{PacketSink, Stdout};
use crate::record::fan_out::FanOut;
use crate::record::observer::GapObserver;
use crate::record::report::RecordingReport;
use crate::record::store::{RecordingStore, Resumed, SyncPolicy};
use crate::record::summary;
use crate::terminal::progress::Progress;
use crate::terminal::signals;
use crate::text::formatting::{count, took};
use crate::text::location::shown;
use feed::base::seq::{FIRST_SEQ, SeqSet};
use feed::client::{IncompleteReason, PassEnd, Recorder, RecorderEvent};
use feed::session::completeness::Facts;
use feed::wire::{Info, SessionId, VERSION};
use std::ffi::OsStr;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What `fetch` does to record one session.
pub(super) struct FetchRecording<'a> {
    args: &'a FetchArgs,
    /// What its files are named after besides what was typed: a session that came after another.
    named: Option<SessionName>,
    capture: RecordingStore,
    recorder: Recorder,
    outputs: Vec<(Output, Format)>,
    outlets: Vec<Box<dyn PacketSink>>,
    report: Option<Output>,
    /// What has been written to each of its outputs, by the output's name.
    written: Vec<(String, WriteCounters)>,
    /// Signals ask for an orderly end while it exists.
    #[expect(dead_code, reason = "it acts when it is dropped")]
    orderly: signals::SignalScope,
}

/// What a recording came to.
pub(super) struct FinishedRecording {
    pub(super) exit: Exit,
    /// What was recorded.
    pub(super) session: Option<SessionId>,
    /// The session that the exchange plays now instead.
    pub(super) next: Option<SessionId>,
}

impl<'a> FetchRecording<'a> {
    /// Begins a recording, or goes on with one, and all that it is to be written to.
    pub(super) fn begin(
        args: &'a FetchArgs,
        turn: SessionTurn,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let named = turn.name;
        places::check(args, named)?;
        let durable = args.sync != SyncPolicy::Never;
        let own = |path: &Path| own(path, named);
        let (mut outputs, mut outlets) = (Vec::new(), Vec::<Box<dyn PacketSink>>::new());
        let mut written = Vec::new();
        let mut count = |path: &Path, counts| {
            let name = shown(path).to_string();
            // Of two that are to stand in one place the later one will.
            written.retain(|(other, _)| *other != name);
            written.push((name, counts));
        };
        for path in &args.output {
            if !args.is_streamed(path) {
                let format = args.format_of(path)?;
                let output = Output::begin_as(&own(path), format)?;
                count(path, output.written());
                outputs.push((output.durable(durable), format));
            } else if path == Path::new("-") {
                let format = args.format_of_stdout()?;
                let from = if named.is_none() { args.from } else { FIRST_SEQ };
                let stdout = Stdout::new(format, named.is_some(), from, stop)?;
                count(path, stdout.written());
                outlets.push(Box::new(stdout));
            } else {
                // They are named after their sessions anyway.
                let format = args.format_of(path)?;
                let pieces = RotatingFiles::new(path, format, &args.rotate, durable)?;
                count(path, pieces.written());
                outlets.push(Box::new(pieces));
            }
        }
        if let Some(url) = &args.publish {
            let patience = args.timeout.unwrap_or(super::TIMEOUT);
            let published = WriteCounters::default();
            count(url, published.clone());
            outlets.push(args.publishing.outlet(url, patience, stop, published)?);
        }
        let report = args.report.as_deref().map(|path| Output::begin(&own(path))).transpose()?;
        let report = report.map(|output| output.durable(durable));
        // From the first file of the recording on there is something to put in order.
        let orderly = signals::orderly();
        let (mut capture, recorder) = open(args, turn)?;
        if report.is_some() {
            capture.keep_history();
        }
        Ok(Self { args, named, capture, recorder, outputs, outlets, report, written, orderly })
    }

    /// Records, writes what is to be written, says what came of it and puts the recording away.
    pub(super) fn run(
        mut self,
        lines: &[Vec<SocketAddr>],
        stop: &Stop,
        web: Option<&Web>,
    ) -> Result<FinishedRecording, Failure> {
        let args = self.args;
        let mut progress = Progress::new(args.timeout());
        let outputs = std::mem::take(&mut self.written);
        let places = OutputCounters { tape: self.capture.written(), outputs };
        let history = ClientMonitor::new(web, &args.addresses, places);
        self.outlets.extend(web.map(Web::books).transpose()?);
        let (took, handed_on) = self.record(lines, &mut progress, stop, &history)?;
        let facts = self.facts();
        let exit = Exit::of(&facts);
        let wanted = facts.writes_outputs(args.allow_gaps);
        if let Some(outcome) = self.recorder.outcome() {
            self.capture.conclude(outcome.last, &facts)?;
        }
        let outputs = std::mem::take(&mut self.outputs);
        if wanted {
            let tick = || history.tick(&self.recorder);
            write(outputs, &self.capture, &mut progress, stop, tick)?;
        }
        if let Some(report) = self.report.take() {
            let content =
                RecordingReport::new(&args.addresses, &self.recorder, &self.capture, took, facts);
            let _blocks = report.is_stream().then(signals::may_block);
            report.put(|out| {
                let mut out = std::io::BufWriter::new(out);
                serde_json::to_writer_pretty(&mut out, &content)?;
                out.write_all(b"\n")?;
                out.flush()
            })?;
        }
        self.tell(took, wanted, &facts);
        if let Err(failure) = handed_on {
            self.keep()?;
            return Err(failure);
        }
        self.put_away(&facts)?;
        Ok(FinishedRecording { exit, session: self.recorder.session(), next: self.next() })
    }

    /// Records, and hands on what comes; returns how long that took, and why a log that was there
    /// to be published to does not have all of it.
    fn record(
        &mut self,
        lines: &[Vec<SocketAddr>],
        progress: &mut Progress,
        stop: &Stop,
        history: &ClientMonitor<'a>,
    ) -> Result<(Duration, Result<(), Failure>), Failure> {
        let began = Instant::now();
        let outlets = std::mem::take(&mut self.outlets);
        let outputs = self.has_outputs();
        let tee = FanOut::new(&mut self.capture, outlets, (self.args.skip_lost, outputs))?;
        let mut tee = GapObserver { sink: tee, history };
        net::fetch(lines, &mut self.recorder, &mut tee, stop, |event| match event {
            LoopEvent::Tick(recorder) => {
                progress.tick(recorder);
                history.tick(recorder);
            }
            LoopEvent::Note(recorder, note) => tell(&self.args.addresses, recorder, note, progress),
        })
        .map_err(|source| Failure::System { action: "cannot watch connections", source })?;
        let took = began.elapsed();
        progress.end();
        match tee.sink.end() {
            #[cfg(feature = "nats")]
            Err(failure @ Failure::Log(_)) => Ok((took, Err(failure))),
            done => done.map(|()| (took, Ok(()))),
        }
    }

    /// Keeps a recording of which something is still to be done.
    fn keep(&mut self) -> Result<(), Failure> {
        self.capture.finish()?;
        if let Some(place) = place(self.args, self.named) {
            let place = shown(&place);
            crate::terminal::message::message!(
                "  the recording stays in {place}: the same command goes on"
            );
        }
        Ok(())
    }

    /// The session that has taken this one's place.
    fn next(&self) -> Option<SessionId> {
        let outcome = self.recorder.outcome()?;
        let over = self.args.follow && outcome.why == Some(IncompleteReason::OtherSession);
        let mut lines = (0..).map_while(|line| self.recorder.line(line));
        over.then(|| lines.find_map(|line| line.other_session)).flatten()
    }

    /// Returns whether anything but a reader of stdout is to have the packets in the end.
    fn has_outputs(&self) -> bool {
        let file = |path: &PathBuf| path != Path::new("-");
        self.args.output.iter().any(file) || self.args.publish.is_some()
    }

    /// Facts about the recording, once it has ended.
    fn facts(&self) -> Facts {
        let outputs = self.has_outputs();
        Facts { outputs, ..Facts::of(&self.recorder, self.capture.packets()) }
    }

    /// Says what the recording came to.
    fn tell(&self, took: Duration, written: bool, facts: &Facts) {
        let args = self.args;
        let places: Vec<PathBuf> = args.output.iter().map(|path| own(path, self.named)).collect();
        let places = written.then_some(places.as_slice());
        let recording = (&self.recorder, &self.capture);
        let text = summary::text(&args.addresses, recording, took, places, facts);
        crate::terminal::message::show_text(&text);
        if let (Some(last), Some(outcome)) = (args.last, self.recorder.outcome())
            && last < outcome.last
        {
            let is = outcome.last;
            crate::terminal::message::message!(
                "  WARNING  --last {last} is wrong: there is a packet {is}"
            );
        }
    }

    /// Removes a recording that is done with, or says how to go on with one that is not.
    fn put_away(&mut self, facts: &Facts) -> Result<(), Failure> {
        let Some(place) = place(self.args, self.named) else { return Ok(()) };
        let refused = match facts.why {
            Some(IncompleteReason::OtherSession) => !facts.follow,
            why => why == Some(IncompleteReason::SessionUntold),
        };
        if refused {
            crate::terminal::message::message!(
                "  the packets recorded so far stay in {}; --restart throws them away",
                shown(&place)
            );
        } else if self.args.tape.is_some() {
            self.capture.finish()?;
        } else if !facts.keeps_recording() || self.capture.is_blank() {
            return self.capture.remove();
        } else if facts.why == Some(IncompleteReason::OtherSession) {
            crate::terminal::message::message!("  the packets that came stay in {}", shown(&place));
        } else {
            crate::terminal::message::message!(
                "  resume   the same command goes on where this one ended"
            );
        }
        Ok(())
    }
}

/// A place as it was typed, or named after a session that came later.
pub(super) fn own(path: &Path, named: Option<SessionName>) -> PathBuf {
    match named {
        Some(name) if !is_stream(path) => with_part(path, &name.part()),
        _ => path.to_owned(),
    }
}

/// Returns whether a place is a pipe or a device, which is not named after sessions.
pub(super) fn is_stream(path: &Path) -> bool {
    path == Path::new("-") || std::fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// Where the recording is kept while it is made; `None` where nobody could find it again.
pub(super) fn place(args: &FetchArgs, named: Option<SessionName>) -> Option<PathBuf> {
    if let Some(tape) = &args.tape {
        return Some(own(tape, named));
    }
    // Beside the first file; a device has no room beside it.
    args.output.iter().find(|path| !is_stream(path)).map(|path| {
        let output = own(path, named);
        let name = output.file_name().unwrap_or_default();
        output.with_file_name(fitting_name(name, OsStr::new(".tape")))
    })
}

/// Begins a recording at its place, or goes on with the one that is there.
fn open(args: &FetchArgs, turn: SessionTurn) -> Result<(RecordingStore, Recorder), Failure> {
    let lines = u16::try_from(args.addresses.len())
        .map_err(|_| Failure::Usage("there can be 65,535 lines at most".to_owned()))?;
    // Files of a later session are named after it, so that no other session may go there.
    let begun = || match turn.name {
        Some(SessionName { session, .. }) => {
            let info = Info { session, version: VERSION, first: FIRST_SEQ, last: 0 };
            Recorder::resume(args.options(), lines, 0, &SeqSet::new(), Some(info))
        }
        None => Recorder::new(args.options(), lines),
    };
    let Some(place) = place(args, turn.name) else {
        return Ok((RecordingStore::unnamed()?, begun()));
    };
    // A session that this run has recorded before is gone on with, or its packets would be lost.
    if args.restart && !turn.again {
        return Ok((RecordingStore::anew(&place, args.sync)?, begun()));
    }
    let (capture, resumed) = RecordingStore::open(&place, args.sync)?;
    let Some(before) = resumed else { return Ok((capture, begun())) };
    crate::terminal::message::message!(
        "going on with {}: {} recorded before",
        shown(&place),
        count(before.packets, "packet")
    );
    if before.damages > 0 {
        let places = count(before.damages.into(), "place");
        crate::terminal::message::message!(
            "  it is damaged in {places}; what was there is asked for again"
        );
    }
    let Resumed { highest, missing, session, .. } = before;
    let mut capture = capture;
    if !args.follow {
        capture.asks_for_rest(highest);
    }
    Ok((capture, Recorder::resume(args.options(), lines, highest, &missing, session)))
}

/// Writes what was recorded into its places. Where that ends early, it says which of several were
/// replaced.
fn write(
    outputs: Vec<(Output, Format)>,
    capture: &RecordingStore,
    progress: &mut Progress,
    stop: &Stop,
    tick: impl Fn(),
) -> Result<(), Failure> {
    let stops = stop.times();
    let places: Vec<PathBuf> = outputs.iter().map(|(output, _)| output.path().into()).collect();
    for (at, (output, format)) in outputs.into_iter().enumerate() {
        // The recording is safe; a reader that never reads would keep it waiting for ever.
        let written = output.written();
        let bytes = move || written.look().1;
        let _blocks = output.is_stream().then(|| signals::may_block_writing(bytes));
        progress.writing(output.path(), capture.packets());
        let done = output.encode(format, |put| {
            capture.read_for(format, &mut |frames, arrival| {
                progress.wrote(frames.len() as u64);
                if stop.times() > stops {
                    return Err(Failure::Stopped);
                }
                put(frames, arrival)?;
                tick();
                Ok(())
            })?;
            Ok(capture.told())
        });
        progress.end();
        if let Err(failure) = done {
            if places.len() > 1 {
                crate::terminal::message::message!("{}", left(&places, at));
            }
            return Err(failure);
        }
    }
    Ok(())
}

/// Says which of several outputs were written when writing ended early at number `at`.
fn left(places: &[PathBuf], at: usize) -> String {
    let list = |places: &[PathBuf]| {
        let names: Vec<String> = places.iter().map(|place| shown(place).to_string()).collect();
        names.join(", ")
    };
    match places.split_at(at) {
        ([], not) => format!("no output was replaced: {}", list(not)),
        (done, not) => format!("replaced: {}; not replaced: {}", list(done), list(not)),
    }
}

fn tell(addresses: &[String], recorder: &Recorder, note: RecorderEvent, progress: &mut Progress) {
    let at = |line: u16| addresses.get(usize::from(line)).map_or("?", String::as_str);
    match note {
        RecorderEvent::Unreachable { line, .. } => {
            if let Some(stats) = recorder.line(line) {
                progress.waiting(line, at(line), stats);
            }
            tracing::debug!("{}: no connection", at(line));
        }
        RecorderEvent::LineGivenUp { line }
            if recorder.line(line).is_some_and(|line| line.reached) =>
        {
            tracing::warn!("{}: no more connections are made; given up", at(line));
        }
        RecorderEvent::LineGivenUp { line } => tracing::debug!("{}: given up", at(line)),
        RecorderEvent::Described { line, info } => tracing::debug!(
            "{}: session {}, packets {} to {}",
            at(line),
            info.session,
            info.first,
            info.last
        ),
        RecorderEvent::PassBegan { line, pass } => {
            tracing::debug!("{}: pass {pass} begins", at(line))
        }
        RecorderEvent::PassEnded { line, pass, delivered, end: PassEnd::Complete } => {
            tracing::debug!("{}: pass {pass} brought {}", at(line), count(delivered, "packet"));
        }
        RecorderEvent::PassEnded { line, pass, delivered, end: PassEnd::Silent } => {
            let brought = count(delivered, "packet");
            tracing::warn!("{}: pass {pass} fell silent after {brought}", at(line));
        }
        RecorderEvent::PassEnded { line, pass, delivered, end: PassEnd::CutOff } => {
            let brought = count(delivered, "packet");
            tracing::warn!("{}: pass {pass} was cut off after {brought}", at(line));
        }
        RecorderEvent::PacketsForgotten { packets } => tracing::warn!(
            "{} recorded before the exchange told its session: asked for again",
            count(packets, "packet")
        ),
        RecorderEvent::GapAbandoned { range } => {
            tracing::warn!("lost: packet {range} did not come in time and is given up");
        }
        RecorderEvent::OtherSession { line, session } => {
            let recorded = recorder.session().map(|id| format!(" instead of {id}"));
            let instead = recorded.unwrap_or_default();
            tracing::warn!("{}: plays another session, {session}{instead}", at(line));
        }
        RecorderEvent::Stopping { wait } => crate::terminal::message::message!(
            "stopping: waiting up to {} for the original exchange, Ctrl+C again to leave now",
            took(wait)
        ),
        RecorderEvent::AwaitingResends { packets, wait } => crate::terminal::message::message!(
            "stopping: waiting up to {} for {}; Ctrl+C leaves now",
            took(wait),
            count(packets, "missing packet")
        ),
        RecorderEvent::ResendFailed { line, tries } => {
            tracing::debug!("{}: resend requests unanswered, try {tries}", at(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::base::seq::SeqRange;
    use feed::ledger::{Origin, Sink, Source};
    use feed::tape::in_memory::Tape;
    use std::cell::Cell;

    #[test]
    fn outputs_that_were_replaced_are_told_from_those_that_were_not() {
        let places: Vec<PathBuf> = ["a.json", "b.csv", "c.tape"].map(PathBuf::from).into();
        assert_eq!(left(&places, 0), "no output was replaced: a.json, b.csv, c.tape");
        assert_eq!(left(&places, 1), "replaced: a.json; not replaced: b.csv, c.tape");
        assert_eq!(left(&places, 2), "replaced: a.json, b.csv; not replaced: c.tape");
    }

    #[test]
    fn a_stop_between_two_outputs_replaces_the_first_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut capture = RecordingStore::unnamed().unwrap();
        let origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
        capture.on_packets(origin, Tape::random(5000, 1).frames(), Duration::ZERO);
        capture.end().unwrap();
        let places = ["a.csv", "b.csv"].map(|name| folder.path().join(name));
        places.iter().for_each(|place| std::fs::write(place, "old").unwrap());
        let outputs = places.each_ref().map(|place| Output::begin_as(place, Format::Csv).unwrap());
        let second = outputs[1].written();
        let (stop, mut progress) = (Stop::new(), Progress::new(Duration::from_secs(1)));
        let tick = || {
            // The user presses Ctrl+C when the second one has begun.
            if second.look().0 > 0 {
                stop.stop();
            }
        };
        let outputs = outputs.into_iter().map(|output| (output, Format::Csv)).collect();
        // What is left of the second one is read in more than one piece.
        let origin = Origin { line: 0, source: Source::Resend };
        capture.on_packets(origin, Tape::random(9000, 1).slice(seqs(5001, 9000)), Duration::ZERO);
        capture.end().unwrap();
        let done = write(outputs, &capture, &mut progress, &stop, tick);
        assert!(matches!(done, Err(Failure::Stopped)), "{done:?}");
        let read = |place: &Path| std::fs::read_to_string(place).unwrap();
        assert_eq!(read(&places[0]).lines().count(), 9001);
        assert_eq!(read(&places[1]), "old");
    }

    fn seqs(first: u32, last: u32) -> SeqRange {
        SeqRange::new(first, last).unwrap()
    }

    #[test]
    fn who_looks_is_told_how_far_writing_has_come() {
        let folder = tempfile::tempdir().unwrap();
        let mut capture = RecordingStore::unnamed().unwrap();
        let origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
        let tape = Tape::random(5000, 1);
        capture.on_packets(origin, tape.frames(), Duration::ZERO);
        capture.end().unwrap();
        assert_eq!(capture.written().look().0, 5000);
        assert!(capture.written().look().1 >= 5000 * 17);
        let path = folder.path().join("out.csv");
        let output = Output::begin_as(&path, Format::Csv).unwrap();
        let (written, seen) = (output.written(), Cell::new(0));
        let mut progress = Progress::new(Duration::from_secs(1));
        let tick = || seen.set(written.look().0);
        write(vec![(output, Format::Csv)], &capture, &mut progress, &Stop::new(), tick).unwrap();
        assert_eq!(seen.get(), 5000);
        assert_eq!(written.look(), (5000, path.metadata().unwrap().len()));
    }
}
