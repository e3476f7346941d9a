//! Comparison of two builds of one commit, in two folders.

use super::{Dist, SUMS, create, expect, repository, said, shown};
use std::fs;
use std::process::Command;

/// Clones the repository elsewhere, builds everything from the clone, and compares each file with
/// that of `dist`.
pub(crate) fn run() -> Result<(), String> {
    let ours = Dist::of(&repository()?)?;
    let sums = sums(&ours).map_err(|error| format!("{error}; run `cargo xtask dist` first"))?;
    let version = said(Command::new(ours.staging.join("betacrew")).arg("version"))?;
    expect(&version, &format!("commit    {}", ours.commit))
        .map_err(|error| format!("dist is of another commit; run `cargo xtask dist`: {error}"))?;
    // The path has another length than the repository's, so that paths in files would show.
    let elsewhere = ours.root.join("target/dist-again/in-another-folder");
    let _ = fs::remove_dir_all(&elsewhere);
    create(&elsewhere)?;
    let mut clone = Command::new("git");
    clone.args(["clone", "--quiet", "--no-hardlinks"]).arg(&ours.root).arg(&elsewhere);
    shown(&mut clone)?;
    let theirs = Dist::of(&elsewhere)?;
    theirs.build_all()?;
    match differences(&sums, &self::sums(&theirs)?) {
        none if none.is_empty() => {
            eprintln!(
                "\nboth builds of {} gave the same {} files",
                ours.commit,
                sums.lines().count()
            );
            Ok(())
        }
        some => Err(format!("two builds of {} differ:\n{}", ours.commit, some.join("\n"))),
    }
}

/// Returns the sums of the files of a build.
fn sums(dist: &Dist) -> Result<String, String> {
    let path = dist.out(SUMS);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Returns the lines that only one of two lists of sums has.
fn differences<'a>(one: &'a str, other: &'a str) -> Vec<&'a str> {
    let only = |a: &'a str, b: &'a str| a.lines().filter(|line| !b.lines().any(|x| x == *line));
    only(one, other).chain(only(other, one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_differ_in_one_sum_or_one_file_differ() {
        let one = "aa  x.deb\nbb  x.tar.gz\n";
        assert!(differences(one, one).is_empty());
        assert_eq!(differences(one, "aa  x.deb\ncc  x.tar.gz\n"), ["bb  x.tar.gz", "cc  x.tar.gz"]);
        assert_eq!(differences(one, "aa  x.deb\n"), ["bb  x.tar.gz"]);
        assert_eq!(differences("", one).len(), 2);
    }
}
