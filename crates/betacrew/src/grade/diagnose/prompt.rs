//! Signs that a client waits for input, although nobody types any.

use crate::grade::observe::fields::plain;
use crate::grade::run::process::FinishedProcess;

/// Maximum number of characters of a prompt that is shown.
const SHOWN_MAX: usize = 60;

/// Errors of runtimes that have read the end of an empty standard input.
const INPUT_ENDED: [&str; 6] = [
    "EOFError",
    "EOF when reading a line",
    "NoSuchElementException: No line found",
    "Cannot read keys when either application does not have a console",
    "ERR_USE_AFTER_CLOSE",
    "readline was closed",
];

/// Returns the sign that a client waits for input, as a clause: a prompt at the end of its standard
/// output, or an error about the end of its input.
pub(crate) fn waits_for_input(process: &FinishedProcess) -> Option<String> {
    let errors = String::from_utf8_lossy(&process.stderr);
    if let Some(error) = INPUT_ENDED.into_iter().find(|error| errors.contains(error)) {
        return Some(format!("it reports `{error}`"));
    }
    let printed = String::from_utf8_lossy(&process.stdout);
    // A prompt has no line break behind it.
    let prompt = printed.rsplit('\n').next().map(str::trim).unwrap_or_default();
    let asks = prompt.ends_with([':', '?', '>']) && prompt.chars().any(char::is_alphabetic);
    let prompt: String = prompt.chars().take(SHOWN_MAX).collect();
    asks.then(|| format!("it prints `{}` and no more", plain(&prompt)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::run::process::ProcessEnd;
    use std::time::Duration;

    fn sign(stdout: &str, stderr: &str) -> Option<String> {
        waits_for_input(&FinishedProcess {
            ended: ProcessEnd::Exited(0),
            took: Duration::ZERO,
            killed_at: None,
            early: None,
            busy: None,
            queued: None,
            stdout: stdout.into(),
            stderr: stderr.into(),
        })
    }

    #[test]
    fn prompts_and_errors_about_empty_input_are_signs() {
        let prompt = sign("1. stream\n2. resend\nYour choice: ", "").unwrap();
        assert_eq!(prompt, "it prints `Your choice:` and no more");
        assert!(sign("", "EOFError: EOF when reading a line").unwrap().contains("EOFError"));
        for told in ["", "done\n", "[{\"symbol\": \"AAPL\"}]", "Your choice:\n", "12:", "3 > 2, so"]
        {
            assert_eq!(sign(told, "Error: connect ECONNREFUSED"), None, "{told}");
        }
    }
}
