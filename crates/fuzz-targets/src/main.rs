//! Shows an input of a fuzz target, and runs the target with it:
//! `cargo run -p fuzz-targets -- recorder fuzz/artifacts/recorder/crash-...`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let target = args.first().and_then(|name| fuzz_targets::find(name));
    let (Some(target), Some(path)) = (target, args.get(1)) else {
        let names: Vec<&str> = fuzz_targets::TARGETS.iter().map(|target| target.name).collect();
        eprintln!("usage: fuzz-targets TARGET FILE\n\ntargets: {}", names.join(", "));
        return ExitCode::from(2);
    };
    match std::fs::read(path) {
        Ok(input) => {
            println!("{}", (target.show)(&input));
            (target.run)(&input);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
