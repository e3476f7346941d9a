//! Examples of README.md, of the tutorials `docs/tutorial.md` and `docs/handler.md`, and of other
//! pages, word for word: all blocks of a page run in their order, in one folder.
//!
//! The first word of a block's info string says what the block is:
//!
//! * `console`: commands behind `$ `, each with the output that it prints;
//! * `sh`: one command a line, each of which succeeds;
//! * `toml`: a scenario file that is read without an error;
//! * `python FILE`: content of a file, which later commands use;
//! * `rust`: code that the documentation tests of the library compile.
//!
//! `not-run` behind it leaves a block out. `serve`, and `fetch --follow` without a pipe, run in the
//! background until the next `serve` or the next section starts. Ports are replaced by free ones.
//! Times and dates in the output may differ, and so may lines in the place of `...`.
//!
//! `BETACREW_BLESS=1 cargo test -p betacrew --test it readme` writes what the program prints into
//! the pages.

use crate::in_time::{ChildInTime, CommandInTime, LIMIT};
use crate::support::{ReservedPort, betacrew, run};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Root of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Ports that the pages name. The first is the default port of both programs.
const PORTS: [&str; 6] = ["3000", "3001", "8080", "8081", "40001", "40002"];

/// Programs of others that examples use, with the variable that makes them required.
const TOOLS: [(&str, &str); 3] = [
    ("node", "BETACREW_REQUIRE_CLIENTS"),
    ("python3", "BETACREW_REQUIRE_CLIENTS"),
    ("curl", "BETACREW_REQUIRE_HTTP"),
];

/// A fenced block of a page.
struct Block {
    info: String,
    /// Index of the first line inside the fence.
    first: usize,
    lines: Vec<String>,
    /// Number of headings of the second level above the block.
    section: usize,
}

/// A command of a block, with the lines that it is shown to print.
struct Example {
    command: String,
    output: std::ops::Range<usize>,
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut open, mut section) = (Vec::new(), None::<Block>, 0);
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(info)) => {
                let info = info.to_owned();
                open = Some(Block { info, first: number + 1, lines: Vec::new(), section });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.lines.push(line.to_owned()),
            (None, None) => section += usize::from(line.starts_with("## ")),
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Returns the commands of a `console` block.
fn examples(block: &Block) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    for (number, line) in (block.first..).zip(&block.lines) {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) => {
                let output = number + 1..number + 1;
                found.push(Example { command: command.to_owned(), output });
            }
            (None, Some(example)) => example.output.end = number + 1,
            (None, None) => panic!("line {}: output before a command", number + 1),
        }
    }
    found
}

/// Returns the words of a line. Times and dates, which differ from run to run, are replaced.
fn words(line: &str) -> Vec<String> {
    const UNITS: [&str; 4] = ["ns", "µs", "ms", "s"];
    let split: Vec<&str> = line.split_whitespace().collect();
    let is_number = |word: &str| {
        let mut digits = word.trim_start_matches('+').chars().peekable();
        digits.peek().is_some() && digits.all(|c| c.is_ascii_digit() || c == '.' || c == ',')
    };
    let is_date = |word: &str| {
        let separators = word.chars().filter(|c| matches!(c, '-' | ':')).count();
        let plain = word.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | '.'));
        separators == 2 && plain
    };
    let mut words = Vec::new();
    let mut rest = split.as_slice();
    while let [word, after @ ..] = rest {
        let unit = after.first().map_or("", |next| next.trim_end_matches([',', ':', '.', ')']));
        // A log line begins with the seconds since the program's start.
        let stamp = words.is_empty() && matches!(unit, "INFO" | "WARN");
        rest = after;
        if is_number(word) && UNITS.contains(&unit) {
            words.push("TIME".to_owned());
            rest = &after[1..];
        } else if is_date(word) || is_number(word) && stamp {
            words.push("TIME".to_owned());
        } else if let Some((before, _)) = word.split_once("\"arrived\":") {
            words.push(before.to_owned());
        } else {
            words.push((*word).to_owned());
        }
    }
    words
}

/// Returns whether a program printed what is shown, where `...` stands for any lines.
fn matches(shown: &[String], printed: &[String]) -> bool {
    match shown {
        [] => printed.is_empty(),
        [dots, rest @ ..] if dots == "..." => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        [line, rest @ ..] => {
            printed.first().is_some_and(|first| words(line) == words(first))
                && matches(rest, &printed[1..])
        }
    }
}

/// Returns what to show of `printed`, with `...` where the old text has it. Each part between two
/// of them keeps its number of lines, and begins at the line with the first word of the old one.
fn shortened(shown: &[String], printed: &[String]) -> Vec<String> {
    let first_word = |line: &String| line.split_whitespace().next().map(str::to_owned);
    let parts: Vec<&[String]> = shown.split(|line| line == "...").collect();
    let Some((last, earlier)) = parts.split_last().filter(|(_, earlier)| !earlier.is_empty())
    else {
        return printed.to_vec();
    };
    let (mut text, mut at) = (Vec::new(), 0);
    for part in earlier {
        let start = part.first().and_then(|old| {
            printed[at..].iter().position(|line| first_word(line) == first_word(old))
        });
        if let Some(start) = start {
            let end = (at + start + part.len()).min(printed.len());
            text.extend_from_slice(&printed[at + start..end]);
            at = end;
        }
        text.push("...".to_owned());
    }
    text.extend_from_slice(&printed[printed.len().saturating_sub(last.len()).max(at)..]);
    text
}

/// A process in the background, which ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill_and_reap();
    }
}

/// An exchange that runs in the background.
struct Background {
    process: Process,
    log: PathBuf,
    output: std::ops::Range<usize>,
}

/// A page while its examples run.
struct Readme {
    /// Path of the page in the repository.
    page: &'static str,
    lines: Vec<String>,
    folder: tempfile::TempDir,
    ports: Vec<ReservedPort>,
    exchange: Option<Background>,
    followers: Vec<Process>,
    bless: bool,
    /// New text of outputs, by their lines.
    changes: Vec<(std::ops::Range<usize>, Vec<String>)>,
}

impl Readme {
    fn open(page: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clients = folder.path().join("examples/clients");
        fs::create_dir_all(&clients).unwrap();
        for entry in fs::read_dir(format!("{ROOT}/examples/clients")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), clients.join(entry.file_name())).unwrap();
        }
        let text = fs::read_to_string(format!("{ROOT}/{page}")).unwrap();
        Self {
            page,
            lines: text.lines().map(str::to_owned).collect(),
            folder,
            ports: PORTS.iter().map(|_| ReservedPort::new()).collect(),
            exchange: None,
            followers: Vec::new(),
            bless: std::env::var_os("BETACREW_BLESS").is_some(),
            changes: Vec::new(),
        }
    }

    /// Replaces the README's ports by free ones, and adds the default address where it is meant.
    fn with_free_ports(&self, command: &str) -> String {
        let mut command = command.replace("cargo run --release -- ", "betacrew ");
        for (port, free) in PORTS.iter().zip(&self.ports) {
            command = command.replace(&format!(":{port}"), &format!(":{}", free.port));
            command =
                command.replace(&format!("--listen {port}"), &format!("--listen {}", free.port));
        }
        let port = self.ports[0].port;
        if command.contains("betacrew serve") && !command.contains("--listen") {
            let listen = format!("serve --listen 127.0.0.1:{port} --listen [::1]:{port}");
            command = command.replace("serve", &listen);
        } else if command.starts_with("betacrew fetch") && !command.contains("://127") {
            command = command.replacen("fetch", &format!("fetch 127.0.0.1:{port}"), 1);
        } else if command.starts_with("betacrew grade") && !command.contains("{port}") {
            // Not every system gives each case a network of its own, which the heading says.
            let grade = format!("grade --port {port} --isolate never");
            command = command.replacen("grade", &grade, 1);
        }
        command
    }

    fn shell(&self, command: &str, folder: &Path) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_betacrew")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(folder).stdin(Stdio::null());
        shell.env("PATH", format!("{}:{path}", programs.display())).env("NO_COLOR", "1");
        shell
    }

    /// Returns what was printed, in the README's words: with its ports.
    fn printed(&self, text: &str) -> Vec<String> {
        let mut text = text.to_owned();
        for (port, free) in PORTS.iter().zip(&self.ports) {
            text = text.replace(&free.port.to_string(), port);
        }
        // An address that is the default is not printed.
        let text = text.replace(" --listen 127.0.0.1:3000", "");
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Compares output with what the README shows, or notes it for the README.
    fn check(&mut self, command: &str, output: &std::ops::Range<usize>, printed: &[String]) {
        // Whether cases run side by side depends on what the machine has left.
        let depends = |line: &&String| line.starts_with("note: of the cases that failed while");
        let printed: &[String] =
            &printed.iter().filter(|line| !depends(line)).cloned().collect::<Vec<_>>();
        let shown = &self.lines[output.clone()];
        if matches(shown, printed) {
            return;
        }
        assert!(
            self.bless,
            "{}:{}: `{command}` prints\n{}\n\nand not\n{}\n\nBETACREW_BLESS=1 updates it",
            self.page,
            output.start,
            printed.join("\n"),
            shown.join("\n")
        );
        self.changes.push((output.clone(), shortened(shown, printed)));
    }

    /// Starts an exchange in the background, and returns once it listens.
    fn serve(&mut self, command: &str, folder: &Path, output: std::ops::Range<usize>) {
        self.end_exchange();
        let log = self.folder.path().join("serve.log");
        let file = File::create(&log).unwrap();
        // The shell is replaced by the program, so that a signal reaches the latter.
        let mut shell = self.shell(&format!("exec {command}"), folder);
        shell.stdout(file.try_clone().unwrap()).stderr(file);
        let process = Process(shell.spawn().unwrap());
        let mut background = Background { process, log, output };
        let ready = |text: &str| text.contains("listening on") && text.contains("INFO");
        let text = until(&mut background, ready);
        assert!(ready(&text), "`{command}` does not listen:\n{text}");
        self.exchange = Some(background);
    }

    /// Starts a client in the background.
    fn follow(&mut self, command: &str, folder: &Path) {
        let mut shell = self.shell(&format!("exec {command}"), folder);
        let child = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.followers.push(Process(child));
    }

    /// Ends the exchange, once it has printed as many lines as the README shows, and its followers.
    fn end_exchange(&mut self) {
        for mut follower in self.followers.drain(..) {
            let ended = follower.0.try_wait().unwrap();
            assert_eq!(ended, None, "{}: a client that follows has ended by itself", self.page);
        }
        let Some(mut background) = self.exchange.take() else { return };
        let output = background.output.clone();
        let enough = |text: &str| text.lines().count() >= output.len();
        let text = until(&mut background, enough);
        // What it prints when it is stopped, or for further clients, is not shown.
        let mut printed = self.printed(&text);
        printed.truncate(output.len());
        self.check("betacrew serve", &output, &printed);
    }

    fn run(&mut self, command: &str, folder: &Path, output: Option<std::ops::Range<usize>>) {
        let missing = TOOLS.iter().find(|(tool, _)| {
            let there = self.shell(&format!("command -v {tool}"), folder).output_in_time();
            command.contains(&format!("{tool} ")) && !there.unwrap().status.success()
        });
        if let Some((tool, required)) = missing {
            assert!(std::env::var_os(required).is_none(), "`{command}` needs {tool}");
            println!("skipped: `{command}` needs {tool}");
            return;
        }
        let is_http = command.contains("--http") || command.contains("http://");
        if is_http && cfg!(not(feature = "web")) {
            println!("skipped: `{command}` needs the feature web");
            return;
        }
        let here = self.with_free_ports(command);
        if here.starts_with("betacrew serve") {
            let nothing = 0..0;
            self.serve(&here, folder, output.unwrap_or(nothing));
            return;
        }
        if here.starts_with("betacrew fetch") && here.contains("--follow") && !here.contains('|') {
            self.follow(&here, folder);
            return;
        }
        let done = self.shell(&format!("{{ {here}\n}} 2>&1"), folder).output_in_time().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        match output {
            Some(output) => {
                let printed = self.printed(&text);
                self.check(command, &output, &printed);
            }
            None => assert!(done.status.success(), "`{command}` fails:\n{text}"),
        }
    }

    fn run_block(&mut self, block: &Block) {
        let folder = self.folder.path().to_owned();
        match block.info.split([' ', ',']).next().unwrap_or_default() {
            "console" => {
                for Example { command, output } in examples(block) {
                    self.run(&command, &folder, Some(output));
                }
            }
            "sh" => block.lines.iter().for_each(|command| self.run(command, &folder, None)),
            "toml" => {
                fs::write(folder.join("block.toml"), block.lines.join("\n")).unwrap();
                self.run("betacrew scenarios block.toml", &folder, None);
            }
            "python" => {
                let name = block.info.split(' ').nth(1).expect("the file's name");
                fs::write(folder.join(name), block.lines.join("\n") + "\n").unwrap();
            }
            "rust" => {}
            info => panic!("{}:{}: a block of {info:?} is not run", self.page, block.first),
        }
    }

    /// Writes the changed outputs into the page.
    fn write_changes(mut self) {
        self.changes.sort_by_key(|(output, _)| output.start);
        for (output, text) in self.changes.drain(..).rev() {
            self.lines.splice(output, text);
        }
        fs::write(format!("{ROOT}/{}", self.page), self.lines.join("\n") + "\n").unwrap();
    }
}

/// Waits until the log of an exchange is as wanted or the exchange ends; returns the log.
fn until(background: &mut Background, wanted: impl Fn(&str) -> bool) -> String {
    let began = Instant::now();
    loop {
        let ended = background.process.0.try_wait().unwrap().is_some();
        let text = fs::read_to_string(&background.log).unwrap();
        if wanted(&text) || ended || began.elapsed() > LIMIT {
            return text;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs all blocks of a page, which has at least `least`.
fn run_page(page: &'static str, least: usize) {
    let mut readme = Readme::open(page);
    let all = blocks(&readme.lines.join("\n"));
    assert!(all.len() >= least, "{page} has only {} blocks", all.len());
    let mut section = 0;
    for block in all.iter().filter(|block| !block.info.contains("not-run")) {
        if block.section != section {
            readme.end_exchange();
            section = block.section;
        }
        readme.run_block(block);
    }
    readme.end_exchange();
    if readme.bless && !readme.changes.is_empty() {
        readme.write_changes();
    }
}

#[test]
fn the_examples_of_the_readme_print_what_it_shows() {
    run_page("README.md", 13);
}

#[test]
fn the_tutorial_of_a_client_prints_what_it_shows() {
    run_page("docs/tutorial.md", 12);
}

#[test]
fn the_examples_of_schemas_run() {
    run_page("docs/schemas.md", 4);
}

#[test]
fn the_tutorial_of_a_handler_prints_what_it_shows() {
    run_page("docs/handler.md", 10);
}

#[test]
fn scenarios_in_other_pages_are_read_without_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for page in ["CONTRIBUTING.md", "docs/scenarios.md"] {
        let text = fs::read_to_string(format!("{ROOT}/{page}")).unwrap();
        let blocks: Vec<_> = blocks(&text).into_iter().filter(|it| it.info == "toml").collect();
        assert!(!blocks.is_empty(), "{page} has no scenario");
        for block in blocks {
            let file = folder.path().join("block.toml");
            fs::write(&file, block.lines.join("\n")).unwrap();
            let (code, _, stderr) = run(&mut betacrew(&["scenarios", file.to_str().unwrap()]));
            assert_eq!(code, 0, "{page}:{}: {stderr}", block.first);
        }
    }
}

#[test]
fn only_times_and_left_out_lines_may_differ() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let same = |shown: &str, printed: &str| matches(&lines(shown), &lines(printed));
    assert!(same("  took     489 µs: 1 pass", "  took   1.2 ms: 1 pass"));
    assert!(!same("took 489 µs: 1 pass", "took 489 µs: 2 passes"));
    assert!(same("    0.001  INFO playing 5", "    9.302  INFO playing 5"));
    assert!(!same("3 packets", "4 packets"));
    assert!(same("begun 2026-11-26 15:51:01.843 UTC", "begun 2027-01-02 03:04:05.678 UTC"));
    assert!(same("a\n...\nd", "a\nb\nc\nd") && same("a\n...\nd", "a\nd"));
    assert!(!same("a\n...\nd", "a\nb") && !same("a", "a\nb") && !same("a\nb", "a"));
    let old = lines("a 1\n...\nc 1\n...\ne");
    assert_eq!(shortened(&old, &lines("a 2\nb\nc 2\nd\nf")), lines("a 2\n...\nc 2\n...\nf"));
    assert_eq!(shortened(&lines("a"), &lines("x\nb")), lines("x\nb"));
    let block = &blocks("## One\n```console\n$ x\n1\n2\n$ y\n```\n")[0];
    let found: Vec<_> = examples(block).into_iter().map(|e| (e.command, e.output)).collect();
    assert_eq!((block.section, found), (1, vec![("x".to_owned(), 3..5), ("y".to_owned(), 6..6)]));
}
