//! Scenarios, which list the faults of an exchange, as TOML files and as built-in ones.
//!
//! * [`mod@file`] has the keys of a scenario file, [`text`] the notation of its values;
//! * `fault` translates a fault of a file to one that an exchange plays, or reports its mistake;
//! * `written` translates in the other direction;
//! * [`catalogue`] has the built-in scenarios.
//!
//! `docs/scenarios.md` describes the format, `docs/schemas/scenario.schema.json` is its JSON
//! Schema.

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
use feed::wire::{Protocol, Protocols};
use std::path::Path;

/// Scenario that is ready to be played.
#[derive(Clone, PartialEq, Debug)]
pub struct ResolvedScenario {
    /// Name of the scenario.
    pub name: String,
    /// Description in one line.
    pub about: String,
    /// Exchange that plays the tape: the mock exchange or the original one.
    pub engine: EngineSection,
    /// Tape to play; by default the five packets of the documents.
    pub tape: TapeName,
    /// Tape to play after a restart with another session.
    pub next: Option<TapeName>,
    /// True if the file has a seed.
    pub seeded: bool,
    /// Faults and settings of the exchange.
    pub scenario: Scenario,
}

impl ResolvedScenario {
    /// Returns the protocols in which the scenario does something and that can carry its tapes.
    #[must_use]
    pub fn protocols(&self) -> Protocols {
        if self.engine == EngineSection::Original {
            // It speaks nothing else.
            return Protocols::of(Protocol::Betacrew);
        }
        let tapes = [Some(&self.tape), self.next.as_ref()];
        let is_carried = |protocol: &Protocol| {
            tapes.iter().flatten().all(|tape| tape.protocols().contains(*protocol))
        };
        self.scenario.protocols().iter().filter(is_carried).collect()
    }
}

/// Returns the file that a scenario's name stands for, unless it is a built-in one.
pub(crate) fn file_of(name: &str) -> Option<&Path> {
    catalogue::entry(name).is_none().then_some(Path::new(name))
}

/// Returns the built-in scenario of this name, or the scenario in a file.
///
/// # Errors
/// Returns [`Failure::Usage`] if neither exists, and [`Failure::Scenario`] if the file has a
/// mistake.
pub fn open(name: &str) -> Result<ResolvedScenario, Failure> {
    let parse = |text: &str, title: &str| {
        text.parse::<ScenarioFile>().and_then(|file| file.resolve(title, text))
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
            "no scenario `{name}`: it is neither a file nor built in{}; `betacrew scenarios` \
             lists the built-in ones",
            catalogue::suggestion(name)
        )),
        std::io::ErrorKind::InvalidData => Failure::Usage(format!("{name} is not a text file")),
        _ => Failure::Storage { action: "read", path: path.into(), source },
    })?;
    let title = path.file_stem().map_or(name.into(), |stem| stem.to_string_lossy());
    let refused = |refusal: ScenarioError| Failure::Scenario {
        place: refusal.place(name),
        message: refusal.to_string(),
    };
    let mut resolved = parse(&text, &title).map_err(refused)?;
    // A tape in a scenario file is relative to the folder of that file.
    let folder = path.parent().unwrap_or(Path::new(""));
    for tape in [Some(&mut resolved.tape), resolved.next.as_mut()].into_iter().flatten() {
        if let TapeName::File(file) = tape {
            *file = folder.join(&file);
        }
    }
    Ok(resolved)
}

/// Returns a fault as a line of text: `drop, sequences 7, times 1`.
pub(crate) fn fault_text(fault: &Fault) -> String {
    let written = toml::to_string(&file::FaultFile::from(fault)).unwrap_or_default();
    let lines = written.lines().map(|line| line.replace(" = ", " ").replace('"', ""));
    let text = lines.collect::<Vec<_>>().join(", ");
    text.strip_prefix("what ").map_or(text.clone(), str::to_owned)
}

/// Returns the faults of a scenario that cannot happen to the played tapes, each with the reason.
pub(crate) fn impossible_faults(scenario: &Scenario, played: Played) -> Vec<String> {
    let found = scenario.all_impossible(played);
    found.map(|(_, fault, why)| format!("`{}` ({why})", fault_text(fault))).collect()
}

/// Returns the faults of a scenario that name lines in MoldUDP64 which do not exist, as the reason
/// of a refusal; `None` if there are none.
pub(crate) fn unknown_lines(scenario: &Scenario, played: Played) -> Option<String> {
    let named: Vec<String> = scenario
        .unknown_lines(played)
        .map(|(fault, line)| format!("`{}` names line {line}", fault_text(fault)))
        .collect();
    let lines = match played.lines {
        1 => "there is 1 line in MoldUDP64".to_owned(),
        count => format!("there are {count} lines in MoldUDP64"),
    };
    (!named.is_empty()).then(|| format!("{}, but {lines}", named.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::tape::source::TapeSource;

    #[test]
    fn a_scenario_has_the_protocols_that_carry_its_tape() {
        let of = |text: &str| {
            let plot = text.parse::<ScenarioFile>().unwrap().resolve("x", text).unwrap();
            plot.protocols().iter().map(Protocol::name).collect::<Vec<_>>()
        };
        assert_eq!(of("tape = \"classic\""), ["betacrew", "soup", "mold"]);
        assert_eq!(of("tape = \"itch:9\""), ["soup", "mold"]);
        assert_eq!(of("tape = \"lengths\""), ["soup"]);
        assert_eq!(of("tape = \"itch:9\"\n[[fault]]\nwhat = \"drop\""), ["mold"]);
    }

    #[test]
    fn every_built_in_scenario_can_happen_to_its_own_tape() {
        for entry in catalogue::entries() {
            let resolved = open(entry.name).unwrap();
            let tapes = [Some(&resolved.tape), resolved.next.as_ref()];
            let last = |tape: &TapeName| tape.open(1).unwrap().last();
            let last = tapes.into_iter().flatten().map(last).max();
            let impossible = impossible_faults(
                &resolved.scenario,
                Played { last, live: false, protocols: resolved.protocols(), lines: 2 },
            );
            assert!(impossible.is_empty(), "{}: {impossible:?}", entry.name);
        }
    }
}
