//! Machine on which the figures were measured.

use crate::Result;
use crate::targets::Plan;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

fn said(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let text = out.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "not there".to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// As a list in Markdown.
pub(crate) fn describe(plan: &Plan) -> Result<String> {
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism()?;
    let memory = read("/proc/meminfo");
    let memory = memory.lines().next().and_then(|line| line.split_whitespace().nth(1));
    let gib = memory.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024 / 1024;
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let days = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let date = said("date", &["-u", "-d", &format!("@{days}"), "+%Y-%m-%d %H:%M UTC"]);
    let dirty = !matches!(said("git", &["status", "--porcelain", "-uno"]).as_str(), "not there");
    Ok(format!(
        "* {model}, {cores} cores, {gib} GiB, Linux {}, TCP by {} on both sides\n\
         * {}; node {}\n\
         * commit {}{}, {date}, {} rounds{}\n\
         * load when it began: {load} (others at work on the same cores make wall times longer; \
         CPU times hold)",
        read("/proc/sys/kernel/osrelease"),
        read("/proc/sys/net/ipv4/tcp_congestion_control"),
        said("rustc", &["--version"]),
        said("node", &["--version"]),
        said("git", &["rev-parse", "--short", "HEAD"]),
        if dirty { " and changes" } else { "" },
        plan.rounds,
        if plan.quick { ", the quick variant" } else { "" },
    ))
}
