//! Router, and the handlers that turn requests into answers.

use crate::args::secret::Secret;
use crate::http::api::guard;
use crate::http::api::openapi;
use crate::http::api::routes::{JSON, Role, Route, RouteAction, routes};
use crate::http::api::server::{ClientSlot, LISTENERS_MAX};
use crate::http::control::command::{ControlAnswer, ControlCommand, refusal_of};
use crate::http::control::loop_handle::LoopHandle;
use crate::http::page;
use crate::http::state::chart_history;
use crate::http::state::metrics;
use crate::http::state::{Gaps, History, Refusal, ScenarioEntry};
use crate::scenario::{self, catalogue};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use feed::base::seq::FIRST_SEQ;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Maximum length of a request's body, in bytes.
const BODY_MAX: usize = 256 * 1024;
/// Time after which a request's body must have arrived.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between two states of an event stream.
const EVENT_INTERVAL: Duration = Duration::from_millis(250);

/// Context of every handler.
pub(crate) struct App {
    pub(crate) loop_handle: LoopHandle,
    pub(crate) role: Role,
    pub(crate) token: Option<Secret>,
}

/// Returns the router of a role's routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in routes(app.role) {
        let app = Arc::clone(&app);
        let handler = move |request: Request| answer(Arc::clone(&app), route, request);
        let method = if route.body.is_some() { post(handler) } else { get(handler) };
        router = router.route(route.path, method);
    }
    for asset in page::ASSETS {
        router = router.route(asset.path, get(|| async { text(asset.kind, asset.body) }));
    }
    let not_found = || async {
        refusal(StatusCode::NOT_FOUND, &refusal_of("no such path", "see /openapi.json"))
    };
    let method = || async {
        let wrong =
            refusal_of("this path has no such method", "see the Allow header, or /openapi.json");
        refusal(StatusCode::METHOD_NOT_ALLOWED, &wrong)
    };
    let guarded = move |request: Request, next: Next| {
        let app = Arc::clone(&app);
        async move {
            let (method, headers) = (request.method(), request.headers());
            let checked = guard::check_head_length(method, request.uri(), headers)
                .and_then(|()| guard::check(method, headers, app.token.as_ref()));
            let mut response = match checked {
                Ok(()) => next.run(request).await,
                Err((status, wrong)) => refusal(status, &wrong),
            };
            decorate(&mut response);
            response
        }
    };
    router.fallback(not_found).method_not_allowed_fallback(method).layer(from_fn(guarded))
}

/// Returns the router for clients above the limit: every answer is 503.
pub(crate) fn full(clients: usize) -> Router {
    let answer = move || async move {
        let mut response = no_room(format!("{clients} clients are connected already"));
        decorate(&mut response);
        response
    };
    Router::new().fallback(answer)
}

fn no_room(wrong: String) -> Response {
    let wrong = refusal_of(wrong, "try again once one of them has left");
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, &wrong);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Adds the headers that restrict what a browser does with an answer.
fn decorate(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-event-options", "DENY"),
        ("cross-origin-resource-policy", "same-origin"),
        ("content-security-policy", page::POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
}

fn text(kind: &'static str, text: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], text.into()).into_response()
}

fn json(content: &impl Serialize) -> Response {
    match serde_json::to_vec(content) {
        Ok(mut bytes) => {
            // With it, a terminal's prompt starts on a line of its own.
            bytes.push(b'\n');
            text(JSON, bytes)
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refusal(status: StatusCode, wrong: &Refusal) -> Response {
    let mut response = json(wrong);
    *response.status_mut() = status;
    response
}

fn busy() -> Response {
    let wrong = refusal_of("the loop does not answer: it is busy or has ended", "try again");
    refusal(StatusCode::SERVICE_UNAVAILABLE, &wrong)
}

async fn answer(app: Arc<App>, route: &'static Route, request: Request) -> Response {
    match route.action {
        RouteAction::Text(content) => text(route.kind, content),
        RouteAction::OpenApi => json(&openapi::document(app.role, protection(&app))),
        RouteAction::Ready => match app.loop_handle.snapshot().await {
            (_, true) => text(route.kind, "ready\n"),
            (_, false) => busy(),
        },
        RouteAction::Metrics => {
            text(route.kind, metrics::text(&app.loop_handle.snapshot().await.0))
        }
        RouteAction::Scenarios => json(&scenarios()),
        RouteAction::State => json(&app.loop_handle.snapshot().await.0.state),
        RouteAction::Events => events(&app, route.kind, request.extensions().get().cloned()),
        RouteAction::History => json(&history(&app)),
        RouteAction::Gaps => match query_number(route, request.uri(), "after") {
            Ok(after) => gaps(&app, after.unwrap_or(0)).await,
            Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong),
        },
        RouteAction::Strip => match strip(route, request.uri()) {
            Ok(command) => send(&app, command).await,
            Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong),
        },
        RouteAction::Command(parse) => {
            if let Err((status, wrong)) = guard::check_json(request.headers()) {
                return refusal(status, &wrong);
            }
            let body = axum::body::to_bytes(request.into_body(), BODY_MAX);
            let Ok(body) = tokio::time::timeout(BODY_TIMEOUT, body).await else {
                let wrong = refusal_of("the body did not arrive", "all of it within 5 seconds");
                return refusal(StatusCode::REQUEST_TIMEOUT, &wrong);
            };
            let Ok(body) = body else {
                let wrong = refusal_of("the body is too long or broken", "up to 256 KiB");
                return refusal(StatusCode::PAYLOAD_TOO_LARGE, &wrong);
            };
            match parse(&body) {
                Ok(command) => send(&app, command).await,
                Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong),
            }
        }
    }
}

/// Returns the protection of the commands, for the OpenAPI document.
fn protection(app: &App) -> openapi::Protection {
    match app.token {
        Some(_) => openapi::Protection::BearerToken,
        None => openapi::Protection::None,
    }
}

/// Returns the built-in scenarios.
fn scenarios() -> Vec<ScenarioEntry> {
    let entry = |entry: &catalogue::CatalogueEntry| {
        let scenario = scenario::open(entry.name).ok();
        let protocols = scenario.iter().flat_map(|scenario| scenario.protocols().iter());
        ScenarioEntry {
            name: entry.name.to_owned(),
            protocols: protocols.map(|protocol| protocol.to_string()).collect(),
            about: scenario.map(|scenario| scenario.about).unwrap_or_default(),
            toml: entry.text.to_owned(),
        }
    };
    catalogue::entries().map(entry).collect()
}

/// Returns the chart history.
fn history(app: &App) -> History {
    let interval_ms = u64::try_from(chart_history::INTERVAL.as_millis()).unwrap_or(u64::MAX);
    History {
        interval_ms,
        points: app.loop_handle.history().points(),
        events: crate::http::api::events::marks(),
    }
}

async fn send(app: &App, command: ControlCommand) -> Response {
    match app.loop_handle.send(command).await {
        Some(ControlAnswer::Done(done)) => json(&crate::http::state::CommandDone { done }),
        Some(ControlAnswer::Strip(strip)) => json(&strip),
        Some(ControlAnswer::Refused(wrong)) if wrong.not_found => {
            refusal(StatusCode::NOT_FOUND, &wrong)
        }
        Some(ControlAnswer::Refused(wrong)) => refusal(StatusCode::BAD_REQUEST, &wrong),
        None => busy(),
    }
}

async fn gaps(app: &App, after: u64) -> Response {
    let (snapshot, _) = app.loop_handle.snapshot().await;
    let newer = snapshot.extra.gaps.iter().filter(|gap| gap.id > after).cloned();
    let gaps: Vec<_> = newer.collect();
    let after = gaps.last().map_or(after, |gap| gap.id);
    json(&Gaps { gaps, after })
}

/// Returns a number of the query, if it is given.
fn query_number(route: &Route, uri: &Uri, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(param) = route.params.iter().find(|param| param.name == name) else { return Ok(None) };
    let mut values =
        uri.query().into_iter().flat_map(|query| query.split('&')).filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        });
    let Some(value) = values.next() else { return Ok(None) };
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|number| (param.min..=param.max).contains(number));
    match number {
        Some(number) if digits && values.next().is_none() => Ok(Some(number)),
        _ => Err(refusal_of(
            format!("{name} is not a number within its bounds"),
            format!("once {name}=N, where N is from {} to {}", param.min, param.max),
        )),
    }
}

fn strip(route: &Route, uri: &Uri) -> Result<ControlCommand, Refusal> {
    let read = |name| query_number(route, uri, name);
    let (from, to) = (read("from")?.unwrap_or(FIRST_SEQ), read("to")?);
    let cells = read("cells")?.and_then(|number| u32::try_from(number).ok());
    Ok(ControlCommand::Strip { from, to, cells: cells.unwrap_or(1000) })
}

/// Returns an endless stream of states. Each is made only when the client's socket has taken the
/// one before, so a client that does not read keeps no states waiting.
fn events(app: &App, kind: &'static str, slot: Option<Arc<ClientSlot>>) -> Response {
    if slot.as_ref().is_some_and(|slot| !slot.listen()) {
        return no_room(format!("{LISTENERS_MAX} clients listen to events already"));
    }
    let loop_handle = app.loop_handle.clone();
    let states = futures_util::stream::unfold(true, move |is_first| {
        let (loop_handle, slot) = (loop_handle.clone(), slot.clone());
        async move {
            if !is_first {
                tokio::time::sleep(EVENT_INTERVAL).await;
            }
            if let Some(slot) = slot {
                slot.note_progress();
            }
            let (snapshot, answered) = loop_handle.snapshot().await;
            let mut event = match answered {
                true => b"event: state\ndata: ".to_vec(),
                false => b": the loop does not answer\n\n".to_vec(),
            };
            if answered {
                serde_json::to_writer(&mut event, &snapshot.state).ok()?;
                event.extend(b"\n\n");
            }
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(event)), false))
        }
    });
    text(kind, Body::from_stream(states))
}
