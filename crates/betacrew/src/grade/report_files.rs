//! Report files that the user requested.

use crate::error::Failure;
use crate::grade::GradeArgs;
use crate::grade::judge::verdict::GradeSummary;
use crate::grade::report;
use crate::grade::report::json::{GradeReport, ReportInput};
use crate::grade::run::client::GradedClient;
use crate::grade::run::workdir::Workdir;
use crate::output::Output;
use crate::output::place::CommandPlaces;
use std::path::PathBuf;

/// Report files. They are opened before the first case runs, so that a path that cannot be written
/// fails at once.
pub(crate) struct ReportFiles {
    junit: Option<Output>,
    json: Option<Output>,
    html: Option<Output>,
    badge: Option<Output>,
}

impl ReportFiles {
    /// Opens the report files, and refuses paths that the client or another report uses.
    ///
    /// # Errors
    /// Returns an error if a path cannot be written, or has two uses.
    pub(crate) fn open(args: &GradeArgs, client: &GradedClient) -> Result<Self, Failure> {
        let mut places = CommandPlaces::printing();
        if let Some(output) = args.output.as_ref().filter(|_| args.workdir == Workdir::Here) {
            // The client writes this file in the current folder, so a report must not overwrite it.
            places.writes("-o", output)?;
        }
        for path in client.inputs() {
            places.reads("--", &path)?;
        }
        if let Some(path) = &args.baseline {
            // A baseline that each run replaced would hide what got worse.
            places.reads("--baseline", path)?;
        }
        for (flag, path) in args.reports() {
            path.as_ref().map_or(Ok(()), |path| places.writes(flag, path))?;
        }
        let begin = |path: &Option<PathBuf>| path.as_deref().map(Output::begin).transpose();
        Ok(Self {
            junit: begin(&args.junit)?,
            json: begin(&args.json)?,
            html: begin(&args.html)?,
            badge: begin(&args.badge)?,
        })
    }

    /// Writes the reports.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub(crate) fn write(self, input: &ReportInput<'_>) -> Result<(), Failure> {
        let report = GradeReport::new(input);
        let text = |output: Option<Output>, text: &dyn Fn() -> String| match output {
            Some(output) => output.put(|out| out.write_all(text().as_bytes())),
            None => Ok(()),
        };
        let json = |report| {
            serde_json::to_string_pretty(report).map(|text| text + "\n").unwrap_or_default()
        };
        text(self.junit, &|| report::junit::junit(&report))?;
        text(self.json, &|| json(&report))?;
        text(self.html, &|| report::html::html(&report))?;
        text(self.badge, &|| report::badge::badge(&GradeSummary::of(input.outcomes)))
    }
}
