//! Command of the graded client, and how it learns the address of its exchange.

use crate::grade::run::run_folder::VARIABLE;
use crate::grade::run::workdir::CaseWorkdir;
use crate::text::location::redacted;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Host that replaces {host} and is given as BETACREW_HOST. Exchanges listen on both loopback
/// addresses, so `localhost` works too.
pub(crate) const HOST: &str = "127.0.0.1";

/// Programs that start others elsewhere or as another user.
const OUTSIDE: [&str; 9] =
    ["docker", "podman", "nerdctl", "kubectl", "flatpak", "snap", "ssh", "sudo", "doas"];

/// Command of the graded client.
#[derive(Clone, Debug)]
pub(crate) struct GradedClient {
    program: OsString,
    args: Vec<OsString>,
}

impl GradedClient {
    /// Returns the command as it was typed; `None` if it is empty.
    pub(crate) fn new(typed: &[OsString]) -> Option<Self> {
        let (program, args) = typed.split_first()?;
        Some(Self { program: program.clone(), args: args.to_vec() })
    }

    /// Returns whether the command has a {port} placeholder.
    pub(crate) fn takes_port(&self) -> bool {
        self.takes("{port}")
    }

    /// Returns whether the command has this placeholder.
    pub(crate) fn takes(&self, placeholder: &str) -> bool {
        self.args.iter().any(|arg| arg.to_string_lossy().contains(placeholder))
    }

    /// Returns the program of the command, if it may start the client outside of its own processes
    /// or as another user.
    pub(crate) fn leaves_for(&self) -> Option<&'static str> {
        let name = Path::new(&self.program).file_name()?;
        OUTSIDE.into_iter().find(|outside| name == *outside)
    }

    /// Returns the command as a person would type it, with its placeholders and without secrets.
    pub(crate) fn shown(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        let words = words.map(|word| quoted(&redacted(&word.to_string_lossy())));
        words.collect::<Vec<_>>().join(" ")
    }

    /// Returns the command as a person would type it, with the placeholders replaced.
    pub(crate) fn shown_with_port(&self, port: u16) -> String {
        let near = [("request_port", 1), ("port_b", 2), ("request_port_b", 3)];
        let near = near.map(|(name, above)| (name, port.saturating_add(above).to_string()));
        let group = [("group", HOST.to_owned())];
        filled(&self.shown(), port, &[&near[..], &group].concat())
    }

    /// Returns the existing files that the command names, relative to the current folder.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let Ok(here) = std::env::current_dir() else { return Vec::new() };
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|word| here.join(word)).filter(|path| path.is_file()).collect()
    }

    /// Returns the existing files that the command reads: the program, which is searched in the
    /// folders of PATH as a shell does, and its arguments, including values after the `=` of a
    /// flag.
    pub(crate) fn inputs(&self) -> Vec<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = match self.program.to_string_lossy().contains(std::path::is_separator) {
            true => Some(PathBuf::from(&self.program)),
            false => std::env::split_paths(&path)
                .map(|folder| folder.join(&self.program))
                .find(|candidate| candidate.is_file()),
        };
        let values = self.args.iter().filter_map(|arg| Some(arg.to_str()?.split_once('=')?.1));
        let args = self.args.iter().map(PathBuf::from).chain(values.map(PathBuf::from));
        program.into_iter().chain(args).filter(|path| path.is_file()).collect()
    }

    /// Returns the command for one case, ready to start in the case's folder.
    /// `more` has placeholders besides the host and the port, with their values; the client gets
    /// each as a variable, too.
    pub(crate) fn command(
        &self,
        workdir: &CaseWorkdir,
        port: u16,
        more: &[(&'static str, String)],
    ) -> Command {
        let mut command = Command::new(self.program(workdir.path()));
        for arg in &self.args {
            command.arg(argument(arg, workdir.path(), port, more));
        }
        for (name, value) in more {
            command.env(format!("BETACREW_{}", name.to_ascii_uppercase()), value);
        }
        command
            .current_dir(workdir.path())
            .env(VARIABLE, workdir.run_folder())
            .env("BETACREW_HOST", HOST)
            .env("BETACREW_PORT", port.to_string());
        command
    }

    /// Returns the program to start. A relative path means a file of `folder` if it exists there,
    /// and one of the current folder otherwise.
    fn program(&self, folder: &Path) -> OsString {
        let path = Path::new(&self.program);
        if path.components().count() < 2 || path.is_absolute() {
            return self.program.clone();
        }
        let copied = folder.join(path);
        let found = if copied.exists() { Ok(copied) } else { std::path::absolute(path) };
        found.map_or_else(|_| self.program.clone(), PathBuf::into_os_string)
    }
}

/// Returns an argument with its placeholders replaced. A relative path to a file of the current
/// folder becomes absolute if `folder` does not have that file.
fn argument(arg: &OsStr, folder: &Path, port: u16, more: &[(&'static str, String)]) -> OsString {
    if let Some(text) = arg.to_str().filter(|text| text.contains('{')) {
        return filled(text, port, more).into();
    }
    let path = Path::new(arg);
    if arg.is_empty() || path.is_absolute() || folder.join(path).exists() || !path.exists() {
        return arg.to_owned();
    }
    std::path::absolute(path).map_or_else(|_| arg.to_owned(), PathBuf::into_os_string)
}

/// Returns a text with its placeholders replaced.
fn filled(text: &str, port: u16, more: &[(&'static str, String)]) -> String {
    let text = text.replace("{host}", HOST).replace("{port}", &port.to_string());
    more.iter().fold(text, |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// Quotes a word for a shell, if it needs quotes.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%{}".contains(c);
    match word {
        "" => "''".to_owned(),
        word if word.chars().all(plain) => word.to_owned(),
        word => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::run::run_folder::RunFolder;
    use crate::grade::run::workdir::Workdir;

    fn client(words: &[&str]) -> GradedClient {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        GradedClient::new(&words).unwrap()
    }

    #[test]
    fn placeholders_are_filled_in() {
        let client = client(&["node", "x y.js", "--to={host}:{port}"]);
        assert!(client.takes_port() && client.leaves_for().is_none());
        assert_eq!(client.shown(), "node 'x y.js' --to={host}:{port}");
        let run = RunFolder::open().unwrap();
        let workdir = CaseWorkdir::prepare(Workdir::Empty, &[], &run).unwrap();
        let command = client.command(&workdir, 3210, &[]);
        let args: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        assert_eq!(args, ["x y.js", "--to=127.0.0.1:3210"]);
        assert_eq!(command.get_program(), "node");
        let told: Vec<_> = command.get_envs().filter_map(|(_, value)| value).collect();
        assert_eq!(told, [run.path().as_os_str(), "127.0.0.1".as_ref(), "3210".as_ref()]);
    }

    #[cfg(unix)]
    #[test]
    fn inputs_include_programs_in_path_and_files_after_flags() {
        let client = client(&["sh", "-c", "true", "--config=Cargo.toml", "--x=none", "src"]);
        let [shell, config] = client.inputs().try_into().unwrap();
        assert!(shell.is_absolute() && shell.ends_with("sh"), "{shell:?}");
        assert_eq!(config, Path::new("Cargo.toml"));
    }

    #[test]
    fn files_of_the_current_folder_are_found_from_an_empty_one() {
        // Tests run in the folder of the crate.
        let client = client(&["./src/main.rs", "Cargo.toml", "none.txt"]);
        let run = RunFolder::open().unwrap();
        let workdir = CaseWorkdir::prepare(Workdir::Empty, &[], &run).unwrap();
        let command = client.command(&workdir, 1, &[]);
        let here = std::env::current_dir().unwrap();
        assert_eq!(Path::new(command.get_program()), here.join("src/main.rs"));
        let args: Vec<_> = command.get_args().collect();
        assert_eq!(args, [here.join("Cargo.toml").as_os_str(), OsStr::new("none.txt")]);
        assert_eq!(client.inputs(), ["./src/main.rs", "Cargo.toml"].map(PathBuf::from));
        assert_eq!(client.files(), [here.join("./src/main.rs"), here.join("Cargo.toml")]);
    }
}
