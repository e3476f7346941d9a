//! HTTP address of an exchange or a client: dashboard, JSON API and metrics (`docs/http.md`).
//!
//! The HTTP server runs on a thread of its own, never in the loop that moves packets. The two
//! share a `LoopHandle`: the server raises a flag and queues commands; the loop looks at the flag
//! once a turn and only then carries out the commands and publishes a snapshot of its state. A
//! loop without HTTP clients therefore only reads one flag a turn.
//!
//! * `api`: `routes` is the table of all paths; the router (`answer`) and the OpenAPI document
//!   (`openapi`) are made of it. `guard` decides who may call, `server` limits clients, time and
//!   memory, `events` keeps the newest events.
//! * `control`: `command` parses the bodies of commands, `loop_handle` connects server and loop.
//! * `state`: the JSON types, and what fills them: `exchange` and `client` make the state,
//!   `feed_state` classifies the feed, `gap_history` remembers a client's gaps, `strip` counts an
//!   exchange's sequences, `books` builds order books, `chart_history` keeps the last ten minutes.
//! * `page`: the files of the dashboard.

pub mod api;
pub mod control;
mod page;
mod state;

pub(crate) use crate::http::api::events::EventBuffer;
pub(crate) use crate::http::state::client::ClientMonitor;
pub(crate) use crate::http::state::exchange::ExchangeController;
pub(crate) use crate::http::state::scenario_info::ScenarioInfo;

use crate::args::address;
use crate::args::secret::Secret;
use crate::error::Failure;
use crate::http::api::answer::App;
use crate::http::api::routes::Role;
use crate::http::control::loop_handle::LoopHandle;
use crate::net::{self, Stop};
use crate::output::sink::PacketSink;
use crate::terminal::message::{print, show_at_once};
use crate::text::location::shown;
use feed::analysis::messages::MessageMeaning;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Minimum length of a token, in characters. Shorter ones are guessed too easily.
const TOKEN_MIN: usize = 8;

/// Command-line flags of the HTTP address.
#[derive(clap::Args, Clone, Default, Debug)]
#[group(id = "web")]
pub struct HttpArgs {
    /// Serve a dashboard, a JSON API and metrics at this address: HOST:PORT, or a port of this
    /// machine only [default port: 8080; port 0 takes a free one]
    #[arg(long, value_name = "ADDR", help_heading = "HTTP")]
    http: Option<String>,

    /// Bearer token required for changes over HTTP (`Authorization: Bearer TOKEN`); mandatory if
    /// other machines can reach --http [default: BETACREW_HTTP_TOKEN]
    #[arg(long, value_name = "TOKEN", help_heading = "HTTP", requires = "http")]
    http_token: Option<Secret>,

    /// Read the bearer token from a file, hidden from other users of this machine
    #[arg(long, value_name = "FILE", help_heading = "HTTP", requires = "http")]
    #[arg(conflicts_with = "http_token")]
    http_token_file: Option<PathBuf>,
}

/// HTTP address of a running program.
#[derive(Clone, Debug)]
pub(crate) struct Web {
    loop_handle: LoopHandle,
    book_snapshot: state::books::BookSnapshot,
    addresses: Vec<SocketAddr>,
}

impl Web {
    /// Returns one line for each address, `http on ADDRESS`.
    pub(crate) fn lines(&self) -> String {
        self.addresses.iter().map(|address| format!("http on {address}\n")).collect()
    }

    /// Returns whether one of `addresses` belongs to this program.
    pub(crate) fn is_at(&self, addresses: &[SocketAddr]) -> bool {
        self.addresses.iter().any(|own| addresses.contains(own))
    }

    /// Returns a sink that builds the order books of a recording. Without a `meaning`, the first
    /// message decides whether messages are ITCH.
    ///
    /// # Errors
    /// Returns [`Failure::System`] if no thread can be started.
    pub(crate) fn books(
        &self,
        meaning: Option<MessageMeaning>,
    ) -> Result<Box<dyn PacketSink>, Failure> {
        Ok(Box::new(state::books::BookBuilder::new(self.book_snapshot.clone(), meaning)?))
    }
}

/// Stream on which a client announces its HTTP address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Announce {
    Stdout,
    /// Used if stdout carries packets.
    Stderr,
}

impl HttpArgs {
    /// Returns whether `--http` was given.
    pub(crate) fn is_enabled(&self) -> bool {
        self.http.is_some()
    }

    /// Starts to serve for an exchange, if `--http` was given.
    pub(crate) fn exchange(&self, stop: &Stop) -> Result<Option<Web>, Failure> {
        self.open(Role::Exchange, stop)
    }

    /// Starts to serve for a client, if `--http` was given, and announces the address.
    pub(crate) fn client(&self, stop: &Stop, announce: Announce) -> Result<Option<Web>, Failure> {
        let web = self.open(Role::Client, stop)?;
        let lines = web.as_ref().map(Web::lines).unwrap_or_default();
        match announce {
            Announce::Stdout => {
                print(&lines)?;
            }
            // A script reads the port from this line.
            Announce::Stderr => show_at_once(&lines),
        }
        Ok(web)
    }

    /// Returns the files that are read, with the flags that named them.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &std::path::Path)> {
        self.http_token_file.as_deref().map(|path| ("--http-token-file", path)).into_iter()
    }

    /// Returns the token from the file, the flag or the environment.
    fn token(&self) -> Result<Option<Secret>, Failure> {
        let token = match &self.http_token_file {
            Some(path) => Some(Secret::read(path)?),
            None => self.http_token.clone().or_else(|| Secret::from_env("BETACREW_HTTP_TOKEN")),
        };
        let is_unfit = |token: &str| token.len() < TOKEN_MIN || !token.is_ascii();
        if token.as_ref().is_some_and(|token| is_unfit(token.expose())) {
            return Err(Failure::Usage(format!(
                "--http-token is too short or not ASCII: use at least {TOKEN_MIN} ASCII characters"
            )));
        }
        Ok(token)
    }

    fn open(&self, role: Role, stop: &Stop) -> Result<Option<Web>, Failure> {
        let Some(typed) = &self.http else { return Ok(None) };
        let addresses = address::resolve_with(typed, address::HTTP_PORT)?;
        let is_remote = addresses.iter().any(|address| !address.ip().is_loopback());
        let token = self.token()?;
        if is_remote && token.is_none() {
            return Err(Failure::Usage(format!(
                "--http {} can be reached from other machines: add --http-token TOKEN to protect \
                 changes, or use 127.0.0.1, which needs no token",
                shown(typed)
            )));
        }
        let listeners = net::listen_on(&addresses)
            .map_err(|(_, source)| Failure::Http { address: typed.to_owned(), source })?;
        let failed = |source| Failure::System { action: "cannot serve HTTP", source };
        let addresses = listeners.iter().map(std::net::TcpListener::local_addr);
        let addresses = addresses.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
        api::events::start_keeping();
        let name = if role == Role::Exchange { "exchange" } else { "client" };
        let loop_handle = LoopHandle::new(stop, name);
        let app = App { loop_handle: loop_handle.clone(), role, token };
        api::server::start(listeners, Arc::new(app)).map_err(failed)?;
        let book_snapshot = state::books::BookSnapshot::default();
        Ok(Some(Web { loop_handle, book_snapshot, addresses }))
    }
}
