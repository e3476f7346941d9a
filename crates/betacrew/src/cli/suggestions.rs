//! Suggestions for flags that other programs have: the flag or argument of betacrew with the same
//! meaning.

use clap::Command;
use clap::builder::{StyledStr, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::fmt::Write;

/// Flags of other programs, each with a flag of ours that means the same. A command that does not
/// have the first may have the second.
const OTHER_NAMES: [(&str, &str); 27] = [
    ("--address", "--listen"),
    ("--bind", "--listen"),
    ("--host", "--listen"),
    ("--port", "--listen"),
    ("--delay", "--pace"),
    ("--rate", "--pace"),
    ("--speed", "--pace"),
    ("--drop-rate", "--drop"),
    ("--loss", "--drop"),
    ("--loss-rate", "--drop"),
    ("--packet-loss", "--drop"),
    ("--probability", "--drop"),
    ("--fault", "--scenario"),
    ("--faults", "--scenario"),
    ("--count", "--packets"),
    ("--input", "--tape"),
    ("--file", "--tape"),
    ("--file", "--output"),
    ("--out", "--output"),
    ("--outfile", "--output"),
    ("--overwrite", "--force"),
    ("--live", "--follow"),
    ("--subscribe", "--follow"),
    ("--dashboard", "--http"),
    ("--web", "--http"),
    ("--diff", "--against"),
    ("--check", "--verify"),
];

/// Flags of other programs whose value is an argument without a flag in ours: the command, the
/// flag, and an example.
const ARGUMENTS: [(&str, &str, &str); 10] = [
    ("fetch", "--address", "betacrew fetch HOST:PORT"),
    ("fetch", "--connect", "betacrew fetch HOST:PORT"),
    ("fetch", "--host", "betacrew fetch HOST:PORT"),
    ("fetch", "--port", "betacrew fetch PORT"),
    ("fetch", "--server", "betacrew fetch HOST:PORT"),
    ("convert", "--input", "betacrew convert IN OUT"),
    ("convert", "--output", "betacrew convert IN OUT"),
    ("inspect", "--file", "betacrew inspect FILE"),
    ("grade", "--client", "betacrew grade -- COMMAND"),
    ("grade", "--command", "betacrew grade -- COMMAND"),
];

/// Adds what was probably meant to the error about an unknown flag.
pub(super) fn add(wrong: &mut clap::Error, program: &Command, typed: &[String]) {
    let Some(ContextValue::String(flag)) = wrong.get(ContextKind::InvalidArg) else { return };
    if wrong.kind() != ErrorKind::UnknownArgument {
        return;
    }
    // The name of the command is the first word that is one; flags before it are the program's.
    let Some(command) = typed.iter().find_map(|word| program.find_subcommand(word)) else { return };
    let flag = flag.split('=').next().unwrap_or_default();
    if let Some(example) = argument(command, flag) {
        let mut tip = StyledStr::new();
        let valid = Styles::styled();
        let valid = valid.get_valid();
        let _ = write!(tip, "give the value without a flag: '{valid}{example}{valid:#}'");
        wrong.remove(ContextKind::SuggestedArg);
        wrong.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    } else if let Some(ours) = other_name(command, flag) {
        wrong.insert(ContextKind::SuggestedArg, ContextValue::String(ours.to_owned()));
    }
}

/// Returns the example for a flag whose value is an argument.
fn argument(command: &Command, flag: &str) -> Option<&'static str> {
    let is_it = |entry: &&(&str, &str, &str)| entry.0 == command.get_name() && entry.1 == flag;
    ARGUMENTS.iter().find(is_it).map(|(_, _, example)| *example)
}

/// Returns the flag of a command that means what another program's flag means.
fn other_name(command: &Command, flag: &str) -> Option<&'static str> {
    let has = |ours: &str| command.get_arguments().any(|arg| arg.get_long() == ours.get(2..));
    let ours = OTHER_NAMES.iter().find(|(theirs, ours)| *theirs == flag && has(ours));
    ours.map(|(_, ours)| *ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn every_suggested_flag_exists_and_no_flag_is_taken_for_another() {
        let program = Cli::command();
        let has = |command: &Command, flag: &str| {
            command.get_arguments().any(|arg| arg.get_long() == flag.get(2..))
        };
        for (theirs, ours) in OTHER_NAMES {
            let mut commands = program.get_subcommands();
            let exists = commands.any(|command| has(command, ours) && !has(command, theirs));
            assert!(exists || ours == "--http" && cfg!(not(feature = "web")), "{theirs} {ours}");
        }
        for (command, flag, example) in ARGUMENTS {
            let command = program.find_subcommand(command).unwrap();
            assert!(!has(command, flag), "{example}");
        }
    }
}
