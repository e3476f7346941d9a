//! `betacrew grade`: plays cases against anybody's client and says what it did with them.

mod cases;
mod client;
mod compare;
mod conduct;
mod diagnose;
mod evidence;
mod fields;
mod find;
mod judge;
mod process;
mod rows;
mod run;
mod stage;
mod wire;
mod workplace;

use crate::failure::{Exit, Failure};
use crate::flags::duration;
use crate::net::Stop;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What `grade` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The client's command, as you would type it in this folder
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    /// How long a case may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,

    /// The file that the client writes [default: what appears or changes, or stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Where the client cannot be started or the exchange cannot listen.
pub fn run(args: &Args, stop: &Stop) -> Result<Exit, Failure> {
    let client = client::Client::new(&args.command)
        .ok_or_else(|| Failure::Usage("no command".to_owned()))?;
    process::adopt();
    let setup = run::Setup {
        port: (!client.is_told()).then_some(3000),
        client,
        workdir: workplace::Workdir::Copy,
        output: args.output.clone(),
        timeout: args.timeout,
        seed: 1,
    };
    for case in cases::CASES {
        let Some(seen) = run::run(&setup, case, stop)? else { break };
        let judged = judge::judge(case, &seen);
        println!("{} {:?}", case.id, judged);
    }
    Ok(Exit::Complete)
}
