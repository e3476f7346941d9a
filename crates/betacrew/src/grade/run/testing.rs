//! Shared parts of tests that need rights which not every system grants.

/// Environment variable that makes these tests fail instead of being skipped.
pub(crate) const REQUIRED: &str = "BETACREW_REQUIRE_ISOLATION";

/// Returns whether the tests must run.
pub(crate) fn is_required() -> bool {
    std::env::var_os(REQUIRED).is_some_and(|value| value == "1")
}
