//! `-q` and `-v`: shorter ways to choose a log level.

use tracing_subscriber::filter::LevelFilter;

/// Flags that choose how much a command writes to stderr.
#[derive(clap::Args, Debug)]
pub(super) struct VerbosityArgs {
    /// Write nothing to stderr unless the command fails
    #[arg(short, long, global = true, help_heading = "Logging")]
    #[arg(conflicts_with_all = ["verbose", "log"])]
    quiet: bool,

    /// Log one level more than usual; -vv logs two levels more
    #[arg(short, long, global = true, help_heading = "Logging")]
    #[arg(action = clap::ArgAction::Count, conflicts_with = "log")]
    verbose: u8,
}

impl VerbosityArgs {
    /// Returns whether nothing but failures is shown.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Returns the log level of a command whose usual level is `usual`.
    pub(super) fn level(&self, usual: LevelFilter) -> LevelFilter {
        const LEVELS: [LevelFilter; 5] = [
            LevelFilter::ERROR,
            LevelFilter::WARN,
            LevelFilter::INFO,
            LevelFilter::DEBUG,
            LevelFilter::TRACE,
        ];
        let at = LEVELS.iter().position(|level| *level == usual).unwrap_or_default();
        let at = if self.quiet { 0 } else { at + usize::from(self.verbose) };
        LEVELS[at.min(LEVELS.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_v_is_one_level_more_and_q_is_errors_alone() {
        let level = |quiet, verbose, usual| VerbosityArgs { quiet, verbose }.level(usual);
        assert_eq!(level(false, 0, LevelFilter::WARN), LevelFilter::WARN);
        assert_eq!(level(false, 1, LevelFilter::WARN), LevelFilter::INFO);
        assert_eq!(level(false, 2, LevelFilter::WARN), LevelFilter::DEBUG);
        assert_eq!(level(false, 1, LevelFilter::INFO), LevelFilter::DEBUG);
        assert_eq!(level(false, 2, LevelFilter::INFO), LevelFilter::TRACE);
        assert_eq!(level(false, u8::MAX, LevelFilter::INFO), LevelFilter::TRACE);
        assert_eq!(level(true, 0, LevelFilter::INFO), LevelFilter::ERROR);
    }
}
