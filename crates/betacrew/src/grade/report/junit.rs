//! Report for `--junit`: each case as a test, for programs that show JUnit XML.
//!
//! A should that is not met is a skipped test with a message. It does not make the client fail, so
//! it must not fail a pipeline that counts failures. Nor does a must that failed in the baseline
//! already, if there is one.

use crate::grade::report::json::{CaseReport, GradeReport};
use crate::text::escape::xml;
use std::fmt::Write;

/// Returns the report as JUnit XML.
pub(crate) fn junit(report: &GradeReport) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let head = |cases: &[&CaseReport]| {
        let is = |case: &CaseReport, status| Status::of(case, report) == status;
        let count = |status| cases.iter().filter(|case| is(case, status)).count();
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
    let mut properties = properties(report);
    let mut rest = all.as_slice();
    while let Some(first) = rest.first() {
        let group = group(first);
        let len = rest.iter().take_while(|case| self::group(case) == group).count();
        let (cases, after) = rest.split_at(len);
        rest = after;
        let _ = writeln!(text, "  <testsuite name=\"{group}\" {}>", head(cases));
        // Properties belong to a suite, and the first one is read first.
        text.push_str(&std::mem::take(&mut properties));
        cases.iter().for_each(|case| test(&mut text, case, report));
        text.push_str("  </testsuite>\n");
    }
    text + "</testsuites>\n"
}

/// Returns the causes to mend first, as properties of a suite.
fn properties(report: &GradeReport) -> String {
    let mut text = String::new();
    for (place, mend) in report.mend_first.iter().enumerate() {
        let value = format!("{}: {}", mend.id, mend.fix);
        let _ = writeln!(
            text,
            "      <property name=\"mend first {}\" value=\"{}\"/>",
            place + 1,
            xml(&value)
        );
    }
    match text.is_empty() {
        true => text,
        false => format!("    <properties>\n{text}    </properties>\n"),
    }
}

/// Status of a test.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Passed,
    Failed,
    Skipped,
}

impl Status {
    fn of(case: &CaseReport, report: &GradeReport) -> Self {
        let is_worse = report.baseline.is_none() || case.change == Some("worse");
        match (case.verdict, case.severity) {
            ("pass", _) => Self::Passed,
            ("fail" | "flaky", "must") if is_worse => Self::Failed,
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
fn test(text: &mut String, case: &CaseReport, report: &GradeReport) {
    let (group, time) = (group(case), seconds(case));
    let _ =
        write!(text, "    <testcase classname=\"{group}\" name=\"{}\" time=\"{time:.3}\"", case.id);
    let actual = case.run.as_ref().and_then(|run| run.actual.clone()).unwrap_or_default();
    match Status::of(case, report) {
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
                "not judged" => not_judged(case),
                _ if case.severity == "must" => format!("not worse than before: {actual}"),
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

/// Returns why a case could not be judged.
fn not_judged(case: &CaseReport) -> String {
    let reason = case.run.as_ref().and_then(|run| run.not_judged.as_deref());
    format!("not judged: {}", reason.unwrap_or_default())
}

/// Returns the details of a failure, as the text of its element.
fn details(case: &CaseReport) -> String {
    let mut text = format!("required: {}\nscenario: {}\n", case.requirement, case.about);
    let Some(run) = &case.run else { return text };
    let advice = run.advice.as_ref();
    let lines = [
        ("expected", run.expected.as_deref()),
        ("actual", run.actual.as_deref()),
        (
            "cause",
            run.cause
                .as_ref()
                .map(|cause| &cause.text)
                .or(run.unexplained.as_ref())
                .map(String::as_str),
        ),
        ("to do", advice.and_then(|advice| advice.fix)),
        ("as in", advice.and_then(|advice| advice.example.as_deref())),
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
    use crate::grade::report::json::{BaselineReport, MendReport, PassCount};

    fn case(id: &'static str, severity: &'static str, verdict: &'static str) -> CaseReport {
        CaseReport {
            id,
            severity,
            verdict,
            change: None,
            runs: PassCount { passed: 0, of: 1 },
            requirement: "Be <good>.",
            page: "docs/x.md",
            section: "1",
            about: String::new(),
            passes: "",
            run: None,
            by_hand: Vec::new(),
        }
    }

    #[test]
    fn failed_musts_are_failures_and_failed_shoulds_are_skipped() {
        let mut report = GradeReport {
            schema: crate::grade::report::json::SCHEMA,
            protocol: "betacrew",
            client: "node \"x\" <y>\u{7}".to_owned(),
            version: "",
            seed: 1,
            grade: None,
            rule: None,
            must: PassCount { passed: 0, of: 0 },
            should: PassCount { passed: 0, of: 0 },
            not_run: 0,
            not_judged: 0,
            mend_first: vec![MendReport {
                id: "split-packet",
                text: String::new(),
                fix: "Join <both> halves.",
                example: None,
                must: 1,
                should: 0,
                cases: Vec::new(),
            }],
            baseline: None,
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
        let first =
            "<property name=\"mend first 1\" value=\"split-packet: Join &lt;both&gt; halves.\"/>";
        assert_eq!(text.matches(first).count(), 1, "{text}");
        // With a baseline only what got worse fails.
        report.baseline = Some(BaselineReport {
            name: String::new(),
            better: Vec::new(),
            worse: Vec::new(),
            remarks: Vec::new(),
        });
        let text = junit(&report);
        assert!(!text.contains("<failure"), "{text}");
        assert!(text.contains("message=\"not worse than before"), "{text}");
        report.cases[1].change = Some("worse");
        assert_eq!(junit(&report).matches("<failure type=\"flaky\"").count(), 1);
    }
}
