//! Target of publishing: a log, its stream and the settings.

use crate::block::{BLOCK_MAX, session_word, symbol_word};
use crate::publisher::PATIENCE;
use feed::wire::{FRAME_LEN, RawFrame, SessionId};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Default name of a stream.
const STREAM: &str = "betacrew-{session}";
/// Prefix of the default subject, followed by the session, or by the stream's name if one was
/// given.
const SUBJECT: &str = "betacrew.";
const PORT: u16 = 4222;

/// Stream of a log, written `nats://HOST[:PORT][,HOST[:PORT] ..][/STREAM]`; `tls://` requires TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Addresses in the form of the client library.
    pub(crate) servers: Vec<String>,
    /// User and password, or token, from `USER:PASSWORD@` or `TOKEN@` of the first address.
    pub(crate) user: Option<(String, Option<String>)>,
    /// Name of the stream, if given; it may contain `{session}`.
    stream: Option<String>,
}

impl Target {
    /// Returns the stream's name; `None` if it depends on a session id that is unknown.
    #[must_use]
    pub fn stream(&self, session: Option<SessionId>) -> Option<String> {
        let name = self.stream.as_deref().unwrap_or(STREAM);
        if name.contains("{session}") && session.is_none() {
            return None;
        }
        Some(name.replace("{session}", &session_word(session)))
    }

    /// Returns true if the URL has a password. A token is not a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.user.as_ref().is_some_and(|(_, password)| password.is_some())
    }

    /// Sets the password of the URL's user; without a user it is a token.
    pub fn set_password(&mut self, password: &str) {
        self.user = Some(match self.user.take() {
            Some((name, _)) => (name, Some(password.to_owned())),
            None => (password.to_owned(), None),
        });
    }

    /// Returns the target for display, with the stream's name.
    #[must_use]
    pub fn named(&self, stream: &str) -> String {
        Self { stream: Some(stream.to_owned()), ..self.clone() }.to_string()
    }
}

/// Errors do not repeat the text, because its wrong part may belong to a password.
impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write it as nats://HOST:4222/STREAM";
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| ["nats", "tls"].contains(scheme))
            .ok_or_else(|| format!("it begins with neither nats:// nor tls://; {example}"))?;
        let (hosts, stream) =
            rest.split_once('/').map_or((rest, None), |(hosts, stream)| (hosts, Some(stream)));
        let stream = stream.filter(|name| !name.is_empty());
        let odd = |c: char| c.is_whitespace() || c.is_control() || ".*>/\\@".contains(c);
        if stream.is_some_and(|name| name.contains(odd)) {
            // Percent codes would look like the end of a password to code that hides passwords.
            return Err("the name of a stream has no spaces, and none of . * > / \\ @ (in a \
                        password, percent-encode these)"
                .to_owned());
        }
        let (mut servers, mut user) = (Vec::new(), None);
        for host in hosts.split(',') {
            let (who, place) =
                host.rsplit_once('@').map_or((None, host), |(who, place)| (Some(who), place));
            if who.is_some() && user.is_none() && !servers.is_empty() {
                return Err("user and password belong before the first host (in a password write \
                            , as %2C)"
                    .to_owned());
            }
            if let (Some(who), None) = (who, &user) {
                let (name, password) = match who.split_once(':') {
                    Some((name, password)) => (name, Some(decoded(password)?)),
                    None => (who, None),
                };
                user = Some((decoded(name)?, password));
            }
            let (name, port) = match place.rsplit_once(':') {
                Some((name, port)) if !place.ends_with(']') => (name, port.parse::<u16>().ok()),
                _ => (place, Some(PORT)),
            };
            let Some(port) = port.filter(|_| !name.is_empty()) else {
                return Err(format!("a host is missing, or a port is no number; {example}"));
            };
            servers.push(format!("{scheme}://{name}:{port}"));
        }
        Ok(Self { servers, user, stream: stream.map(str::to_owned) })
    }
}

/// Decodes the user or password of a URL, in which `%40` stands for `@`. Errors do not show the
/// text, which is secret.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || {
        "the user or password of the log's URL has a % without two hexadecimal digits behind it, \
         or no UTF-8 text: percent-encode every % and each of : / , @ in them (% is %25)"
            .to_owned()
    };
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let digits = digits.ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// Shows the target without secrets.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, server) in self.servers.iter().enumerate() {
            let (scheme, host) = server.split_once("://").unwrap_or(("", server));
            match place {
                0 => write!(f, "{scheme}://{host}")?,
                _ => write!(f, ",{host}")?,
            }
        }
        self.stream.as_ref().map_or(Ok(()), |stream| write!(f, "/{stream}"))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Format of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// Packets as on the wire.
    Wire,
    /// JSON array of objects.
    Json,
}

impl Encoding {
    /// Returns the maximum length of a packet in a message, in bytes.
    pub(crate) const fn packet_len(self) -> usize {
        match self {
            Self::Wire => FRAME_LEN,
            Self::Json => 160,
        }
    }
}

/// Settings to reach a log and to publish into it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Log and stream.
    pub target: Target,
    /// Subject, in which `{session}` and `{symbol}` are replaced; with `{symbol}`, each message has
    /// one packet. `None` stands for `betacrew.` with the session, or with the stream's name if
    /// given.
    pub subject: Option<String>,
    /// Maximum number of packets in a message, 1 to [`BLOCK_MAX`].
    pub block: u32,
    /// Maximum number of messages on their way, from 1.
    pub window: usize,
    /// Format of payloads.
    pub encoding: Encoding,
    /// Number of servers that store the stream if it must be created.
    pub replicas: usize,
    /// File with credentials.
    pub creds: Option<PathBuf>,
    /// File with the certificate of the authority that signed the servers' certificates.
    pub ca: Option<PathBuf>,
    /// True if all messages of the log are compared.
    pub check: bool,
    /// Time after the last sign of another gateway before this one publishes.
    pub patience: Duration,
}

impl Settings {
    /// Returns the default settings of a target.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            subject: None,
            block: 512,
            window: 32,
            encoding: Encoding::Wire,
            replicas: 1,
            creds: None,
            ca: None,
            check: false,
            patience: PATIENCE,
        }
    }

    /// Returns the maximum number of packets in a message.
    pub(crate) fn packets(&self) -> u32 {
        match &self.subject {
            Some(subject) if subject.contains("{symbol}") => 1,
            _ => self.block.clamp(1, BLOCK_MAX),
        }
    }

    /// Returns the subject before `{symbol}` is replaced.
    fn template(&self, session: Option<SessionId>) -> String {
        let word = session_word(session);
        match (&self.subject, &self.target.stream) {
            (Some(subject), _) => subject.replace("{session}", &word),
            (None, Some(stream)) => format!("{SUBJECT}{}", stream.replace("{session}", &word)),
            (None, None) => format!("{SUBJECT}{word}"),
        }
    }

    /// Returns the subject of a message that begins with a packet.
    pub(crate) fn subject(&self, session: Option<SessionId>, frame: &RawFrame) -> String {
        let subject = self.template(session);
        match subject.contains("{symbol}") {
            true => subject.replace("{symbol}", &symbol_word(frame)),
            false => subject,
        }
    }

    /// Returns the subject of all messages, with `*` for a symbol.
    pub(crate) fn published_subject(&self, session: Option<SessionId>) -> String {
        self.template(session).replace("{symbol}", "*")
    }

    /// Returns the subjects for which the stream is created.
    pub(crate) fn subjects(&self, session: Option<SessionId>) -> Vec<String> {
        let subject = self.template(session);
        match &self.subject {
            // The stream takes subjects with and without symbols.
            None => vec![format!("{subject}.*"), subject],
            Some(_) => vec![subject.replace("{symbol}", "*")],
        }
    }

    /// Checks a subject, and returns it.
    ///
    /// # Errors
    /// Returns the problem as text.
    pub fn check_subject(text: &str) -> Result<String, String> {
        let plain = text.replace("{session}", "S").replace("{symbol}", "S");
        let odd = |c: char| c.is_whitespace() || c.is_control() || "*>{}".contains(c);
        match plain.split('.').all(|token| !token.is_empty() && !token.contains(odd)) {
            true => Ok(text.to_owned()),
            false => Err(format!(
                "`{}` is no subject: such as md.{{session}} or md.{{session}}.{{symbol}}",
                text.escape_default()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_understood_and_shown_without_secrets() {
        let session = Some(SessionId::of(*b"K7QD"));
        for (text, servers, stream, shown) in [
            ("nats://h", "nats://h:4222", "betacrew-K7QD", "nats://h:4222"),
            ("nats://h:1/", "nats://h:1", "betacrew-K7QD", "nats://h:1"),
            ("tls://u:p@h:1/x", "tls://h:1", "x", "tls://h:1/x"),
            (
                "nats://a,b:5/md-{session}",
                "nats://a:4222 nats://b:5",
                "md-K7QD",
                "nats://a:4222,b:5/md-{session}",
            ),
            ("nats://[::1]/x", "nats://[::1]:4222", "x", "nats://[::1]:4222/x"),
            ("nats://[::1]:7/x", "nats://[::1]:7", "x", "nats://[::1]:7/x"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.servers.join(" "), servers);
            assert_eq!(target.stream(session).as_deref(), Some(stream));
            assert_eq!(target.to_string(), shown);
        }
        let named: Target = "nats://h/x".parse().unwrap();
        assert_eq!(named.stream(None).as_deref(), Some("x"));
        let unnamed: Target = "nats://h".parse().unwrap();
        assert_eq!(unnamed.stream(None), None);
        for bad in [
            "",
            "h",
            "http://h",
            "nats://",
            "nats:///x",
            "nats://h:x",
            "nats://h:70000",
            "nats://h/a b",
            "nats://h/a.b",
            "nats://h/a/b",
            "nats://h,",
            "nats://bob:secret/x",
            "nats://bob:sec/secret@h",
            "nats://bob:1,secret@h",
            "nats://bob:1/secret@h",
            "ws://h",
        ] {
            let error = bad.parse::<Target>().unwrap_err();
            assert!(!error.contains("secret"), "{bad}: {error}");
        }
    }

    #[test]
    fn users_and_passwords_are_percent_encoded() {
        for (text, name, password) in [
            ("nats://u:p@h", "u", Some("p")),
            ("nats://token@h", "token", None),
            ("nats://a%40b:p%3a%2F%2C%25%20%C3%A9:q@h/x", "a@b", Some("p:/,% é:q")),
            ("nats://u:@h,v:w@g", "u", Some("")),
            ("nats://u:p@q@h", "u", Some("p@q")),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.user, Some((name.to_owned(), password.map(str::to_owned))), "{text}");
            assert!(!target.to_string().contains('u'), "{target}");
        }
        for bad in ["u:sec%ret@h", "u:secret%@h", "u:secret%4@h", "u:secret%+1@h", "u:secret%ff@h"]
        {
            let error = format!("nats://{bad}").parse::<Target>().unwrap_err();
            assert!(error.contains("%25") && !error.contains("ret"), "{error}");
        }
    }

    #[test]
    fn subjects_are_made_from_templates() {
        let session = Some(SessionId::of(*b"K7QD"));
        let frame = feed::tape::in_memory::Tape::classic().frames()[0];
        let mut settings = Settings::new("nats://h".parse().unwrap());
        assert_eq!(settings.subject(session, &frame), "betacrew.K7QD");
        assert_eq!(settings.subjects(session), ["betacrew.K7QD.*", "betacrew.K7QD"]);
        assert_eq!(settings.packets(), 512);
        settings.target = "nats://h/own".parse().unwrap();
        assert_eq!(settings.subject(session, &frame), "betacrew.own");
        settings.subject = Some("md.{symbol}.{session}".to_owned());
        assert_eq!(settings.subject(session, &frame), "md.AAPL.K7QD");
        assert_eq!(settings.subjects(session), ["md.*.K7QD"]);
        assert_eq!(settings.packets(), 1);
        for bad in ["", ".", "a..b", "a b", "a.*", "a.>", "a.{x}", "a.{session"] {
            assert!(Settings::check_subject(bad).is_err(), "{bad}");
        }
        assert!(Settings::check_subject("a.{session}-x.{symbol}").is_ok());
    }
}
