//! The packets of a login: request, acceptance, rejection.

use super::text::{NumberError, Text, parse_number, write_number};
use super::{DecodeError, field, kind};
use core::fmt;
use core::ops::Range;
use core::time::Duration;

/// Length of a login request's payload before version 4.1.
const REQUEST_BYTES: usize = 46;

/// Length of a heartbeat timeout.
const TIMEOUT_BYTES: usize = 5;

/// Length of an accepted login's payload.
const ACCEPTED_BYTES: usize = 30;

/// Returns the bytes of a field, whose range counts from the packet's first byte.
fn bytes_of<const N: usize>(payload: &[u8], range: Range<usize>) -> [u8; N] {
    let start = range.start - super::HEADER_BYTES;
    // Callers check the payload's length first, so the field is there.
    let found = payload.get(start..).and_then(|rest| rest.first_chunk());
    found.copied().unwrap_or([b' '; N])
}

/// Returns the number that a text field of a login has.
fn number_of<const N: usize>(
    payload: &[u8],
    range: Range<usize>,
    name: &'static str,
) -> Result<u64, DecodeError> {
    let offset = range.start;
    let number = parse_number(&bytes_of::<N>(payload, range));
    number.map_err(|error| DecodeError::Number { field: name, offset, error })
}

/// Requested sequence of a client that wants no history. The exchange starts with its most recent
/// message or with the next one, and the acceptance names the sequence.
pub const END_OF_STREAM: u64 = 0;

/// First packet of a client: user and password, and from where on it wants messages.
///
/// ```
/// use feed::wire::soup::{LoginRequest, Packet, Password, Text};
///
/// let request = LoginRequest {
///     user: Text::new("ann")?,
///     password: Password::new(Text::new("secret")?),
///     session: Text::BLANK,
///     sequence: 1,
///     heartbeat_timeout: None,
/// };
/// let mut bytes = Vec::new();
/// Packet::LoginRequest(request).encode(&mut bytes)?;
/// assert_eq!(bytes, b"\x00\x2fLann   secret                                 1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoginRequest {
    /// Name of the user. Exchanges compare it without regard to case.
    pub user: Text<6>,
    /// Password of the user.
    pub password: Password,
    /// Session wanted; blank stands for the current one.
    pub session: Text<10>,
    /// Sequence of the first message wanted; [`END_OF_STREAM`] leaves the choice to the exchange.
    pub sequence: u64,
    /// Time without a packet of the client after which the exchange gives the connection up. Only
    /// clients of version 4.1 send it.
    pub heartbeat_timeout: Option<HeartbeatTimeout>,
}

impl LoginRequest {
    pub(super) fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let has_timeout = match payload.len() {
            REQUEST_BYTES => false,
            length if length == REQUEST_BYTES + TIMEOUT_BYTES => true,
            length => return Err(DecodeError::Length { kind: kind::LOGIN_REQUEST, length }),
        };
        let heartbeat_timeout = if has_timeout {
            let range = field::HEARTBEAT_TIMEOUT;
            let offset = range.start;
            let number = number_of::<TIMEOUT_BYTES>(payload, range, "heartbeat timeout")?;
            let timeout = u32::try_from(number).ok().and_then(HeartbeatTimeout::from_millis);
            // Five digits always fit.
            let error = NumberError::TooLarge;
            let error = DecodeError::Number { field: "heartbeat timeout", offset, error };
            Some(timeout.ok_or(error)?)
        } else {
            None
        };
        let sequence = number_of::<20>(payload, field::REQUESTED_SEQUENCE, "requested sequence")?;
        Ok(Self {
            user: Text::from_padded(&bytes_of(payload, field::USER)),
            password: Password(Text::from_padded(&bytes_of(payload, field::PASSWORD))),
            session: Text::from_padded(&bytes_of(payload, field::REQUESTED_SESSION)),
            sequence,
            heartbeat_timeout,
        })
    }

    /// Returns the payload, and the part of it that only version 4.1 has.
    pub(super) fn encode(&self) -> ([u8; REQUEST_BYTES], Option<[u8; TIMEOUT_BYTES]>) {
        let mut payload = [b' '; REQUEST_BYTES];
        let fields: [(&[u8], Range<usize>); 4] = [
            (&self.user.right_padded(), field::USER),
            (&self.password.0.right_padded(), field::PASSWORD),
            (&self.session.left_padded(), field::REQUESTED_SESSION),
            (&write_number::<20>(self.sequence), field::REQUESTED_SEQUENCE),
        ];
        for (bytes, range) in fields {
            let range = range.start - super::HEADER_BYTES..range.end - super::HEADER_BYTES;
            payload[range].copy_from_slice(bytes);
        }
        let timeout = self.heartbeat_timeout.map(|timeout| write_number(timeout.0.into()));
        (payload, timeout)
    }
}

impl fmt::Display for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user \"{}\", ", self.user)?;
        match self.session.is_blank() {
            true => f.write_str("current session, ")?,
            false => write!(f, "session \"{}\", ", self.session)?,
        }
        match self.sequence {
            END_OF_STREAM => f.write_str("from the end of the stream")?,
            sequence => write!(f, "from sequence {sequence}")?,
        }
        match self.heartbeat_timeout {
            Some(timeout) => write!(f, ", heartbeat timeout {} ms", timeout.as_millis()),
            None => Ok(()),
        }
    }
}

/// Password of a login request. Neither `Debug` nor `Display` shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password(Text<10>);

impl Password {
    /// Returns a password.
    #[must_use]
    pub const fn new(text: Text<10>) -> Self {
        Self(text)
    }

    /// Returns whether `expected` is the same password without regard to case. The comparison
    /// takes the same time for all passwords, so that time does not tell how much of one is right.
    #[must_use]
    pub fn matches(&self, expected: &Self) -> bool {
        let pairs = self.0.right_padded().into_iter().zip(expected.0.right_padded());
        let differences = pairs.fold(0, |differences, (given, expected)| {
            differences | (given.to_ascii_uppercase() ^ expected.to_ascii_uppercase())
        });
        differences == 0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Time without a packet of the client after which the exchange gives the connection up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HeartbeatTimeout(u32);

impl HeartbeatTimeout {
    /// Highest timeout that the field's five digits hold, in milliseconds.
    pub const MAX_MILLIS: u32 = 99_999;

    /// Returns the timeout of a number of milliseconds, or `None` above [`Self::MAX_MILLIS`].
    #[must_use]
    pub const fn from_millis(milliseconds: u32) -> Option<Self> {
        if milliseconds <= Self::MAX_MILLIS { Some(Self(milliseconds)) } else { None }
    }

    /// Returns the timeout in milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u32 {
        self.0
    }

    /// Returns the timeout as a duration.
    #[must_use]
    pub fn as_duration(self) -> Duration {
        Duration::from_millis(self.0.into())
    }
}

/// Answer of an exchange that serves a login request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoginAccepted {
    /// Session that the messages belong to.
    pub session: Text<10>,
    /// Sequence of the next message that the exchange sends.
    pub sequence: u64,
}

impl LoginAccepted {
    pub(super) fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        if payload.len() != ACCEPTED_BYTES {
            let length = payload.len();
            return Err(DecodeError::Length { kind: kind::LOGIN_ACCEPTED, length });
        }
        Ok(Self {
            session: Text::from_padded(&bytes_of(payload, field::SESSION)),
            sequence: number_of::<20>(payload, field::SEQUENCE, "sequence")?,
        })
    }

    pub(super) fn encode(&self) -> [u8; ACCEPTED_BYTES] {
        let mut payload = [b' '; ACCEPTED_BYTES];
        let (session, sequence) = payload.split_at_mut(10);
        session.copy_from_slice(&self.session.left_padded());
        sequence.copy_from_slice(&write_number::<20>(self.sequence));
        payload
    }
}

impl fmt::Display for LoginAccepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session \"{}\", next sequence {}", self.session, self.sequence)
    }
}

/// Reason of an exchange to reject a login request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RejectReason {
    /// `A`: user or password is wrong.
    NotAuthorized,
    /// `S`: the requested session does not exist or is not served.
    SessionNotAvailable,
    /// Code that the specification does not have.
    Other(u8),
}

impl RejectReason {
    /// Returns the reason of a code.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            b'A' => Self::NotAuthorized,
            b'S' => Self::SessionNotAvailable,
            other => Self::Other(other),
        }
    }

    /// Returns the reason's code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::NotAuthorized => b'A',
            Self::SessionNotAvailable => b'S',
            Self::Other(code) => code,
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAuthorized => f.write_str("not authorized (A): wrong user or password"),
            Self::SessionNotAvailable => f.write_str("session not available (S)"),
            Self::Other(code) => write!(f, "unknown reason '{}'", code.escape_ascii()),
        }
    }
}
