//! One recording of `fetch`: it is opened or continued, made, written to its outputs and closed.

use super::events::log_event;
use super::lines::FetchLines;
use super::sessions::{SessionName, SessionTurn};
use super::{FetchArgs, places};
use crate::error::{Exit, Failure};
use crate::format::{Format, Payload};
use crate::http::{ClientMonitor, Web};
use crate::net::{self, LoopEvent, Stop};
use crate::output::Output;
use crate::output::counters::{OutputCounters, WriteCounters};
use crate::output::place::fitting_name;
use crate::output::rotating::{RotatingFiles, series, with_part};
use crate::output::sink::{PacketSink, SessionOrder, Stdout};
use crate::record::fan_out::{AbandonedPackets, FanOut, MissingPackets};
use crate::record::observer::GapObserver;
use crate::record::report::RecordingReport;
use crate::record::store::{RecordingStore, Resumed};
use crate::record::summary::{self, SummaryPlaces};
use crate::storage::Durability;
use crate::terminal::progress::Progress;
use crate::terminal::signals;
use crate::text::formatting::{count, noun};
use crate::text::location::shown;
use feed::base::seq::{FIRST_SEQ, SeqSet};
use feed::client::{IncompleteReason, Recorder, SessionPayload};
use feed::session::completeness::{Facts, GapPolicy};
use feed::wire::{Info, SessionId, VERSION};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Recording of one session, with its outputs.
pub(super) struct FetchRecording<'a> {
    args: &'a FetchArgs,
    lines: &'a FetchLines,
    /// Session in the names of its files; `None` for the names that were typed.
    named: Option<SessionName>,
    store: RecordingStore,
    recorder: Recorder,
    outputs: Vec<(Output, Format)>,
    outlets: Vec<Box<dyn PacketSink>>,
    report: Option<Output>,
    /// Counters of each output, by the output's name.
    written: Vec<(String, WriteCounters)>,
    /// Scope in which signals request an orderly end.
    #[expect(dead_code, reason = "it acts when it is dropped")]
    orderly: signals::SignalScope,
}

/// Result of a recording that has ended.
pub(super) struct FinishedRecording {
    /// Exit code of the recording.
    pub(super) exit: Exit,
    /// Session that was recorded, if the exchange announced it.
    pub(super) session: Option<SessionId>,
    /// Session that the exchange plays now instead.
    pub(super) next: Option<SessionId>,
}

impl<'a> FetchRecording<'a> {
    /// Opens a new recording or continues an existing one, and opens all its outputs.
    pub(super) fn begin(
        args: &'a FetchArgs,
        lines: &'a FetchLines,
        turn: SessionTurn,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let named = turn.name;
        places::check(args, named)?;
        let durability = Durability::from(args.sync);
        let own = |path: &Path| own(path, named);
        let (mut outputs, mut outlets) = (Vec::new(), Vec::<Box<dyn PacketSink>>::new());
        let mut written = Vec::new();
        let mut count = |path: &Path, counts| {
            let name = shown(path).to_string();
            // A later output with the same name replaces the earlier one.
            written.retain(|(other, _)| *other != name);
            written.push((name, counts));
        };
        for path in &args.output {
            if !args.is_streamed(path) {
                let format = args.format_of(path)?;
                let output = Output::begin_as(&own(path), format)?.with_payload(args.payload);
                count(path, output.written());
                outputs.push((output.with_durability(durability), format));
            } else if path == Path::new("-") {
                let format = args.format_of_stdout()?;
                let (order, from) = match named {
                    None => (SessionOrder::First, args.from),
                    Some(_) => (SessionOrder::Later, FIRST_SEQ),
                };
                let stdout = Stdout::new((format, args.payload), order, from, stop)?;
                count(path, stdout.written());
                outlets.push(Box::new(stdout));
            } else {
                // Rotated files have their session in their names anyway.
                let format = args.format_of(path)?;
                let files = RotatingFiles::new(path, format, &args.rotate, durability)?;
                let files = files.with_payload(args.payload);
                count(path, files.written());
                outlets.push(Box::new(files));
            }
        }
        if let Some(url) = &args.publish {
            let patience = args.timeout.unwrap_or(super::TIMEOUT);
            let published = WriteCounters::default();
            count(url, published.clone());
            outlets.push(args.publishing.outlet(url, patience, stop, published)?);
        }
        let report = args.report.as_deref().map(|path| Output::begin(&own(path))).transpose()?;
        let report = report.map(|output| output.with_durability(durability));
        // From here on files exist, which a signal must not leave unfinished.
        let orderly = signals::orderly();
        let (mut store, recorder) = open(args, lines, turn)?;
        if report.is_some() {
            store.gaps.keep_history();
        }
        Ok(Self { args, lines, named, store, recorder, outputs, outlets, report, written, orderly })
    }

    /// Records the session, writes the outputs, prints the summary and closes the recording.
    pub(super) fn run(
        mut self,
        stop: &Stop,
        web: Option<&Web>,
    ) -> Result<FinishedRecording, Failure> {
        let args = self.args;
        let mut progress = Progress::new(args.timeout());
        let outputs = std::mem::take(&mut self.written);
        let counters = OutputCounters { tape: self.store.written(), outputs };
        let history = ClientMonitor::new(web, &self.lines.labels, counters);
        let meaning = args.payload.and_then(Payload::meaning);
        self.outlets.extend(web.map(|web| web.books(meaning)).transpose()?);
        let (took, handed_on) = self.record(&mut progress, stop, &history)?;
        let facts = self.facts();
        let exit = Exit::of(&facts);
        let wanted = facts.writes_outputs(match args.allow_gaps {
            true => GapPolicy::Allow,
            false => GapPolicy::Refuse,
        });
        if let Some(outcome) = self.recorder.outcome() {
            self.store.conclude(outcome.last, &facts)?;
        }
        let outputs = std::mem::take(&mut self.outputs);
        if wanted {
            let tick = || history.tick(&self.recorder);
            write(outputs, &self.store, &mut progress, stop, tick)?;
        }
        if let Some(report) = self.report.take() {
            let content =
                RecordingReport::new(&self.lines.labels, &self.recorder, &self.store, took, facts);
            let _blocks = report.is_stream().then(signals::may_block);
            report.put(|out| {
                let mut out = std::io::BufWriter::new(out);
                serde_json::to_writer_pretty(&mut out, &content)?;
                out.write_all(b"\n")?;
                out.flush()
            })?;
        }
        self.print_summary(took, wanted, &facts);
        if let Err(failure) = handed_on {
            self.keep()?;
            return Err(failure);
        }
        self.close(&facts)?;
        Ok(FinishedRecording { exit, session: self.recorder.session(), next: self.next() })
    }

    /// Records the session while handing packets to the live outputs. Returns the time it took, and
    /// the failure of a NATS stream that lacks packets.
    fn record(
        &mut self,
        progress: &mut Progress,
        stop: &Stop,
        history: &ClientMonitor<'a>,
    ) -> Result<(Duration, Result<(), Failure>), Failure> {
        let began = Instant::now();
        let outlets = std::mem::take(&mut self.outlets);
        let abandoned = match self.args.skip_abandoned {
            true => AbandonedPackets::LeaveOut,
            false => AbandonedPackets::HoldUp,
        };
        let missing = match self.has_outputs() {
            true => MissingPackets::Wanted,
            false => MissingPackets::Unwanted,
        };
        let sink = FanOut::new(&mut self.store, outlets, abandoned, missing)?;
        let mut sink = GapObserver { sink, history };
        let FetchLines { labels, sources, .. } = self.lines;
        net::fetch(sources, &mut self.recorder, &mut sink, stop, |event| match event {
            LoopEvent::Tick(recorder) => {
                progress.tick(recorder);
                history.tick(recorder);
            }
            LoopEvent::Note(recorder, note) => {
                log_event(labels, recorder, note, progress);
            }
        })
        .map_err(|source| Failure::System { action: "cannot poll connections", source })?;
        let took = began.elapsed();
        progress.end();
        match sink.sink.end() {
            #[cfg(feature = "nats")]
            Err(failure @ Failure::Log(_)) => Ok((took, Err(failure))),
            done => done.map(|()| (took, Ok(()))),
        }
    }

    /// Keeps the recording although its outputs are incomplete, and prints how to continue.
    fn keep(&mut self) -> Result<(), Failure> {
        self.store.finish()?;
        if let Some(place) = place(self.args, self.named) {
            let place = shown(&place);
            crate::terminal::message::message!(
                "  the recording is kept in {place}: run the same command again to continue"
            );
        }
        Ok(())
    }

    /// Returns the session that replaced this one on all lines.
    fn next(&self) -> Option<SessionId> {
        let outcome = self.recorder.outcome()?;
        let over =
            self.recorder.is_following() && outcome.reason == Some(IncompleteReason::OtherSession);
        let mut lines = (0..).map_while(|line| self.recorder.line(line));
        over.then(|| lines.find_map(|line| line.other_session)).flatten()
    }

    /// Returns whether any output besides stdout gets the packets.
    fn has_outputs(&self) -> bool {
        let file = |path: &PathBuf| path != Path::new("-");
        self.args.output.iter().any(file) || self.args.publish.is_some()
    }

    /// Returns the facts about the recording, once it has ended.
    fn facts(&self) -> Facts {
        let outputs = self.has_outputs();
        Facts { outputs, ..Facts::of(&self.recorder, self.store.packets()) }
    }

    /// Prints the summary of the recording.
    fn print_summary(&self, took: Duration, written: bool, facts: &Facts) {
        let args = self.args;
        let place = |path: &PathBuf| match args.is_streamed(path) && path != Path::new("-") {
            true => series(path, self.recorder.session()),
            false => own(path, self.named),
        };
        let is_live = |path: &&PathBuf| args.is_streamed(path);
        // With --skip-abandoned, live outputs go on behind the missing packets.
        let skips = args.skip_abandoned && args.output.iter().all(|path| is_live(&path));
        let (all, live) = (args.output.iter(), args.output.iter().filter(is_live));
        let places: Vec<PathBuf> = match written || skips {
            true => all.map(place).collect(),
            false => live.map(place).collect(),
        };
        let places = match written || skips {
            true => SummaryPlaces::Whole(&places),
            false => SummaryPlaces::UpToGap(&places),
        };
        let recording = (&self.recorder, &self.store);
        let text = summary::text(&self.lines.labels, recording, took, places, facts);
        crate::terminal::message::show_text(&text);
        if let (Some(last), Some(outcome)) = (args.last, self.recorder.outcome())
            && last < outcome.last
        {
            let is = outcome.last;
            crate::terminal::message::message!(
                "  WARNING  --last {last} is wrong: the session has a {} {is}",
                noun(&self.recorder)
            );
        }
    }

    /// Removes a recording that is no longer needed, or prints how to continue one that is.
    fn close(&mut self, facts: &Facts) -> Result<(), Failure> {
        let Some(place) = place(self.args, self.named) else { return Ok(()) };
        let refused = match facts.reason {
            Some(IncompleteReason::OtherSession) => !facts.follow,
            why => why == Some(IncompleteReason::SessionUntold),
        };
        if refused {
            crate::terminal::message::message!(
                "  the {}s recorded so far are kept in {}; --restart discards them",
                noun(&self.recorder),
                shown(&place)
            );
        } else if self.args.tape.is_some() {
            self.store.finish()?;
        } else if !facts.keeps_recording() || self.store.is_blank() {
            return self.store.remove();
        } else if facts.reason == Some(IncompleteReason::OtherSession) {
            crate::terminal::message::message!(
                "  the received {}s are kept in {}",
                noun(&self.recorder),
                shown(&place)
            );
        } else {
            crate::terminal::message::message!("  resume   run the same command again to continue");
        }
        Ok(())
    }
}

/// Returns a path as it was typed, or with the name of a later session in it.
pub(super) fn own(path: &Path, named: Option<SessionName>) -> PathBuf {
    match named {
        Some(name) if !is_stream(path) => with_part(path, &name.part()),
        _ => path.to_owned(),
    }
}

/// Returns whether a path is a pipe or a device, whose name never gets a session.
pub(super) fn is_stream(path: &Path) -> bool {
    path == Path::new("-") || std::fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// Returns the path of the tape file; `None` if no output is a file that it could stand beside.
pub(super) fn place(args: &FetchArgs, named: Option<SessionName>) -> Option<PathBuf> {
    if let Some(tape) = &args.tape {
        return Some(own(tape, named));
    }
    // The tape file stands beside the first regular file, because /dev is no place for it.
    args.output.iter().find(|path| !is_stream(path)).map(|path| {
        let output = own(path, named);
        let name = output.file_name().unwrap_or_default();
        output.with_file_name(fitting_name(name, OsStr::new(".tape")))
    })
}

/// Opens a new recording, or continues the one in the tape file.
fn open(
    args: &FetchArgs,
    lines: &FetchLines,
    turn: SessionTurn,
) -> Result<(RecordingStore, Recorder), Failure> {
    let protocols = || lines.protocols.clone();
    // Files of a later session have its name, so they must get packets of no other session.
    let new_recorder = || {
        let mut recorder = match turn.name {
            Some(SessionName { session, .. }) => {
                let info = Info { session, version: VERSION, first: FIRST_SEQ, last: 0 };
                Recorder::resume(args.options(), protocols(), 0, &SeqSet::new(), Some(info))
            }
            None => Recorder::new(args.options(), protocols()),
        };
        recorder.expect_payload(args.expected_payload());
        recorder
    };
    let Some(place) = place(args, turn.name) else {
        return Ok((RecordingStore::unnamed()?, new_recorder()));
    };
    // A session that this run has recorded before is continued, or --restart would discard the
    // packets of this run.
    if args.restart && !turn.again {
        return Ok((RecordingStore::anew(&place, args.sync)?, new_recorder()));
    }
    let (store, resumed) = RecordingStore::open(&place, args.sync)?;
    let Some(before) = resumed else { return Ok((store, new_recorder())) };
    let Resumed { packets, highest, missing, session, damages, .. } = before;
    let mut store = store;
    if !args.follows() {
        store.gaps.request_rest(highest);
    }
    let mut recorder = Recorder::resume(args.options(), protocols(), highest, &missing, session);
    recorder.expect_payload(match store.payload() {
        SessionPayload::Unknown => args.expected_payload(),
        recorded => recorded,
    });
    let noun = noun(&recorder);
    crate::terminal::message::message!(
        "continuing {}: {} recorded earlier",
        shown(&place),
        count(packets, noun)
    );
    if damages > 0 {
        let places = count(damages.into(), "place");
        crate::terminal::message::message!(
            "  it is damaged in {places}; the {noun}s there are requested again"
        );
    }
    Ok((store, recorder))
}

/// Writes the recording to its outputs. If that fails, prints which of several were replaced.
fn write(
    outputs: Vec<(Output, Format)>,
    store: &RecordingStore,
    progress: &mut Progress,
    stop: &Stop,
    tick: impl Fn(),
) -> Result<(), Failure> {
    let stops = stop.times();
    let places: Vec<PathBuf> = outputs.iter().map(|(output, _)| output.path().into()).collect();
    for (at, (output, format)) in outputs.into_iter().enumerate() {
        // The recording is safe, so a signal may end the program at once: a reader that never reads
        // would block it for ever.
        let written = output.written();
        let bytes = move || written.look().1;
        let _blocks = output.is_stream().then(|| signals::may_block_writing(bytes));
        progress.writing(output.path(), store.packets());
        let done = output.encode(format, |put| {
            store.read_for(format, &mut |frames, arrival| {
                progress.wrote(frames.len());
                if stop.times() > stops {
                    return Err(Failure::Stopped);
                }
                put(frames, arrival)?;
                tick();
                Ok(())
            })?;
            Ok(store.session_facts())
        });
        progress.end();
        if let Err(failure) = done {
            if places.len() > 1 {
                crate::terminal::message::message!("{}", replaced(&places, at));
            }
            return Err(failure);
        }
    }
    Ok(())
}

/// Returns a message about the outputs that were replaced before writing failed at number `at`.
fn replaced(places: &[PathBuf], at: usize) -> String {
    let list = |places: &[PathBuf]| {
        let names: Vec<String> = places.iter().map(|place| shown(place).to_string()).collect();
        names.join(", ")
    };
    match places.split_at(at) {
        ([], not) => format!("no output was replaced: {}", list(not)),
        (done, not) => format!("replaced: {}; not replaced: {}", list(done), list(not)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::base::seq::SeqRange;
    use feed::ledger::{Origin, Sink, Source};
    use feed::tape::in_memory::Tape;
    use feed::wire::Messages;
    use std::cell::Cell;

    #[test]
    fn a_message_names_the_outputs_that_were_replaced_and_those_that_were_not() {
        let places: Vec<PathBuf> = ["a.json", "b.csv", "c.tape"].map(PathBuf::from).into();
        assert_eq!(replaced(&places, 0), "no output was replaced: a.json, b.csv, c.tape");
        assert_eq!(replaced(&places, 1), "replaced: a.json; not replaced: b.csv, c.tape");
        assert_eq!(replaced(&places, 2), "replaced: a.json, b.csv; not replaced: c.tape");
    }

    #[test]
    fn a_stop_between_two_outputs_replaces_the_first_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = RecordingStore::unnamed().unwrap();
        let origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
        store.on_messages(
            origin,
            Messages::Packets(Tape::random(5000, 1).frames()),
            Duration::ZERO,
        );
        store.end().unwrap();
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
        let tape = Tape::random(9000, 1);
        store.on_messages(origin, Messages::Packets(tape.slice(seqs(5001, 9000))), Duration::ZERO);
        store.end().unwrap();
        let done = write(outputs, &store, &mut progress, &stop, tick);
        assert!(matches!(done, Err(Failure::Stopped)), "{done:?}");
        let read = |place: &Path| std::fs::read_to_string(place).unwrap();
        assert_eq!(read(&places[0]).lines().count(), 9001);
        assert_eq!(read(&places[1]), "old");
    }

    fn seqs(first: u64, last: u64) -> SeqRange {
        SeqRange::new(first, last).unwrap()
    }

    #[test]
    fn who_looks_is_told_how_far_writing_has_come() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = RecordingStore::unnamed().unwrap();
        let origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
        let tape = Tape::random(5000, 1);
        store.on_messages(origin, Messages::Packets(tape.frames()), Duration::ZERO);
        store.end().unwrap();
        assert_eq!(store.written().look().0, 5000);
        assert!(store.written().look().1 >= 5000 * 17);
        let path = folder.path().join("out.csv");
        let output = Output::begin_as(&path, Format::Csv).unwrap();
        let (written, seen) = (output.written(), Cell::new(0));
        let mut progress = Progress::new(Duration::from_secs(1));
        let tick = || seen.set(written.look().0);
        write(vec![(output, Format::Csv)], &store, &mut progress, &Stop::new(), tick).unwrap();
        assert_eq!(seen.get(), 5000);
        assert_eq!(written.look(), (5000, path.metadata().unwrap().len()));
    }
}
