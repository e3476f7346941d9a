//! Example clients, and their lines that do right what other clients do wrong.
//!
//! A [`Lesson`] names such lines by words of the first and the last one, because line numbers would
//! be wrong after the next change of an example. A test finds each lesson in each client.

use std::fmt;
use std::path::Path;

/// Example client, by its language.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExampleClient {
    Python,
    JavaScript,
    C,
}

/// Programs that run JavaScript.
const JAVASCRIPT: [&str; 7] = ["node", "nodejs", "deno", "bun", "npm", "npx", "tsx"];

impl ExampleClient {
    /// All example clients, the one that most people can read first.
    pub(crate) const ALL: [Self; 3] = [Self::Python, Self::JavaScript, Self::C];

    /// Returns the example that is closest to a client with this command.
    pub(crate) fn closest_to(command: &str) -> Self {
        let mut words = command.split_whitespace().map(Path::new).peekable();
        let program = words.peek().copied().unwrap_or(Path::new(""));
        let name = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ends = |ends: &[&str]| {
            let end = |word: &Path| {
                word.extension().and_then(|end| end.to_str()).is_some_and(|end| ends.contains(&end))
            };
            words.clone().any(end)
        };
        if JAVASCRIPT.contains(&name) || ends(&["js", "mjs", "cjs", "ts", "mts"]) {
            return Self::JavaScript;
        }
        // A program with a path and without an ending was compiled from a language closer to C.
        let is_compiled = program.components().count() > 1 && program.extension().is_none();
        if is_compiled && !name.starts_with("python") && !ends(&["py"]) {
            return Self::C;
        }
        Self::Python
    }

    /// Returns the path of the client's source in the repository.
    const fn path(self) -> &'static str {
        match self {
            Self::Python => "examples/clients/client.py",
            Self::JavaScript => "examples/clients/client.js",
            Self::C => "examples/clients/client.c",
        }
    }

    /// Returns the source.
    const fn source(self) -> &'static str {
        match self {
            Self::Python => include_str!("../../../../examples/clients/client.py"),
            Self::JavaScript => include_str!("../../../../examples/clients/client.js"),
            Self::C => include_str!("../../../../examples/clients/client.c"),
        }
    }

    /// Returns the lines of a lesson; `None` if the source does not have them.
    pub(crate) fn lines(self, lesson: Lesson) -> Option<ExampleLines> {
        let (begin, end) = lesson.bounds(self);
        let lines: Vec<&'static str> = self.source().lines().collect();
        let first = lines.iter().position(|line| line.contains(begin))?;
        let more = lines[first..].iter().position(|line| line.contains(end))?;
        let lines = lines[first..=first + more].to_vec();
        Some(ExampleLines { path: self.path(), first: first + 1, lines })
    }
}

/// Lines of an example client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ExampleLines {
    /// Path of the source in the repository.
    path: &'static str,
    /// Number of the first line, from 1.
    first: usize,
    /// Lines without their ends.
    lines: Vec<&'static str>,
}

impl fmt::Display for ExampleLines {
    /// Shows the place as editors read it: `examples/clients/client.py:64-74`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.first + self.lines.len() - 1;
        match last == self.first {
            true => write!(f, "{}:{last}", self.path),
            false => write!(f, "{}:{}-{last}", self.path, self.first),
        }
    }
}

impl ExampleLines {
    /// Returns the lines with their numbers, without the indentation that all of them share.
    pub(crate) fn numbered(&self) -> String {
        let indent = |line: &&str| line.len() - line.trim_start().len();
        let written = self.lines.iter().copied().filter(|line| !line.trim().is_empty());
        let shared = written.map(|line| indent(&line)).min().unwrap_or(0);
        let width = (self.first + self.lines.len()).to_string().len();
        let numbered = self.lines.iter().zip(self.first..).map(|(line, number)| {
            let line = format!("{number:width$}  {}", line.get(shared..).unwrap_or_default());
            line.trim_end().to_owned() + "\n"
        });
        numbered.collect()
    }
}

/// Part of the example clients that does one thing right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lesson {
    /// Splits reads into packets, and joins packets that are cut between two reads.
    Join,
    /// Decodes a packet, checks it, and keeps the first copy under its own sequence.
    Parse,
    /// Finds the missing sequences.
    Gaps,
    /// Requests everything that is missing on one connection, and again what is still missing.
    Request,
    /// Makes the stream call, and tries again if the exchange cannot be reached.
    StreamCall,
    /// Streams until no packet can be missing, even at the end.
    StreamAgain,
    /// Opens a connection on which no read waits for ever.
    Silence,
    /// Reads and ends one connection, whatever the exchange does.
    Connection,
    /// Closes a connection when everything has arrived, without a reset.
    Close,
    /// Writes the packets in order.
    Write,
    /// Reports by the exit code whether all packets are there.
    ExitCode,
}

impl Lesson {
    /// All lessons.
    #[cfg(test)]
    const ALL: [Self; 11] = [
        Self::Join,
        Self::Parse,
        Self::Gaps,
        Self::Request,
        Self::StreamCall,
        Self::StreamAgain,
        Self::Silence,
        Self::Connection,
        Self::Close,
        Self::Write,
        Self::ExitCode,
    ];

    /// Returns words of the first line in a client, and words of the last line, which is the next
    /// one that has them.
    const fn bounds(self, client: ExampleClient) -> (&'static str, &'static str) {
        match client {
            ExampleClient::Python => self.in_python(),
            ExampleClient::JavaScript => self.in_javascript(),
            ExampleClient::C => self.in_c(),
        }
    }

    const fn in_python(self) -> (&'static str, &'static str) {
        match self {
            Self::Join => ("while not enough():", "held = held[whole:]"),
            Self::Parse => ("def keep(self, frame):", "})"),
            Self::Gaps => ("def highest(self):", "if seq not in self.packets]"),
            Self::Request => ("def fill(address, session):", "talk(address, session, calls,"),
            Self::StreamCall => ("count = talk(address, session, b\"", "continue"),
            Self::StreamAgain => ("def record(address, session):", "return 3 if session.missing()"),
            Self::Silence => ("socket.create_connection(", "return None"),
            Self::Connection => ("def talk(", "return count"),
            Self::Close => ("while not enough():", "pass"),
            Self::Write => ("packets = [session.packets[seq]", "os.replace("),
            Self::ExitCode => ("elif code == 3:", "return code"),
        }
    }

    const fn in_javascript(self) -> (&'static str, &'static str) {
        match self {
            Self::Join => ("socket.on('data'", "if (enough())"),
            Self::Parse => ("function keep(bytes)", "highest = Math.max("),
            Self::Gaps => ("function missing()", "return gaps;"),
            Self::Request => ("async function fill()", "await talk("),
            Self::StreamCall => ("const count = await talk(", "continue;"),
            Self::StreamAgain => ("async function record()", "return missing().length === 0 ?"),
            Self::Silence => ("const socket = net.connect(", "socket.setTimeout("),
            Self::Connection => ("function talk(", "socket.on('close'"),
            Self::Close => ("socket.on('data'", "socket.on('close'"),
            Self::Write => ("const sorted =", "fs.renameSync("),
            Self::ExitCode => ("} else if (code === 3) {", "process.exitCode = code;"),
        }
    }

    const fn in_c(self) -> (&'static str, &'static str) {
        match self {
            Self::Join => ("/* A read is not a packet:", "memmove("),
            Self::Parse => ("static int32_t number(", "highest = seq;"),
            Self::Gaps => ("static int missing(", "return 0;"),
            Self::Request => ("static void fill(void)", "talk(calls, size, 1);"),
            Self::StreamCall => ("count = talk((const", "continue;"),
            Self::StreamAgain => ("static int record(void)", "return missing(1, highest) ?"),
            Self::Silence => ("struct timeval patience", "SO_RCVTIMEO"),
            Self::Connection => ("static int talk(", "return count;"),
            Self::Close => ("while (!(fills &&", "while (recv("),
            Self::Write => ("static int save(void)", "rename("),
            Self::ExitCode => ("int code = record();", "return code;"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lesson_is_in_every_client_once() {
        for client in ExampleClient::ALL {
            let mut places = std::collections::BTreeSet::new();
            for lesson in Lesson::ALL {
                let lines = client.lines(lesson).unwrap_or_else(|| panic!("{lesson:?} {client:?}"));
                let (begin, _) = lesson.bounds(client);
                assert_eq!(client.source().matches(begin).count(), 1, "{begin}");
                assert!(lines.lines.len() < 40, "{lines} is more than one thing");
                assert!(places.insert(lines.to_string()), "{lines} are two lessons");
            }
        }
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let lines = ExampleClient::Python.lines(Lesson::Gaps).unwrap();
        let source = ExampleClient::Python.source();
        let numbered: Vec<(usize, &str)> = source.lines().zip(1..).map(|(l, n)| (n, l)).collect();
        let place = lines.to_string();
        let (_, range) = place.split_once("client.py:").unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        assert_eq!(numbered[first - 1], (first, "    def highest(self):"));
        assert!(numbered[last - 1].1.contains("if seq not in self.packets]"));
        let text = lines.numbered();
        assert!(text.starts_with(&format!("{first}  def highest(self):\n")), "{text}");
        assert_eq!(text.lines().count(), last - first + 1);
    }

    #[test]
    fn the_example_is_in_the_language_of_the_client() {
        use ExampleClient::{C, JavaScript, Python};
        for (command, client) in [
            ("node client.js", JavaScript),
            ("/usr/bin/node x", JavaScript),
            ("npx tsx client.ts {host} {port}", JavaScript),
            ("./client.js", JavaScript),
            ("python3 client.py", Python),
            ("/usr/bin/python3 client", Python),
            (".venv/bin/python -m client", Python),
            ("./client {host}", C),
            ("target/release/client", C),
            ("java -jar client.jar", Python),
            ("", Python),
        ] {
            assert_eq!(ExampleClient::closest_to(command), client, "{command}");
        }
    }
}
