//! Check of all files that `fetch` writes, before any of them is opened.

use super::FetchArgs;
use super::recording::{is_stream, own, place};
use super::sessions::SessionName;
use crate::error::Failure;
use crate::format::Format;
use crate::output::place::CommandPlaces;
use crate::text::location::shown;

/// Checks that no two flags of a session name the same file.
///
/// # Errors
/// Returns [`Failure::Usage`] with both flags if two do.
pub(super) fn check(args: &FetchArgs, name: Option<SessionName>) -> Result<(), Failure> {
    let mut places = CommandPlaces::new();
    for (flag, path) in args.publishing.files().chain(args.web.files()) {
        places.reads(flag, path)?;
    }
    if let Some(log) = &args.publish {
        places.writes("--publish", log)?;
    }
    for path in &args.output {
        // Rotated files are named after the sequences in them, so no other file has such a name.
        let path = if args.is_streamed(path) { path.clone() } else { own(path, name) };
        places.writes_as("-o", &path, args.format.or(Format::of(&path)))?;
    }
    if let Some(report) = &args.report {
        places.writes("--report", &own(report, name))?;
    }
    let Some(tape) = place(args, name) else { return Ok(()) };
    let flag = match (&args.tape, args.output.iter().find(|path| !is_stream(path))) {
        (None, Some(output)) => format!("-o {}, whose recording is in", shown(output)),
        _ => "--tape".to_owned(),
    };
    places.writes(&flag, &tape)
}
