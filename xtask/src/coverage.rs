//! Test coverage of the core, by `cargo llvm-cov`.

use crate::{cargo, command};

/// Minimum share of the core's lines that tests must run, in percent.
const LEAST: u32 = 95;

/// Measures the coverage, and fails if it is too small.
pub(crate) fn run() -> Result<(), String> {
    let installed =
        command("llvm-cov --version", &[]).output().is_ok_and(|done| done.status.success());
    if !installed {
        return Err("cargo-llvm-cov is not installed (cargo install --locked cargo-llvm-cov); \
                    without rustup's llvm-tools, LLVM_COV and LLVM_PROFDATA name a system's"
            .to_owned());
    }
    cargo(
        &format!(
            "llvm-cov --package feed --locked --fail-under-lines {LEAST} --show-missing-lines"
        ),
        &[("BETACREW_SIM_RUNS", "4000")],
    )
}
