//! `--log`: log levels, for the program or for single modules.

use tracing_subscriber::filter::Targets;

/// Log levels that `--log` accepts.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Modules that write log lines. A test compares them with the source.
const LOGGED: [&str; 18] = [
    "betacrew::commands::fetch::events",
    "betacrew::commands::fetch::lines",
    "betacrew::commands::serve",
    "betacrew::commands::serve::checks",
    "betacrew::commands::serve::log",
    "betacrew::grade::run::process::strays",
    "betacrew::grade::run::run_folder",
    "betacrew::http::control",
    "betacrew::message",
    "betacrew::nats::outlet",
    "betacrew::net",
    "betacrew::net::fetch",
    "betacrew::net::lines",
    "betacrew::net::serve",
    "betacrew::output::atomic",
    "betacrew::output::rotating",
    "betacrew::tape::recorded",
    "betacrew::terminal::signals",
];

/// Name of the NATS client library, which logs under its own modules.
#[cfg(feature = "nats")]
const LIBRARY: &str = "async_nats";

/// Parses `--log`: levels, alone or after a module.
pub(super) fn parse(text: &str) -> Result<Targets, String> {
    for part in text.split(',').map(str::trim) {
        let (module, level) = part.split_once('=').unwrap_or(("betacrew", part));
        // The log library would take a word alone as a module and silence all other modules.
        if module.is_empty() || !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            return Err(format!(
                "`{part}` is not a log level; use one of {}, or MODULE=LEVEL, such as \
                 betacrew::http=debug",
                LEVELS.join(", ")
            ));
        }
        if !is_logged(module) {
            let all: Vec<String> = modules();
            return Err(format!(
                "`{part}`: no log lines come from the module `{module}`; use one of {}",
                all.join(", ")
            ));
        }
    }
    text.parse().map_err(|error| format!("{error}"))
}

/// Returns whether a module, or a module inside it, writes log lines.
fn is_logged(module: &str) -> bool {
    let within = |name: &str, outer: &str| {
        name.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    #[cfg(feature = "nats")]
    if within(module, LIBRARY) {
        return true;
    }
    LOGGED.iter().any(|name| within(name, module))
}

/// Returns the modules that an error message lists: the program and its top-level modules.
fn modules() -> Vec<String> {
    let part = |name: &&str| name.splitn(3, "::").take(2).collect::<Vec<_>>().join("::");
    let mut all: Vec<String> = LOGGED.iter().map(part).collect();
    all.insert(0, "betacrew".to_owned());
    all.dedup();
    #[cfg(feature = "nats")]
    all.push(LIBRARY.to_owned());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn an_unknown_level_is_refused() {
        for good in ["off", "WARN", "warn,betacrew::http=debug", "betacrew=trace, info"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", "blah", "betacrew", "betacrew::http=blah", "=info", "info,", "info;warn"] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains("off, error, warn, info, debug, trace"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_module_that_logs_nothing_is_refused_with_a_list_of_those_that_do() {
        for good in
            ["betacrew::net=debug", "betacrew::commands=off", "info,betacrew::grade::run=warn"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["web=debug", "warn,blah=debug", "betacrew::we=debug", "betacrew::http::x=info"]
        {
            let error = parse(bad).unwrap_err();
            assert!(error.contains("no log lines come from"), "{bad}: {error}");
            assert!(error.contains("betacrew, betacrew::commands, "), "{bad}: {error}");
            assert!(error.contains(" betacrew::http"), "{bad}: {error}");
        }
        assert_eq!(parse("async_nats::connector=debug").is_ok(), cfg!(feature = "nats"));
    }

    /// Adds the modules below a folder of the source that log under their own names.
    fn find(folder: &Path, module: &str, found: &mut BTreeSet<String>) {
        let macros = ["error", "warn", "info", "debug", "trace"];
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let inner = format!("{module}::{name}");
            if path.is_dir() {
                find(&path, &inner, found);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let logs = |line: &str| {
                    macros.iter().any(|level| line.contains(&format!("tracing::{level}!(")))
                };
                // Tests log as well. A line with `target:` names another module.
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
                if code.lines().any(|line| logs(line) && !line.contains("target: ")) {
                    found.insert(inner);
                }
            }
        }
    }

    #[test]
    fn all_modules_that_log_are_known() {
        let mut found =
            BTreeSet::from(["betacrew::message", "betacrew::http::control"].map(str::to_owned));
        find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "betacrew", &mut found);
        found.remove("betacrew::cli::log_targets");
        let known: BTreeSet<String> = LOGGED.map(str::to_owned).into();
        assert_eq!(found, known);
    }
}
