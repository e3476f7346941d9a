//! File of the users who may log in.

use crate::error::Failure;
use feed::exchange::server::users::Users;
use feed::wire::soup::{Password, Text};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Maximum length of a file of users, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Reads a file of users: a user and a password a line, with spaces between. Empty lines, and lines
/// that begin with `#`, are skipped.
///
/// # Errors
/// Returns [`Failure::Storage`] if the file cannot be read, and [`Failure::Content`] with the
/// number of the line if a line is wrong. No message has a password in it.
pub(super) fn read(path: &Path) -> Result<Users, Failure> {
    let content = |reason: String| Failure::Content { path: path.into(), reason };
    let failed = |source| Failure::Storage { action: "read", path: path.into(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(content(format!("a file of users has at most {FILE_MAX} bytes")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| content("a file of users must be UTF-8 text".to_owned()))?;
    parse(&text).map_err(content)
}

fn parse(text: &str) -> Result<Users, String> {
    let mut users = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: String| format!("line {number}: {what}");
        let (user, password) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let user = Text::new(user).map_err(|error| wrong(format!("user: {error}")))?;
        // The error of a text names its length or one byte. Even a byte would be too much here.
        let password = Text::new(password.trim()).map_err(|_| {
            wrong("password: it must be at most 10 printable ASCII characters".to_owned())
        })?;
        users.push((user, Password::new(password)));
    }
    match users.is_empty() {
        true => Err("it has no users: write a user and a password a line".to_owned()),
        false => Ok(Users::new(users)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_users_is_read_line_by_line() {
        for text in ["ann secret", "# people\n\n  ann\tsecret\nbob\n", "\r\nann secret\r\n"] {
            assert!(parse(text).is_ok(), "{text:?}");
        }
        for (text, message) in [
            ("", "no users"),
            ("# nobody\n", "no users"),
            ("ann secret\nbarbara secret", "line 2: user: text of 7 characters"),
            ("\n\nann secretsecret", "line 3: password: it must be at most 10"),
            ("ann se\u{e9}cret", "line 1: password"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(message), "{refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}
