//! Scenarios as people write them: TOML files, and a catalogue of built-in ones.
//!
//! * [`mod@file`] is the file's form, [`text`] how its values are written;
//! * `fault` turns what was written into what can happen, or says what is wrong with it;
//! * [`catalogue`] has the built-in scenarios.
//!
//! `docs/scenarios.md` describes the format, `docs/scenario.schema.json` is its JSON Schema.

pub mod catalogue;
mod fault;
pub mod file;
mod refusal;
pub mod text;
mod written;

pub use file::{EngineSection, ScenarioFile};
pub use refusal::ScenarioError;

use crate::error::Failure;
use crate::tape::name::TapeName;
use feed::faults::scenario::{Fault, Played, Scenario};
use std::path::Path;

/// A scenario, ready to be played.
#[derive(Clone, PartialEq, Debug)]
pub struct ResolvedScenario {
    /// What it is called.
    pub name: String,
    /// What it is about, in a line.
    pub about: String,
    /// Whose exchange plays it.
    pub engine: EngineSection,
    /// What is played; the documents' five packets where the file does not say.
    pub tape: TapeName,
    /// What is played after a restart with another session.
    pub next: Option<TapeName>,
    /// Whether the file says which seed.
    pub seeded: bool,
    /// What goes wrong.
    pub scenario: Scenario,
}

/// Returns the file that a scenario's name stands for, unless it is a built-in one.
pub(crate) fn file_of(name: &str) -> Option<&Path> {
    catalogue::entry(name).is_none().then_some(Path::new(name))
}

/// The scenario of a built-in name, or of a file.
///
/// # Errors
/// [`Failure::Usage`] where there is neither, [`Failure::Content`] where the file makes no sense.
pub fn open(name: &str) -> Result<ResolvedScenario, Failure> {
    let parse = |text: &str, title: &str| {
        text.parse::<ScenarioFile>().and_then(|file| file.plot(title, text))
    };
    if let Some(entry) = catalogue::entry(name) {
        return parse(entry.text, name).map_err(|refusal| Failure::Content {
            path: name.into(),
            reason: refusal.to_string(),
        });
    }
    let path = Path::new(name);
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Failure::Usage(format!(
            "no scenario `{name}`: neither a file nor a built-in one{}; `betacrew scenarios` \
             lists those",
            catalogue::suggestion(name)
        )),
        std::io::ErrorKind::InvalidData => Failure::Usage(format!("{name} is no text")),
        _ => Failure::Storage { action: "read", path: path.into(), source },
    })?;
    let title = path.file_stem().map_or(name.into(), |stem| stem.to_string_lossy());
    let refused = |refusal: ScenarioError| Failure::Scenario {
        place: refusal.place(name),
        message: refusal.to_string(),
    };
    let mut plot = parse(&text, &title).map_err(refused)?;
    // A tape that a file names lies beside that file.
    let folder = path.parent().unwrap_or(Path::new(""));
    for tape in [Some(&mut plot.tape), plot.next.as_mut()].into_iter().flatten() {
        if let TapeName::File(file) = tape {
            *file = folder.join(&file);
        }
    }
    Ok(plot)
}

/// A fault as a line: `drop, sequences 7, times 1`.
pub(crate) fn fault_text(fault: &Fault) -> String {
    let written = toml::to_string(&file::FaultFile::from(fault)).unwrap_or_default();
    let lines = written.lines().map(|line| line.replace(" = ", " ").replace('"', ""));
    let text = lines.collect::<Vec<_>>().join(", ");
    text.strip_prefix("what ").map_or(text.clone(), str::to_owned)
}

/// The faults of a scenario that can never happen to what is played, each with the reason.
pub(crate) fn impossible_faults(scenario: &Scenario, played: Played) -> Vec<String> {
    let found = scenario.all_impossible(played);
    found.map(|(_, fault, why)| format!("`{}` ({why})", fault_text(fault))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::tape::source::TapeSource;

    #[test]
    fn every_built_in_scenario_can_happen_to_its_own_tape() {
        for entry in catalogue::entries() {
            let plot = open(entry.name).unwrap();
            let tapes = [Some(&plot.tape), plot.next.as_ref()];
            let last = |tape: &TapeName| tape.open(1).unwrap().last();
            let last = tapes.into_iter().flatten().map(last).max();
            let impossible = impossible_faults(&plot.scenario, Played { last, live: false });
            assert!(impossible.is_empty(), "{}: {impossible:?}", entry.name);
        }
    }
}
