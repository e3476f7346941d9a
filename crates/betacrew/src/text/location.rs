//! Locations that the user names (files, addresses, URLs), shown without secrets.
//!
//! A URL can have a password in it, and a mistyped one is still a secret. So whatever is said of a
//! location, in messages, logs, metrics, reports or on the page, goes through [`shown`];
//! `xtask/src/tidy.rs` sees that no path is displayed otherwise.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Text that is shown instead of a secret.
const HIDDEN: &str = "***";

/// File, `-` or URL, as the user typed it. Its `Display` and `Debug` hide secrets.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Location(PathBuf);

impl Location {
    /// Returns the path or URL itself, for opening it.
    #[must_use]
    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }
}

impl From<OsString> for Location {
    fn from(typed: OsString) -> Self {
        Self(typed.into())
    }
}

impl Deref for Location {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(&self.0).fmt(f)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Location as text without secrets.
pub(crate) struct Shown<'a>(Cow<'a, str>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name must not control the terminal, or start a line of its own in a log.
        f.write_str(&crate::text::escape::line(&self.0))
    }
}

/// Returns a location without parts that are, or may be, secrets: user, password and token of a
/// URL, its query, and whatever stands before an `@` in what looks like a mistyped one.
pub(crate) fn shown<P: AsRef<Path> + ?Sized>(location: &P) -> Shown<'_> {
    Shown(match location.as_ref().to_string_lossy() {
        Cow::Borrowed(text) => public(text),
        Cow::Owned(text) => Cow::Owned(public(&text).into_owned()),
    })
}

/// Returns a text without secrets, such as an error of a library that repeats what was typed.
pub(crate) fn redacted(text: &str) -> String {
    let line = |line: &str| -> String {
        // A password can have any character in it, so all up to the line's last `@` goes.
        let line = match line.split_once("://").zip(last_at(line)) {
            Some(((before, _), at)) if before.len() < at => {
                format!("{before}://{}", &line[at..])
            }
            _ => line.to_owned(),
        };
        let ends = |c: char| c.is_whitespace() || "'\"`<>()".contains(c);
        line.split_inclusive(ends)
            .map(|piece| {
                let word = piece.trim_end_matches(ends).trim_end_matches([':', ';', ',', '.']);
                format!("{}{}", public(word), &piece[word.len()..])
            })
            .collect()
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Returns the end of the last `@`, percent-encoded or not, because text before it may be a secret.
/// A packet's `40 @ 50` is none, because a host follows without a space.
fn last_at(text: &str) -> Option<usize> {
    let encoded = text.rfind("%40").map(|at| at + 3);
    let mut plain = text.match_indices('@').map(|(at, _)| at + 1);
    encoded.max(plain.rfind(|&at| !text[at..].starts_with(char::is_whitespace)))
}

fn public(text: &str) -> Cow<'_, str> {
    let secret = last_at(text).unwrap_or(0);
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if let Some((before, rest)) = text.split_once("://") {
        // Text before the URL, such as `--url=`.
        let prefix = before.trim_end_matches(is_scheme);
        let scheme = &before[prefix.len()..];
        let hosts = &rest[secret.saturating_sub(before.len() + 3)..];
        return Cow::Owned(format!("{}{scheme}://{}", public(prefix), url(hosts)));
    }
    match mistyped(&text[..secret]) {
        Some(begin) => Cow::Owned(format!("{}{HIDDEN}@{}", &text[..begin], &text[secret..])),
        None => Cow::Borrowed(text),
    }
}

/// Returns the offset at which a user and a password may begin, such as in nats:/USER:PASSWORD@HOST
/// or in an address with a user. `before` is the text before the `@`, which may also be part of a
/// file name.
fn mistyped(before: &str) -> Option<usize> {
    let file = ["/", "./", "../", "~/"].iter().any(|start| before.starts_with(start));
    if !file || before.starts_with("//") {
        let before = before.strip_prefix("file:").unwrap_or(before);
        return (before.contains(':') || before.starts_with("//")).then_some(0);
    }
    // A mistyped URL that was taken for a file's name, and made absolute.
    let mut begin = 0;
    for part in before.split('/') {
        let end = begin + part.len();
        if part.ends_with(':') || end == before.len() && part.contains(':') {
            return Some(begin);
        }
        begin = end + 1;
    }
    None
}

/// Hosts and path of a URL. A port that is no number may be a password without its host.
fn url(text: &str) -> String {
    let (hosts, path) = text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()));
    let hosts = hosts.split(',').map(|host| match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') && port.parse::<u16>().is_err() => {
            format!("{name}:{HIDDEN}")
        }
        _ => host.to_owned(),
    });
    let hosts: Vec<String> = hosts.collect();
    let path = match path.split_once(['?', '#']) {
        Some((path, _)) => format!("{path}?{HIDDEN}"),
        None => path.to_owned(),
    };
    hosts.join(",") + &path
}

/// Returns whether a location is the URL of a NATS stream.
pub(crate) fn is_log(path: &Path) -> bool {
    let schemes = ["nats://", "tls://"];
    path.to_str().is_some_and(|text| schemes.iter().any(|scheme| text.starts_with(scheme)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_location_has_no_secret() {
        for (typed, said) in [
            ("nats://bob:secret@h:4222/x", "nats://h:4222/x"),
            ("nats://secret@h", "nats://h"),
            ("tls://bob:sec%40ret@h,bob:secret@i:7/x-{session}", "tls://i:7/x-{session}"),
            ("nats://bob%3Asecret%40h/x", "nats://h/x"),
            ("nats://bob:sec/ret@h/x", "nats://h/x"),
            ("nats://bob:sec@ret@h/x", "nats://h/x"),
            ("nats://bob:sec ret?#@h/x", "nats://h/x"),
            ("natz://bob:secret@h/x", "natz://h/x"),
            ("nats://bob:secret", "nats://bob:***"),
            ("nats://bob:secret/x", "nats://bob:***/x"),
            ("http://h/x.json?token=secret", "http://h/x.json?***"),
            ("http://h?token=secret", "http://h?***"),
            ("http://h/#secret", "http://h/?***"),
            ("nats:/bob:secret@h/x", "***@h/x"),
            ("nats:bob:secret@h/x", "***@h/x"),
            ("nats//bob:secret@h/x", "***@h/x"),
            ("//bob:secret@h/x", "***@h/x"),
            ("bob:secret@127.0.0.1:3000", "***@127.0.0.1:3000"),
            ("bob:secret@nats://h/x", "***@nats://h/x"),
            ("na ts://bob:secret@h/x", "na ts://h/x"),
            ("random:nats://bob:secret", "random:nats://bob:***"),
            ("--url=nats://bob:secret@h", "--url=nats://h"),
            ("/tmp/nats:/bob:secret@h/x", "/tmp/***@h/x"),
            ("/tmp/nats://bob:sec/ret@h/x", "/tmp/nats://h/x"),
            ("/tmp/bob:secret@h:3000", "/tmp/***@h:3000"),
        ] {
            assert_eq!(shown(typed).to_string(), said, "{typed}");
            let location = Location::from(OsString::from(typed));
            assert_eq!((location.to_string(), format!("{location:?}")), (said.into(), said.into()));
            for text in [format!("error: '{typed}' is wrong\nUsage"), format!("no `{typed}`: x")] {
                assert!(!redacted(&text).contains("secret"), "{text}: {}", redacted(&text));
            }
        }
    }

    #[test]
    fn what_is_no_secret_is_shown_as_it_is() {
        for typed in [
            "-",
            "a.json",
            "data@2024.json",
            "/a:b/c@d.json",
            "./a:b/@c",
            "../a@b:c",
            "~/a@c",
            "file:a@b.sqlite",
            "nats://h",
            "nats://[::1]:4222/x",
            "nats://a,b:5/x",
            "C:x",
            "a?b#c",
            "127.0.0.1:3000",
            "[::1]:3000",
            "ünï.csv",
            "",
        ] {
            assert_eq!(shown(typed).to_string(), typed);
            assert_eq!(redacted(typed), typed);
        }
        let packet = "the log nats://h/x has packet #1 META B 40 @ 50, recorded as #1 A S 4 @ 5";
        assert_eq!(redacted(packet), packet);
        let text = "error: two\n\nUsage: betacrew fetch [OPTIONS] <ADDR>\n  at `x`, (y) \"z\"\n";
        assert_eq!(redacted(text), text);
    }

    #[test]
    fn whatever_is_typed_can_be_shown() {
        let alphabet = ["a", ":", "/", "@", "%40", "é", ":/", "?"];
        for number in 0..alphabet.len().pow(5) {
            let places = (0..5).map(|place| number / alphabet.len().pow(place) % alphabet.len());
            let text: String = places.map(|at| alphabet[at]).collect();
            assert!(!shown(&text).to_string().is_empty() && !redacted(&text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_name_cannot_steer_a_terminal() {
        assert_eq!(shown("a\x1b[31m\nb\u{9b}c").to_string(), "a\\u001b[31m\\nb\\u009bc");
    }

    #[test]
    #[cfg(unix)]
    fn paths_are_one_line_whatever_bytes_they_have() {
        use std::os::unix::ffi::OsStrExt;
        let bytes = std::ffi::OsStr::from_bytes(b"x\xff\n\x1b[31m.tape");
        assert_eq!(shown(bytes).to_string(), "x\u{fffd}\\n\\u001b[31m.tape");
    }
}
