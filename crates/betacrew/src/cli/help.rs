//! `-h` and `--help`: which flags each of them shows, and the texts that stand above the flags.
//!
//! `-h` shows the flags that people use, on one screen. `--help` shows all flags, in groups. Flags
//! of features that are not built in are shown by neither.

use clap::{Arg, Command};

/// Help of one command.
struct CommandHelp {
    /// Name of the command.
    name: &'static str,
    /// Flags and arguments that `-h` shows, by their ids.
    shown: &'static [&'static str],
    /// Paragraphs above the flags in `--help`: what the command does, then an example.
    about: &'static str,
}

/// Help of every command.
const COMMANDS: [CommandHelp; 13] = [
    CommandHelp {
        name: "serve",
        shown: &["listen", "tape", "scenario", "drop", "skip", "pace", "live", "seed", "http"],
        about: "Runs a mock exchange until Ctrl+C. It streams packets to every client that \
                connects and drops some of them on purpose; a client finds the gaps and requests \
                the missing packets again.\n\n\
                Example: play 100,000 packets on port 3000 and drop 5% of them\n  \
                betacrew serve --tape random:100000 --drop 5%",
    },
    CommandHelp {
        name: "fetch",
        shown: &[
            "addresses",
            "output",
            "format",
            "follow",
            "allow_gaps",
            "report",
            "publish",
            "tape",
            "restart",
            "http",
        ],
        about: "Records a session from an exchange and writes every packet of it, in order, to \
                output.json. Missing packets are requested again until none is missing.\n\n\
                Example: record from port 3000 of this machine, as JSON and as CSV\n  \
                betacrew fetch 3000 -o output.json -o output.csv",
    },
    CommandHelp {
        name: "convert",
        shown: &["inputs", "output", "from", "to", "force", "allow_gaps"],
        about: "Writes a file of packets or other messages in another format. The ends of the \
                names say the formats: .json, .ndjson, .csv, .parquet, .arrow, .sqlite, .itch, \
                .itch.gz, .pcap, .pcapng, .tape.\n\n\
                Example: make a CSV file from a recording\n  \
                betacrew convert output.json output.csv",
    },
    CommandHelp {
        name: "inspect",
        shown: &["files", "from", "verify", "against", "plot", "book", "json"],
        about: "Shows the contents of recordings in any format: which packets are there, which are \
                missing, and whether the recording is complete.\n\n\
                Example: find the differences between two recordings\n  \
                betacrew inspect output.json --against other.csv",
    },
    CommandHelp {
        name: "scenarios",
        shown: &["name", "json"],
        about: "Lists the built-in scenarios: what an exchange can do wrong, by name. With a NAME \
                it prints that scenario's TOML as a starting point for your own.\n\n\
                Example: change a scenario and play it\n  \
                betacrew scenarios burst > mine.toml\n  \
                betacrew serve --scenario mine.toml",
    },
    CommandHelp {
        name: "sim",
        shown: &["seeds", "from", "narrate", "cost"],
        about: "Simulates recordings on networks and disks that fail, one for each seed, and \
                checks the promises of the client after each. The same seed always gives the same \
                run.\n\n\
                Example: check a thousand seeds, then print the events of seed 7\n  \
                betacrew sim --seeds 1000\n  \
                betacrew sim --narrate 7",
    },
    CommandHelp {
        name: "grade",
        shown: &[
            "cases", "command", "protocol", "output", "timeout", "port", "watch", "html", "junit",
            "list", "explain",
        ],
        about: "Tests a client, in any language, against exchanges that drop \
                packets, and reports which cases it passes and why it fails the others.\n\n\
                Example: grade a Node.js client that connects to port 3000\n  \
                betacrew grade -- node client.js",
    },
    CommandHelp {
        name: "demo",
        shown: &["seed", "packets", "drop", "scenario", "output"],
        about: "Runs an exchange and a client in one process, over real TCP, and shows which \
                packets were dropped and which were recovered.\n\n\
                Example: drop every second packet of 200\n  \
                betacrew demo --packets 200 --drop 50%",
    },
    CommandHelp {
        name: "health",
        shown: &["address", "timeout"],
        about: "Asks a running exchange or client over HTTP whether it is ready. The exit code is \
                0 if it is, and 5 if it is not or does not answer: a health check for containers \
                that have no other program.\n\n\
                Example: check the exchange that serves HTTP on port 8080\n  \
                betacrew health 8080",
    },
    CommandHelp {
        name: "completions",
        shown: &["shell"],
        about: "Prints the completions of commands and flags for a shell.\n\n\
                Example: complete in this bash, and in each that starts later\n  \
                source <(betacrew completions bash)\n  \
                betacrew completions bash > ~/.local/share/bash-completion/completions/betacrew",
    },
    CommandHelp {
        name: "man",
        shown: &["command", "folder"],
        about: "Prints the manual page of the program or of one of its commands, for man to \
                show. The pages have the texts of --help.\n\n\
                Example: read the page of serve, and install all pages\n  \
                betacrew man serve | man -l -\n  \
                betacrew man --folder ~/.local/share/man/man1",
    },
    CommandHelp {
        name: "schema",
        shown: &["name", "folder"],
        about: "Prints the JSON Schema of a file that betacrew reads or writes: for editors, and \
                for programs that read its reports. Without a NAME it lists them.\n\n\
                Example: check a report, and let the editor complete a scenario\n  \
                betacrew schema report > report.schema.json\n  \
                betacrew schema scenario > scenario.schema.json",
    },
    CommandHelp {
        name: "version",
        shown: &[],
        about: "Prints the version, the built-in features, the commit and the platform: what a \
                bug report should have.\n\n\
                Example: say which program you run\n  \
                betacrew version",
    },
];

/// Adds the texts of `--help` to a command line, and leaves in `-h` only the flags of
/// [`COMMANDS`].
pub(super) fn arrange(command: Command) -> Command {
    let mut command = command.mut_args(|arg| arg.hide_short_help(true));
    for CommandHelp { name, shown, about } in COMMANDS {
        command = command.mut_subcommand(name, |command| {
            command.long_about(about).mut_args(|arg| {
                let is_shown = shown.contains(&arg.get_id().as_str());
                hide_absent(arg).hide_short_help(!is_shown)
            })
        });
    }
    command
}

/// Hides a flag of a feature that is not built in. The flag is still read, so that its error can
/// say how to build the feature in.
fn hide_absent(arg: Arg) -> Arg {
    let publishes = arg.get_id().as_str().starts_with("publish");
    let is_absent = publishes && cfg!(not(feature = "nats"));
    if is_absent { arg.hide(true) } else { arg }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    /// Maximum number of lines of `-h`, on a screen of 80 columns.
    const SCREEN: usize = 40;

    /// Commands whose `-h` fits on the smallest usual screen, of 24 lines.
    const SMALL: [&str; 9] = [
        "convert",
        "scenarios",
        "sim",
        "demo",
        "health",
        "completions",
        "man",
        "schema",
        "version",
    ];

    /// Returns the program's help and each command's, as `-h` and as `--help`.
    fn helps() -> Vec<(String, String, String)> {
        let mut program = arrange(Cli::command()).term_width(80);
        program.build();
        let mut helps = vec![];
        let mut add = |command: &mut Command| {
            let long = command.render_long_help().to_string();
            helps.push((command.get_name().to_owned(), command.render_help().to_string(), long));
        };
        add(&mut program);
        let commands = program.get_subcommands_mut();
        commands.filter(|command| command.get_name() != "help").for_each(add);
        helps
    }

    #[test]
    fn short_help_fits_on_a_screen_without_logging_flags() {
        for (name, short, _) in helps() {
            let lines = short.lines().count();
            let most = if SMALL.contains(&name.as_str()) { 24 } else { SCREEN };
            assert!(lines <= most, "{name} -h has {lines} lines:\n{short}");
            assert!(!short.contains("--log"), "{name} -h:\n{short}");
            assert!(short.lines().all(|line| line.chars().count() <= 80), "{name} -h:\n{short}");
        }
    }

    #[test]
    fn long_help_begins_with_the_purpose_and_an_example_and_has_all_flags() {
        for (name, short, long) in helps() {
            assert!(long.contains("--log-format"), "{name} --help:\n{long}");
            let flags = |text: &str| text.lines().filter(|line| line.contains(" --")).count();
            assert!(flags(&long) >= flags(&short), "{name} --help:\n{long}");
            if name != "betacrew" {
                let (before, _) = long.split_once("Usage:").unwrap();
                assert!(before.contains(&format!("\n  betacrew {name}")), "{name}:\n{before}");
            }
        }
    }

    #[test]
    fn flags_of_absent_features_are_not_shown() {
        let all: String = helps().into_iter().map(|(_, short, long)| short + &long).collect();
        assert_eq!(all.contains("--http"), cfg!(feature = "web"));
        assert_eq!(all.contains("--publish"), cfg!(feature = "nats"));
    }

    #[test]
    fn every_command_and_each_shown_flag_exists() {
        let program = arrange(Cli::command());
        assert_eq!(program.get_subcommands().count(), COMMANDS.len());
        for command in program.get_subcommands() {
            let help = COMMANDS.iter().find(|help| help.name == command.get_name()).unwrap();
            for &id in help.shown {
                let exists = command.get_arguments().any(|arg| arg.get_id() == id);
                assert_eq!(exists, id != "http" || cfg!(feature = "web"), "{} {id}", help.name);
            }
        }
    }
}
