//! NATS streams: the flags for publishing, and access to streams.

#[cfg(feature = "nats")]
pub(crate) mod outlet;
#[cfg(feature = "nats")]
mod reading;

#[cfg(feature = "nats")]
pub(crate) use reading::{read, to_tape};

#[cfg(feature = "nats")]
use crate::args::nats_env::{self, PASSWORD, PASSWORD_FILE};
use crate::args::nats_env::{CA, CREDS};
#[cfg(feature = "nats")]
use crate::args::secret::Secret;
use crate::error::Failure;
use crate::net::Stop;
use crate::output::counters::WriteCounters;
use crate::output::sink::PacketSink;
#[cfg(feature = "nats")]
use crate::text::location::shown;
#[cfg(feature = "nats")]
use feed::wire::{Messages, RawFrame};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const PUBLISHING: &str = "Publishing";

/// Flags for publishing.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct PublishFlags {
    /// Subject of the messages; {session} and {symbol} are filled in [default: betacrew.SESSION, or
    /// the name of STREAM if it is given]
    ///
    /// With {symbol} each packet is a message of its own, so that consumers can filter by symbol.
    #[arg(long, value_name = "SUBJECT", help_heading = PUBLISHING)]
    publish_subject: Option<String>,

    /// Maximum number of packets in a message
    #[arg(long, value_name = "N", default_value_t = 512, help_heading = PUBLISHING)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=3855))]
    publish_block: u32,

    /// Format of the messages: packets as on the wire, or a JSON array
    #[arg(long, value_name = "FORMAT", default_value = "wire", help_heading = PUBLISHING)]
    publish_format: PublishFormat,

    /// Number of servers that store the stream, if it is created
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = PUBLISHING)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=5))]
    publish_replicas: u8,

    /// Compare the whole stream with the recording, not only its last message
    #[arg(long, help_heading = PUBLISHING)]
    publish_check: bool,

    /// File with the password of the URL's user, or with a token if the URL has no user [default:
    /// the variable BETACREW_NATS_PASSWORD_FILE; BETACREW_NATS_PASSWORD has the password itself]
    #[arg(long, value_name = "FILE", help_heading = PUBLISHING)]
    publish_password_file: Option<PathBuf>,

    /// Credentials file for the NATS servers
    #[arg(long, value_name = "FILE", env = CREDS, hide_env_values = true)]
    #[arg(help_heading = PUBLISHING)]
    publish_creds: Option<PathBuf>,

    /// Certificate (PEM) of the authority that signed the certificates of the NATS servers
    #[arg(long, value_name = "FILE", env = CA, hide_env_values = true)]
    #[arg(help_heading = PUBLISHING)]
    publish_ca: Option<PathBuf>,
}

/// Returns the target of a URL, with the password from the file, the URL or the environment.
///
/// # Errors
/// [`Failure::Usage`] if the text is not the URL of a stream, or has a password besides that of the
/// file.
#[cfg(feature = "nats")]
fn target(url: &Path, file: Option<&Path>) -> Result<gateway::Target, Failure> {
    let parsed = url.to_str().ok_or_else(|| "it is no text".to_owned()).and_then(str::parse);
    let mut target: gateway::Target = parsed.map_err(|reason: String| {
        Failure::Usage(format!("`{}` is no log: {reason}", shown(url)))
    })?;
    if target.has_password() {
        if file.is_some() {
            let two = format!("{target} has a password, and so has --publish-password-file");
            return Err(Failure::Usage(format!("{two}: leave out the one in the URL")));
        }
        return Ok(target);
    }
    let file = file.map(Path::to_owned).or_else(|| nats_env::file(PASSWORD_FILE));
    let password = match file {
        Some(file) => Some(Secret::read(&file)?),
        None => Secret::from_env(PASSWORD),
    };
    if let Some(password) = password {
        target.set_password(password.expose());
    }
    Ok(target)
}

/// Returns the order packets of messages that are to be published.
///
/// # Errors
/// Returns [`Failure::Usage`] if the messages are no order packets.
#[cfg(feature = "nats")]
pub(crate) fn order_packets(messages: Messages<'_>) -> Result<&[RawFrame], Failure> {
    match messages {
        Messages::Packets(frames) => Ok(frames),
        Messages::Run(_) => Err(Failure::Usage(
            "a NATS stream takes order packets only, and these messages are none: write them to \
             a file"
                .to_owned(),
        )),
    }
}

/// Checks that a named file can be read, so that the error shows its name.
#[cfg(feature = "nats")]
fn readable(what: &str, file: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = file else { return Ok(()) };
    std::fs::File::open(path).map(drop).map_err(|error| {
        Failure::Usage(format!("cannot use the {what} in {}: {error}", shown(path)))
    })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum PublishFormat {
    Wire,
    Json,
}

impl PublishFlags {
    /// Returns the files that are read, each with its flag.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let files = [
            ("--publish-creds", &self.publish_creds),
            ("--publish-ca", &self.publish_ca),
            ("--publish-password-file", &self.publish_password_file),
        ];
        files.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?)))
    }

    /// Returns the settings from the flags for the stream of a URL.
    #[cfg(feature = "nats")]
    pub(crate) fn settings(&self, url: &Path) -> Result<gateway::Settings, Failure> {
        let target = target(url, self.publish_password_file.as_deref())?;
        readable("credentials", self.publish_creds.as_deref())?;
        readable("certificate", self.publish_ca.as_deref())?;
        let subject = self.publish_subject.as_deref().map(gateway::Settings::check_subject);
        Ok(gateway::Settings {
            subject: subject.transpose().map_err(Failure::Usage)?,
            block: self.publish_block,
            encoding: match self.publish_format {
                PublishFormat::Wire => gateway::Encoding::Wire,
                PublishFormat::Json => gateway::Encoding::Json,
            },
            replicas: self.publish_replicas.into(),
            creds: self.publish_creds.clone(),
            ca: self.publish_ca.clone(),
            check: self.publish_check,
            ..gateway::Settings::new(target)
        })
    }

    /// Returns a sink that publishes into the stream of a URL, and counts the packets. At the end
    /// it gives up after the time `patience` without progress, or at the user's next stop.
    ///
    /// # Errors
    /// Returns an error if flags are wrong, or this program was built without the feature `nats`.
    #[cfg(feature = "nats")]
    pub(crate) fn outlet(
        &self,
        url: &Path,
        patience: Duration,
        stop: &Stop,
        published: WriteCounters,
    ) -> Result<Box<dyn PacketSink>, Failure> {
        Ok(Box::new(outlet::PublishSink::new(self.settings(url)?, patience, stop, published)))
    }

    #[cfg(not(feature = "nats"))]
    pub(crate) fn outlet(
        &self,
        _: &Path,
        _: Duration,
        _: &Stop,
        _: WriteCounters,
    ) -> Result<Box<dyn PacketSink>, Failure> {
        crate::format::Format::Nats.check().and(Err(Failure::Stopped))
    }
}
