//! Sources with all their dependencies, and the list of these.

use super::{Dist, FEATURES, create, said, shown, write};
use std::fs;
use std::process::Command;

/// Settings with which cargo takes all dependencies from the archive.
const VENDORED: &str = "[source.crates-io]
replace-with = \"vendored-sources\"

[source.vendored-sources]
directory = \"vendor\"
";

/// Writes the archive of the sources. It builds without a network, because it has the sources of
/// all dependencies.
pub(super) fn tarball(dist: &Dist) -> Result<(), String> {
    let name = format!("betacrew-{}", dist.version);
    let parent = dist.staging.join("source");
    create(&parent)?;
    let archive = dist.staging.join("sources.tar");
    let mut git = dist.command("git");
    git.args(["archive", "--format=tar", &format!("--prefix={name}/")]);
    shown(git.arg("--output").arg(&archive).arg("HEAD"))?;
    shown(Command::new("tar").arg("--extract").arg("--file").arg(archive).arg("-C").arg(&parent))?;
    let folder = parent.join(&name);
    let mut vendor = dist.command("cargo");
    vendor.args(["vendor", "--quiet", "--locked", "--versioned-dirs", "vendor"]);
    said(vendor.current_dir(&folder))?;
    let place = folder.join(".cargo/config.toml");
    let ours =
        fs::read_to_string(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    // There is no repository in which the build could look for its commit.
    let commit = format!("[env]\nBETACREW_COMMIT = \"{}\"\n", dist.commit);
    write(&place, format!("{ours}\n{commit}\n{VENDORED}"))?;
    let archive = dist.out(&format!("{name}-source.tar"));
    dist.tar(&parent, &archive)?;
    dist.gzip(&archive)
}

/// Writes the bill of materials, in the format CycloneDX: every dependency of the program with its
/// version and licence. cargo-cyclonedx writes one beside each manifest, so it runs in the unpacked
/// archive of the sources.
pub(super) fn bill_of_materials(dist: &Dist) -> Result<(), String> {
    let folder = dist.staging.join(format!("source/betacrew-{}", dist.version));
    let mut cyclonedx = dist.command("cargo");
    cyclonedx.args(["cyclonedx", "--quiet", "--format", "json", "--features", FEATURES]);
    cyclonedx.args(["--manifest-path", "crates/betacrew/Cargo.toml", "--target", super::TARGET]);
    cyclonedx.args(["--override-filename", "betacrew.cdx"]).current_dir(&folder);
    shown(&mut cyclonedx)
        .map_err(|error| format!("{error} (cargo install --locked cargo-cyclonedx installs it)"))?;
    let file = folder.join("crates/betacrew/betacrew.cdx.json");
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    // Paths of this machine say nothing to others, and differ from folder to folder.
    let text = text.replace(&folder.display().to_string(), "/betacrew");
    write(&dist.out(&format!("betacrew-{}.cdx.json", dist.version)), text)
}
