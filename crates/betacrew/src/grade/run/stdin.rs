//! Input that the grader types for a client, with waits.
//!
//! A script is text in which `\n`, `\t` and `\\` have their usual meaning, `{wait TIME}` pauses,
//! and `{host}` and `{port}` are the exchange's address. The input ends behind the last part.

use crate::args::parse::duration;
use crate::grade::run::client::HOST;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Maximum number of bytes of a script.
const SCRIPT_MAX: u64 = 1 << 20;
/// Maximum time that a script waits in one place.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Input of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StdinScript(Vec<StdinPart>);

/// Part of an input.
#[derive(Clone, PartialEq, Eq, Debug)]
enum StdinPart {
    /// Text to write.
    Text(String),
    /// Time to wait before the next part.
    Wait(Duration),
}

impl StdinScript {
    /// Reads a script from the file of this name, or else takes the argument as the script.
    ///
    /// # Errors
    /// Returns a message if the file cannot be read or the script is wrong.
    pub(crate) fn open(given: &str) -> Result<Self, String> {
        let path = Path::new(given);
        let Ok(about) = path.metadata() else { return Self::parse(&unescape(given)) };
        if !about.is_file() || about.len() > SCRIPT_MAX {
            return Err(format!("{given} is no file of at most {SCRIPT_MAX} bytes"));
        }
        let text = std::fs::read_to_string(path);
        Self::parse(&text.map_err(|error| format!("cannot read {given}: {error}"))?)
    }

    /// Parses a script whose escapes are replaced.
    fn parse(text: &str) -> Result<Self, String> {
        const WAIT: &str = "{wait ";
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(WAIT) {
            let (time, after) = after
                .split_once('}')
                .ok_or_else(|| "`{wait` without `}`; write for example {wait 500ms}".to_owned())?;
            let wait =
                duration(time.trim()).map_err(|error| format!("{{wait {time}}}: {error}"))?;
            if wait > WAIT_MAX {
                return Err(format!("{{wait {time}}} is longer than a minute"));
            }
            parts.extend([StdinPart::Text(before.to_owned()), StdinPart::Wait(wait)]);
            rest = after;
        }
        parts.push(StdinPart::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// Types the script into the standard input of a client whose exchange has this port.
    pub(crate) fn type_into(&self, mut stdin: impl Write, port: u16) {
        for part in &self.0 {
            match part {
                StdinPart::Wait(time) => std::thread::sleep(*time),
                StdinPart::Text(text) => {
                    let text = text.replace("{host}", HOST).replace("{port}", &port.to_string());
                    if stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                        // The client has ended, or closed its input.
                        return;
                    }
                }
            }
        }
    }
}

/// Replaces `\n`, `\t` and `\\`; other backslashes stay.
fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('\\') => plain.push('\\'),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_text_waits_and_the_address() {
        let script = StdinScript::open(r"1\n{wait 5ms}{host}:{port}\\n\q").unwrap();
        let mut typed = Vec::new();
        script.type_into(&mut typed, 3000);
        assert_eq!(typed, b"1\n127.0.0.1:3000\\n\\q");
        assert_eq!(script.0[1], StdinPart::Wait(Duration::from_millis(5)));
        for wrong in ["{wait 5ms", "{wait soon}", "{wait 2h}"] {
            assert!(StdinScript::open(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_script_may_be_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "2\\n\n").unwrap();
        let script = StdinScript::open(file.path().to_str().unwrap()).unwrap();
        assert_eq!(script, StdinScript(vec![StdinPart::Text("2\\n\n".to_owned())]));
        assert!(StdinScript::open("/").is_err(), "a folder is no script");
    }
}
