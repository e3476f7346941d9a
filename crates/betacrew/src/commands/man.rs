//! `betacrew man`: prints or writes manual pages, which have the texts of `--help`.

use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::terminal::message::print;
use crate::text::location::Location;
use clap_mangen::Man;

/// Arguments of `man`.
#[derive(clap::Args, Debug)]
pub struct ManArgs {
    /// Command whose page is printed [default: the page of the program]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,

    /// Write the pages of the program and of all commands into this folder instead
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    folder: Option<Location>,
}

/// Runs the command. `program` is the command line that the pages describe.
///
/// # Errors
/// Returns [`Failure::Usage`] if no command has the name, and [`Failure::Storage`] if a page cannot
/// be written.
pub fn run(args: &ManArgs, program: clap::Command) -> Result<Exit, Failure> {
    // Pages have no date, so equal programs have equal pages.
    let mut program = every_flag_shown(program.disable_help_subcommand(true));
    program = program.mut_subcommands(every_flag_shown);
    program.build();
    if let Some(folder) = &args.folder {
        for command in std::iter::once(&program).chain(program.get_subcommands()) {
            let (name, text) = (page_name(command), page(command));
            let output = Output::begin(&folder.as_path().join(format!("{name}.1")))?;
            output.put(|out| out.write_all(&text))?;
        }
        return Ok(Exit::Complete);
    }
    let command = match &args.command {
        None => &program,
        Some(name) => program.find_subcommand(name).ok_or_else(|| unknown(name, &program))?,
    };
    print(&String::from_utf8_lossy(&page(command)))
}

/// Returns the failure for a name that no command has.
fn unknown(name: &str, program: &clap::Command) -> Failure {
    let commands: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
    Failure::Usage(format!(
        "there is no command `{name}`, so it has no page; the commands are {}",
        commands.join(", ")
    ))
}

/// Returns a command whose flags all have a text, because the generator leaves out the texts of
/// those that `-h` does not show.
fn every_flag_shown(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| arg.hide_short_help(false))
}

/// Returns the name of a command's page, such as "betacrew-serve".
fn page_name(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// Returns the page of a command, in the language of groff.
fn page(command: &clap::Command) -> Vec<u8> {
    let mut page = Vec::new();
    let man = Man::new(command.clone()).title(page_name(command));
    // Writing to memory does not fail.
    let _ = man.source(concat!("betacrew ", env!("CARGO_PKG_VERSION"))).render(&mut page);
    page
}
