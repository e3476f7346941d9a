//! `betacrew inspect` of packet captures: what each line has missed, and what all lines together.

pub(crate) mod json;
mod plot;
mod text;

use crate::capture::{CaptureGap, CaptureStream, CaptureSurvey, GapSummary, Line, LineSession};
use crate::error::{Exit, Failure};
use crate::net::Stop;
use crate::output::Output;
use crate::terminal::message::print;
use crate::text::location::Location;

/// Form in which a report is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ReportForm {
    /// Text for people.
    Text,
    /// One line of JSON.
    Json,
}

/// Inspects captures, which are read as one.
///
/// # Errors
/// Returns an error if a file cannot be read or is no capture, or the user stops the command.
pub(super) fn run(
    paths: &[Location],
    form: ReportForm,
    plot: Option<Output>,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let paths: Vec<_> = paths.iter().map(Location::as_path).collect();
    let check = || if stop.asked() { Err(Failure::Stopped) } else { Ok(()) };
    let survey = CaptureSurvey::read(&paths, check)?;
    if let Some(output) = plot {
        let picture = plot::svg(&survey);
        output.put(|out| out.write_all(picture.as_bytes()))?;
    }
    print(&match form {
        ReportForm::Text => text::report(&survey),
        ReportForm::Json => json::report(&survey),
    })?;
    Ok(if !survey.damage.is_empty() {
        Exit::Storage
    } else if survey.is_incomplete() {
        Exit::Incomplete
    } else {
        Exit::Complete
    })
}

/// Stream with its lines.
struct StreamReport<'a> {
    stream: &'a CaptureStream,
    /// Messages that all lines together miss.
    missing: GapSummary,
    lines: Vec<LineReport<'a>>,
}

/// Line of a stream.
struct LineReport<'a> {
    /// Letter of the line, or `answers`.
    name: String,
    line: &'a Line,
    session: &'a LineSession,
    /// Messages that the line has missed.
    missed: GapSummary,
    /// Number of missed messages that no other line has brought either.
    missed_by_all: u64,
    /// Number of messages of the stream before the first of the line.
    begins_after: u64,
    /// Number of messages of the stream behind the last of the line.
    ends_before: u64,
    /// Number of messages that the line had before another one.
    first_copies: u64,
    /// Time in nanoseconds by which half of them were ahead, at most.
    lead_median: Option<u64>,
    /// Time in nanoseconds by which 99 % of them were ahead, at most.
    lead_99: Option<u64>,
}

impl StreamReport<'_> {
    /// Returns whether a line has announced the end of the session.
    fn is_ended(&self) -> bool {
        self.lines.iter().any(|line| line.session.ends > 0)
    }

    /// Returns the lines without answers to requests.
    fn downstream(&self) -> impl Iterator<Item = &LineReport<'_>> {
        self.lines.iter().filter(|line| !line.line.answers)
    }
}

/// Returns the reports of all streams.
fn streams(survey: &CaptureSurvey) -> Vec<StreamReport<'_>> {
    let report = |(index, stream)| stream_report(survey, index, stream);
    survey.live_streams().map(report).collect()
}

fn stream_report<'a>(
    survey: &'a CaptureSurvey,
    index: usize,
    stream: &'a CaptureStream,
) -> StreamReport<'a> {
    let mut lines = Vec::new();
    let mut letters = (b'A'..=b'Z').map(|letter| char::from(letter).to_string());
    for member in &stream.members {
        let Some(line) = survey.lines.get(member.line) else { continue };
        let session = line.sessions.iter().find(|session| session.stream() == Some(index));
        let Some(session) = session else { continue };
        let name = match line.answers {
            true => "answers".to_owned(),
            false => letters.next().unwrap_or_else(|| format!("line {}", lines.len() + 1)),
        };
        let missed = session.tracker.gaps();
        let shared = |gap: CaptureGap| stream.tracker.missing_in(gap.range);
        let (whole, own) = (stream.tracker.span(), session.tracker.span());
        let ends = whole.zip(own);
        lines.push(LineReport {
            name,
            line,
            session,
            missed_by_all: session.tracker.open_gaps().map(shared).sum(),
            missed,
            begins_after: ends.map_or(0, |(all, own)| own.first().saturating_sub(all.first())),
            ends_before: ends.map_or(0, |(all, own)| all.last().saturating_sub(own.last())),
            first_copies: member.leads.count(),
            lead_median: member.leads.at_most(500),
            lead_99: member.leads.at_most(990),
        });
    }
    StreamReport { stream, missing: stream.tracker.gaps(), lines }
}
