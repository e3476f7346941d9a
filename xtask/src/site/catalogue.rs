//! Reference of the built-in scenarios: what each sends, as a picture, and its file.
//!
//! The pictures are drawn from the golden files, so tests keep them true.

use super::program::Program;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// File with the writes of each scenario to a client of the exercise's protocol.
const GOLDEN: &str = "crates/betacrew/tests/golden/scenarios.txt";

/// Maximum number of cells in a picture.
const CELLS: usize = 40;

/// Returns the page.
pub(super) fn page(program: &Program, root: &Path) -> Result<String, String> {
    let golden = fs::read_to_string(root.join(GOLDEN)).map_err(|error| error.to_string())?;
    let list = program.says(&["scenarios", "--json"])?;
    let list: serde_json::Value = serde_json::from_str(&list).map_err(|error| error.to_string())?;
    let mut text = "# Built-in scenarios\n\n\
        Pictures show the first stream that a client of the exercise's protocol gets with seed 1, \
        from the files that the tests compare. A box is a packet; boxes that touch are one \
        write.\n\n\
        <div class=\"wire\"><i>1</i><i class=\"gap\">2</i><i class=\"again\">1</i>\
        <i class=\"raw\">9 B</i><b>20 ms</b><b>end</b></div>\n\n\
        From left to right: a packet, one that does not come, one that comes again, bytes that \
        are no whole packet, a pause, the end of the connection.\n"
        .to_owned();
    let mut group = "";
    for entry in list.as_array().into_iter().flatten() {
        let word = |key: &str| entry[key].as_str().unwrap_or_default();
        if word("group") != group {
            group = word("group");
            let _ = writeln!(text, "\n## {group}");
        }
        let (name, about) = (word("name"), word("about"));
        let protocols: Vec<&str> = entry["protocols"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| it.as_str())
            .collect();
        let _ = writeln!(text, "\n### {name}\n\n{about}. Protocols: {}.\n", protocols.join(", "));
        if let Some(line) = first_stream(&golden, name) {
            let _ = writeln!(text, "{}\n", picture(line));
        }
        let file = root.join(format!("crates/betacrew/scenarios/{name}.toml"));
        let file = fs::read_to_string(&file).map_err(|error| format!("{name}: {error}"))?;
        let _ = writeln!(text, "```toml\n{}\n```", file.trim_end());
    }
    Ok(text)
}

/// Returns the writes of a scenario's first stream with seed 1.
fn first_stream<'a>(golden: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = golden.lines().skip_while(|line| *line != format!("{name}, seed 1"));
    lines.nth(1)?.trim().strip_prefix("stream ")
}

/// Returns the picture of a stream: a cell for each packet, pause and end.
fn picture(line: &str) -> String {
    let words = line.split_whitespace().take_while(|word| *word != "crc");
    let words: Vec<&str> = words.collect();
    let all: BTreeSet<u64> =
        words.iter().flat_map(|word| word.split(',')).filter_map(|seq| seq.parse().ok()).collect();
    let mut seen = BTreeSet::new();
    let mut cells = Vec::new();
    for word in words {
        let mut packets = Vec::new();
        for part in word.split(',') {
            let Ok(seq) = part.parse::<u64>() else { continue };
            // Packets that come nowhere in the stream are shown where they should be.
            let from = seen.last().map_or(1, |last| last + 1);
            let gap: Vec<u64> = (from..seq).filter(|seq| !all.contains(seq)).collect();
            let missing = match gap[..] {
                [first, .., last] if gap.len() > 3 => {
                    format!("<i class=\"gap\">{first}-{last}</i>")
                }
                _ => gap.iter().map(|seq| format!("<i class=\"gap\">{seq}</i>")).collect(),
            };
            // In front of a write they are no part of it.
            match packets.is_empty() {
                true => cells.extend((!missing.is_empty()).then_some(missing)),
                false => packets.push(missing),
            }
            let class = if seen.insert(seq) { "" } else { " class=\"again\"" };
            packets.push(format!("<i{class}>{seq}</i>"));
        }
        cells.push(match (packets.is_empty(), word.strip_prefix('+'), word.strip_suffix('B')) {
            (false, ..) if packets.len() > 1 => format!("<span>{}</span>", packets.concat()),
            (false, ..) => packets.concat(),
            (_, Some(pause), _) => format!("<b>{}</b>", pause_text(pause)),
            (_, _, Some(bytes)) => format!("<i class=\"raw\">{bytes} B</i>"),
            _ => format!("<b>{word}</b>"),
        });
    }
    if cells.len() > CELLS {
        cells.truncate(CELLS);
        cells.push("<b>…</b>".to_owned());
    }
    format!("<div class=\"wire\">{}</div>", cells.concat())
}

/// Returns a pause, which the golden file has as "400000us".
fn pause_text(pause: &str) -> String {
    match pause.trim_end_matches("us").parse::<u64>() {
        Ok(micros) if micros >= 1000 => format!("{} ms", micros / 1000),
        Ok(micros) => format!("{micros} µs"),
        Err(_) => pause.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_gaps_repeats_pauses_and_ends_are_drawn() {
        let drawn = picture(" 2,4 2 9B +20000us end crc 3c1bf05b");
        let expected = "<div class=\"wire\"><i class=\"gap\">1</i><span><i>2</i>\
                        <i class=\"gap\">3</i><i>4</i></span><i class=\"again\">2</i>\
                        <i class=\"raw\">9 B</i><b>20 ms</b><b>end</b></div>";
        assert_eq!(drawn, expected);
        assert!(picture("6 end").contains("<i class=\"gap\">1-5</i><i>6</i>"));
        assert_eq!(
            first_stream("a, seed 1\n  stream  1 end\nb, seed 1\n  stream 2\n", "b"),
            Some("2")
        );
    }
}
