//! Targets: one function for each figure, or for a few that share their work.

#[cfg(feature = "columnar")]
mod columns;
mod exchange;
mod far;
mod files;
mod growth;
mod itch;
mod jobs;
mod kernels;
mod mold;
mod mold_far;
mod mold_rate;
mod mold_record;
mod soup;

use crate::Result;
use crate::plot::Curve;
use crate::report::Row;
use std::path::PathBuf;

/// Plan of a measurement.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    /// True if Node.js is installed.
    pub(crate) node: bool,
    /// Folders for files, on a disk and in memory.
    pub(crate) folder: PathBuf,
    pub(crate) memory: PathBuf,
}

impl Plan {
    fn size(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Function that measures the targets of some numbers.
struct Target {
    numbers: &'static [u32],
    run: fn(&Plan) -> Result<Vec<Row>>,
}

const TARGETS: [Target; 26] = [
    Target { numbers: &[1, 2], run: jobs::without_loss },
    Target { numbers: &[3], run: jobs::with_loss },
    Target { numbers: &[4], run: jobs::small },
    Target { numbers: &[5], run: jobs::floor },
    Target { numbers: &[6], run: exchange::one_client },
    Target { numbers: &[7], run: exchange::against_node },
    Target { numbers: &[8], run: exchange::many_clients },
    Target { numbers: &[8], run: exchange::connections },
    Target { numbers: &[9], run: kernels::scan },
    Target { numbers: &[10], run: kernels::capture },
    Target { numbers: &[10], run: kernels::record_in_memory },
    Target { numbers: &[11], run: kernels::json_text },
    Target { numbers: &[12], run: files::json },
    Target { numbers: &[13], run: files::parquet },
    Target { numbers: &[14], run: far::during_stream },
    Target { numbers: &[15, 16], run: near_and_far },
    Target { numbers: &[17], run: far::whole },
    Target { numbers: &[18, 19], run: memory_and_start },
    Target { numbers: &[21], run: soup::exchange },
    Target { numbers: &[22], run: mold::exchange },
    Target { numbers: &[23], run: soup::record },
    Target { numbers: &[24], run: mold_record::record_datagrams },
    Target { numbers: &[25], run: mold_rate::sustained },
    Target { numbers: &[26], run: mold_far::after_stream },
    Target { numbers: &[27], run: itch::decode },
    Target { numbers: &[28], run: itch::books },
];

fn near_and_far(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = far::fresh(plan)?;
    rows.extend(far::near(plan)?);
    Ok(rows)
}

fn memory_and_start(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = growth::memory(plan)?;
    rows.extend(growth::start(plan)?);
    Ok(rows)
}

/// Measures the targets with these numbers, all of them where there are none, and tells each
/// figure as soon as it is known.
pub(crate) fn run(plan: &Plan, only: &[u32]) -> Result<(Vec<Row>, Vec<Curve>)> {
    let wanted = |number: &u32| only.is_empty() || only.contains(number);
    let mut all: Vec<Row> = Vec::new();
    let mut tell = |rows: Vec<Row>| {
        for row in rows.into_iter().filter(|row| wanted(&row.number)) {
            println!("{}", row.line());
            all.push(row);
        }
    };
    for target in TARGETS.iter().filter(|target| target.numbers.iter().any(wanted)) {
        tell((target.run)(plan).map_err(|error| format!("{:?}: {error}", target.numbers))?);
    }
    let mut curves = Vec::new();
    if wanted(&20) {
        let (rows, drawn) = growth::growth(plan)?;
        tell(rows);
        curves = drawn;
    }
    Ok((all, curves))
}
