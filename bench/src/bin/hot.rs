//! Runs one hot path, for `cargo xtask counts` to count its instructions: `hot CASE`. Without a
//! case it lists them.

use bench::hot::{CASES, measured};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        CASES.iter().for_each(|case| println!("{}\t{}", case.name, case.about));
        return ExitCode::SUCCESS;
    };
    let Some(case) = CASES.iter().find(|case| case.name == name) else {
        eprintln!("there is no case {name}");
        return ExitCode::from(2);
    };
    let mut run = (case.make)();
    // Memory that is touched for the first time, tables that are made once.
    run();
    measured(&mut *run);
    ExitCode::SUCCESS
}
