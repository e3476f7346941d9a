//! `betacrew scenarios`: lists and prints the built-in scenarios.

use crate::error::{Exit, Failure};
use crate::scenario::{self, catalogue};
use crate::terminal::message::print;
use crate::text::formatting::count;
use feed::wire::Protocol;
use std::fmt::Write;

/// Lines above a printed scenario: the schema for editors, and the command that writes it.
///
/// The directive is read by taplo, and so by Even Better TOML in VS Code. Taplo looks for the file
/// beside the scenario.
const EDITOR_HINT: &str = "#:schema ./scenario.schema.json\n\
                           # Editors complete and check with it once it is here:\n\
                           # betacrew schema scenario > scenario.schema.json\n";

/// Flags of `scenarios`.
#[derive(clap::Args, Debug)]
pub struct ScenariosArgs {
    /// Scenario to print as TOML, or a scenario file to check
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// List the built-in scenarios as JSON, for programs
    #[arg(long, conflicts_with = "name")]
    json: bool,
}

/// Built-in scenario in the list for programs.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct ListedScenario {
    /// Name, for `serve --scenario`.
    name: &'static str,
    /// Heading of the scenario's group in the list for people.
    group: &'static str,
    /// Description in one line.
    about: String,
    /// Name of the scenario's tape.
    tape: String,
    /// Protocols in which it does something.
    protocols: Vec<&'static str>,
    /// False if no client of the exercise's protocol can record every packet.
    recoverable: bool,
}

/// Runs the command.
///
/// # Errors
/// Returns a [`Failure`] if no scenario has the name, or the file is not a valid scenario.
pub fn run(args: &ScenariosArgs) -> Result<Exit, Failure> {
    if args.json {
        return print(&list_for_programs()?);
    }
    match &args.name {
        None => print(&list()?),
        Some(name) => match catalogue::entry(name) {
            Some(entry) => print(&format!("{EDITOR_HINT}{}", entry.text)),
            // Any other name is a file, which is read to report its mistakes.
            None => scenario::open(name).and_then(|resolved| {
                print(&format!(
                    "{name} is a valid scenario: {}\n",
                    count(resolved.scenario.faults.len() as u64, "fault")
                ))
            }),
        },
    }
}

/// Returns the list of the built-in scenarios as JSON.
fn list_for_programs() -> Result<String, Failure> {
    let mut list = Vec::new();
    for group in catalogue::GROUPS {
        for entry in group.entries {
            let resolved = scenario::open(entry.name)?;
            list.push(ListedScenario {
                name: entry.name,
                group: group.title,
                tape: resolved.tape.to_string(),
                protocols: resolved.protocols().iter().map(Protocol::name).collect(),
                recoverable: entry.is_recoverable(),
                about: resolved.about,
            });
        }
    }
    Ok(serde_json::to_string_pretty(&list).unwrap_or_default() + "\n")
}

/// Returns the list of the built-in scenarios, in groups, with a line about each.
fn list() -> Result<String, Failure> {
    let mut text = String::new();
    let width = catalogue::entries().map(|entry| entry.name.len()).max().unwrap_or(0);
    for group in catalogue::GROUPS {
        let _ = writeln!(text, "{}", group.title);
        for entry in group.entries {
            let resolved = scenario::open(entry.name)?;
            // The protocols, if not all can show the scenario.
            let protocols: Vec<&str> = resolved.protocols().iter().map(Protocol::name).collect();
            let only = match protocols.len() == Protocol::ALL.len() {
                true => String::new(),
                false => format!(" [{}]", protocols.join(", ")),
            };
            let _ = writeln!(text, "  {:width$}  {}{only}", entry.name, resolved.about);
        }
        text.push('\n');
    }
    text += "In brackets: protocols in which a scenario has an effect, if it has none in others.\n\
             betacrew is the protocol of the exercise.\n\n\
             Play one:           betacrew serve --scenario burst\n\
             \x20                   betacrew serve --listen soup://3001 --scenario soup-debug\n\
             Make your own:      betacrew scenarios burst > mine.toml\n\
             \x20                   betacrew serve --scenario mine.toml\n";
    Ok(text)
}
