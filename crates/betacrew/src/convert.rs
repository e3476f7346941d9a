//! `betacrew convert`: a file of packets in another format.

use crate::failure::{Exit, Failure};
use crate::format::{self, Damage, Format};
use crate::net::Stop;
use crate::output::Output;
use crate::words::{count, grouped, took};
use feed::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use feed::wire::{RawFrame, sequence_of};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What `convert` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The file to read; - is stdin, for json, ndjson and csv
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// The file to write; - is stdout, for json, ndjson and csv
    #[arg(value_name = "OUT")]
    output: PathBuf,

    /// What IN is [default: what its name ends in]
    #[arg(long, value_name = "FORMAT")]
    from: Option<Format>,

    /// What OUT becomes [default: what its name ends in]
    #[arg(long, value_name = "FORMAT")]
    to: Option<Format>,

    /// Replace OUT if it is there
    #[arg(long)]
    force: bool,

    /// Go on where sequences are missing, or where parts of a tape are damaged
    #[arg(long)]
    allow_gaps: bool,
}

/// Runs the command.
///
/// # Errors
/// Where one of the files makes no sense, or packets are missing and that is not allowed.
pub fn run(args: &Args, stop: &Stop) -> Result<Exit, Failure> {
    let (input, output) = (args.input.as_path(), args.output.as_path());
    let from = args.from.map_or_else(|| Format::expect(input, "--from"), Ok)?;
    let to = args.to.map_or_else(|| Format::expect(output, "--to"), Ok)?;
    let stdin = input == Path::new("-");
    if stdin && !from.is_text() {
        return Err(Failure::Usage(format!(
            "{} cannot be read from stdin: name a file",
            from.name()
        )));
    }
    from.check()?;
    if !args.force && output.is_file() {
        return Err(Failure::Usage(format!(
            "`{}` is there already: --force replaces it",
            output.display()
        )));
    }
    let damage = if args.allow_gaps { Damage::Skip } else { Damage::Refuse };
    let began = Instant::now();
    let place = Output::begin_as(output, to)?;
    let mut check = Check::new(input, stop);
    if place.is_stream() && !args.allow_gaps && !stdin {
        // What has gone through a pipe cannot be taken back.
        format::read(input, from, damage, &mut |frames, _| check.take(frames))?;
        check.whole()?;
        check = Check::new(input, stop);
    }
    place.encode(to, |put| {
        format::read(input, from, damage, &mut |frames, arrival| {
            check.take(frames)?;
            // After a gap only what else is missing is of interest.
            match args.allow_gaps || check.missing.is_empty() {
                true => put(frames, arrival),
                false => Ok(()),
            }
        })?;
        if args.allow_gaps { Ok(()) } else { check.whole() }
    })?;
    let missing = match check.missing.is_empty() {
        true => String::new(),
        false => format!("; missing: {}", check.missing),
    };
    crate::words::tell!(
        "{} from {} to {} in {}{missing}",
        count(check.packets, "packet"),
        if stdin { "stdin".into() } else { input.display().to_string() },
        if output == Path::new("-") { "stdout".into() } else { output.display().to_string() },
        took(began.elapsed()),
    );
    Ok(Exit::Complete)
}

/// Sees that packets ascend, and what is missing between them.
struct Check<'a> {
    path: &'a Path,
    stop: &'a Stop,
    next: Seq,
    packets: u64,
    missing: Missing,
}

impl<'a> Check<'a> {
    fn new(path: &'a Path, stop: &'a Stop) -> Self {
        Self { path, stop, next: FIRST_SEQ, packets: 0, missing: Missing::default() }
    }

    fn take(&mut self, frames: &[RawFrame]) -> Result<(), Failure> {
        if self.stop.asked() {
            return Err(Failure::Stopped);
        }
        for frame in frames {
            let seq = sequence_of(frame);
            self.packets += 1;
            if seq < self.next {
                return Err(Failure::Content {
                    path: self.path.to_owned(),
                    reason: format!(
                        "packet {} in it has sequence {seq}, after {}: they must ascend",
                        grouped(self.packets),
                        self.next - 1
                    ),
                });
            }
            if let Some(gap) = SeqRange::new(self.next, seq - 1) {
                self.missing.add(gap);
            }
            self.next = seq + 1;
        }
        Ok(())
    }

    fn whole(&self) -> Result<(), Failure> {
        match self.missing.is_empty() {
            true => Ok(()),
            false => {
                Err(Failure::Gaps { path: self.path.to_owned(), missing: self.missing.to_string() })
            }
        }
    }
}

/// So many gaps are listed; of the others there is only the number.
const LISTED: u64 = 100;

/// What is missing.
#[derive(Default)]
struct Missing {
    listed: SeqSet,
    gaps: u64,
    packets: u64,
}

impl Missing {
    fn add(&mut self, gap: SeqRange) {
        if self.gaps < LISTED {
            self.listed.insert(gap);
        }
        self.gaps += 1;
        self.packets += u64::from(gap.len());
    }

    fn is_empty(&self) -> bool {
        self.gaps == 0
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (packets, gaps) = (count(self.packets, "packet"), count(self.gaps, "gap"));
        write!(f, "{packets} in {gaps}: {}", self.listed)?;
        match self.gaps.saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, " and {} more", grouped(more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_listed_up_to_a_bound() {
        let mut missing = Missing::default();
        (0..100).for_each(|i| missing.add(SeqRange::one(2 * i + 1)));
        assert!(missing.to_string().starts_with("100 packets in 100 gaps: 1, 3, 5, "));
        assert!(missing.to_string().ends_with(", 199"));
        missing.add(SeqRange::new(300, 310).unwrap());
        assert!(missing.to_string().starts_with("111 packets in 101 gaps: 1, "));
        assert!(missing.to_string().ends_with(", 199 and 1 more"));
    }
}
