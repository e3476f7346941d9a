//! Commands of the control API: their JSON bodies, parsed and checked.

use crate::http::state::{Refusal, StripView};
use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};

/// Body of `POST /api/faults`: exactly one of the fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(crate) enum FaultsRequest {
    /// Probability (0 to 1) with which each packet of a stream is dropped; no other fault applies.
    Drop(#[schemars(range(min = 0.0, max = 1.0))] f64),
    /// Name of a built-in scenario.
    Scenario(#[schemars(length(max = 100))] String),
    /// Text of a scenario file, in TOML.
    Toml(String),
    /// Removal of all faults; always `true`.
    Clear(#[schemars(extend("const" = true))] bool),
}

/// Body of `POST /api/drop`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DropRequest {
    /// Number of packets to drop: the next ones that streams would send.
    #[serde(deserialize_with = "whole_number")]
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub next: u32,
}

/// Body of `POST /api/pause` and `/api/resume`: an empty object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmptyRequest {}

/// Body of `POST /api/cut`: one connection, or all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_or_all)]
pub(crate) struct CutRequest {
    /// Number of the connection.
    #[serde(default, deserialize_with = "optional_whole_number")]
    #[schemars(range(min = 1, max = 999_999_999_999_999_u64))]
    pub connection: Option<u64>,
    /// True for all connections.
    #[serde(default)]
    pub all: bool,
    /// Kind of cut; `close` by default.
    #[serde(default)]
    pub how: CutHow,
}

/// Reads a whole number or null. Accepts 3.0, because JSON does not tell it from 3.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn optional_whole_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(from)? else { return Ok(None) };
    let float = number.as_f64().filter(|it| it.fract() == 0.0 && (0.0..1e15).contains(it));
    float.map(|float| Some(float as u64)).ok_or_else(|| {
        Error::custom(format!("{number} is not a whole number of at most 15 digits"))
    })
}

/// Reads a whole number that fits the type.
fn whole_number<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<T, D::Error> {
    let number =
        optional_whole_number(from)?.ok_or_else(|| Error::custom("null is not a number"))?;
    T::try_from(number).map_err(|_| Error::custom(format!("{number} is too large")))
}

/// Adds the rule to a schema that a connection is named or `all` is true.
fn one_or_all(schema: &mut schemars::Schema) {
    let one = serde_json::json!({
        "required": ["connection"],
        "properties": { "connection": { "type": "integer" } },
    });
    schema.insert("anyOf".to_owned(), vec![one, all()].into());
}

/// Adds the rule to a schema that either a connection or a line is named, or `all` is true.
fn line_or_connection_or_all(schema: &mut schemars::Schema) {
    let only = |field: &str, other: &str| {
        serde_json::json!({
            "required": [field],
            "properties": { field: { "type": "integer" }, other: { "type": "null" } },
        })
    };
    let rules = vec![only("connection", "line"), only("line", "connection"), all()];
    schema.insert("anyOf".to_owned(), rules.into());
}

/// Returns the rule that `all` is true.
fn all() -> serde_json::Value {
    serde_json::json!({ "required": ["all"], "properties": { "all": { "const": true } } })
}

/// Kind of cut.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CutHow {
    /// Normal close, as after the last packet.
    #[default]
    Close,
    /// TCP reset.
    Reset,
}

/// Body of `POST /api/stall`: one connection, one line in MoldUDP64, or all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = line_or_connection_or_all)]
pub(crate) struct StallRequest {
    /// Number of the connection.
    #[serde(default, deserialize_with = "optional_whole_number")]
    #[schemars(range(min = 1, max = 999_999_999_999_999_u64))]
    pub connection: Option<u64>,
    /// Number of the line in MoldUDP64.
    #[serde(default, deserialize_with = "optional_whole_number")]
    #[schemars(range(min = 1, max = 999_999_999_999_999_u64))]
    pub line: Option<u64>,
    /// True for all connections and lines.
    #[serde(default)]
    pub all: bool,
    /// Duration of the stall in milliseconds, up to an hour.
    #[serde(deserialize_with = "whole_number")]
    #[schemars(range(min = 1, max = 3_600_000))]
    pub for_ms: u64,
}

/// Command to a loop.
#[derive(Debug)]
pub(crate) enum ControlCommand {
    /// Count what became of these sequences, in up to `cells` cells.
    Strip { from: u64, to: Option<u64>, cells: u32 },
    /// Replace the faults in force.
    Faults(FaultsRequest),
    /// Drop the next packets of streams: this number of them.
    DropNext(u32),
    /// Stop all sending.
    Pause,
    /// Continue all sending.
    Resume,
    /// End one connection, or all.
    Cut(Option<u64>, CutHow),
    /// Send nothing for this number of milliseconds.
    Stall(StallTarget, u64),
}

/// Part of an exchange that a command stalls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StallTarget {
    /// Connection with this number.
    Connection(u64),
    /// Line in MoldUDP64 with this number.
    Line(u64),
    /// All connections and lines.
    All,
}

/// Answer of a loop to a command.
#[derive(Debug)]
pub(crate) enum ControlAnswer {
    /// Command carried out, with a description of the effect.
    Done(String),
    /// Requested part of the sequence strip.
    Strip(StripView),
    /// Command refused.
    Refused(Refusal),
}

/// Returns a refusal: what is wrong, and what is allowed.
pub(crate) fn refusal_of(error: impl Into<String>, allowed: impl Into<String>) -> Refusal {
    Refusal { error: error.into(), allowed: allowed.into(), not_found: false }
}

/// Returns a refusal of a name that does not exist, with the names that do.
pub(crate) fn not_found(error: impl Into<String>, allowed: impl Into<String>) -> Refusal {
    Refusal { not_found: true, ..refusal_of(error, allowed) }
}

fn read<T: DeserializeOwned>(body: &[u8], allowed: &str) -> Result<T, Refusal> {
    // Serde also accepts an array of the fields in their order, which the documented API does not.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(refusal_of("the body is not a JSON object", allowed));
    }
    serde_json::from_slice(body).map_err(|error| refusal_of(error.to_string(), allowed))
}

/// Returns the number of the connection, or `None` for all.
fn target_connection(
    connection: Option<u64>,
    all: bool,
    allowed: &str,
) -> Result<Option<u64>, Refusal> {
    match (connection, all) {
        (Some(0), _) => Err(refusal_of("connections are numbered from 1", allowed)),
        (None, false) => Err(refusal_of("neither connection nor all is given", allowed)),
        (_, true) => Ok(None),
        (connection, false) => Ok(connection),
    }
}

/// Parses the body of `POST /api/faults`.
pub(crate) fn faults(body: &[u8]) -> Result<ControlCommand, Refusal> {
    let allowed =
        r#"one of {"drop":0.1} (0 to 1), {"scenario":"burst"}, {"toml":"…"}, {"clear":true}"#;
    match read(body, allowed)? {
        FaultsRequest::Drop(chance) if !(0.0..=1.0).contains(&chance) => {
            Err(refusal_of(format!("{chance} is not a probability"), allowed))
        }
        FaultsRequest::Clear(false) => Err(refusal_of("clear must be true", allowed)),
        faults => Ok(ControlCommand::Faults(faults)),
    }
}

/// Parses the body of `POST /api/drop`.
pub(crate) fn drop_next(body: &[u8]) -> Result<ControlCommand, Refusal> {
    let allowed = r#"{"next":200}, from 1 to 4294967295"#;
    match read(body, allowed)? {
        DropRequest { next: 0 } => Err(refusal_of("next must be at least 1", allowed)),
        DropRequest { next } => Ok(ControlCommand::DropNext(next)),
    }
}

/// Parses the body of `POST /api/pause`.
pub(crate) fn pause(body: &[u8]) -> Result<ControlCommand, Refusal> {
    read(body, "{}").map(|EmptyRequest {}| ControlCommand::Pause)
}

/// Parses the body of `POST /api/resume`.
pub(crate) fn resume(body: &[u8]) -> Result<ControlCommand, Refusal> {
    read(body, "{}").map(|EmptyRequest {}| ControlCommand::Resume)
}

/// Parses the body of `POST /api/cut`.
pub(crate) fn cut(body: &[u8]) -> Result<ControlCommand, Refusal> {
    let allowed = "{\"connection\":3} or {\"all\":true}, and \"how\":\"close\" or \"reset\"; lines \
                   in MoldUDP64 have no connections, but can be stalled";
    let CutRequest { connection, all, how } = read(body, allowed)?;
    Ok(ControlCommand::Cut(target_connection(connection, all, allowed)?, how))
}

/// Parses the body of `POST /api/stall`.
pub(crate) fn stall(body: &[u8]) -> Result<ControlCommand, Refusal> {
    let allowed = "one of connection (as 3), line (as 1) and all (true), with for_ms from 1 to \
                   3600000: {\"connection\":3,\"for_ms\":500}";
    let StallRequest { connection, line, all, for_ms } = read(body, allowed)?;
    if !(1..=3_600_000).contains(&for_ms) {
        return Err(refusal_of(format!("for_ms {for_ms} is out of range"), allowed));
    }
    let target = match (connection, line, all) {
        (Some(0), _, _) => Err("connections are numbered from 1"),
        (_, Some(0), _) => Err("lines are numbered from 1"),
        (_, _, true) => Ok(StallTarget::All),
        (Some(_), Some(_), false) => Err("both a connection and a line are given"),
        (None, None, false) => Err("no connection, no line and not all is given"),
        (Some(connection), None, false) => Ok(StallTarget::Connection(connection)),
        (None, Some(line), false) => Ok(StallTarget::Line(line)),
    };
    let target = target.map_err(|error| refusal_of(error, allowed))?;
    Ok(ControlCommand::Stall(target, for_ms))
}
