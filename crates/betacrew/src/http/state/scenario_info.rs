//! Description of what an exchange plays, as its state shows it.

use crate::http::state::soup_counters::ListenerView;
use crate::scenario::ResolvedScenario;
use feed::faults::scenario::Played;
use feed::wire::Protocol;

/// Description of the tape and the scenario in force.
#[derive(Clone, Default, Debug)]
pub(crate) struct ScenarioInfo {
    pub(super) tape: String,
    pub(super) played: Played,
    pub(super) scenario: String,
    pub(super) about: String,
    pub(super) listeners: Vec<ListenerView>,
}

impl ScenarioInfo {
    pub(crate) fn new(
        resolved: &ResolvedScenario,
        played: Played,
        listeners: &[(Protocol, String)],
    ) -> Self {
        let (scenario, about) = (resolved.name.clone(), resolved.about.clone());
        let listeners = listeners.iter().map(ListenerView::new).collect();
        Self { tape: resolved.tape.to_string(), played, scenario, about, listeners }
    }
}
