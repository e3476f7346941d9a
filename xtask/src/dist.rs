//! Distribution: builds everything that is handed out into `dist`, and proves each of its files.
//!
//! Equal commits give equal bytes: times are the commit's, owners are root, archives are sorted,
//! and paths of this machine are kept out of the program. Nothing is published from here.

mod image;
mod packages;
mod prove;
mod reproduce;
mod source;

pub(crate) use reproduce::run as reproduce;

use crate::finish;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Platform of the program. Its C library is linked statically, so it runs on any Linux.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Features of the program that is handed out: all of them.
const FEATURES: &str = "columnar,sqlite,nats";

/// Facts about the distribution that every part needs.
pub(super) struct Dist {
    /// Root of the repository.
    root: PathBuf,
    /// Folder of the finished files.
    out: PathBuf,
    /// Folder of files on their way into archives.
    staging: PathBuf,
    /// Version of the workspace.
    version: &'static str,
    /// Commit that the program names.
    commit: String,
    /// Time of the commit, in seconds since 1970.
    epoch: String,
}

/// Name of the file with the sums of all others.
const SUMS: &str = "SHA256SUMS";

/// Builds everything, and proves it.
pub(crate) fn run() -> Result<(), String> {
    let dist = Dist::of(&repository()?)?;
    dist.build_all()?;
    prove::all(&dist)
}

/// Returns the root of this repository.
fn repository() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))
}

impl Dist {
    /// Reads the facts of a repository from git.
    fn of(root: &Path) -> Result<Self, String> {
        let git = |args: &[&str]| {
            said(Command::new("git").args(args).current_dir(root))
                .map(|text| text.trim().to_owned())
        };
        let changed = git(&["status", "--porcelain"])?;
        if !changed.is_empty() {
            return Err(format!(
                "the work tree is not clean, so no commit would name what is built; commit or \
                 stash first:\n{changed}"
            ));
        }
        Ok(Self {
            out: root.join("dist"),
            staging: root.join("target/dist/staging"),
            version: env!("CARGO_PKG_VERSION"),
            commit: git(&["rev-parse", "--short=12", "HEAD"])?,
            epoch: git(&["log", "-1", "--format=%ct"])?,
            root: root.to_owned(),
        })
    }

    /// Empties the folders, and builds every file and their sums.
    fn build_all(&self) -> Result<(), String> {
        for folder in [&self.out, &self.staging] {
            // A folder that does not exist is as good as an empty one.
            let _ = fs::remove_dir_all(folder);
            create(folder)?;
        }
        self.build()?;
        self.stage()?;
        packages::tarball(self)?;
        packages::deb(self)?;
        packages::wheel(self)?;
        packages::npm(self)?;
        image::archive(self)?;
        source::tarball(self)?;
        source::bill_of_materials(self)?;
        self.sums()
    }

    /// Returns a command that runs in the root with all that makes a build reproducible.
    fn command(&self, program: &str) -> Command {
        let home = std::env::var("CARGO_HOME")
            .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))
            .unwrap_or_default();
        let root = self.root.display();
        let flags = [
            "-Ctarget-feature=+crt-static".to_owned(),
            format!("--remap-path-prefix={root}=/betacrew"),
            format!("--remap-path-prefix={home}=/cargo"),
        ];
        let c_flags = format!("-ffile-prefix-map={root}=/betacrew -ffile-prefix-map={home}=/cargo");
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        command.env("CFLAGS", c_flags);
        command.env("CARGO_PROFILE_RELEASE_STRIP", "symbols").env("CARGO_INCREMENTAL", "0");
        command.env("BETACREW_COMMIT", &self.commit).env("SOURCE_DATE_EPOCH", &self.epoch);
        command
    }

    /// Builds the program. It has a target folder of its own, because its flags differ.
    fn build(&self) -> Result<(), String> {
        let mut cargo = self.command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
        cargo.args(["build", "--release", "--locked", "--package", "betacrew"]);
        cargo.args(["--features", FEATURES, "--target", TARGET, "--target-dir", "target/dist"]);
        shown(&mut cargo)
    }

    /// Returns the path of the program that was built.
    fn program(&self) -> PathBuf {
        self.root.join(format!("target/dist/{TARGET}/release/betacrew"))
    }

    /// Puts the program, its pages, its completions and the licences where packages take them from.
    fn stage(&self) -> Result<(), String> {
        let share = self.staging.join("share");
        create(&share.join("man"))?;
        create(&share.join("completions"))?;
        copy(&self.program(), &self.staging.join("betacrew"))?;
        let program = self.program();
        let man = share.join("man");
        shown(Command::new(&program).arg("man").arg("--folder").arg(&man))?;
        for (shell, name) in COMPLETIONS {
            let text = said(Command::new(&program).args(["completions", shell]))?;
            write(&share.join("completions").join(name), text)?;
        }
        Ok(())
    }

    /// Returns the path of a finished file.
    fn out(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    /// Writes an archive of a folder's content in which only the content counts.
    fn tar(&self, folder: &Path, archive: &Path) -> Result<(), String> {
        let mut tar = Command::new("tar");
        tar.args(["--sort=name", "--format=gnu", "--owner=0", "--group=0", "--numeric-owner"]);
        tar.arg("--mode=u+rw,go+r,go-w,a+X").arg(format!("--mtime=@{}", self.epoch));
        shown(
            tar.arg("--create").arg("--file").arg(archive).arg("--directory").arg(folder).arg("."),
        )
    }

    /// Compresses a file in place; its name gets `.gz` at its end.
    fn gzip(&self, file: &Path) -> Result<(), String> {
        shown(Command::new("gzip").args(["--no-name", "--force"]).arg(file))
    }

    /// Writes the sums of all files.
    fn sums(&self) -> Result<(), String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.out).map_err(|error| error.to_string())? {
            names.push(entry.map_err(|error| error.to_string())?.file_name());
        }
        names.sort();
        let sums = said(Command::new("sha256sum").args(names).current_dir(&self.out))?;
        eprint!("\n{sums}");
        write(&self.out(SUMS), sums)
    }
}

/// Shells, and the names of their completions.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "betacrew.bash"),
    ("zsh", "_betacrew"),
    ("fish", "betacrew.fish"),
    ("powershell", "betacrew.ps1"),
    ("elvish", "betacrew.elv"),
];

fn create(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), String> {
    fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let done = to.parent().map_or(Ok(()), create);
    done.and_then(|()| {
        fs::copy(from, to).map(drop).map_err(|error| format!("{}: {error}", from.display()))
    })
}

/// Runs a command that succeeds, and shows it.
fn shown(command: &mut Command) -> Result<(), String> {
    let text = line(command);
    eprintln!("$ {text}");
    finish(command).map_err(|reason| format!("{text}: {reason}"))
}

/// Runs a command that succeeds, and returns what it prints.
fn said(command: &mut Command) -> Result<String, String> {
    let text = line(command);
    let done = command.output().map_err(|error| format!("{text}: {error}"))?;
    let stderr = String::from_utf8_lossy(&done.stderr);
    match done.status.success() {
        true => String::from_utf8(done.stdout).map_err(|error| format!("{text}: {error}")),
        false => Err(format!("{text}: {}\n{stderr}", done.status)),
    }
}

/// Returns a command as it would be typed.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn expect(text: &str, part: &str) -> Result<(), String> {
    match text.contains(part) {
        true => Ok(()),
        false => Err(format!("`{part}` is not in:\n{text}")),
    }
}
