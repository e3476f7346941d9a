//! Search for the output of a client.

use crate::grade::observe::evidence::ClientOutput;
use crate::grade::observe::fields::plain;
use crate::grade::observe::names::FieldNames;
use crate::grade::observe::rows::{self, OUTPUT_MAX, OutputRows};
use crate::grade::run::workdir::CaseWorkdir;
use feed::wire::packet::Packet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

/// Knowledge with which an output is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// Names of fields that the user gave.
    pub(crate) names: &'a FieldNames,
    /// Packets that the exchange plays.
    pub(crate) tape: &'a [Packet],
}

impl Reading<'_> {
    /// Reads an output. If it lacks fields, those are searched by their values.
    fn rows(self, bytes: &[u8]) -> Result<OutputRows, String> {
        let read = rows::read(bytes, self.names);
        let is_whole = read.as_ref().is_ok_and(OutputRows::has_all_fields);
        if is_whole || bytes.len() > OUTPUT_MAX {
            return read;
        }
        match self.names.learned(&String::from_utf8_lossy(bytes), self.tape) {
            Some(names) => rows::read(bytes, &names),
            None => read,
        }
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
    let best = read.max_by_key(rank);
    match best {
        Some(ClientOutput::Found { ref rows, .. }) if !rows.rows.is_empty() => {}
        _ => {
            if let ClientOutput::Found { name, rows, written } = printed(stdout, reading)
                && !rows.rows.is_empty()
            {
                return ClientOutput::Found { name, rows, written };
            }
        }
    }
    best.filter(|best| rank(best) > Rank::default()).unwrap_or(ClientOutput::None)
}

/// Measure of how much a file looks like an output: kind of content, name, number of packets.
type Rank = (u8, bool, usize);

/// Returns the rank of a possible output; the highest wins.
fn rank(output: &ClientOutput) -> Rank {
    match output {
        ClientOutput::None => (0, false, 0),
        ClientOutput::Unclear { name, .. } => match name.ends_with(".json") {
            true => (1, is_output(name), 0),
            // Other unreadable files are logs or notes, not outputs.
            false => (0, false, 0),
        },
        ClientOutput::Found { name, rows, .. } if rows.rows.is_empty() => (2, is_output(name), 0),
        ClientOutput::Found { name, rows, .. } => (3, is_output(name), rows.rows.len()),
    }
}

/// Returns whether a file's name says that it is an output.
fn is_output(name: &str) -> bool {
    name.to_ascii_lowercase().contains("output")
}

/// Reads the standard output.
fn printed(stdout: &[u8], reading: Reading<'_>) -> ClientOutput {
    let name = "stdout".to_owned();
    match reading.rows(stdout) {
        Ok(rows) => ClientOutput::Found { name, rows, written: None },
        Err(why) => ClientOutput::Unclear { name, why },
    }
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
    let read = file(path).map_err(|error| error.to_string()).and_then(|bytes| reading.rows(&bytes));
    match read {
        Ok(rows) => {
            let written = written.and_then(|time| time.duration_since(began).ok());
            ClientOutput::Found { name: shown, rows, written }
        }
        Err(why) => ClientOutput::Unclear { name: shown, why },
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
    use std::fs;

    const ROW: &str = r#"{"symbol":"A","side":"B","price":1,"seq":1}"#;

    fn found(files: &[(&str, &str)], stdout: &str, named: Option<&str>) -> ClientOutput {
        let run = RunFolder::open().unwrap();
        let workdir = CaseWorkdir::prepare(Workdir::Empty, &[], &run).unwrap();
        for (name, text) in files {
            fs::write(workdir.path().join(name), text).unwrap();
        }
        let reading = Reading { names: &FieldNames::default(), tape: &[] };
        output(&workdir, named.map(Path::new), stdout.as_bytes(), SystemTime::now(), reading)
    }

    fn name_of(output: &ClientOutput) -> &str {
        match output {
            ClientOutput::None => "nowhere",
            ClientOutput::Unclear { name, .. } | ClientOutput::Found { name, .. } => name,
        }
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
