//! What can be asked of a loop: the bodies of the control API, checked.

use crate::http::state::{Refused, StripView};
use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};

/// `POST /api/faults`: one of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(crate) enum FaultsRequest {
    /// Each packet of a stream is lost with this probability (0 to 1), and nothing else goes wrong.
    Drop(#[schemars(range(min = 0.0, max = 1.0))] f64),
    /// A built-in scenario.
    Scenario(#[schemars(length(max = 100))] String),
    /// A scenario file.
    Toml(String),
    /// Nothing goes wrong any more.
    Clear(#[schemars(extend("const" = true))] bool),
}

/// `POST /api/lose`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DropRequest {
    /// The next so many packets that streams would send are lost.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub next: u32,
}

/// `POST /api/pause` and `/api/resume`: an empty object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmptyRequest {}

/// `POST /api/cut`: a connection, or all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_or_all)]
pub(crate) struct CutRequest {
    /// Which connection.
    #[serde(default, deserialize_with = "maybe_whole")]
    #[schemars(range(min = 1, max = 999_999_999_999_999_u64))]
    pub connection: Option<u64>,
    /// All of them.
    #[serde(default)]
    pub all: bool,
    /// How; `close` if it is not said.
    #[serde(default)]
    pub how: How,
}

/// To JSON, 3.0 is a whole number, too.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn maybe_whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(from)? else { return Ok(None) };
    let float = number.as_f64().filter(|it| it.fract() == 0.0 && (0.0..1e15).contains(it));
    float.map(|float| Some(float as u64)).ok_or_else(|| {
        Error::custom(format!("{number} is no whole number of 15 digits at the most"))
    })
}

fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<T, D::Error> {
    let number = maybe_whole(from)?.ok_or_else(|| Error::custom("null is no number"))?;
    T::try_from(number).map_err(|_| Error::custom(format!("{number} is too large")))
}

/// A connection is named, or `all` is true.
fn one_or_all(schema: &mut schemars::Schema) {
    let all =
        serde_json::json!({ "required": ["all"], "properties": { "all": { "const": true } } });
    let one = serde_json::json!({
        "required": ["connection"],
        "properties": { "connection": { "type": "integer" } },
    });
    schema.insert("anyOf".to_owned(), vec![one, all].into());
}

/// How a connection is cut.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    /// As after the last packet.
    #[default]
    Close,
    /// It is reset.
    Reset,
}

/// `POST /api/stall`: a connection, or all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_or_all)]
pub(crate) struct StallRequest {
    /// Which connection.
    #[serde(default, deserialize_with = "maybe_whole")]
    #[schemars(range(min = 1, max = 999_999_999_999_999_u64))]
    pub connection: Option<u64>,
    /// All of them.
    #[serde(default)]
    pub all: bool,
    /// For so many milliseconds, up to an hour.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 3_600_000))]
    pub for_ms: u64,
}

/// What a loop is asked to do.
#[derive(Debug)]
pub(crate) enum ControlCommand {
    /// Tell what became of these sequences.
    Strip { from: u32, to: Option<u32>, cells: u32 },
    /// Other faults.
    Faults(FaultsRequest),
    /// Lose packets.
    Lose(u32),
    /// Stand still, or go on.
    Pause(bool),
    /// End connections: one, or all.
    Cut(Option<u64>, How),
    /// Send nothing for so many milliseconds: on one connection, or all.
    Stall(Option<u64>, u64),
}

/// What a loop answers.
#[derive(Debug)]
pub(crate) enum ControlAnswer {
    /// It is done.
    Done(String),
    /// What was asked for.
    Strip(StripView),
    /// It cannot be done.
    Refused(Refused),
}

/// What makes no sense, and what would.
pub(crate) fn refused(error: impl Into<String>, allowed: impl Into<String>) -> Refused {
    Refused { error: error.into(), allowed: allowed.into(), absent: false }
}

/// What is not there, and what is.
pub(crate) fn absent(error: impl Into<String>, allowed: impl Into<String>) -> Refused {
    Refused { absent: true, ..refused(error, allowed) }
}

fn read<T: DeserializeOwned>(body: &[u8], allowed: &str) -> Result<T, Refused> {
    // Fields without their names would do otherwise.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(refused("the body is no JSON object", allowed));
    }
    serde_json::from_slice(body).map_err(|error| refused(error.to_string(), allowed))
}

/// The connection, or all.
fn which(connection: Option<u64>, all: bool, allowed: &str) -> Result<Option<u64>, Refused> {
    match (connection, all) {
        (Some(0), _) => Err(refused("connections are counted from 1", allowed)),
        (None, false) => Err(refused("which connection, or all?", allowed)),
        (_, true) => Ok(None),
        (connection, false) => Ok(connection),
    }
}

/// `POST /api/faults`.
pub(crate) fn faults(body: &[u8]) -> Result<ControlCommand, Refused> {
    let allowed =
        r#"one of {"drop":0.1} (0 to 1), {"scenario":"burst"}, {"toml":"…"}, {"clear":true}"#;
    match read(body, allowed)? {
        FaultsRequest::Drop(chance) if !(0.0..=1.0).contains(&chance) => {
            Err(refused(format!("{chance} is no probability"), allowed))
        }
        FaultsRequest::Clear(false) => Err(refused("clear is true or absent", allowed)),
        faults => Ok(ControlCommand::Faults(faults)),
    }
}

/// `POST /api/lose`.
pub(crate) fn lose(body: &[u8]) -> Result<ControlCommand, Refused> {
    let allowed = r#"{"next":200}, from 1 to 4294967295"#;
    match read(body, allowed)? {
        DropRequest { next: 0 } => Err(refused("0 packets are none", allowed)),
        DropRequest { next } => Ok(ControlCommand::Lose(next)),
    }
}

/// `POST /api/pause`.
pub(crate) fn pause(body: &[u8]) -> Result<ControlCommand, Refused> {
    read(body, "{}").map(|EmptyRequest {}| ControlCommand::Pause(true))
}

/// `POST /api/resume`.
pub(crate) fn resume(body: &[u8]) -> Result<ControlCommand, Refused> {
    read(body, "{}").map(|EmptyRequest {}| ControlCommand::Pause(false))
}

/// `POST /api/cut`.
pub(crate) fn cut(body: &[u8]) -> Result<ControlCommand, Refused> {
    let allowed = r#"{"connection":3} or {"all":true}, and "how":"close" or "reset""#;
    let CutRequest { connection, all, how } = read(body, allowed)?;
    Ok(ControlCommand::Cut(which(connection, all, allowed)?, how))
}

/// `POST /api/stall`.
pub(crate) fn stall(body: &[u8]) -> Result<ControlCommand, Refused> {
    let allowed = r#"{"connection":3,"for_ms":500} or {"all":true,"for_ms":500}; 1 to 3600000 ms"#;
    let StallRequest { connection, all, for_ms } = read(body, allowed)?;
    if !(1..=3_600_000).contains(&for_ms) {
        return Err(refused(format!("{for_ms} ms is out of bounds"), allowed));
    }
    Ok(ControlCommand::Stall(which(connection, all, allowed)?, for_ms))
}
