//! All places of `fetch`, compared before any of them is begun.

use super::FetchArgs;
use super::recording::{is_stream, own, place};
use super::sessions::SessionName;
use crate::error::Failure;
use crate::format::Format;
use crate::output::place::CommandPlaces;
use crate::text::location::shown;

/// Checks that no two places of a session are the same.
///
/// # Errors
/// [`Failure::Usage`], with both flags.
pub(super) fn check(args: &FetchArgs, name: Option<SessionName>) -> Result<(), Failure> {
    let mut places = CommandPlaces::new();
    for (flag, path) in args.publishing.files().chain(args.web.files()) {
        places.reads(flag, path)?;
    }
    if let Some(log) = &args.publish {
        places.writes("--publish", log)?;
    }
    for path in &args.output {
        // Streamed ones are named after what is in them: no others have such names.
        let path = if args.is_streamed(path) { path.clone() } else { own(path, name) };
        places.writes_as("-o", &path, args.format.or(Format::of(&path)))?;
    }
    if let Some(report) = &args.report {
        places.writes("--report", &own(report, name))?;
    }
    let Some(tape) = place(args, name) else { return Ok(()) };
    let flag = match (&args.tape, args.output.iter().find(|path| !is_stream(path))) {
        (None, Some(output)) => format!("-o {}, which is recorded in", shown(output)),
        _ => "--tape".to_owned(),
    };
    places.writes(&flag, &tape)
}
