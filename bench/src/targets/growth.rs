//! Memory, starting, and what cost grows with.

use super::{Plan, far};
use crate::Result;
use crate::measure::{By, Entry, side_by_side};
use crate::plot::Curve;
use crate::process::{Exchange, Family, client, most_memory, run};
use crate::report::{Row, Want, count, time};
use betacrew::storage::FileStorage;
use feed::base::seq::to_index;
use feed::client::RecorderOptions;
use feed::ledger::{Origin, Source};
use feed::tape::file::{FileHead, TapeFile};
use feed::tape::in_memory::Tape;
use feed::wire::SessionId;
use std::fs;
use std::path::Path;
use std::time::Duration;

const MIB: f64 = 1048576.0;

/// Target 18.
pub(super) fn memory(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let crowd = u64::try_from(RecorderOptions::default().limits.backpressure_gaps)?;
    let old = plan.place("old.toml");
    for (packets, loss, gaps, text) in [
        (plan.size(1_000_000, 200_000), "0", 0, "no loss"),
        (plan.size(1_000_000, 200_000), "0.25", crowd, "25 % dropped"),
        (plan.size(10_000_000, 1_000_000), "0.25", crowd, "25 % dropped"),
        (plan.size(1_000_000, 200_000), "old", 0, "25 % dropped, original protocol"),
    ] {
        let (exchange, gaps) = if loss == "old" {
            // Nothing can be asked for: all gaps of the first pass are open at its end.
            let text = format!(
                "extension = false\ntape = \"sample:{packets}\"\n[[fault]]\n\
                 what = \"drop\"\nchance = \"25%\"\n"
            );
            fs::write(&old, text)?;
            let path = old.to_str().ok_or("the folder's name is no text")?;
            (Exchange::serve(&["--scenario", path])?, packets * 3 / 16)
        } else {
            (Exchange::start(Family::Betacrew, packets, loss)?, gaps)
        };
        let mut command = client(Family::Betacrew, exchange.address, Path::new("/dev/null"))?;
        let most = most_memory(command.args(["--format", "json"]))?;
        rows.push(resident(packets, text, most, gaps));
    }
    Ok(rows)
}

#[expect(clippy::cast_precision_loss, reason = "to be read")]
fn resident(packets: u64, text: &str, most: u64, gaps: u64) -> Row {
    let bound = 8.0 + 24.0 * gaps as f64 / MIB;
    Row {
        number: 18,
        work: format!("memory of fetch, {} packets, {text}", count(packets)),
        against: format!("8 MiB and 24 bytes for each of {} gaps", count(gaps)),
        by: "most resident",
        ours: String::new(),
        theirs: String::new(),
        got: most as f64 / MIB,
        unit: "MiB",
        want: Want::AtMost(bound),
    }
}

/// Writes a tape file of any length.
fn record(path: &Path, packets: u64) -> Result<()> {
    let _ = fs::remove_file(path);
    let head = FileHead { session: Some(SessionId::of(*b"LONG")), created: 1, salt: 2 };
    let mut file = TapeFile::create(FileStorage::write(path)?, head)?;
    let origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
    let mut frames = Tape::sample(1000).frames().to_vec();
    for start in (0..packets).step_by(1000) {
        for (seq, frame) in (start + 1..=packets).zip(&mut frames) {
            frame[13..].copy_from_slice(&seq.to_be_bytes()[4..]);
        }
        let count = frames.len().min(to_index(packets - start));
        file.append(origin, 1, &frames[..count])?;
    }
    Ok(file.finish(1)?)
}

/// Target 19.
pub(super) fn start(plan: &Plan) -> Result<Vec<Row>> {
    let (short, long) = (plan.place("short.tape"), plan.place("long.tape"));
    let packets = plan.size(100_000_000, 10_000_000);
    record(&short, 1000)?;
    record(&long, packets)?;
    let serve = |path: &Path| {
        let path = path.to_str().ok_or("the folder's name is no text")?.to_owned();
        let exchange = Exchange::serve(&["--tape", &path])?;
        Ok(crate::measure::Cost { wall: exchange.ready, cpu: exchange.cpu() })
    };
    let entries = vec![Entry::new("short", || serve(&short)), Entry::new("long", || serve(&long))];
    let all = side_by_side(plan.rounds, entries)?;
    let (short_time, long_time) = (all[0].median(By::Wall), all[1].median(By::Wall));
    let _ = (fs::remove_file(&short), fs::remove_file(&long));
    Ok(vec![Row {
        number: 19,
        work: format!("start of serve --tape FILE, {} packets", count(packets)),
        against: "the same with 1,000".to_owned(),
        by: "wall",
        ours: time(long_time),
        theirs: time(short_time),
        got: (long_time.as_secs_f64() - short_time.as_secs_f64()).max(0.0) * 1e3,
        unit: "ms more",
        want: Want::AtMost(50.0),
    }])
}

/// By which power cost grows, from a hundred thousand on: below that it is what starting costs.
fn power(points: &[(f64, f64)]) -> f64 {
    let large: Vec<(f64, f64)> =
        points.iter().filter(|(x, _)| *x >= 1e5).map(|(x, y)| (x.ln(), y.ln())).collect();
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let count = large.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| large.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(&|p| p.0), mean(&|p| p.1));
    let along = large.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>();
    along / large.iter().map(|p| (p.0 - x) * (p.0 - x)).sum::<f64>()
}

fn grows(work: &str, curve: &Curve, most: f64) -> Row {
    let (first, last) = (curve.points[0], curve.points[curve.points.len() - 1]);
    let each = |(x, y): (f64, f64)| format!("{:.0} ns each at {x:.0e}", y / x * 1e9);
    Row {
        number: 20,
        work: work.to_owned(),
        against: "its size to this power".to_owned(),
        by: "CPU of both ends",
        ours: each(last),
        theirs: each(first),
        got: power(&curve.points),
        unit: "power",
        want: Want::AtMost(most),
    }
}

/// Target 20.
pub(super) fn growth(plan: &Plan) -> Result<(Vec<Row>, Vec<Curve>)> {
    let mut jobs = Curve { name: "whole job, 25 % dropped: by packets", points: Vec::new() };
    for packets in powers(plan.size(100_000_000, 1_000_000)) {
        let exchange = Exchange::start(Family::Betacrew, packets, "0.25")?;
        let rounds = if packets > 1_000_000 { 1 } else { plan.rounds };
        let job = || {
            let nowhere = Path::new("/dev/null");
            let mut command = client(Family::Betacrew, exchange.address, nowhere)?;
            run(command.args(["--format", "json"]), Some(&exchange))
        };
        let took = side_by_side(rounds, vec![Entry::new("betacrew", job)])?[0].median(By::Cpu);
        jobs.points.push(point(packets, took));
    }
    let mut gaps = Curve { name: "recovery: by gaps", points: Vec::new() };
    for count in powers(plan.size(10_000_000, 1_000_000)) {
        let rounds = if count > 1_000_000 { 3 } else { plan.rounds };
        gaps.points.push(point(count, far::growth(count, rounds)?));
    }
    let rows = vec![
        grows("cost of a whole job, from 1e3 packets on", &jobs, 1.05),
        grows("cost of recovery, from 1e3 gaps on", &gaps, 1.1),
    ];
    Ok((rows, vec![jobs, gaps]))
}

/// Returns the powers of ten from 1,000 to `most`.
fn powers(most: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(1_000), |count| Some(count * 10)).take_while(move |&it| it <= most)
}

fn point(count: u64, took: Duration) -> (f64, f64) {
    (count as f64, took.as_secs_f64())
}
