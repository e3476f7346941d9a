//! Each fuzz target with the inputs that were kept, and with changed ones.

use feed::base::rng::Rng;
use fuzz_targets::{TARGETS, Target};
use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Number of changed inputs for each target.
const CHANGED: u64 = 500;

/// Maximum length of an input, as in `cargo xtask fuzz`.
const LONGEST: usize = 2_000;

fn seeds(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = match target.name {
        "scenario" => root.join("crates/betacrew/scenarios"),
        name => root.join("fuzz/seeds").join(name),
    };
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Returns an input made of kept ones: bytes are changed, put in, taken out, and exchanged between
/// inputs.
fn changed(kept: &[(PathBuf, Vec<u8>)], rng: &mut Rng) -> Vec<u8> {
    let index = |rng: &mut Rng, count: usize| rng.below(u32::try_from(count).unwrap()) as usize;
    let pick = |rng: &mut Rng| &kept[index(rng, kept.len())].1;
    let mut input = pick(rng).clone();
    for _ in 0..rng.between(1, 6) {
        let place = index(rng, input.len() + 1);
        let end = (place + rng.between(1, 8) as usize).min(input.len());
        match rng.below(5) {
            0 => input[place..end].iter_mut().for_each(|byte| *byte = rng.below(256) as u8),
            1 => input[place..end].iter_mut().for_each(|byte| *byte ^= 1 << rng.below(8)),
            2 => drop(input.drain(place..end)),
            3 => {
                let copy = input[place..end].to_vec();
                input.splice(place..place, copy);
            }
            _ => {
                let other = pick(rng);
                let from = index(rng, other.len() + 1);
                input.truncate(place);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input.truncate(LONGEST);
    input
}

fn check(target: &Target) {
    let kept = seeds(target);
    let run = |input: &[u8], origin: &str| {
        let result = catch_unwind(|| (target.run)(input));
        assert!(result.is_ok(), "{}: {origin}: {}", target.name, (target.show)(input));
    };
    for (path, input) in &kept {
        run(input, &path.display().to_string());
    }
    for seed in 0..CHANGED {
        run(&changed(&kept, &mut Rng::new(seed)), &format!("changed input {seed}"));
    }
}

macro_rules! tests {
    ($($test:ident $name:literal,)*) => {
        $(#[test] fn $test() { check(fuzz_targets::find($name).unwrap()); })*

        #[test]
        fn every_target_is_tested_and_fuzzed() {
            let tested = BTreeSet::from([$($name),*]);
            let all: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(tested, all);
            let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/Cargo.toml");
            let manifest = fs::read_to_string(manifest).unwrap();
            let bins = manifest.split("[[bin]]").skip(1);
            let bins = bins.map(|bin| bin.split('"').nth(1).unwrap());
            assert_eq!(bins.collect::<BTreeSet<_>>(), all);
        }
    };
}

tests! {
    calls "calls",
    capture "capture",
    frames "frames",
    itch "itch",
    itch_file "itch-file",
    itch_rows "itch-rows",
    mold_datagrams "mold-datagrams",
    mold_lines "mold-lines",
    mold_recorder "mold-recorder",
    player "player",
    recorder "recorder",
    scenario "scenario",
    soup_frames "soup-frames",
    tape "tape",
    tape_bytes "tape-bytes",
}
