//! One recording, from its beginning or from where it was left to where it is put away.

use super::Args;
use crate::capture::{Capture, Resumed, Sync};
use crate::failure::{Exit, Failure};
use crate::format::Format;
use crate::net::{self, Event, Stop};
use crate::outlet::{Outlet, Stdout};
use crate::output::Output;
use crate::pieces::{Pieces, session_name, with_part};
use crate::progress::Progress;
use crate::report::Report;
use crate::seen::Seen;
use crate::summary;
use crate::tee::Tee;
use crate::web::{History, Web};
use crate::words::count;
use crate::written::{Places, Written};
use feed::completeness::Facts;
use feed::recorder::{Note, PassEnd, Recorder, Why};
use feed::seq::FIRST_SEQ;
use feed::wire::SessionId;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What `fetch` does to record one session.
pub(super) struct Recording<'a> {
    args: &'a Args,
    /// What its files are named after besides what was typed: a session that came after another.
    named: Option<SessionId>,
    capture: Capture,
    recorder: Recorder,
    outputs: Vec<(Output, Format)>,
    outlets: Vec<Box<dyn Outlet>>,
    report: Option<Output>,
    /// What has been written to each of its outputs, by what was typed for it.
    written: Vec<(String, Written)>,
}

/// What a recording came to.
pub(super) struct Done {
    pub(super) exit: Exit,
    /// What was recorded.
    pub(super) session: Option<SessionId>,
    /// The session that the exchange plays now instead.
    pub(super) next: Option<SessionId>,
}

impl<'a> Recording<'a> {
    /// Begins a recording, or goes on with one, and all that it is to be written to.
    pub(super) fn begin(
        args: &'a Args,
        named: Option<SessionId>,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let durable = args.sync != Sync::Never;
        let own = |path: &Path| own(path, named);
        let (mut outputs, mut outlets) = (Vec::new(), Vec::<Box<dyn Outlet>>::new());
        let mut written = Vec::new();
        let mut count = |path: &Path, counts| {
            let name = path.display().to_string();
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
                let stdout = Stdout::new(format, named.is_some(), from)?;
                count(path, stdout.written());
                outlets.push(Box::new(stdout));
            } else {
                // They are named after their sessions anyway.
                let format = args.format_of(path)?;
                let pieces = Pieces::new(path, format, &args.rotate, durable)?;
                count(path, pieces.written());
                outlets.push(Box::new(pieces));
            }
        }
        if let Some(url) = &args.publish {
            let patience = args.timeout.unwrap_or(super::TIMEOUT);
            let published = Written::default();
            count(Path::new(url), published.clone());
            outlets.push(args.publishing.outlet(url, patience, stop, published)?);
        }
        let report = args.report.as_deref().map(|path| Output::begin(&own(path))).transpose()?;
        let report = report.map(|output| output.durable(durable));
        let (mut capture, recorder) = open(args, place(args, named))?;
        if report.is_some() {
            capture.keep_history();
        }
        Ok(Self { args, named, capture, recorder, outputs, outlets, report, written })
    }

    /// Records, writes what is to be written, says what came of it and puts the recording away.
    pub(super) fn run(
        mut self,
        lines: &[Vec<SocketAddr>],
        stop: &Stop,
        web: Option<&Web>,
    ) -> Result<Done, Failure> {
        let args = self.args;
        let mut progress = Progress::new(args.timeout());
        let outputs = std::mem::take(&mut self.written);
        let places = Places { tape: self.capture.written(), outputs };
        let history = History::new(web, &args.addresses, args.follow, places);
        self.outlets.extend(web.map(Web::books).transpose()?);
        let (took, handed_on) = self.record(lines, &mut progress, stop, &history)?;
        let facts = self.facts();
        let exit = Exit::of(&facts);
        let wanted = facts.writes_outputs(args.allow_gaps);
        if let Some(outcome) = self.recorder.outcome() {
            self.capture.conclude(outcome)?;
        }
        let outputs = std::mem::take(&mut self.outputs);
        if wanted {
            let tick = || history.tick(&self.recorder);
            write(outputs, &self.capture, &mut progress, stop, tick)?;
        }
        if let Some(report) = self.report.take() {
            let content = Report::new(&args.addresses, &self.recorder, &self.capture, took, facts);
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
        Ok(Done { exit, session: self.recorder.session(), next: self.next() })
    }

    /// Records, and hands on what comes; returns how long that took, and why a log that was there
    /// to be published to does not have all of it.
    fn record(
        &mut self,
        lines: &[Vec<SocketAddr>],
        progress: &mut Progress,
        stop: &Stop,
        history: &History<'a>,
    ) -> Result<(Duration, Result<(), Failure>), Failure> {
        let began = Instant::now();
        let outlets = std::mem::take(&mut self.outlets);
        let tee = Tee::new(&mut self.capture, outlets, self.args.skip_lost)?;
        let mut tee = Seen { sink: tee, history };
        net::fetch(lines, &mut self.recorder, &mut tee, stop, |event| match event {
            Event::Tick(recorder) => {
                progress.tick(recorder);
                history.tick(recorder);
            }
            Event::Note(recorder, note) => tell(&self.args.addresses, recorder, note, progress),
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
            let place = place.display();
            crate::words::tell!("  the recording stays in {place}: the same command goes on");
        }
        Ok(())
    }

    /// The session that has taken this one's place.
    fn next(&self) -> Option<SessionId> {
        let outcome = self.recorder.outcome()?;
        let over = self.args.follow && outcome.why == Some(Why::OtherSession);
        let mut lines = (0..).map_while(|line| self.recorder.line(line));
        over.then(|| lines.find_map(|line| line.other)).flatten()
    }

    /// Facts about the recording, once it has ended.
    fn facts(&self) -> Facts {
        let file = |path: &PathBuf| path != Path::new("-");
        let outputs = self.args.output.iter().any(file) || self.args.publish.is_some();
        Facts { outputs, ..Facts::of(&self.recorder, self.capture.packets()) }
    }

    /// Says what the recording came to.
    fn tell(&self, took: Duration, written: bool, facts: &Facts) {
        let args = self.args;
        let places: Vec<PathBuf> = args.output.iter().map(|path| own(path, self.named)).collect();
        let places = written.then_some(places.as_slice());
        let recording = (&self.recorder, &self.capture);
        let text = summary::text(&args.addresses, recording, took, places, facts);
        crate::words::tell_as_is(&text);
        if let (Some(last), Some(outcome)) = (args.last, self.recorder.outcome())
            && last < outcome.last
        {
            let is = outcome.last;
            crate::words::tell!("  WARNING  --last {last} is wrong: there is a packet {is}");
        }
    }

    /// Removes a recording that is done with, or says how to go on with one that is not.
    fn put_away(&mut self, facts: &Facts) -> Result<(), Failure> {
        let Some(place) = place(self.args, self.named) else { return Ok(()) };
        let refused = match facts.why {
            Some(Why::OtherSession) => !facts.follow,
            why => why == Some(Why::SessionUntold),
        };
        if refused {
            crate::words::tell!(
                "  the packets recorded so far stay in {}; --restart throws them away",
                place.display()
            );
        } else if self.args.tape.is_some() {
            self.capture.finish()?;
        } else if !facts.keeps_recording() || self.capture.is_blank() {
            return remove(&place);
        } else if facts.why == Some(Why::OtherSession) {
            crate::words::tell!("  the packets that came stay in {}", place.display());
        } else {
            crate::words::tell!("  resume   the same command goes on where this one ended");
        }
        Ok(())
    }
}

/// A place as it was typed, or named after a session that came later.
fn own(path: &Path, named: Option<SessionId>) -> PathBuf {
    match named {
        Some(session) if path != Path::new("-") => with_part(path, &session_name(session)),
        _ => path.to_owned(),
    }
}

/// Where the recording is kept while it is made; `None` where nobody could find it again.
fn place(args: &Args, named: Option<SessionId>) -> Option<PathBuf> {
    if let Some(tape) = &args.tape {
        return Some(own(tape, named));
    }
    // Beside the first file; a device has no room beside it.
    let device = |path: &PathBuf| {
        path == Path::new("-") || std::fs::metadata(path).is_ok_and(|found| !found.is_file())
    };
    args.output.iter().find(|path| !device(path)).map(|path| {
        let mut name = own(path, named).into_os_string();
        name.push(".tape");
        name.into()
    })
}

/// Begins a recording at `place`, or goes on with the one that is there.
fn open(args: &Args, place: Option<PathBuf>) -> Result<(Capture, Recorder), Failure> {
    let lines = u16::try_from(args.addresses.len())
        .map_err(|_| Failure::Usage("there can be 65,535 lines at most".to_owned()))?;
    let Some(place) = place else {
        return Ok((Capture::unnamed()?, Recorder::new(args.options(), lines)));
    };
    if args.restart {
        remove(&place)?;
    }
    let (capture, resumed) = Capture::open(&place, args.sync)?;
    let Some(before) = resumed else {
        return Ok((capture, Recorder::new(args.options(), lines)));
    };
    crate::words::tell!(
        "going on with {}: {} recorded before",
        place.display(),
        count(before.packets, "packet")
    );
    if before.damages > 0 {
        let places = count(before.damages.into(), "place");
        crate::words::tell!("  it is damaged in {places}; what was there is asked for again");
    }
    let Resumed { highest, missing, session, .. } = before;
    Ok((capture, Recorder::resume(args.options(), lines, highest, &missing, session)))
}

/// Writes what was recorded into its places.
fn write(
    outputs: Vec<(Output, Format)>,
    capture: &Capture,
    progress: &mut Progress,
    stop: &Stop,
    tick: impl Fn(),
) -> Result<(), Failure> {
    let stops = stop.times();
    for (output, format) in outputs {
        progress.writing(output.path(), capture.packets());
        output.encode(format, |put| {
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
        })?;
        progress.end();
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::Storage { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn tell(addresses: &[String], recorder: &Recorder, note: Note, progress: &mut Progress) {
    let at = |line: u16| addresses.get(usize::from(line)).map_or("?", String::as_str);
    match note {
        Note::Unreachable { line, .. } => {
            progress.waiting(at(line));
            tracing::debug!("{}: no connection", at(line));
        }
        Note::Dead { line } if recorder.line(line).is_some_and(|line| line.reached) => {
            tracing::warn!("{}: no more connections are made; given up", at(line));
        }
        Note::Dead { line } => tracing::debug!("{}: given up", at(line)),
        Note::Described { line, info } => tracing::debug!(
            "{}: session {}, packets {} to {}",
            at(line),
            info.session,
            info.first,
            info.last
        ),
        Note::PassBegan { line, pass } => tracing::debug!("{}: pass {pass} begins", at(line)),
        Note::PassEnded { line, pass, delivered, end: PassEnd::Whole } => {
            tracing::debug!("{}: pass {pass} brought {delivered} packets", at(line));
        }
        Note::PassEnded { line, pass, delivered, end: PassEnd::Silent } => {
            tracing::warn!("{}: pass {pass} fell silent after {delivered} packets", at(line));
        }
        Note::PassEnded { line, pass, delivered, end: PassEnd::Cut } => {
            tracing::warn!("{}: pass {pass} was cut off after {delivered} packets", at(line));
        }
        Note::Distrusted { packets } => tracing::warn!(
            "{} recorded before the exchange told its session: asked for again",
            count(packets, "packet")
        ),
        Note::Lost { range } => {
            tracing::warn!("lost: packet {range} did not come in time and is given up");
        }
        Note::OtherSession { line, session } => {
            tracing::warn!("{}: plays another session, {session}", at(line));
        }
        Note::ResendFailed { line, tries } => {
            tracing::debug!("{}: resend requests unanswered, try {tries}", at(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::ledger::{Origin, Sink, Source};
    use feed::tape::Tape;
    use std::cell::Cell;

    #[test]
    fn who_looks_is_told_how_far_writing_has_come() {
        let folder = tempfile::tempdir().unwrap();
        let mut capture = Capture::unnamed().unwrap();
        let origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
        let tape = Tape::random(5000, 1);
        capture.fresh(origin, tape.frames(), Duration::ZERO);
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
