//! How a request becomes an answer.

use crate::args::secret::Secret;
use crate::http::api::guard;
use crate::http::api::openapi;
use crate::http::api::routes::{JSON, Role, Route, RouteAction, routes};
use crate::http::api::server::{LISTENERS_MAX, ListenAddress};
use crate::http::control::command::{ControlAnswer, ControlCommand, refused};
use crate::http::control::loop_handle::LoopHandle;
use crate::http::page;
use crate::http::state::chart_history;
use crate::http::state::metrics;
use crate::http::state::{Gaps, History, Refused, TapeEntry};
use crate::scenario::{self, catalogue};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// The longest body of a request.
const BODY_MAX: usize = 256 * 1024;
/// And it must be there after this.
const BODY: Duration = Duration::from_secs(5);
/// How often the state is sent to who listens.
const FRAME: Duration = Duration::from_millis(250);

/// What every answer is made from.
pub(crate) struct App {
    pub(crate) meeting: LoopHandle,
    pub(crate) role: Role,
    pub(crate) token: Option<Secret>,
}

/// The router of this side's routes.
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
    let nowhere = || async {
        refusal(StatusCode::NOT_FOUND, &refused("there is nothing here", "see /openapi.json"))
    };
    let method = || async {
        let wrong = refused("not with this method", "see the Allow header, or /openapi.json");
        refusal(StatusCode::METHOD_NOT_ALLOWED, &wrong)
    };
    let guarded = move |request: Request, next: Next| {
        let app = Arc::clone(&app);
        async move {
            let (method, headers) = (request.method(), request.headers());
            let checked = guard::fits(method, request.uri(), headers)
                .and_then(|()| guard::check(method, headers, app.token.as_ref()));
            let mut response = match checked {
                Ok(()) => next.run(request).await,
                Err((status, wrong)) => refusal(status, &wrong),
            };
            decorate(&mut response);
            response
        }
    };
    router.fallback(nowhere).method_not_allowed_fallback(method).layer(from_fn(guarded))
}

/// The router of those for whom there is no room, beside so many clients.
pub(crate) fn full(clients: usize) -> Router {
    let answer = move || async move {
        let mut response = no_room(format!("there are {clients} clients already"));
        decorate(&mut response);
        response
    };
    Router::new().fallback(answer)
}

fn no_room(wrong: String) -> Response {
    let wrong = refused(wrong, "try again once one of them has gone");
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, &wrong);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// What a browser is to keep to.
fn decorate(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
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
            // A terminal's prompt comes on a line of its own.
            bytes.push(b'\n');
            text(JSON, bytes)
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refusal(status: StatusCode, wrong: &Refused) -> Response {
    let mut response = json(wrong);
    *response.status_mut() = status;
    response
}

fn busy() -> Response {
    let wrong = refused("the loop does not answer: it is busy, or over", "try again");
    refusal(StatusCode::SERVICE_UNAVAILABLE, &wrong)
}

async fn answer(app: Arc<App>, route: &'static Route, request: Request) -> Response {
    match route.does {
        RouteAction::Text(content) => text(route.kind, content),
        RouteAction::OpenApi => json(&openapi::document(app.role, app.token.is_some())),
        RouteAction::Ready => match app.meeting.look().await {
            (_, true) => text(route.kind, "ready\n"),
            (_, false) => busy(),
        },
        RouteAction::Metrics => text(route.kind, metrics::text(&app.meeting.look().await.0)),
        RouteAction::Scenarios => json(&scenarios()),
        RouteAction::State => json(&app.meeting.look().await.0.state),
        RouteAction::Events => events(&app, route.kind, request.extensions().get().cloned()),
        RouteAction::History => json(&history(&app)),
        RouteAction::Gaps => match number(route, request.uri(), "after") {
            Ok(after) => gaps(&app, after.unwrap_or(0)).await,
            Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong),
        },
        RouteAction::Strip => match strip(route, request.uri()) {
            Ok(order) => ask(&app, order).await,
            Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong),
        },
        RouteAction::Order(read) => {
            if let Err((status, wrong)) = guard::is_json(request.headers()) {
                return refusal(status, &wrong);
            }
            let body = axum::body::to_bytes(request.into_body(), BODY_MAX);
            let Ok(body) = tokio::time::timeout(BODY, body).await else {
                let wrong = refused("the body does not come", "all of it within 5 seconds");
                return refusal(StatusCode::REQUEST_TIMEOUT, &wrong);
            };
            let Ok(body) = body else {
                let wrong = refused("the body is too long or broken", "up to 256 KiB");
                return refusal(StatusCode::PAYLOAD_TOO_LARGE, &wrong);
            };
            match read(&body) {
                Ok(order) => ask(&app, order).await,
                Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong),
            }
        }
    }
}

/// The catalogue.
fn scenarios() -> Vec<TapeEntry> {
    let entry = |entry: &catalogue::CatalogueEntry| TapeEntry {
        name: entry.name.to_owned(),
        about: scenario::open(entry.name).map(|plot| plot.about).unwrap_or_default(),
        toml: entry.text.to_owned(),
    };
    catalogue::entries().map(entry).collect()
}

/// The last minutes, as far as they are kept.
fn history(app: &App) -> History {
    let interval_ms = u64::try_from(chart_history::INTERVAL.as_millis()).unwrap_or(u64::MAX);
    History {
        interval_ms,
        points: app.meeting.history().look(),
        events: crate::http::api::events::marks(),
    }
}

async fn ask(app: &App, order: ControlCommand) -> Response {
    match app.meeting.ask(order).await {
        Some(ControlAnswer::Done(done)) => json(&crate::http::state::Done { done }),
        Some(ControlAnswer::Strip(strip)) => json(&strip),
        Some(ControlAnswer::Refused(wrong)) if wrong.absent => {
            refusal(StatusCode::NOT_FOUND, &wrong)
        }
        Some(ControlAnswer::Refused(wrong)) => refusal(StatusCode::BAD_REQUEST, &wrong),
        None => busy(),
    }
}

async fn gaps(app: &App, after: u64) -> Response {
    let (snapshot, _) = app.meeting.look().await;
    let newer = snapshot.raw.gaps.iter().filter(|gap| gap.id > after).cloned();
    let gaps: Vec<_> = newer.collect();
    let after = gaps.last().map_or(after, |gap| gap.id);
    json(&Gaps { gaps, after })
}

/// A number of the query.
fn number(route: &Route, uri: &Uri, name: &str) -> Result<Option<u64>, Refused> {
    let Some(param) = route.params.iter().find(|param| param.name == name) else { return Ok(None) };
    let mut values =
        uri.query().into_iter().flat_map(|query| query.split('&')).filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        });
    let Some(value) = values.next() else { return Ok(None) };
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|number| (param.least..=param.most).contains(number));
    match number {
        Some(number) if digits && values.next().is_none() => Ok(Some(number)),
        _ => Err(refused(
            format!("{name} is no number within its bounds"),
            format!("once {name}=N, where N is from {} to {}", param.least, param.most),
        )),
    }
}

fn strip(route: &Route, uri: &Uri) -> Result<ControlCommand, Refused> {
    let read = |name| {
        let found = number(route, uri, name)?;
        Ok::<_, Refused>(found.and_then(|number| u32::try_from(number).ok()))
    };
    let (from, to) = (read("from")?.unwrap_or(1), read("to")?);
    Ok(ControlCommand::Strip { from, to, cells: read("cells")?.unwrap_or(1000) })
}

/// The state again and again, made only when the client's socket takes it.
fn events(app: &App, kind: &'static str, place: Option<Arc<ListenAddress>>) -> Response {
    if place.as_ref().is_some_and(|place| !place.listen()) {
        return no_room(format!("{LISTENERS_MAX} clients listen to events already"));
    }
    let meeting = app.meeting.clone();
    let frames = futures_util::stream::unfold(true, move |first| {
        let (meeting, place) = (meeting.clone(), place.clone());
        async move {
            if !first {
                tokio::time::sleep(FRAME).await;
            }
            if let Some(place) = place {
                place.moved();
            }
            let (snapshot, answered) = meeting.look().await;
            let mut frame = match answered {
                true => b"event: state\ndata: ".to_vec(),
                false => b": the loop does not answer\n\n".to_vec(),
            };
            if answered {
                serde_json::to_writer(&mut frame, &snapshot.state).ok()?;
                frame.extend(b"\n\n");
            }
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(frame)), false))
        }
    });
    text(kind, Body::from_stream(frames))
}
