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
pub fn run(args: &CompletionsArgs, program: &clap::Command) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    let mut program = without_hidden_flags(program);
    clap_complete::generate(args.shell, &mut program, "betacrew", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Returns a command with its visible flags alone. The generators offer hidden ones as well, such
/// as those of features that are not built in.
fn without_hidden_flags(command: &clap::Command) -> clap::Command {
    clap::Command::new(command.get_name().to_owned())
        .about(command.get_about().cloned().unwrap_or_default())
        .args(command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().map(without_hidden_flags))
}
