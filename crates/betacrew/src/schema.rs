//! `betacrew schema`: JSON Schemas of the files that the program reads and writes.
//!
//! Each schema has a name and a version, its `$id`, such as `urn:betacrew:report:1`. Documents that
//! are JSON objects name it in their first field, `schema`. `docs/schemas` has all schemas.

use crate::commands::scenarios::ListedScenario;
use crate::error::{Exit, Failure};
use crate::grade::report::json::{GradeReport, SCHEMA as GRADE};
use crate::inspect::capture::json::{CaptureJson, SCHEMA as CAPTURE};
use crate::inspect::json::{COMPARISON, ComparisonJson, RECORDING, RecordingJson};
use crate::output::Output;
use crate::record::report::{RecordingReport, SCHEMA as REPORT};
use crate::scenario::ScenarioFile;
use crate::terminal::message::print;
use crate::text::location::Location;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use std::fmt::Write;

/// Arguments of `schema`.
#[derive(clap::Args, Debug)]
pub struct SchemaArgs {
    /// Schema to print, such as `scenario` or `report` [default: a list of all]
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Write all schemas into this folder instead, each as NAME.schema.json
    #[arg(long, value_name = "FOLDER", conflicts_with = "name")]
    folder: Option<Location>,
}

/// Kind of file that has a schema.
struct DescribedFile {
    /// Name and version, the schema's `$id`.
    id: &'static str,
    /// Command that reads or writes such files.
    command: &'static str,
    /// Function that makes the schema.
    make: fn() -> Schema,
}

/// All kinds of files that have a schema.
const FILES: [DescribedFile; 7] = [
    DescribedFile {
        id: "urn:betacrew:scenario:1",
        command: "serve --scenario FILE",
        make: read::<ScenarioFile>,
    },
    DescribedFile {
        id: "urn:betacrew:scenarios:1",
        command: "scenarios --json",
        make: written::<Vec<ListedScenario>>,
    },
    DescribedFile { id: REPORT, command: "fetch --report FILE", make: written::<RecordingReport> },
    DescribedFile { id: GRADE, command: "grade --json FILE", make: written::<GradeReport> },
    DescribedFile { id: RECORDING, command: "inspect --json FILE", make: written::<RecordingJson> },
    DescribedFile {
        id: COMPARISON,
        command: "inspect --json FILE --against FILE",
        make: written::<ComparisonJson>,
    },
    DescribedFile { id: CAPTURE, command: "inspect --json CAPTURE", make: written::<CaptureJson> },
];

impl DescribedFile {
    /// Returns the name, without the version.
    fn name(&self) -> &'static str {
        self.id.split(':').nth(2).unwrap_or_default()
    }

    /// Returns the schema as text.
    fn text(&self) -> String {
        let mut schema = (self.make)();
        schema.insert("$id".to_owned(), self.id.into());
        schema.insert("title".to_owned(), format!("betacrew {}", self.command).into());
        // A schema always has a JSON form, so the default is never used.
        serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
    }
}

/// Returns the schema of a file that is read: what may be left out is optional.
fn read<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}

/// Returns the schema of a file that is written: what is always written is required.
fn written<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}

/// Runs the command.
///
/// # Errors
/// Returns [`Failure::Usage`] if no schema has the name, and [`Failure::Storage`] if a file cannot
/// be written.
pub fn run(args: &SchemaArgs) -> Result<Exit, Failure> {
    if let Some(folder) = &args.folder {
        for file in FILES {
            let name = format!("{}.schema.json", file.name());
            let output = Output::begin(&folder.as_path().join(name))?;
            output.put(|out| out.write_all(file.text().as_bytes()))?;
        }
        return Ok(Exit::Complete);
    }
    let Some(name) = &args.name else { return print(&list()) };
    match FILES.iter().find(|file| file.name() == name) {
        Some(file) => print(&file.text()),
        None => Err(Failure::Usage(format!(
            "there is no schema `{name}`; the schemas are {}",
            FILES.map(|file| file.name()).join(", ")
        ))),
    }
}

/// Returns the list of all schemas: name, `$id`, and the command whose file it describes.
fn list() -> String {
    let mut text = String::new();
    for file in FILES {
        let _ = writeln!(text, "{:10}  {:25}  betacrew {}", file.name(), file.id, file.command);
    }
    text
}
