//! Which lines of the core the tests run, by `cargo llvm-cov`.

use crate::{cargo, command};

/// The least share of the core's lines that tests must run, in percent.
const LEAST: u32 = 95;

/// Measures, and fails where too little is covered.
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
        &[("BETACREW_LIVES", "4000")],
    )
}
