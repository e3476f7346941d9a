//! Whole jobs: an exchange runs, a client records all of it into `output.json` and ends.

use super::Plan;
use crate::Result;
use crate::measure::{By, Entry, Series, side_by_side};
use crate::process::{Exchange, Family, client, own, run};
use crate::report::{Row, Want, count};
use betacrew::format::json;
use feed::base::seq::to_index;
use feed::tape::in_memory::Tape;
use std::fs;
use std::path::Path;

/// One job: how long, how much is lost, and who takes part in how many rounds.
struct Job<'a> {
    packets: u64,
    loss: &'a str,
    families: &'a [(Family, usize)],
}

fn name(family: Family) -> &'static str {
    match family {
        Family::Betacrew => "betacrew",
        Family::Plain => "plain Rust",
        Family::Node => "Node.js",
        Family::Tuned => "Node.js, tuned",
    }
}

/// The text that all of them have to write.
pub(super) fn text(packets: u64) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    json::write([Tape::sample(packets).frames()], &mut text)?;
    Ok(text)
}

/// Our first round is for warming up, as everybody's is; a wrong file is an error.
fn run_job(plan: &Plan, job: &Job<'_>) -> Result<Vec<Series>> {
    let wanted = text(job.packets)?;
    let mut exchanges = Vec::new();
    for &(family, _) in job.families {
        exchanges.push(Exchange::start(family, job.packets, job.loss)?);
    }
    let entries = job.families.iter().zip(&exchanges).map(|(&(family, most), exchange)| {
        let (output, wanted) = (plan.place(&format!("{family:?}.json")), &wanted);
        let mut checked = false;
        let job = move || {
            let _ = fs::remove_file(&output);
            let cost = run(&mut client(family, exchange.address, &output)?, Some(exchange))?;
            if !checked {
                check(&output, wanted)?;
                checked = true;
            }
            Ok(cost)
        };
        Entry::new(name(family), job).at_most(most)
    });
    side_by_side(plan.rounds, entries.collect())
}

fn check(output: &Path, wanted: &[u8]) -> Result<()> {
    match fs::read(output)? == wanted {
        true => Ok(()),
        false => Err(format!("{} is not what was sent", output.display()).into()),
    }
}

fn found(all: &[Series], family: Family) -> Option<&Series> {
    all.iter().find(|series| series.name == name(family))
}

/// Rows for a job, one for each that we are compared with.
fn rows(job: &Job<'_>, all: &[Series], wants: &[(u32, Family, Want)]) -> Vec<Row> {
    let dropped = if job.loss == "0" { "no loss".to_owned() } else { "25 % dropped".to_owned() };
    let work = format!("whole job, {} packets, {dropped}", count(job.packets));
    let Some(ours) = found(all, Family::Betacrew) else { return Vec::new() };
    let mut rows = Vec::new();
    for &(number, family, want) in wants {
        let Some(theirs) = found(all, family) else { continue };
        let what = (number, work.as_str(), name(family));
        rows.push(Row::faster(what, By::Wall, (ours, theirs), want));
        rows.push(Row::faster(what, By::Cpu, (ours, theirs), Want::Shown));
    }
    rows
}

fn whole(
    plan: &Plan,
    (packets, loss): (u64, &str),
    wants: &[(u32, Family, Want)],
) -> Result<Vec<Row>> {
    let mut families = vec![(Family::Betacrew, usize::MAX)];
    for &(_, family, _) in wants {
        if plan.node || !matches!(family, Family::Node | Family::Tuned) {
            families.push((family, usize::MAX));
        }
    }
    let job = Job { packets, loss, families: &families };
    let all = run_job(plan, &job)?;
    Ok(rows(&job, &all, wants))
}

/// Targets 1 and 2.
pub(super) fn without_loss(plan: &Plan) -> Result<Vec<Row>> {
    let packets = plan.size(1_000_000, 100_000);
    let wants = [
        (1, Family::Node, Want::AtLeast(40.0)),
        (1, Family::Tuned, Want::Shown),
        (2, Family::Plain, Want::AtLeast(5.0)),
    ];
    whole(plan, (packets, "0"), &wants)
}

/// Target 3.
pub(super) fn with_loss(plan: &Plan) -> Result<Vec<Row>> {
    let wants = [
        (3, Family::Node, Want::AtLeast(150.0)),
        (3, Family::Tuned, Want::Shown),
        (3, Family::Plain, Want::AtLeast(20.0)),
    ];
    let mut rows = whole(plan, (plan.size(100_000, 20_000), "0.25"), &wants)?;
    let wants = [(3, Family::Plain, Want::AtLeast(30.0))];
    rows.extend(whole(plan, (plan.size(1_000_000, 100_000), "0.25"), &wants)?);
    Ok(rows)
}

/// Target 4.
pub(super) fn small(plan: &Plan) -> Result<Vec<Row>> {
    let wants = [(4, Family::Node, Want::AtLeast(15.0)), (4, Family::Plain, Want::Shown)];
    whole(&Plan { rounds: plan.rounds.max(21), ..plan.clone() }, (14, "0.25"), &wants)
}

/// Target 5.
pub(super) fn floor(plan: &Plan) -> Result<Vec<Row>> {
    let packets = plan.size(1_000_000, 200_000);
    let len = text(packets)?.len();
    let wire = to_index(packets) * 17;
    let mut command = own("floor-exchange")?;
    command.arg(wire.to_string());
    let (raw, exchange) =
        (Exchange::begin(command)?, Exchange::start(Family::Betacrew, packets, "0.25")?);
    let mut rows = Vec::new();
    for (place, folder) in [("disk", &plan.folder), ("tmpfs", &plan.memory)] {
        let output = folder.join("floor.json");
        let base = || {
            let _ = fs::remove_file(&output);
            let mut command = own("floor-client")?;
            command.args([raw.address.to_string(), len.to_string()]).arg(&output);
            run(&mut command, Some(&raw))
        };
        let job = || {
            let _ = fs::remove_file(&output);
            run(&mut client(Family::Betacrew, exchange.address, &output)?, Some(&exchange))
        };
        let entries = vec![Entry::new("floor", base), Entry::new("betacrew", job)];
        let all = side_by_side(plan.rounds, entries)?;
        let work = format!("whole job, {} packets, 25 % dropped, {place}", count(packets));
        let against = "the floor: the same bytes drained and written";
        for (by, bound) in [(By::Wall, 0.60), (By::Cpu, 0.50)] {
            let want = if place == "disk" { Want::AtLeast(bound) } else { Want::Shown };
            rows.push(Row::faster((5, &work, against), by, (&all[1], &all[0]), want));
        }
        let _ = fs::remove_file(&output);
    }
    Ok(rows)
}
