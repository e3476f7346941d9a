//! Fuzz targets. Each takes an input of any bytes and panics if a promise is broken;
//! `docs/simulator.md` says which.
//!
//! `cargo fuzz` searches for inputs that break one (`fuzz/targets` connects it). The tests of this
//! package run each target over the inputs that are kept in `fuzz/seeds`, and over changed ones.

mod calls;
mod capture;
mod frames;
mod itch;
mod itch_file;
mod itch_rows;
mod mold_datagrams;
mod mold_lines;
mod mold_recorder;
mod player;
mod recorder;
mod scenario;
mod soup_frames;
mod tape;
mod tape_bytes;

use arbitrary::{Arbitrary, Unstructured};
use std::fmt::Debug;

/// Maximum number of bytes that one byte of a file compressed with gzip unpacks to.
const EXPANSION: usize = 1032;

/// Fuzz target.
pub struct Target {
    /// Name, as in `fuzz/Cargo.toml`.
    pub name: &'static str,
    /// Runs the target with an input.
    pub run: fn(&[u8]),
    /// Returns what the target makes of an input, for people.
    pub show: fn(&[u8]) -> String,
}

macro_rules! targets {
    ($($name:literal $module:ident,)*) => {
        /// All targets.
        pub const TARGETS: &[Target] = &[$(Target {
            name: $name,
            run: |bytes| if let Some(input) = decoded(bytes) { $module::run(input) },
            show: |bytes| shown(bytes, $module::run),
        },)*];
    };
}

targets! {
    "calls" calls,
    "capture" capture,
    "frames" frames,
    "itch" itch,
    "itch-file" itch_file,
    "itch-rows" itch_rows,
    "mold-datagrams" mold_datagrams,
    "mold-lines" mold_lines,
    "mold-recorder" mold_recorder,
    "player" player,
    "recorder" recorder,
    "scenario" scenario,
    "soup-frames" soup_frames,
    "tape" tape,
    "tape-bytes" tape_bytes,
}

/// Returns the target with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Decodes an input as libFuzzer's macro does: `None` if it is too short.
fn decoded<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    let is_long_enough = bytes.len() >= T::size_hint(0).0;
    is_long_enough.then(|| T::arbitrary_take_rest(Unstructured::new(bytes)).ok()).flatten()
}

/// Returns the decoded input of a target.
fn shown<'a, T: Arbitrary<'a> + Debug>(bytes: &'a [u8], _: fn(T)) -> String {
    match decoded::<T>(bytes) {
        Some(input) => format!("{input:#?}"),
        None => "an input that the target ignores".to_owned(),
    }
}

/// Runs the target with this name.
///
/// # Panics
///
/// If there is no such target, or if a promise is broken.
pub fn run(name: &str, input: &[u8]) {
    let target = find(name).unwrap_or_else(|| panic!("no fuzz target is named {name}"));
    (target.run)(input);
}
