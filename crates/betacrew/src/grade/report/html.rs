//! Report for `--html`: a single page that loads nothing else.

use crate::grade::judge::verdict::Letter;
use crate::grade::report::badge::colour;
use crate::grade::report::json::{CaseReport, GradeReport, LineReport, PassCount, RunReport};
use crate::text::escape::xml;
use crate::text::formatting::{count, took};
use std::cmp::Reverse;
use std::fmt::Write;
use std::time::Duration;

const STYLE: &str = include_str!("html/style.css");

/// Returns the page.
pub(crate) fn html(report: &GradeReport) -> String {
    let client = xml(&report.client);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{} – {client}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        report.grade.as_deref().unwrap_or("not run")
    );
    head(&mut page, report, &client);
    baseline(&mut page, report);
    mend_first(&mut page, report);
    causes(&mut page, report);
    let mut rest = report.cases.as_slice();
    while let Some(first) = rest.first() {
        let group = group(first);
        let len = rest.iter().take_while(|case| self::group(case) == group).count();
        let (cases, after) = rest.split_at(len);
        rest = after;
        let passed = cases.iter().filter(|case| case.verdict == "pass").count();
        let _ = writeln!(
            page,
            "<section>\n<h2>{group} <small>{passed} of {}</small></h2>",
            cases.len()
        );
        cases.iter().for_each(|case| row(&mut page, case));
        page.push_str("</section>\n");
    }
    let _ = writeln!(
        page,
        "<footer>betacrew {}, seed {}. Every case can be repeated by hand with the commands in \
         it.</footer>\n</main>\n</body>\n</html>",
        report.version, report.seed
    );
    page
}

fn group(case: &CaseReport) -> &str {
    case.id.split('/').next().unwrap_or(case.id)
}

/// Writes the heading with the grade.
fn head(page: &mut String, report: &GradeReport, client: &str) {
    let letter = report.grade.as_deref().unwrap_or("–");
    let known = Letter::ALL.into_iter().find(|known| known.to_string() == letter);
    let colour = known.map_or("#6e7681", colour);
    let _ = writeln!(
        page,
        "<header>\n<div class=\"letter\" style=\"background:{colour}\">{letter}</div>\n<div>\n\
         <h1><code>{client}</code></h1>\n<p>{}</p>\n{}{}{}</div>\n</header>",
        report.rule.unwrap_or("no grade"),
        bar("must", report.must),
        bar("should", report.should),
        left_out(report)
    );
}

/// Returns the numbers of cases without a verdict, and what settles it.
fn left_out(report: &GradeReport) -> String {
    let mut text = String::new();
    let mut reasons = report.cases.iter().filter_map(|case| case.run.as_ref()?.not_judged.as_ref());
    if let Some(reason) = reasons.next() {
        let _ = writeln!(text, "<p>{} not judged: {}</p>", report.not_judged, xml(reason));
    }
    if report.not_run > 0 {
        let _ = writeln!(text, "<p>{} not run</p>", report.not_run);
    }
    text
}

/// Returns a bar that shows how many cases passed.
fn bar(name: &str, count: PassCount) -> String {
    if count.of == 0 {
        return String::new();
    }
    let percent = count.passed * 100 / count.of;
    format!(
        "<div class=\"bar\"><span>{name}</span><i><b style=\"width:{percent}%\"></b></i>\
         <span>{} of {}</span></div>\n",
        count.passed, count.of
    )
}

/// Returns how many cases show a cause, as a remark behind it.
fn shown_by(cases: u32) -> String {
    format!(" <small>(shown by {})</small>", count(cases.into(), "case"))
}

/// Writes what got better and what got worse since an earlier run.
fn baseline(page: &mut String, report: &GradeReport) {
    let Some(baseline) = &report.baseline else { return };
    let _ =
        writeln!(page, "<section class=\"panel\">\n<h2>Since {}</h2>\n<ul>", xml(&baseline.name));
    if baseline.better.is_empty() && baseline.worse.is_empty() {
        page.push_str("<li>No case got better or worse</li>\n");
    }
    for (change, cases) in [("better", &baseline.better), ("worse", &baseline.worse)] {
        if !cases.is_empty() {
            let _ = writeln!(page, "<li><b class=\"{change}\">{change}</b> {}</li>", links(cases));
        }
    }
    for remark in &baseline.remarks {
        let _ = writeln!(page, "<li><small>{}</small></li>", xml(remark));
    }
    page.push_str("</ul>\n</section>\n");
}

/// Returns links to cases.
fn links(cases: &[&str]) -> String {
    let links: Vec<String> = cases.iter().map(|id| format!("<a href=\"#{id}\">{id}</a>")).collect();
    links.join(", ")
}

/// Writes the causes to mend first, each with what to do and the lines of an example.
fn mend_first(page: &mut String, report: &GradeReport) {
    if report.mend_first.is_empty() {
        return;
    }
    page.push_str("<section class=\"panel\">\n<h2>Mend first</h2>\n<ol>\n");
    for mend in &report.mend_first {
        let some = |number: usize, what| (number > 0).then(|| count(number as u64, what));
        let counts = [some(mend.must, "must"), some(mend.should, "should")];
        let counts: Vec<String> = counts.into_iter().flatten().collect();
        let _ = writeln!(
            page,
            "<li><code>{}</code> <small>fails {}</small><p>{}</p><p class=\"fix\">{}</p>",
            mend.id,
            counts.join(" and "),
            xml(&mend.text),
            xml(mend.fix)
        );
        if let Some(example) = &mend.example {
            let _ = writeln!(
                page,
                "<details class=\"example\"><summary>as in <code>{}</code></summary>\n\
                 <pre>{}</pre>\n</details>",
                example.place,
                xml(&example.code)
            );
        }
        let _ = writeln!(page, "<small>{}</small></li>", links(&mend.cases));
    }
    page.push_str("</ol>\n</section>\n");
}

/// Writes the other likely causes, each with links to its cases.
fn causes(page: &mut String, report: &GradeReport) {
    let mut found: Vec<(&str, &str, u32, Vec<&str>)> = Vec::new();
    for case in &report.cases {
        if report.mend_first.iter().any(|mend| mend.cases.contains(&case.id)) {
            continue;
        }
        let Some(cause) = case.run.as_ref().and_then(|run| run.cause.as_ref()) else { continue };
        let same = |known: &&mut (&str, &str, u32, Vec<&str>)| {
            known.0 == cause.id && (cause.id != "crash" || known.1 == cause.text)
        };
        match found.iter_mut().find(same) {
            Some(known) => known.3.push(case.id),
            None => found.push((cause.id, &cause.text, cause.shown_by, vec![case.id])),
        }
    }
    if found.is_empty() {
        return;
    }
    let is_must =
        |id: &&&str| report.cases.iter().any(|case| case.id == **id && case.severity == "must");
    found.sort_by_key(|(_, _, _, cases)| Reverse(cases.iter().filter(is_must).count()));
    let begin = report.mend_first.len() + 1;
    let _ = writeln!(page, "<section class=\"panel\">\n<h2>Then</h2>\n<ol start=\"{begin}\">");
    for (id, text, number, cases) in found {
        let fix = report.cases.iter().find(|case| case.id == cases[0]);
        let fix = fix.and_then(|case| case.run.as_ref()?.advice.as_ref()?.fix);
        let _ = writeln!(
            page,
            "<li><code>{id}</code>{}<p>{}</p><p class=\"fix\">{}</p><small>{}</small></li>",
            shown_by(number),
            xml(text),
            xml(fix.unwrap_or_default()),
            links(&cases)
        );
    }
    page.push_str("</ol>\n</section>\n");
}

/// Writes one case as a row that opens to its details.
fn row(page: &mut String, case: &CaseReport) {
    let mark = match case.verdict {
        "pass" => "✓",
        "fail" => "✗",
        "flaky" => "~",
        _ => "–",
    };
    let name = case.id.split_once('/').map_or(case.id, |(_, name)| name);
    let run = case.run.as_ref();
    let told = run.and_then(|run| run.actual.as_deref().or(run.not_judged.as_deref()));
    let actual = told.unwrap_or_default();
    let runs = match (case.verdict, case.runs) {
        ("flaky", PassCount { passed, of }) => format!("passed {passed} of {of}; "),
        _ => String::new(),
    };
    let time = run.map(|run| time(run.took_ms)).unwrap_or_default();
    let change = case.change.map(|change| format!("<b class=\"{change}\">{change}</b> "));
    let change = change.unwrap_or_default();
    let (id, class, severity) = (case.id, case.verdict.replace(' ', "-"), case.severity);
    let _ = writeln!(
        page,
        "<details id=\"{id}\" class=\"{class}\">\n<summary><span class=\"mark\">{mark}</span>\
         <span class=\"name\">{name}</span><span class=\"severity {severity}\">{severity}</span>\
         <span class=\"what\">{change}{runs}{}</span><span class=\"time\">{time}</span></summary>\n\
         <div class=\"body\">\n<dl>",
        if actual.is_empty() { xml(&case.about) } else { xml(actual) }
    );
    item(
        page,
        "required",
        &format!("{} <small>{}, {}</small>", xml(case.requirement), case.page, case.section),
    );
    item(page, "scenario", &xml(&case.about));
    item(page, "passes if", &xml(case.passes));
    if let Some(run) = run {
        self::run(page, run);
    }
    let commands: Vec<String> =
        case.by_hand.iter().map(|line| format!("<code>{}</code>", xml(line))).collect();
    item(page, "by hand", &commands.join("<br>"));
    page.push_str("</dl>\n");
    if let Some(run) = run {
        timeline(page, &run.timeline);
    }
    page.push_str("</div>\n</details>\n");
}

/// Writes the details of a run.
fn run(page: &mut String, run: &RunReport) {
    for (label, text) in [("expected", &run.expected), ("actual", &run.actual)] {
        if let Some(text) = text {
            item(page, label, &xml(text));
        }
    }
    if let Some(cause) = &run.cause {
        let text = format!("<strong>{}</strong>{}", xml(&cause.text), shown_by(cause.shown_by));
        item(page, "cause", &text);
    }
    if let Some(text) = &run.unexplained {
        item(page, "cause", &xml(text));
    }
    if let Some(advice) = &run.advice {
        if let Some(fix) = advice.fix {
            item(page, "to do", &format!("<strong class=\"fix\">{}</strong>", xml(fix)));
        }
        if let Some(example) = &advice.example {
            item(page, "as in", &format!("<code>{example}</code>"));
        }
    }
    item(page, "ended", &xml(&run.ended));
    if let Some(output) = &run.output {
        item(page, "output", &xml(output));
    }
    if !run.stderr.is_empty() {
        let stderr_lines: Vec<String> = run.stderr.iter().map(|line| xml(line)).collect();
        item(page, "stderr", &format!("<code>{}</code>", stderr_lines.join("<br>")));
    }
    // The output is shown as an item of its own.
    let observations =
        run.observations.iter().filter(|observation| !observation.contains("is read as"));
    let observations: Vec<String> = observations.map(|observation| xml(observation)).collect();
    if !observations.is_empty() {
        item(page, "also observed", &observations.join("<br>"));
    }
}

/// Returns a time in milliseconds as text.
fn time(ms: f64) -> String {
    took(Duration::from_secs_f64(ms.max(0.0) / 1e3))
}

/// Writes one label with its content, which is HTML already.
fn item(page: &mut String, label: &str, html: &str) {
    let _ = writeln!(page, "<dt>{label}</dt><dd>{html}</dd>");
}

/// Writes the timeline: one row an event, from top to bottom.
fn timeline(page: &mut String, lines: &[LineReport]) {
    if lines.is_empty() {
        return;
    }
    page.push_str(
        "<div class=\"wire\">\n<div class=\"ends\"><span></span><span></span><b>client</b>\
         <b>exchange</b></div>\n",
    );
    let mut before = lines[0].at_ms;
    for line in lines {
        // A long pause between events gets a row of its own.
        let pause = line.at_ms - before;
        if pause > PAUSE_MS {
            let _ = writeln!(page, "<div class=\"pause\">{} pass</div>", time(pause));
        }
        before = line.until_ms;
        let lasted = match line.until_ms - line.at_ms {
            lasted if lasted >= 1.0 => format!(", over {}", time(lasted)),
            _ => String::new(),
        };
        let _ = writeln!(
            page,
            "<div class=\"{}\"><time>{:.1}</time><span class=\"c c{}\">#{}</span><span \
             class=\"arrow\">{}{lasted}</span></div>",
            line.from,
            line.at_ms,
            (line.connection - 1) % 6,
            line.connection,
            xml(&line.text)
        );
    }
    page.push_str("</div>\n");
}

/// Minimum length in milliseconds of a pause that gets a row of its own.
const PAUSE_MS: f64 = 100.0;
