//! Passwords and tokens, read from files or the environment and never shown.

use crate::error::Failure;
use std::fmt;
use std::path::Path;

/// Text that is shown instead of a secret.
const HIDDEN: &str = "***";

/// Password or token, which `Debug` hides.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

/// Maximum length of a file with a secret, in bytes.
const SECRET_MAX: u64 = 4096;

impl Secret {
    /// Reads a secret from a file, without the line end.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] if the file cannot be read, and [`Failure::Content`] if it is
    /// empty, not UTF-8, or longer than [`SECRET_MAX`].
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        use std::io::Read;
        let failed = |source| Failure::Storage { action: "read", path: path.to_owned(), source };
        let wrong =
            |reason: &str| Failure::Content { path: path.to_owned(), reason: reason.to_owned() };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(SECRET_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > SECRET_MAX {
            return Err(wrong("a password or token has at most 4096 bytes"));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| wrong("a password or token must be UTF-8 text"))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(wrong("it is empty; write the password or token into it")),
            secret => Ok(Self(secret.to_owned())),
        }
    }

    /// Returns the secret in an environment variable, `None` if it is not set or empty.
    pub(crate) fn from_env(name: &str) -> Option<Self> {
        std::env::var(name).ok().filter(|secret| !secret.is_empty()).map(Self)
    }

    /// Returns the secret itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_up_to_its_bound_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            Secret::read(&path).map(|secret| secret.0)
        };
        assert_eq!(read(b"hunter2\r\n").unwrap(), "hunter2");
        assert_eq!(read(b" a b ").unwrap(), " a b ");
        assert_eq!(read(&[b'x'; 4096]).unwrap().len(), 4096);
        for bad in [&[b'x'; 4097][..], b"", b"\n", b"hunter2\xff"] {
            let failure = read(bad).unwrap_err();
            assert!(matches!(failure, Failure::Content { .. }), "{failure}");
            assert!(!failure.to_string().contains("hunter2"));
        }
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!((format!("{secret:?}"), secret.expose()), ("***".to_owned(), "hunter2"));
    }
}
