//! Proofs: each file is installed where nothing else is, and the program runs from there.

use super::packages::files;
use super::{Dist, create, expect, said, shown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Python that starts an exchange, records from it, and grades nothing.
const PYTHON: &str = "import betacrew, json, subprocess
with betacrew.Exchange(tape='classic', seed=2) as exchange:
    assert len(exchange.packets()) == 14
    assert exchange.dropped() == []
print('ok')";

/// JavaScript that does the same.
const JAVASCRIPT: &str = "const { exchange } = require('betacrew');
exchange({ tape: 'classic', seed: 2 }).then(async (running) => {
  const packets = await running.packets();
  await running.close();
  console.log(packets.length === 14 ? 'ok' : packets);
});";

/// Proves all files.
pub(super) fn all(dist: &Dist) -> Result<(), String> {
    image(dist)?;
    deb(dist)?;
    wheel(dist)?;
    npm(dist)?;
    source(dist)?;
    eprintln!("each file was installed by itself, and ran");
    Ok(())
}

/// Unpacks the image, checks its digests, and runs the program where no other file is, as the user
/// of the image.
fn image(dist: &Dist) -> Result<(), String> {
    let (layout, root) = (dist.staging.join("image"), dist.staging.join("image-root"));
    unpack(&dist.out(&format!("betacrew-{}-oci.tar", dist.version)), &layout)?;
    let blobs = layout.join("blobs/sha256");
    let names = files(&blobs)?;
    let sums = said(Command::new("sha256sum").args(&names).current_dir(&blobs))?;
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap_or_default();
        if sum != name {
            return Err(format!("the image's blob {name} has the digest {sum}"));
        }
    }
    let manifest = read(&layout.join("manifest.json"))?;
    let layer = quoted_after(&manifest, "\"Layers\":[")?;
    unpack(&layout.join(layer), &root)?;
    let config = read(&layout.join(quoted_after(&manifest, "\"Config\":")?))?;
    for part in ["\"User\":\"65534:65534\"", "\"Healthcheck\":", &dist.commit] {
        expect(&config, part)?;
    }
    let run = |args: &[&str]| {
        let mut chroot = Command::new("chroot");
        chroot.arg("--userspec=65534:65534").arg(&root).arg("/usr/bin/betacrew");
        said(chroot.args(args))
    };
    expect(&run(&["version"])?, &format!("commit    {}", dist.commit))?;
    expect(&run(&["demo", "--seed", "7", "--output", "/data/x.tape"])?, "equal")?;
    expect(&run(&["inspect", "/data/x.tape"])?, "missing  nothing")
}

/// Unpacks an archive into a new folder, with the owners that it names.
fn unpack(archive: &Path, folder: &Path) -> Result<(), String> {
    create(folder)?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--numeric-owner", "--same-owner", "--file"]).arg(archive);
    said(tar.arg("--directory").arg(folder)).map(drop)
}

/// Returns the first text in quotes behind `before`.
fn quoted_after<'a>(text: &'a str, before: &str) -> Result<&'a str, String> {
    let found = text.split_once(before).and_then(|(_, rest)| rest.split('"').nth(1));
    found.ok_or_else(|| format!("`{before}` is not in: {text}"))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Installs the package of dpkg into a folder, and removes it again.
fn deb(dist: &Dist) -> Result<(), String> {
    let root = dist.staging.join("deb-root");
    create(&root.join("var/lib/dpkg"))?;
    for file in ["status", "available"] {
        super::write(&root.join("var/lib/dpkg").join(file), "")?;
    }
    let dpkg = |action: &str, what: &Path| {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", root.display())).arg("--force-not-root");
        said(dpkg.args(["--force-depends", action]).arg(what))
    };
    dpkg("--install", &dist.out(&format!("betacrew_{}_amd64.deb", dist.version)))?;
    expect(&said(Command::new(root.join("usr/bin/betacrew")).arg("version"))?, "features  web")?;
    for page in ["man1/betacrew.1.gz", "man1/betacrew-serve.1.gz"] {
        said(Command::new("gzip").arg("-t").arg(root.join("usr/share/man").join(page)))?;
    }
    dpkg("--purge", Path::new("betacrew"))?;
    match root.join("usr").exists() {
        true => Err("the package leaves files behind".to_owned()),
        false => Ok(()),
    }
}

/// Installs the wheel into a new virtual environment, and removes it again.
fn wheel(dist: &Dist) -> Result<(), String> {
    let folder = dist.staging.join("venv");
    shown(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let pip = |args: &[&str], file: Option<&Path>| {
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(args).args(file);
        said(&mut pip)
    };
    let before = listing(&folder)?;
    let wheel = finished(dist, ".whl")?;
    let mut twine = Command::new("twine");
    twine.args(["check", "--strict"]).arg(&wheel);
    said(&mut twine).map_err(|error| format!("{error} (pip install twine installs it)"))?;
    pip(&["install", "--quiet", "--no-index", "--no-compile"], Some(&wheel))?;
    expect(&said(Command::new(folder.join("bin/betacrew")).arg("version"))?, "features  web")?;
    let mut python = Command::new(folder.join("bin/python"));
    expect(&said(python.args(["-B", "-c", PYTHON]).env("PATH", "/nowhere"))?, "ok")?;
    pip(&["uninstall", "--quiet", "--yes", "betacrew"], None)?;
    match listing(&folder)? == before {
        true => Ok(()),
        false => Err("the wheel leaves files behind".to_owned()),
    }
}

/// Installs the packages of npm into an empty folder.
fn npm(dist: &Dist) -> Result<(), String> {
    let folder = dist.staging.join("npm-prefix");
    create(&folder)?;
    super::write(&folder.join("package.json"), "{\"private\":true}")?;
    let mut install = Command::new("npm");
    install.args(["install", "--silent", "--offline", "--no-audit", "--no-fund"]);
    install.arg(dist.out(&format!("betacrew-linux-x64-{}.tgz", dist.version)));
    install.arg(dist.out(&format!("betacrew-{}.tgz", dist.version)));
    shown(install.current_dir(&folder))?;
    let npx = said(Command::new("npx").args(["--no", "betacrew", "version"]).current_dir(&folder))?;
    expect(&npx, "features  web")?;
    let node = said(Command::new("node").args(["--eval", JAVASCRIPT]).current_dir(&folder))?;
    expect(&node, "ok")
}

/// Lets cargo find all dependencies of the sources, with no network and nothing downloaded before.
fn source(dist: &Dist) -> Result<(), String> {
    let (folder, home) = (dist.staging.join("source-root"), dist.staging.join("cargo-home"));
    create(&home)?;
    unpack(&dist.out(&format!("betacrew-{}-source.tar.gz", dist.version)), &folder)?;
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--offline", "--locked", "--format-version", "1", "--all-features"]);
    cargo.env("CARGO_HOME", home).current_dir(folder.join(format!("betacrew-{}", dist.version)));
    expect(&said(&mut cargo)?, "/vendor/clap-")
}

/// Returns the finished file whose name ends so.
fn finished(dist: &Dist, end: &str) -> Result<PathBuf, String> {
    let found = files(&dist.out)?.into_iter().find(|name| name.ends_with(end));
    found.map(|name| dist.out(&name)).ok_or_else(|| format!("no file in dist ends with {end}"))
}

/// Returns the paths of all files below a folder.
fn listing(folder: &Path) -> Result<String, String> {
    let all =
        said(Command::new("find").arg(folder).args(["-type", "f", "-not", "-name", "*.pyc"]))?;
    let mut lines: Vec<&str> = all.lines().collect();
    lines.sort_unstable();
    Ok(lines.join("\n"))
}
