//! `betacrew scenarios`: the built-in scenarios.

use crate::error::{Exit, Failure};
use crate::scenario::{self, catalogue};
use crate::terminal::message::print;
use std::fmt::Write;

/// What `scenarios` takes.
#[derive(clap::Args, Debug)]
pub struct ScenariosArgs {
    /// Print this one's TOML; save it to a file and change it as you like
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Print the JSON Schema of scenario files, for editors
    #[arg(long, conflicts_with = "name")]
    schema: bool,
}

/// Runs the command.
///
/// # Errors
/// Where there is no such scenario.
pub fn run(args: &ScenariosArgs) -> Result<Exit, Failure> {
    if args.schema {
        return print(&schema());
    }
    match &args.name {
        None => print(&list()?),
        Some(name) => match catalogue::entry(name) {
            Some(entry) => print(entry.text),
            // A file is read, so that its mistakes are told.
            None => scenario::open(name).and_then(|plot| {
                print(&format!("{name} makes sense: {} faults\n", plot.scenario.faults.len()))
            }),
        },
    }
}

/// The JSON Schema of scenario files.
#[must_use]
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(scenario::ScenarioFile);
    schema.insert("title".to_owned(), "A betacrew scenario".into());
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

fn list() -> Result<String, Failure> {
    let mut text = String::new();
    let width = catalogue::entries().map(|entry| entry.name.len()).max().unwrap_or(0);
    for group in catalogue::GROUPS {
        let _ = writeln!(text, "{}", group.title);
        for entry in group.entries {
            let plot = scenario::open(entry.name)?;
            let _ = writeln!(text, "  {:width$}  {}", entry.name, plot.about);
        }
        text.push('\n');
    }
    text += "Play one:           betacrew serve --scenario burst\n\
             Make one your own:  betacrew scenarios burst > mine.toml\n\
             \x20                   betacrew serve --scenario mine.toml\n";
    Ok(text)
}
