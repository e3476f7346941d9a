//! `betacrew completions`: prints a shell's completions of commands and flags.

use crate::error::{Exit, Failure};
use crate::terminal::message::print;
use clap_complete::Shell;

/// Arguments of `completions`.
#[derive(clap::Args, Debug)]
pub struct CompletionsArgs {
    /// Shell that reads the completions
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Runs the command. `program` is the command line that is completed.
///
/// # Errors
/// Returns [`Failure::Storage`] if stdout cannot be written.
pub fn run(args: &CompletionsArgs, mut program: clap::Command) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "betacrew", &mut script);
    print(&String::from_utf8_lossy(&script))
}
