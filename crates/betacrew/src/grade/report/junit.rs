//! Report for `--junit`: each case as a test, for programs that show JUnit XML.
//!
//! A should that is not met is a skipped test with a message. It does not make the client fail, so
//! it must not fail a pipeline that counts failures.

use crate::grade::report::json::{CaseReport, GradeReport};
use crate::text::escape::xml;
use std::fmt::Write;

/// Returns the report as JUnit XML.
pub(crate) fn junit(report: &GradeReport) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let head = |cases: &[&CaseReport]| {
        let count = |status: Status| cases.iter().filter(|case| Status::of(case) == status).count();
        let time: f64 = cases.iter().map(|case| seconds(case)).sum();
        format!(
            "tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{time:.3}\"",
            cases.len(),
            count(Status::Failed),
            count(Status::Skipped)
        )
    };
    let all: Vec<&CaseReport> = report.cases.iter().collect();
    let name = xml(&format!("betacrew grade: {}", report.client));
    let _ = writeln!(text, "<testsuites name=\"{name}\" {}>", head(&all));
    let mut rest = all.as_slice();
    while let Some(first) = rest.first() {
        let group = group(first);
        let len = rest.iter().take_while(|case| self::group(case) == group).count();
        let (cases, after) = rest.split_at(len);
        rest = after;
        let _ = writeln!(text, "  <testsuite name=\"{group}\" {}>", head(cases));
        cases.iter().for_each(|case| test(&mut text, case));
        text.push_str("  </testsuite>\n");
    }
    text + "</testsuites>\n"
}

/// Status of a test.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Passed,
    Failed,
    Skipped,
}

impl Status {
    fn of(case: &CaseReport) -> Self {
        match (case.verdict, case.severity) {
            ("pass", _) => Self::Passed,
            ("fail" | "flaky", "must") => Self::Failed,
            _ => Self::Skipped,
        }
    }
}

fn group(case: &CaseReport) -> &str {
    case.id.split('/').next().unwrap_or(case.id)
}

fn seconds(case: &CaseReport) -> f64 {
    case.run.as_ref().map_or(0.0, |run| run.took_ms / 1e3)
}

/// Writes the test of one case.
fn test(text: &mut String, case: &CaseReport) {
    let (group, time) = (group(case), seconds(case));
    let _ =
        write!(text, "    <testcase classname=\"{group}\" name=\"{}\" time=\"{time:.3}\"", case.id);
    let actual = case.run.as_ref().and_then(|run| run.actual.clone()).unwrap_or_default();
    match Status::of(case) {
        Status::Passed => text.push_str("/>\n"),
        Status::Failed => {
            let _ = writeln!(
                text,
                ">\n      <failure type=\"{}\" message=\"{}\">{}</failure>\n    </testcase>",
                case.verdict,
                xml(&actual),
                xml(&details(case))
            );
        }
        Status::Skipped => {
            let message = match case.verdict {
                "not run" => "not run".to_owned(),
                _ => format!("should: {actual}"),
            };
            let _ = writeln!(
                text,
                ">\n      <skipped message=\"{}\"/>\n    </testcase>",
                xml(&message)
            );
        }
    }
}

/// Returns the details of a failure, as the text of its element.
fn details(case: &CaseReport) -> String {
    let mut text = format!("required: {}\nscenario: {}\n", case.requirement, case.about);
    let Some(run) = &case.run else { return text };
    let lines = [
        ("expected", run.expected.as_ref()),
        ("actual", run.actual.as_ref()),
        ("cause", run.cause.as_ref().map(|cause| &cause.text).or(run.unexplained.as_ref())),
    ];
    for (label, line) in lines {
        if let Some(line) = line {
            let _ = writeln!(text, "{label}: {line}");
        }
    }
    for line in &run.stderr {
        let _ = writeln!(text, "stderr: {line}");
    }
    for line in &run.timeline {
        let _ = writeln!(
            text,
            "{:9.1} ms  #{} {:8} {}",
            line.at_ms, line.connection, line.from, line.text
        );
    }
    for command in &case.by_hand {
        let _ = writeln!(text, "by hand: {command}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::report::json::PassCount;

    fn case(id: &'static str, severity: &'static str, verdict: &'static str) -> CaseReport {
        CaseReport {
            id,
            severity,
            verdict,
            runs: PassCount { passed: 0, of: 1 },
            requirement: "Be <good>.",
            section: "1",
            about: String::new(),
            passes: "",
            run: None,
            by_hand: Vec::new(),
        }
    }

    #[test]
    fn failed_musts_are_failures_and_failed_shoulds_are_skipped() {
        let report = GradeReport {
            schema: crate::grade::report::json::SCHEMA,
            client: "node \"x\" <y>\u{7}".to_owned(),
            version: "",
            seed: 1,
            grade: None,
            rule: None,
            must: PassCount { passed: 0, of: 0 },
            should: PassCount { passed: 0, of: 0 },
            not_run: 0,
            cases: vec![
                case("a/1", "must", "pass"),
                case("a/2", "must", "flaky"),
                case("a/3", "should", "fail"),
                case("b/1", "must", "not run"),
            ],
        };
        let text = junit(&report);
        assert!(
            text.contains("betacrew grade: node &quot;x&quot; &lt;y&gt;\u{fffd}\" tests=\"4\"")
        );
        assert!(text.contains("<testsuite name=\"a\" tests=\"3\" failures=\"1\" skipped=\"1\""));
        assert!(text.contains("<testsuite name=\"b\" tests=\"1\" failures=\"0\" skipped=\"1\""));
        assert!(text.contains("Be &lt;good&gt;."));
        assert_eq!(text.matches("<failure type=\"flaky\"").count(), 1);
    }
}
