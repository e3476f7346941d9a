//! Table of all routes. The router and the OpenAPI document are made of it, so they cannot differ.

use crate::http::control::command::{self, ControlCommand};
use crate::http::state::{CommandDone, Gaps, History, Refusal, ScenarioEntry, State, StripView};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Function that makes a type's schema.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Source of an answer.
#[derive(Clone, Copy)]
pub(crate) enum RouteAction {
    /// Fixed text.
    Text(&'static str),
    /// Readiness: 200 if the loop answers, 503 if not.
    Ready,
    Metrics,
    OpenApi,
    State,
    Events,
    History,
    Gaps,
    Strip,
    /// Built-in scenarios.
    Scenarios,
    /// Command to the loop, parsed from the body.
    Command(fn(&[u8]) -> Result<ControlCommand, Refusal>),
}

/// Role of a program, and the roles that have a route.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Both,
    Exchange,
    Client,
}

/// Number in the query of a request.
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// Path, its action, and its description for the OpenAPI document.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) about: &'static str,
    pub(crate) role: Role,
    pub(crate) action: RouteAction,
    pub(crate) params: &'static [Param],
    /// Schema of a POST's body; `None` for GET.
    pub(crate) body: Option<SchemaOf>,
    /// Media type of the answer.
    pub(crate) kind: &'static str,
    /// Schema of the answer, if it is JSON.
    pub(crate) answer: Option<SchemaOf>,
}

/// Returns the schema of a type.
fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

pub(crate) const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";

const fn get(
    path: &'static str,
    about: &'static str,
    kind: &'static str,
    action: RouteAction,
) -> Route {
    Route { path, about, role: Role::Both, action, params: &[], body: None, kind, answer: None }
}

const fn post(
    path: &'static str,
    about: &'static str,
    body: SchemaOf,
    parse: fn(&[u8]) -> Result<ControlCommand, Refusal>,
) -> Route {
    Route {
        role: Role::Exchange,
        body: Some(body),
        answer: Some(schema_of::<CommandDone>),
        ..get(path, about, JSON, RouteAction::Command(parse))
    }
}

/// Highest sequence that a query may name. Numbers in JSON are exact up to here.
const SEQUENCES: u64 = 1 << 53;

/// All routes.
pub(crate) const ROUTES: &[Route] = &[
    get(
        "/",
        "The dashboard",
        "text/html; charset=utf-8",
        RouteAction::Text(include_str!("../page/index.html")),
    ),
    get("/healthz", "Answers if the program runs", PLAIN, RouteAction::Text("ok\n")),
    get("/readyz", "Answers 200 if the loop answers, 503 if not", PLAIN, RouteAction::Ready),
    get(
        "/metrics",
        "Metrics for Prometheus",
        "text/plain; version=0.0.4; charset=utf-8",
        RouteAction::Metrics,
    ),
    get("/openapi.json", "This document", JSON, RouteAction::OpenApi),
    Route {
        answer: Some(schema_of::<State>),
        ..get("/api/state", "The whole state", JSON, RouteAction::State)
    },
    get("/api/events", "The state four times a second", "text/event-stream", RouteAction::Events),
    Route {
        answer: Some(schema_of::<History>),
        ..get(
            "/api/history",
            "The last ten minutes, a point a second, and events",
            JSON,
            RouteAction::History,
        )
    },
    Route {
        answer: Some(schema_of::<StripView>),
        params: &[
            Param { name: "from", about: "The first sequence [1]", min: 1, max: SEQUENCES },
            Param { name: "to", about: "The last sequence [the highest]", min: 1, max: SEQUENCES },
            Param { name: "cells", about: "Maximum number of cells [1000]", min: 1, max: 4000 },
        ],
        ..get("/api/strip", "Counts of the sequences, cell by cell", JSON, RouteAction::Strip)
    },
    Route {
        role: Role::Client,
        answer: Some(schema_of::<Gaps>),
        params: &[Param {
            name: "after",
            about: "Number after which gaps are listed [0]",
            min: 0,
            max: 1 << 53,
        }],
        ..get("/api/gaps", "The newest 400 gaps", JSON, RouteAction::Gaps)
    },
    Route {
        role: Role::Exchange,
        answer: Some(schema_of::<Vec<ScenarioEntry>>),
        ..get("/api/scenarios", "The built-in scenarios", JSON, RouteAction::Scenarios)
    },
    post(
        "/api/faults",
        "Replace the faults in force",
        schema_of::<command::FaultsRequest>,
        command::faults,
    ),
    post(
        "/api/drop",
        "Drop the next packets, once",
        schema_of::<command::DropRequest>,
        command::drop_next,
    ),
    post("/api/pause", "Stop all sending", schema_of::<command::EmptyRequest>, command::pause),
    post(
        "/api/resume",
        "Continue all sending",
        schema_of::<command::EmptyRequest>,
        command::resume,
    ),
    post("/api/cut", "End connections", schema_of::<command::CutRequest>, command::cut),
    post(
        "/api/stall",
        "Send nothing on connections for a while",
        schema_of::<command::StallRequest>,
        command::stall,
    ),
];

/// Returns the routes of a role.
pub(crate) fn routes(role: Role) -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(move |route| route.role == Role::Both || route.role == role)
}
