//! One HTTP address for seeing and steering: `docs/http.md`.
//!
//! It runs on a thread of its own and never in a feed's loop. The loop and it meet in `meeting`: a
//! flag says that somebody wants something, and only then does the loop take orders (`order`) and
//! tell its state (`state`), which `exchange` and `client` make (`notes` remembers a client's gaps,
//! `strip` counts an exchange's sequences, `feed_state` decides what the feed does, `book` makes
//! order books). `chart_history` keeps the last minutes and `events` what happened. `routes` is the
//! table of what can be asked for, `openapi` and the router (`answer`) are made of it, `guard`
//! decides who may ask, `server` bounds what that may cost.

pub mod api;
pub mod control;
mod page;
mod state;

pub(crate) use crate::http::api::events::EventBuffer;
pub(crate) use crate::http::state::client::ClientMonitor;
pub(crate) use crate::http::state::exchange::{ExchangeController, ScenarioInfo};

use crate::args::address;
use crate::args::secret::Secret;
use crate::error::Failure;
use crate::http::api::answer::App;
use crate::http::api::routes::Role;
use crate::http::control::loop_handle::LoopHandle;
use crate::net::{self, Stop};
use crate::output::sink::PacketSink;
use crate::terminal::message::print;
use crate::text::location::shown;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// What is typed to have it.
#[derive(clap::Args, Clone, Default, Debug)]
#[group(id = "web")]
pub struct HttpArgs {
    /// Serve a dashboard, an API and metrics at this address: HOST:PORT, or a port of this machine
    /// alone [default port: 8080; port 0 takes a free one]
    #[arg(long, value_name = "ADDR", help_heading = "HTTP")]
    http: Option<String>,

    /// What who changes anything over HTTP must show, as `Authorization: Bearer TOKEN`; needed
    /// where --http is not of this machine alone [default: BETACREW_HTTP_TOKEN]
    #[arg(long, value_name = "TOKEN", help_heading = "HTTP", requires = "http")]
    http_token: Option<Secret>,

    /// The token in a file, where other users of this machine cannot see it
    #[arg(long, value_name = "FILE", help_heading = "HTTP", requires = "http")]
    #[arg(conflicts_with = "http_token")]
    http_token_file: Option<PathBuf>,
}

/// The HTTP address of a running program.
#[derive(Clone, Debug)]
pub(crate) struct Web {
    meeting: LoopHandle,
    shelf: state::books::BookSnapshot,
    addresses: Vec<SocketAddr>,
}

impl Web {
    /// Returns the lines that say where it is.
    pub(crate) fn lines(&self) -> String {
        self.addresses.iter().map(|address| format!("http on {address}\n")).collect()
    }

    /// Whether one of these addresses is this program's own.
    pub(crate) fn is_at(&self, addresses: &[SocketAddr]) -> bool {
        self.addresses.iter().any(|own| addresses.contains(own))
    }

    /// What makes a recording's order books.
    ///
    /// # Errors
    /// [`Failure::System`] where there can be no more threads.
    pub(crate) fn books(&self) -> Result<Box<dyn PacketSink>, Failure> {
        Ok(Box::new(state::books::BookBuilder::new(self.shelf.clone())?))
    }
}

impl HttpArgs {
    /// Whether it is asked for.
    pub(crate) fn wanted(&self) -> bool {
        self.http.is_some()
    }

    /// Begins to serve, if that is asked for.
    pub(crate) fn exchange(&self, stop: &Stop) -> Result<Option<Web>, Failure> {
        self.open(Role::Exchange, stop)
    }

    /// Begins to serve for a client, and says where: on stdout, or on stderr where stdout is for
    /// `packets` alone.
    pub(crate) fn client(&self, stop: &Stop, packets: bool) -> Result<Option<Web>, Failure> {
        let web = self.open(Role::Client, stop)?;
        let lines = web.as_ref().map(Web::lines).unwrap_or_default();
        if packets {
            crate::terminal::message::show_text(&lines);
        } else {
            print(&lines)?;
        }
        Ok(web)
    }

    /// Files that are read, by their flags.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &std::path::Path)> {
        self.http_token_file.as_deref().map(|path| ("--http-token-file", path)).into_iter()
    }

    /// The token, from where it was given.
    fn token(&self) -> Result<Option<Secret>, Failure> {
        let token = match &self.http_token_file {
            Some(path) => Some(Secret::read(path)?),
            None => self.http_token.clone().or_else(|| Secret::from_env("BETACREW_HTTP_TOKEN")),
        };
        let short = |token: &str| token.len() < 8 || !token.is_ascii();
        if token.as_ref().is_some_and(|token| short(token.expose())) {
            return Err(Failure::Usage("--http-token: 8 ASCII characters at least".to_owned()));
        }
        Ok(token)
    }

    fn open(&self, role: Role, stop: &Stop) -> Result<Option<Web>, Failure> {
        let Some(typed) = &self.http else { return Ok(None) };
        let addresses = address::resolve_with(typed, address::HTTP_PORT)?;
        let beyond = addresses.iter().any(|address| !address.ip().is_loopback());
        let token = self.token()?;
        if beyond && token.is_none() {
            return Err(Failure::Usage(format!(
                "--http {} can be reached from other machines: --http-token TOKEN is needed, \
                 which whoever changes anything must show (127.0.0.1 needs none)",
                shown(typed)
            )));
        }
        let listeners = net::listen_on(&addresses)
            .map_err(|(_, source)| Failure::Http { address: typed.to_owned(), source })?;
        let failed = |source| Failure::System { action: "cannot serve HTTP", source };
        let addresses = listeners.iter().map(std::net::TcpListener::local_addr);
        let addresses = addresses.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
        api::events::keep();
        let name = if role == Role::Exchange { "exchange" } else { "client" };
        let meeting = LoopHandle::new(stop, name);
        let app = App { meeting: meeting.clone(), role, token };
        api::server::start(listeners, Arc::new(app)).map_err(failed)?;
        Ok(Some(Web { meeting, shelf: state::books::BookSnapshot::default(), addresses }))
    }
}

/// Rates and recent latencies need what was counted a while ago.
#[derive(Clone, Default, Debug)]
struct Past {
    /// When, packets, bytes, and latencies.
    points: std::collections::VecDeque<(std::time::Duration, u64, u64, state::metrics::Histogram)>,
}

impl Past {
    /// Rates over the last second, and latencies over the last five (longer where nobody asked).
    #[expect(clippy::cast_precision_loss)]
    fn look(
        &mut self,
        now: std::time::Duration,
        (packets, bytes): (u64, u64),
        latency: &state::metrics::Histogram,
    ) -> (state::Rates, state::metrics::Histogram) {
        use std::time::Duration;
        let points = &mut self.points;
        while points.get(1).is_some_and(|point| now >= point.0 + Duration::from_secs(5)) {
            points.pop_front();
        }
        let second = Duration::from_secs(1);
        let before = points.iter().rev().find(|point| now >= point.0 + second).or(points.front());
        let zero = (Duration::ZERO, 0, 0, state::metrics::Histogram::default());
        let (at, old_packets, old_bytes, _) = *before.unwrap_or(&zero);
        let seconds = (now - at).as_secs_f64().max(1e-3);
        let rates = state::Rates {
            packets: packets.saturating_sub(old_packets) as f64 / seconds,
            bytes: bytes.saturating_sub(old_bytes) as f64 / seconds,
        };
        let recent = latency.since(&points.front().unwrap_or(&zero).3);
        // Ten a second for five seconds.
        if points.back().is_none_or(|point| now >= point.0 + Duration::from_millis(80)) {
            points.push_back((now, packets, bytes, *latency));
        }
        (rates, recent)
    }
}
