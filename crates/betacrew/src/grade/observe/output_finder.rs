//! Search for the output of a client.

use crate::grade::observe::evidence::ClientOutput;
use crate::grade::observe::fields::{OutputField, plain};
use crate::grade::observe::names::FieldNames;
use crate::grade::observe::rows::{self, BROKEN_JSON, OUTPUT_MAX, OutputRows, TextKind};
use crate::grade::observe::traces;
use crate::grade::run::workdir::CaseWorkdir;
use feed::wire::packet::Packet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Knowledge with which an output is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// Names of fields that the user gave.
    pub(crate) names: &'a FieldNames,
    /// Packets that the exchange plays.
    pub(crate) tape: &'a [Packet],
    /// Name of the output in an earlier case, if one is known. What the client prints is only a log
    /// if that was a file.
    pub(crate) earlier: Option<&'a str>,
}

impl Reading<'_> {
    /// Reads an output. If it lacks fields, those are searched by their values.
    fn output(self, name: String, bytes: &[u8], written: Option<Duration>) -> ClientOutput {
        let mut read = rows::read(bytes, self.names);
        let is_whole = read.as_ref().is_ok_and(OutputRows::has_all_fields);
        if is_whole || bytes.len() > OUTPUT_MAX {
            return found(name, read, written);
        }
        let text = String::from_utf8_lossy(bytes);
        let learned = self.names.learned(&text, self.tape);
        if let Some(names) = &learned {
            read = rows::read(bytes, names);
        }
        let names = learned.as_ref().unwrap_or(self.names);
        match &read {
            Ok(rows) if rows.has_all_fields() => {}
            _ => {
                if let Some((why, remedy)) = self.foreign(names, &read, &text) {
                    return ClientOutput::Foreign { name, why, remedy };
                }
            }
        }
        found(name, read, written)
    }

    /// Returns why a text with packets is not understood, and what settles it. Returns `None` if
    /// the text has no packets, or lacks a field that none of its names could be.
    fn foreign(
        self,
        names: &FieldNames,
        read: &Result<OutputRows, String>,
        text: &str,
    ) -> Option<(String, String)> {
        let is_broken = read.as_ref().is_err_and(|why| why.contains(BROKEN_JSON));
        if is_broken || !(read.is_ok() || traces::has_packets(text, self.tape)) {
            return None;
        }
        let (fields, unknown) = names.unknown(text);
        let listed = |fields: &[OutputField]| {
            fields.iter().map(|field| field.name()).collect::<Vec<_>>().join(", ")
        };
        if let Some(name) = unknown.first() {
            let field = fields.first().map_or("", |field| field.name());
            let why = format!(
                "has packets, but none of its names is known to be {}; its other names: {}",
                listed(&fields),
                unknown.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ")
            );
            return Some((why, format!("--fields says which is which, such as {field}={name}")));
        }
        let other = "--output FILE names another output; JSON, lines of JSON and CSV are read";
        read.is_err().then(|| ("has packets, but in no known form".to_owned(), other.to_owned()))
    }
}

/// Maximum number of unknown names that are listed.
const NAMES_MAX: usize = 12;

/// Returns an output that was read, or the reason why it was not.
fn found(
    name: String,
    read: Result<OutputRows, String>,
    written: Option<Duration>,
) -> ClientOutput {
    match read {
        Ok(rows) => ClientOutput::Found { name, rows, written },
        Err(why) => ClientOutput::Unclear { name, why },
    }
}

/// Finds and reads the output: the named file, or else the best of the new and changed files, or
/// else the standard output. `began` is the time of day at which the exchange started.
pub(crate) fn output(
    workdir: &CaseWorkdir,
    named: Option<&Path>,
    stdout: &[u8],
    began: SystemTime,
    reading: Reading<'_>,
) -> ClientOutput {
    if let Some(file) = named {
        if file == Path::new("-") {
            return printed(stdout, reading);
        }
        return match workdir.written_file(file) {
            Some(path) => {
                let written = path.metadata().and_then(|about| about.modified()).ok();
                read(workdir, &path, written, began, reading)
            }
            None => ClientOutput::None,
        };
    }
    let files = workdir.changed_files();
    let read =
        files.into_iter().map(|(path, written)| read(workdir, &path, written, began, reading));
    let is_log = |output: &ClientOutput| {
        let other = output.name().zip(reading.earlier).is_some_and(|(name, known)| name != known);
        other && matches!(Rank::of(output).what, Looks::UnknownForm | Looks::Printed)
    };
    let best = read.filter(|output| !is_log(output)).max_by_key(Rank::of);
    let best = best.filter(|best| Rank::of(best).what > Looks::Log);
    if reading.earlier.is_some_and(|known| known != STDOUT) {
        return best.unwrap_or(ClientOutput::None);
    }
    let printed = printed(stdout, reading);
    let has_packets = match &printed {
        ClientOutput::Found { rows, .. } => !rows.rows.is_empty(),
        ClientOutput::Foreign { .. } => true,
        ClientOutput::None | ClientOutput::Unclear { .. } => false,
    };
    match best {
        Some(best) if !has_packets || Rank::of(&best).what >= Rank::of(&printed).what => best,
        None if !has_packets => ClientOutput::None,
        _ => printed,
    }
}

/// Name of the standard output in reports.
pub(crate) const STDOUT: &str = "stdout";

/// Measure of how much a file looks like an output; the highest wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Rank {
    what: Looks,
    /// True if its name says that it is an output.
    is_named: bool,
    /// Number of packets.
    packets: usize,
}

/// Kind of a possible output, by what it looks like.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Looks {
    /// A log or a note.
    Log,
    /// A JSON file that cannot be read.
    BrokenJson,
    /// A list without packets, under any name.
    EmptyList,
    /// A text of no known form that has packets.
    UnknownForm,
    /// Packets printed for people, as in a log.
    Printed,
    /// A list without packets in a file that says that it is the output.
    EmptyOutput,
    /// Packets as data.
    Data,
}

impl Rank {
    fn of(output: &ClientOutput) -> Self {
        let is_named = output.name().is_some_and(is_output);
        let (what, packets) = match output {
            ClientOutput::None => (Looks::Log, 0),
            ClientOutput::Unclear { name, .. } if name.ends_with(".json") => (Looks::BrokenJson, 0),
            // Other unreadable files are logs or notes, not outputs.
            ClientOutput::Unclear { .. } => (Looks::Log, 0),
            ClientOutput::Foreign { .. } => (Looks::UnknownForm, 0),
            ClientOutput::Found { rows, .. } => match (rows.rows.len(), rows.kind) {
                (0, _) if is_named => (Looks::EmptyOutput, 0),
                (0, _) => (Looks::EmptyList, 0),
                (packets, TextKind::Printed) => (Looks::Printed, packets),
                (packets, TextKind::Data) => (Looks::Data, packets),
            },
        };
        Self { what, is_named, packets }
    }
}

/// Returns whether a file's name says that it is an output.
fn is_output(name: &str) -> bool {
    name.to_ascii_lowercase().contains("output")
}

/// Reads the standard output.
fn printed(stdout: &[u8], reading: Reading<'_>) -> ClientOutput {
    reading.output(STDOUT.to_owned(), stdout, None)
}

/// Reads a file.
fn read(
    workdir: &CaseWorkdir,
    path: &Path,
    written: Option<SystemTime>,
    began: SystemTime,
    reading: Reading<'_>,
) -> ClientOutput {
    let shown = plain(&path.strip_prefix(workdir.path()).unwrap_or(path).to_string_lossy());
    let written = written.and_then(|time| time.duration_since(began).ok());
    match file(path) {
        Ok(bytes) => reading.output(shown, &bytes, written),
        Err(error) => ClientOutput::Unclear { name: shown, why: error.to_string() },
    }
}

/// Returns the bytes of a file, at most one more than [`OUTPUT_MAX`] so that a larger file is
/// noticed.
pub(crate) fn file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut options = File::options();
    // The file may have become a pipe since it was found. Without NONBLOCK, opening a pipe that has
    // no writer would block for ever.
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0));
    }
    options.read(true).open(path)?.take(OUTPUT_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::run::run_folder::RunFolder;
    use crate::grade::run::workdir::Workdir;
    use feed::tape::in_memory::Tape;
    use feed::wire::{Frame, decode};
    use std::fs;

    const ROW: &str = r#"{"symbol":"A","side":"B","price":1,"seq":1}"#;

    fn found(files: &[(&str, &str)], stdout: &str, named: Option<&str>) -> ClientOutput {
        found_after(files, stdout, named, None)
    }

    /// Returns the output if `earlier` was that of an earlier case.
    fn found_after(
        files: &[(&str, &str)],
        stdout: &str,
        named: Option<&str>,
        earlier: Option<&str>,
    ) -> ClientOutput {
        let run = RunFolder::open().unwrap();
        let workdir = CaseWorkdir::prepare(Workdir::Empty, &[], &run).unwrap();
        for (name, text) in files {
            fs::write(workdir.path().join(name), text).unwrap();
        }
        let tape = tape();
        let reading = Reading { names: &FieldNames::default(), tape: &tape, earlier };
        output(&workdir, named.map(Path::new), stdout.as_bytes(), SystemTime::now(), reading)
    }

    fn tape() -> Vec<Packet> {
        let packet = |frame| match decode(frame) {
            Ok(Frame::Packet(packet)) => Some(packet),
            _ => None,
        };
        Tape::classic().frames().iter().filter_map(packet).collect()
    }

    fn name_of(output: &ClientOutput) -> &str {
        output.name().unwrap_or("nowhere")
    }

    /// Returns the packets of the tape, each in this form.
    fn told(form: impl Fn(&Packet) -> String) -> String {
        tape().iter().map(|packet| form(packet) + "\n").collect()
    }

    #[test]
    fn an_output_that_is_not_understood_says_so() {
        let prose = told(|p| {
            format!("Nr {} heisst {}: {} mal {}", p.sequence, p.symbol, p.quantity, p.price)
        });
        let why = |files: &[(&str, &str)], stdout: &str| {
            found(files, stdout, None)
                .not_understood()
                .map(|(why, remedy)| format!("{why}; {remedy}"))
        };
        assert!(why(&[], &prose).unwrap().starts_with("stdout has packets, but in no known form"));
        assert!(why(&[("out.txt", &prose)], "done").unwrap().starts_with("out.txt has packets"));
        // The values of one name are wrong, so that they do not show what it is.
        let half = told(|p| {
            format!(
                r#"{{"a":"{}","b":"{}","c":{},"d":{},"e":{}}}"#,
                p.symbol,
                char::from(p.side.letter()),
                p.quantity,
                p.price.swap_bytes(),
                p.sequence
            )
        });
        let half = why(&[("x.json", &half)], "").unwrap();
        assert!(half.contains("known to be price; its other names: d;"), "{half}");
        assert!(half.ends_with("--fields says which is which, such as price=d"), "{half}");
        for nothing in ["", "received 14 packets", "[{\"symbol\":"] {
            assert_eq!(why(&[("output.json", nothing)], nothing), None, "{nothing}");
        }
        let absent = told(|p| {
            format!(
                r#"{{"symbol":"{}","qty":{},"price":{},"seq":{}}}"#,
                p.symbol, p.quantity, p.price, p.sequence
            )
        });
        assert_eq!(why(&[("x.json", &absent)], ""), None, "a field that is left out is no name");
    }

    #[test]
    fn what_a_client_prints_is_a_log_if_it_writes_a_file() {
        let log = told(|p| {
            format!(
                "got {} {} {} {} {}",
                p.symbol,
                char::from(p.side.letter()),
                p.quantity,
                p.price,
                p.sequence
            )
        });
        assert_eq!(name_of(&found(&[], &log, None)), "stdout");
        assert_eq!(name_of(&found(&[("output.json", "[]")], &log, None)), "output.json");
        assert_eq!(
            name_of(&found(&[("log.txt", &log), ("output.json", "[]")], "", None)),
            "output.json"
        );
        let after = |earlier| found_after(&[("log.txt", &log)], &log, None, Some(earlier));
        assert_eq!(name_of(&after("output.json")), "nowhere", "it crashed before it wrote");
        assert_eq!(name_of(&after("log.txt")), "log.txt");
        assert_eq!(name_of(&found_after(&[], &log, None, Some("stdout"))), "stdout");
    }

    #[test]
    fn the_output_is_the_file_that_looks_most_like_packets() {
        let one = format!("[{ROW}]");
        let two = format!("[{ROW},{ROW}]");
        let config = ("config.json", r#"{"port":3000}"#);
        let log = ("log.txt", "connected");
        let all = [config, log, ("missing.json", "[]"), ("x.json", &one), ("y.json", &two)];
        assert_eq!(name_of(&found(&all, &one, None)), "y.json");
        let output = [("x.json", two.as_str()), ("output.json", one.as_str())];
        assert_eq!(name_of(&found(&output, "", None)), "output.json");
        assert_eq!(name_of(&found(&output, "", Some("x.json"))), "x.json");
        assert_eq!(name_of(&found(&output, "", Some("data/x.json"))), "nowhere");
        assert_eq!(name_of(&found(&output, &one, Some("-"))), "stdout");
        assert_eq!(name_of(&found(&[config, log], &one, None)), "stdout");
        assert_eq!(name_of(&found(&[("missing.json", "[]")], &one, None)), "stdout");
        assert_eq!(name_of(&found(&[("output.json", "[]")], "done", None)), "output.json");
        assert_eq!(name_of(&found(&[log], "done", None)), "nowhere");
        let unclear = found(&[("output.json", "[{")], "done", None);
        assert!(
            matches!(unclear, ClientOutput::Unclear { .. }) && name_of(&unclear) == "output.json"
        );
        assert_eq!(name_of(&found(&[], "", None)), "nowhere");
    }
}
