//! The table of what can be asked for. The router and the OpenAPI document are made of it, so they
//! cannot differ.

use crate::http::control::command::{self, ControlCommand};
use crate::http::state::{Done, Gaps, History, Refused, State, StripView, TapeEntry};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Makes a type's schema.
pub(crate) type Describe = fn(&mut SchemaGenerator) -> Schema;

/// What answers a request.
#[derive(Clone, Copy)]
pub(crate) enum RouteAction {
    /// This text.
    Text(&'static str),
    /// Whether the loop answers.
    Ready,
    Metrics,
    OpenApi,
    State,
    Events,
    History,
    Gaps,
    Strip,
    /// The catalogue.
    Scenarios,
    /// The loop, asked for what the body says.
    Order(fn(&[u8]) -> Result<ControlCommand, Refused>),
}

/// Who has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Both,
    Exchange,
    Client,
}

/// A number in the query.
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) least: u64,
    pub(crate) most: u64,
}

/// Something that can be asked for.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) about: &'static str,
    pub(crate) role: Role,
    pub(crate) does: RouteAction,
    pub(crate) params: &'static [Param],
    /// The body of a POST; others are GET.
    pub(crate) body: Option<Describe>,
    /// The answer's media type and, if it is JSON, form.
    pub(crate) kind: &'static str,
    pub(crate) answer: Option<Describe>,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

pub(crate) const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";

const fn get(
    path: &'static str,
    about: &'static str,
    kind: &'static str,
    does: RouteAction,
) -> Route {
    Route { path, about, role: Role::Both, does, params: &[], body: None, kind, answer: None }
}

const fn post(
    path: &'static str,
    about: &'static str,
    body: Describe,
    order: fn(&[u8]) -> Result<ControlCommand, Refused>,
) -> Route {
    Route {
        role: Role::Exchange,
        body: Some(body),
        answer: Some(of::<Done>),
        ..get(path, about, JSON, RouteAction::Order(order))
    }
}

const SEQUENCES: u64 = i32::MAX as u64;

/// Everything.
pub(crate) const ROUTES: &[Route] = &[
    get(
        "/",
        "The dashboard",
        "text/html; charset=utf-8",
        RouteAction::Text(include_str!("../page/index.html")),
    ),
    get("/healthz", "Whether the program runs", PLAIN, RouteAction::Text("ok\n")),
    get("/readyz", "Whether its loop answers", PLAIN, RouteAction::Ready),
    get(
        "/metrics",
        "Metrics for Prometheus",
        "text/plain; version=0.0.4; charset=utf-8",
        RouteAction::Metrics,
    ),
    get("/openapi.json", "This document", JSON, RouteAction::OpenApi),
    Route {
        answer: Some(of::<State>),
        ..get("/api/state", "Everything at once", JSON, RouteAction::State)
    },
    get("/api/events", "The state four times a second", "text/event-stream", RouteAction::Events),
    Route {
        answer: Some(of::<History>),
        ..get(
            "/api/history",
            "The last ten minutes, second by second, and what happened",
            JSON,
            RouteAction::History,
        )
    },
    Route {
        answer: Some(of::<StripView>),
        params: &[
            Param { name: "from", about: "The first sequence [1]", least: 1, most: SEQUENCES },
            Param {
                name: "to",
                about: "The last sequence [the highest]",
                least: 1,
                most: SEQUENCES,
            },
            Param { name: "cells", about: "So many cells [1000]", least: 1, most: 4000 },
        ],
        ..get("/api/strip", "What became of the sequences, cell by cell", JSON, RouteAction::Strip)
    },
    Route {
        role: Role::Client,
        answer: Some(of::<Gaps>),
        params: &[Param {
            name: "after",
            about: "Gaps after this number [0]",
            least: 0,
            most: 1 << 53,
        }],
        ..get("/api/gaps", "The last few hundred gaps", JSON, RouteAction::Gaps)
    },
    Route {
        role: Role::Exchange,
        answer: Some(of::<Vec<TapeEntry>>),
        ..get("/api/scenarios", "The built-in scenarios", JSON, RouteAction::Scenarios)
    },
    post(
        "/api/faults",
        "What goes wrong from now on",
        of::<command::FaultsRequest>,
        command::faults,
    ),
    post("/api/lose", "Lose the next packets, once", of::<command::DropRequest>, command::lose),
    post("/api/pause", "All sending stands still", of::<command::EmptyRequest>, command::pause),
    post("/api/resume", "All sending goes on", of::<command::EmptyRequest>, command::resume),
    post("/api/cut", "End connections", of::<command::CutRequest>, command::cut),
    post(
        "/api/stall",
        "Send nothing on connections for a while",
        of::<command::StallRequest>,
        command::stall,
    ),
];

/// What this side has.
pub(crate) fn routes(role: Role) -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(move |route| route.role == Role::Both || route.role == role)
}
