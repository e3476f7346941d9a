//! Names of sessions.

use crate::wire::SessionId;
use core::fmt;

/// Name of a session, exactly as its ten bytes stand on the wire.
///
/// Sessions are compared byte by byte, because requests must repeat the bytes that the exchange
/// sends, whichever way it pads a short name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub [u8; 10]);

impl Session {
    /// Returns the session of a name, padded with spaces on the right.
    ///
    /// # Errors
    /// Returns [`SessionError`] if the name has more than ten characters, or one that is not
    /// printable ASCII.
    pub fn new(name: &str) -> Result<Self, SessionError> {
        let mut bytes = [b' '; 10];
        let room = bytes.get_mut(..name.len()).ok_or(SessionError)?;
        room.copy_from_slice(name.as_bytes());
        let is_text = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        is_text.then_some(Self(bytes)).ok_or(SessionError)
    }

    /// Returns the name without the spaces and NULs around it.
    #[must_use]
    pub fn trimmed(&self) -> &[u8] {
        let mut name = &self.0[..];
        while let [b' ' | 0, rest @ ..] | [rest @ .., b' ' | 0] = name {
            name = rest;
        }
        name
    }

    /// Returns the id of the session, the same whichever way its name is padded.
    #[must_use]
    pub fn id(&self) -> SessionId {
        let mut padded = [b' '; SessionId::LEN];
        let trimmed = self.trimmed();
        padded[..trimmed.len()].copy_from_slice(trimmed);
        SessionId::new(padded)
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A peer's bytes must not reach a terminal as they are.
        write!(f, "{}", self.trimmed().escape_ascii())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Error of a name that no session can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionError;

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("session name: expected at most ten printable ASCII characters")
    }
}

impl core::error::Error for SessionError {}
