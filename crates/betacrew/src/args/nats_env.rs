//! Environment variables with the credentials for a NATS server, used if no flag or URL has them.

use std::path::PathBuf;

/// Name of the variable that names the file with the client's credentials.
pub(crate) const CREDS: &str = "BETACREW_NATS_CREDS";
/// Name of the variable that names the file with the certificates (PEM) of trusted authorities.
pub(crate) const CA: &str = "BETACREW_NATS_CA";
/// Name of the variable with the password itself.
#[cfg(feature = "nats")]
pub(crate) const PASSWORD: &str = "BETACREW_NATS_PASSWORD";
/// Name of the variable that names the file with the password.
pub(crate) const PASSWORD_FILE: &str = "BETACREW_NATS_PASSWORD_FILE";

/// Returns the file that an environment variable names; `None` if the variable is not set or empty.
pub(crate) fn file(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Returns the files that the environment names, each with its variable.
pub(crate) fn files() -> impl Iterator<Item = (&'static str, PathBuf)> {
    let variables = [CREDS, CA, PASSWORD_FILE];
    variables.into_iter().filter_map(|name| Some((name, file(name)?)))
}
