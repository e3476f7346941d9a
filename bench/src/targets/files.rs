//! Files written from a tape in memory.

use super::Plan;
use super::jobs::text;
use crate::Result;
use crate::measure::{By, Entry, here, side_by_side};
use crate::raw;
use crate::report::{Row, Want, count};
use betacrew::format::{Arrival, Format, SessionFacts};
use betacrew::output::Output;
use feed::tape::file::SessionEnd;
use feed::tape::in_memory::Tape;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

pub(super) fn export(tape: &Tape, path: &Path, format: Format) -> Result<()> {
    let output = Output::begin_as(path, format).map_err(|error| error.to_string())?;
    let done = output.encode(format, |put| {
        let mut chunks = tape.frames().chunks(4096);
        chunks.try_for_each(|frames| put(frames.into(), Arrival::UNKNOWN))?;
        let (session, last) = (Some(tape.session()), tape.last());
        let end = Some(SessionEnd::Confirmed);
        Ok(SessionFacts { session, last, end, ..SessionFacts::default() })
    });
    done.map_err(|error| error.to_string().into())
}

/// Target 12.
pub(super) fn json(plan: &Plan) -> Result<Vec<Row>> {
    let packets = plan.size(1_000_000, 300_000);
    let (tape, ready) = (Tape::sample(packets), text(packets)?);
    let mut rows = Vec::new();
    for (place, folder, bound) in [("disk", &plan.folder, 0.60), ("tmpfs", &plan.memory, 0.75)] {
        let path = folder.join("export.json");
        let fresh = |run: &dyn Fn() -> Result<()>| {
            let _ = fs::remove_file(&path);
            here(run)
        };
        let base = || fresh(&|| raw::write(&path, &ready));
        let ours = || fresh(&|| export(&tape, &path, Format::Json));
        let serde = || {
            fresh(&|| {
                let mut file = BufWriter::new(fs::File::create(&path)?);
                super::kernels::serde_text(&tape, &mut file)?;
                Ok(file.flush()?)
            })
        };
        let entries = vec![
            Entry::new("ready bytes", base),
            Entry::new("betacrew", ours),
            Entry::new("serde_json", serde),
        ];
        let all = side_by_side(plan.rounds.max(15), entries)?;
        let _ = fs::remove_file(&path);
        let work = format!("JSON export, {} packets, fresh file, {place}", count(packets));
        let row = |against, theirs: usize, by, want| {
            Row::faster((12, &work, against), by, (&all[1], &all[theirs]), want)
        };
        rows.push(row("writing the ready bytes", 0, By::Cpu, Want::AtLeast(bound)));
        rows.push(row("writing the ready bytes", 0, By::Wall, Want::Shown));
        rows.push(row("serde_json, buffered", 2, By::Cpu, Want::Shown));
    }
    Ok(rows)
}

/// Target 13.
#[cfg(feature = "columnar")]
pub(super) fn parquet(plan: &Plan) -> Result<Vec<Row>> {
    let packets = plan.size(1_000_000, 300_000);
    let tape = Tape::sample(packets);
    let columns = super::columns::batches(&tape)?;
    let path = plan.folder.join("export.parquet");
    let base = || {
        let _ = fs::remove_file(&path);
        here(|| super::columns::write(&path, &columns))
    };
    let ours = || {
        let _ = fs::remove_file(&path);
        here(|| export(&tape, &path, Format::Parquet))
    };
    let entries = vec![Entry::new("arrow-rs", base), Entry::new("betacrew", ours)];
    let all = side_by_side(plan.rounds, entries)?;
    let _ = fs::remove_file(&path);
    let work = format!("Parquet export, {} packets", count(packets));
    let what = (13, work.as_str(), "arrow-rs writing columns that are in memory");
    let pair = (&all[1], &all[0]);
    Ok(vec![
        Row::faster(what, By::Cpu, pair, Want::AtLeast(0.7)),
        Row::faster(what, By::Wall, pair, Want::Shown),
    ])
}

/// Without the feature there is nothing to measure.
#[cfg(not(feature = "columnar"))]
pub(super) fn parquet(_: &Plan) -> Result<Vec<Row>> {
    eprintln!("13 is left out: built without the feature columnar");
    Ok(Vec::new())
}
