//! Entry point of the `betacrew` program, whose code is in the library `betacrew`.

use std::process::ExitCode;

fn main() -> ExitCode {
    betacrew::cli::main()
}
