//! Access to the client library: connects, asks for state, reads and publishes.

use crate::block::{Block, COUNT, FIRST, FORMAT, JSON, SESSION, WIRE, session_word, to_json};
use crate::publisher::{Answer, Flight, PublishFailure, State};
use crate::stream::unsuitable;
use crate::target::{Encoding, Settings};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{
    ContextBuilder, CreateStreamErrorKind, GetStreamErrorKind, PublishErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, LastRawMessageErrorKind, Stream};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, jetstream};
use feed::base::seq::Seq;
use feed::wire::{RawFrame, SessionId};
use std::time::Duration;

/// Maximum time to wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Time for which the server remembers the ids of messages, far longer than one is on its way.
const WINDOW: Duration = Duration::from_secs(120);

/// Reason why a log cannot be used.
#[derive(thiserror::Error, Clone, Debug)]
pub enum Error {
    /// Wrong usage.
    #[error("{0}")]
    Usage(String),
    /// The log cannot be reached.
    #[error("cannot reach the log {log}: {reason}")]
    Unreachable {
        /// Name of the log.
        log: String,
        /// Reason, as text.
        reason: String,
    },
    /// The server refuses access, or a request.
    #[error("the log {log} refuses: {reason}")]
    Refused {
        /// Name of the log.
        log: String,
        /// Reason, as text.
        reason: String,
    },
    /// The stream's settings may lose or change messages.
    #[error(
        "the log {log} cannot keep a session: {reason}. Set that (`nats stream edit`), or name a \
         stream that does not exist: it is made as it has to be"
    )]
    Unsuitable {
        /// Name of the log.
        log: String,
        /// Settings, each with the value that it needs.
        reason: String,
    },
    /// Messages were removed from the log.
    #[error(
        "the log {log} lacks packets: {reason}. Nothing more is published into it. The tape has \
         them: `betacrew convert TAPE nats://HOST/OTHER` publishes all of it into another stream"
    )]
    Missing {
        /// Name of the log.
        log: String,
        /// Messages that were removed, as text.
        reason: String,
    },
    /// The log has other packets than this recording.
    #[error(
        "the log {log} has something else: {failure}. Nothing of it was changed. The tape is what \
         was recorded; publish it into another stream, or find out who wrote into this one"
    )]
    Conflict {
        /// Name of the log.
        log: String,
        /// Difference between log and recording.
        failure: PublishFailure,
    },
    /// Packets were not published in time.
    #[error(
        "the log {log} has the packets up to {reached}{of}, and has taken no more for \
         {waited:.1?}{reason}",
        of = if *last == 0 { String::new() } else { format!(" of {last}") }
    )]
    Unfinished {
        /// Name of the log.
        log: String,
        /// Last packet that the log has.
        reached: Seq,
        /// Last packet of the recording; 0 if unknown.
        last: Seq,
        /// Time that was waited.
        waited: Duration,
        /// Last problem, if known.
        reason: String,
    },
    /// The log does not have a session's packets.
    #[error("cannot use the log {log}: {reason}")]
    Content {
        /// Name of the log.
        log: String,
        /// Reason, as text.
        reason: String,
    },
    /// Unexpected error of the system.
    #[error("cannot start: {0}")]
    System(String),
}

/// Connection to a stream of a log.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) client: Client,
    context: jetstream::Context,
    pub(crate) name: String,
}

/// Connects. `event` is called with later events of the connection.
pub(crate) async fn connect(
    settings: &Settings,
    name: &str,
    event: impl Fn(&Event) + Send + Sync + 'static,
) -> Result<Link, Error> {
    let log = settings.target.named(name);
    let mut options = ConnectOptions::new()
        .name("betacrew")
        .connection_timeout(TIMEOUT)
        .request_timeout(Some(TIMEOUT))
        .max_reconnects(None)
        .reconnect_delay_callback(|tries| {
            Duration::from_millis(50).saturating_mul(u32::try_from(tries).unwrap_or(20).min(20))
        })
        .event_callback(move |what| {
            event(&what);
            std::future::ready(())
        });
    if settings.target.servers.iter().any(|server| server.starts_with("tls:")) {
        options = options.require_tls(true);
    }
    options = match settings.target.user.clone() {
        Some((name, Some(password))) => options.user_and_password(name, password),
        Some((token, None)) => options.token(token),
        None => options,
    };
    if let Some(file) = &settings.creds {
        // The file could be read, so the error is in its content.
        let wrong = |error| Error::Usage(format!("cannot use the credentials file: {error}"));
        options = options.credentials_file(file).await.map_err(wrong)?;
    }
    if let Some(file) = &settings.ca {
        let wrong = |error| Error::Usage(format!("cannot use the certificate file: {error}"));
        std::fs::metadata(file).map_err(wrong)?;
        options = options.add_root_certificates(file.clone());
    }
    let client = options.connect(&settings.target.servers).await.map_err(|error| {
        let kind = error.kind();
        let reason = said(error);
        match kind {
            ConnectErrorKind::Authentication
            | ConnectErrorKind::AuthorizationViolation
            | ConnectErrorKind::Tls
            | ConnectErrorKind::ServerParse => Error::Refused { log, reason },
            _ if reason.contains("certificate") => Error::Refused { log, reason },
            _ => Error::Unreachable { log, reason },
        }
    })?;
    let context = ContextBuilder::new()
        .timeout(TIMEOUT)
        .ack_timeout(TIMEOUT)
        .backpressure_on_inflight(true)
        .build(client.clone());
    Ok(Link { client, context, name: name.to_owned() })
}

/// Reason why the state of a log is unknown.
pub(crate) enum Failed {
    /// The log may answer later.
    Again(String),
    /// The server refuses to create the stream.
    Refused(String),
    /// The stream's settings are unsuitable.
    Unsuitable(String),
}

/// Returns true if an error is final: the stream cannot be created later either.
fn is_final(error: &jetstream::Error) -> bool {
    match error.error_code() {
        // Another client creates the stream right now, or the cluster is not complete yet.
        ErrorCode::STREAM_NAME_EXIST | ErrorCode::CLUSTER_NO_PEERS => false,
        ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED
        | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
        | ErrorCode::JETSTREAM_NOT_ENABLED => true,
        _ => error.code() == 400,
    }
}

impl Link {
    /// Returns the state of the stream, and creates the stream if it does not exist.
    ///
    /// The settings are checked each time, because an administrator may have changed them.
    pub(crate) async fn ask(
        &self,
        settings: &Settings,
        session: Option<SessionId>,
    ) -> Result<State, Failed> {
        let config = Config {
            name: self.name.clone(),
            subjects: settings.subjects(session),
            discard: DiscardPolicy::New,
            num_replicas: settings.replicas,
            duplicate_window: WINDOW,
            deny_delete: true,
            deny_purge: true,
            description: Some("packets of a session, published by betacrew".to_owned()),
            ..Config::default()
        };
        let stream = self.context.get_or_create_stream(config).await.map_err(|error| {
            let fatal = match error.kind() {
                CreateStreamErrorKind::JetStream(error) => is_final(&error),
                _ => false,
            };
            if fatal { Failed::Refused(said(error)) } else { Failed::Again(said(error)) }
        })?;
        let info = stream.cached_info();
        let wrong = unsuitable(&info.config, settings, session);
        if !wrong.is_empty() {
            // Part of the text comes from the server, so control characters must not reach the
            // terminal.
            let reason = wrong.join("; ").replace(char::is_control, " ");
            return Err(Failed::Unsuitable(reason));
        }
        let state = &info.state;
        Ok(State {
            first: state.first_sequence,
            last: state.last_sequence,
            messages: state.messages,
        })
    }

    /// Returns the stream; `None` if there is none of this name.
    pub(crate) async fn open(&self) -> Result<Option<Stream>, String> {
        match self.context.get_stream(&self.name).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error)
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(said(error)),
            },
        }
    }

    /// Reads a message; `None` if it was removed. The outer error is the log's, the inner one the
    /// message's.
    pub(crate) async fn read(&self, number: u64) -> Result<Option<Result<Block, String>>, String> {
        let stream = self.context.get_stream_no_info(&self.name).await.map_err(said)?;
        let message = match stream.get_raw_message(number).await {
            Ok(message) => message,
            Err(error) => {
                return match error.kind() {
                    LastRawMessageErrorKind::NoMessageFound => Ok(None),
                    _ => Err(said(error)),
                };
            }
        };
        let headers = &message.headers;
        let block = Block::read(&message.payload, |name| {
            headers.get(name).map(async_nats::HeaderValue::as_str)
        });
        Ok(Some(block.map(|mut block| {
            block.stored = u64::try_from(message.time.unix_timestamp_nanos()).unwrap_or(0);
            block
        })))
    }

    /// Publishes a message. Returns a future of the answer, with errors as text.
    pub(crate) async fn publish(
        &self,
        settings: &Settings,
        flight: &Flight,
        frames: Vec<RawFrame>,
    ) -> impl Future<Output = (Answer, Option<String>)> + use<> {
        let mut message = PublishMessage::build()
            .message_id(flight.id.to_string())
            .expected_stream(&self.name)
            .expected_last_sequence(flight.number - 1)
            .header(SESSION, session_word(flight.id.session))
            .header(FIRST, flight.id.range.first().to_string())
            .header(COUNT, flight.id.range.len().to_string());
        if let Some(after) = flight.after {
            message = message.expected_last_message_id(after.to_string());
        }
        let first = frames.first().copied().unwrap_or_default();
        let subject = settings.subject(flight.id.session, &first);
        let message = match settings.encoding {
            Encoding::Wire => message.header(FORMAT, WIRE).payload(frames.into_flattened().into()),
            Encoding::Json => message.header(FORMAT, JSON).payload(to_json(&frames).into()),
        };
        let sent = self.context.send_publish(subject, message).await;
        async move {
            let answer = match sent {
                Ok(answer) => answer.await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(ack) => {
                    (Answer::Stored { number: ack.sequence, duplicate: ack.duplicate }, None)
                }
                Err(error) => match error.kind() {
                    PublishErrorKind::WrongLastSequence | PublishErrorKind::WrongLastMessageId => {
                        (Answer::Refused, None)
                    }
                    _ => (Answer::None, Some(said(error))),
                },
            }
        }
    }
}

/// Returns an error's text with its causes.
#[allow(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn said(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        behind = error.source();
    }
    // Part of the text comes from the server, so control characters must not reach the terminal.
    text.replace(char::is_control, " ")
}
