//! `cargo xtask soak`: both ends as real processes, killed at random, for as long as one likes.

use std::process::{Command, Stdio};

/// Flags, the variables that the test reads, and what they default to.
const FLAGS: [(&str, &str, &str); 4] = [
    ("--minutes", "BETACREW_SOAK_MINUTES", "10"),
    ("--rate", "BETACREW_SOAK_RATE", "200000"),
    ("--lines", "BETACREW_SOAK_LINES", "2"),
    ("--seed", "BETACREW_SOAK_SEED", "1"),
];

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let mut values: Vec<(&str, String)> =
        FLAGS.iter().map(|(_, name, value)| (*name, (*value).to_owned())).collect();
    for pair in args.chunks(2) {
        let known = FLAGS.iter().position(|(flag, ..)| *flag == pair[0]);
        let number = pair.get(1).filter(|text| text.parse::<u32>().is_ok_and(|number| number > 0));
        let (Some(place), Some(number)) = (known, number) else {
            let flags = FLAGS.map(|(flag, ..)| format!("[{flag} N]")).join(" ");
            return Err(format!("usage: cargo xtask soak {flags}"));
        };
        values[place].1.clone_from(number);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--release", "--package", "betacrew", "--test", "it", "--"])
        .args(["--ignored", "--exact", "chaos::soak", "--nocapture"])
        .envs(values)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
