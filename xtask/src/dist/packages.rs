//! Packages: a plain archive, and those of dpkg, pip and npm.

use super::{Dist, TARGET, copy, create, said, shown, write};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Writes the archive for every Linux: the program with its pages and completions.
pub(super) fn tarball(dist: &Dist) -> Result<(), String> {
    let name = format!("betacrew-{}-x86_64-linux", dist.version);
    let parent = dist.staging.join("tarball");
    let folder = parent.join(&name);
    create(&folder)?;
    copy(&dist.staging.join("betacrew"), &folder.join("betacrew"))?;
    for part in ["man", "completions"] {
        copy_files(&dist.staging.join("share").join(part), &folder.join(part))?;
    }
    for file in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&dist.root.join(file), &folder.join(file))?;
    }
    let archive = dist.out(&format!("{name}.tar"));
    dist.tar(&parent, &archive)?;
    dist.gzip(&archive)
}

/// Writes the package for Debian and its relatives. The program needs no other package.
pub(super) fn deb(dist: &Dist) -> Result<(), String> {
    let root = dist.staging.join("deb");
    copy(&dist.staging.join("betacrew"), &root.join("usr/bin/betacrew"))?;
    let man = root.join("usr/share/man/man1");
    copy_files(&dist.staging.join("share/man"), &man)?;
    for page in files(&man)? {
        dist.gzip(&man.join(page))?;
    }
    let completions = dist.staging.join("share/completions");
    for (name, place) in [
        ("betacrew.bash", "usr/share/bash-completion/completions/betacrew"),
        ("_betacrew", "usr/share/zsh/vendor-completions/_betacrew"),
        ("betacrew.fish", "usr/share/fish/vendor_completions.d/betacrew.fish"),
    ] {
        copy(&completions.join(name), &root.join(place))?;
    }
    let doc = root.join("usr/share/doc/betacrew");
    create(&doc)?;
    let licence = |name: &str| {
        let path = dist.root.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let (mit, apache) = (licence("LICENSE-MIT")?, licence("LICENSE-APACHE")?);
    write(&doc.join("copyright"), format!("MIT OR Apache-2.0, as you like.\n\n{mit}\n\n{apache}"))?;
    let changelog = doc.join("changelog");
    copy(&dist.root.join("CHANGELOG.md"), &changelog)?;
    dist.gzip(&changelog)?;
    let sizes = said(Command::new("find").arg(&root).args(["-type", "f", "-printf", "%s\\n"]))?;
    let size = sizes.lines().filter_map(|size| size.parse::<u64>().ok()).sum::<u64>() / 1024;
    let control = format!(
        "Package: betacrew\nVersion: {}\nArchitecture: amd64\nMaintainer: The betacrew authors \
         <betacrew@localhost>\nInstalled-Size: {size}\nSection: devel\nPriority: \
         optional\nDescription: mock exchange that drops packets on purpose\n A mock exchange for \
         tests of market-data clients, a client that recovers every\n packet, and a grader of \
         clients in any language.\n",
        dist.version
    );
    create(&root.join("DEBIAN"))?;
    write(&root.join("DEBIAN/control"), control)?;
    let package = dist.out(&format!("betacrew_{}_amd64.deb", dist.version));
    // dpkg-deb refuses folders that others may write to, and keeps modes as they are.
    shown(Command::new("chmod").args(["-R", "u+rwX,go+rX,go-w"]).arg(&root))?;
    let mut build = dist.command("dpkg-deb");
    shown(build.args(["--root-owner-group", "-Zgzip", "-z9", "--build"]).arg(&root).arg(package))
}

/// Writes the wheel. maturin builds with the same flags and target folder, so nothing is compiled
/// again.
pub(super) fn wheel(dist: &Dist) -> Result<(), String> {
    let mut maturin = dist.command("maturin");
    maturin.args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"]);
    maturin.arg(dist.root.join("target/dist")).arg("--out").arg(&dist.out);
    // pip asks for a tag. The program itself needs no C library, so an old one is enough.
    maturin.args(["--compatibility", "manylinux2014"]);
    maturin.current_dir(dist.root.join("python"));
    shown(&mut maturin).map_err(|error| format!("{error} (pip install maturin installs it)"))
}

/// Writes the packages of npm: the one with the program, and the one that people install.
pub(super) fn npm(dist: &Dist) -> Result<(), String> {
    let parent = dist.staging.join("npm");
    create(&parent)?;
    for name in ["betacrew", "betacrew-linux-x64"] {
        let from = dist.root.join("npm").join(name);
        shown(Command::new("cp").arg("-R").arg(&from).arg(&parent))?;
    }
    let program = parent.join("betacrew-linux-x64/bin/betacrew");
    copy(&dist.staging.join("betacrew"), &program)?;
    for name in ["betacrew", "betacrew-linux-x64"] {
        let mut pack = dist.command("npm");
        pack.args(["pack", "--silent", "--pack-destination"]).arg(&dist.out);
        shown(pack.arg(parent.join(name)))?;
    }
    Ok(())
}

/// Returns the names of the files of a folder, sorted.
pub(super) fn files(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let names: std::io::Result<Vec<String>> = entries.map(name).collect();
    let mut names = names.map_err(|error| error.to_string())?;
    names.sort();
    Ok(names)
}

/// Copies the files of a folder into another one.
fn copy_files(from: &Path, to: &Path) -> Result<(), String> {
    create(to)?;
    files(from)?.iter().try_for_each(|name| copy(&from.join(name), &to.join(name)))
}
