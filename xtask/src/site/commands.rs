//! Reference of the commands, from the texts of `--help`.

use super::program::Program;
use std::fmt::Write;

/// Columns by which a flag's description is indented.
const INDENT: &str = "          ";

/// Beginning of the flags that all commands have, behind their own.
const LOGGING: &str = "\nLogging:\n";

/// Returns the page.
pub(super) fn page(program: &Program) -> Result<String, String> {
    let overview = program.says(&["--help"])?;
    let mut text = "# Commands\n\nThe texts of `betacrew COMMAND --help`.\n".to_owned();
    for name in names(&overview) {
        let help = program.says(&[name, "--help"])?;
        let (help, _) = help.split_once(LOGGING).unwrap_or((&help, ""));
        let _ = write!(text, "\n## {name}\n\n{}", markdown(help));
    }
    let (_, logging) = overview.split_once(LOGGING).ok_or("there are no flags of logging")?;
    let logging = markdown(&format!("Usage: betacrew COMMAND [OPTIONS]{LOGGING}{logging}"));
    let _ = write!(text, "\n## Flags of all commands\n\n{logging}");
    Ok(text)
}

/// Returns the names of the commands in the program's help.
fn names(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    let names = lines.filter(|line| !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

/// Returns a text outside of code with the characters escaped that Markdown or HTML would take for
/// their own.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    let mut in_code = false;
    for letter in text.chars() {
        in_code ^= letter == '`';
        match letter {
            '<' if !in_code => out += "&lt;",
            '*' | '_' | '[' if !in_code => out.extend(['\\', letter]),
            letter => out.push(letter),
        }
    }
    out
}

/// Returns the help of a command as Markdown.
fn markdown(help: &str) -> String {
    let mut text = String::new();
    let mut is_flag = false; // Flags follow the usage.
    for line in help.lines() {
        let code = |text: &mut String, code: &str| {
            let _ = writeln!(text, "```sh\n{code}\n```\n");
        };
        if let Some(usage) = line.strip_prefix("Usage: ") {
            text += "Usage:\n\n";
            code(&mut text, usage);
            is_flag = true;
        } else if let Some(title) =
            line.strip_suffix(':').filter(|_| is_flag && !line.starts_with(' '))
        {
            let _ = writeln!(text, "\n### {title}\n");
        } else if let Some(about) = line.strip_prefix(INDENT) {
            // Values are a list; their continuation lines are indented further.
            let _ = writeln!(text, "  {}", escaped(about));
        } else if is_flag && line.starts_with("  ") {
            let _ = writeln!(text, "\n`{}`\n: ", line.trim());
        } else if let Some(example) = line.strip_prefix("  ") {
            code(&mut text, example);
        } else if line.starts_with("Example: ") {
            let _ = writeln!(text, "{}:\n", escaped(line));
        } else {
            let _ = writeln!(text, "{}", escaped(line));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_becomes_headings_code_and_definitions() {
        let help = "Does <it> to:\nx.\n\nExample: do it\n  betacrew do\n\nUsage: betacrew do\n\n\
                    Options:\n  \
                    -o, --out <PATH>\n          Where `<it>` goes\n          \n          Twice.\n";
        let text = markdown(help);
        for part in [
            "Does &lt;it> to:\nx.\n",
            "Example: do it:\n\n```sh\nbetacrew do\n```\n",
            "### Options\n",
            "`-o, --out <PATH>`\n: \n  Where `<it>` goes\n  \n  Twice.\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let help =
            "About\n\nCommands:\n  serve  Run it\n         for long\n  help   Print\n\nOptions:\n";
        assert_eq!(names(help), ["serve"]);
    }
}
