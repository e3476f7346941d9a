//! Reader of records in texts that programs print for people: names with values, tables and rows.
//!
//! Languages print an object in many ways: `{Symbol:AAPL Side:B}`, `{ symbol: 'AAPL' }`,
//! `Packet(symbol='AAPL')`, `symbol=AAPL`, one field a line, elements of XML. All of them are names
//! with values, in which a repeated name begins the next record. Tables have the names in their
//! first line. Rows without any names have the values in the order of the wire.

use crate::grade::observe::fields::{OutputField, text_value};

/// Maximum length in bytes of a name.
const NAME_MAX: usize = 40;
/// Maximum length in bytes of a value.
const VALUE_MAX: usize = 60;
/// Maximum number of words of a name that fills a line up to its separator.
const NAME_WORDS_MAX: usize = 3;
/// Minimum number of columns of a table.
const COLUMNS_MIN: usize = 3;
/// Maximum number of words before the values of a row, such as a log's level.
const LABELS_MAX: usize = 3;
/// Maximum length in bytes of a line that can be a row of a table.
const LINE_MAX: usize = 1000;

/// Record of a text: its values by name, in the order of the text.
pub(crate) type Record = Vec<(String, String)>;

/// Returns the records of a text, in each form that it could have, with the name of the form.
pub(crate) fn records(text: &str) -> Vec<(&'static str, Vec<Record>)> {
    let elements = elements(text);
    let mut forms = vec![("tables", tables(text))];
    match elements.is_empty() {
        true => forms.push(("names with values", grouped(text.lines().flat_map(pairs)))),
        false => forms.push(("elements of XML", elements)),
    }
    forms.retain(|(_, records)| !records.is_empty());
    forms
}

/// Begins a record at each name that the record before has already.
///
/// A name that is only the last word of a sentence, such as `Requesting the next sequence: 5`,
/// means nothing beside another name of its field.
fn grouped<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Vec<Record> {
    let mut records = Vec::new();
    let mut record = Record::new();
    let field = |name: &str| OutputField::of(name).map(|(field, _)| field);
    for Pair { name, value, is_whole } in pairs {
        let is_other = |known: &str| known != name && field(known) == field(name);
        let is_known = field(name).is_some() && record.iter().any(|(known, _)| is_other(known));
        if !is_whole && is_known {
            continue;
        }
        if record.iter().any(|(known, _)| known == name) {
            records.push(std::mem::take(&mut record));
        }
        record.push((name.to_owned(), value));
    }
    records.push(record);
    records.retain(|record| record.len() >= COLUMNS_MIN);
    records
}

/// Separator of a name and a value in a line.
#[derive(Clone, Copy, Debug)]
struct Separator {
    /// First byte of the name.
    name: usize,
    /// First byte behind the name.
    name_end: usize,
    /// First byte behind the separator.
    value: usize,
}

/// Name of a line with its value.
struct Pair<'a> {
    name: &'a str,
    value: String,
    /// False if the name is only the last word of a longer text.
    is_whole: bool,
}

/// Returns the names of a line, each with its value.
fn pairs(line: &str) -> Vec<Pair<'_>> {
    let separators = separators(line);
    let mut found = Vec::new();
    for (place, separator) in separators.iter().enumerate() {
        let end = separators.get(place + 1).map_or(line.len(), |next| next.name);
        let value = cleaned(&line[separator.value..end]);
        let word = &line[separator.name..separator.name_end];
        let whole = (separators.len() == 1).then(|| whole_name(line, *separator));
        let is_whole = whole.is_none_or(|whole| whole.is_some());
        let name = whole.flatten().unwrap_or(word);
        if !value.is_empty() && value.len() <= VALUE_MAX {
            found.push(Pair { name, value, is_whole });
        }
    }
    found
}

/// Returns the separators of a line, each `:`, `=` or `=>` with a name before it.
fn separators(line: &str) -> Vec<Separator> {
    let mut found: Vec<Separator> = Vec::new();
    let bytes = line.as_bytes();
    for (at, _) in line.match_indices([':', '=']) {
        let next = bytes.get(at + 1);
        // Neither a part of `:=`, `::` and `==` nor one of a comparison.
        let is_part = matches!(next, Some(b':' | b'='))
            || (at > 0 && matches!(bytes[at - 1], b'!' | b'<' | b'>'))
            || (at > 0 && bytes[at] == bytes[at - 1]);
        if is_part {
            continue;
        }
        let value = at + 1 + usize::from(next == Some(&b'>'));
        let before = line[..at].trim_end().trim_end_matches([':', '"', '\'', '`', ']']).trim_end();
        let start = before
            .char_indices()
            .rev()
            .take_while(|(_, c)| c.is_alphanumeric() || "_-/.#$".contains(*c))
            .last()
            .map_or(before.len(), |(start, _)| start);
        let name = before[start..].trim_start_matches(|c: char| !c.is_alphabetic() && c != '_');
        let start = before.len() - name.len();
        let is_free = found.last().is_none_or(|last| start >= last.value);
        if !name.is_empty() && name.len() <= NAME_MAX && is_free {
            found.push(Separator { name: start, name_end: before.len(), value });
        }
    }
    found
}

/// Returns the name before the only separator of a line: all words, if they are few.
fn whole_name(line: &str, separator: Separator) -> Option<&str> {
    let all = line[..separator.name_end].trim_start_matches(|c: char| !c.is_alphabetic());
    let is_name = all.len() <= NAME_MAX && all.split_whitespace().count() <= NAME_WORDS_MAX;
    is_name.then_some(all)
}

/// Returns a value without the quotes, brackets and separators around it.
fn cleaned(value: &str) -> String {
    let value = value.trim_start();
    // Bytes of Python.
    let value = match value.strip_prefix('b').or_else(|| value.strip_prefix('B')) {
        Some(rest) if rest.starts_with(['\'', '"']) => rest,
        _ => value,
    };
    let around = |c: char| c.is_whitespace() || "/,;|│&\"'`{}()[]<>".contains(c);
    let value = value.trim_matches(around);
    // Big integers of JavaScript.
    match value.strip_suffix('n') {
        Some(number) if number.parse::<i64>().is_ok() => number.to_owned(),
        _ => value.to_owned(),
    }
}

/// Returns the records of a text with elements such as `<symbol>AAPL</symbol>`.
fn elements(text: &str) -> Vec<Record> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let Some((name, after)) = rest.split_once('>').filter(|(name, _)| name.len() <= NAME_MAX)
        else {
            continue;
        };
        let Some((value, end)) = after.split_once("</").filter(|(value, _)| {
            value.len() <= VALUE_MAX && !value.contains('<') && !value.trim().is_empty()
        }) else {
            continue;
        };
        if end.starts_with(name) {
            pairs.push(Pair { name, value: cleaned(value), is_whole: true });
        }
    }
    grouped(pairs.into_iter())
}

/// Characters between the columns of a table.
const BARS: [char; 4] = ['|', '│', '┃', '║'];

/// Way to split a line into cells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Split {
    Bars,
    Tabs,
    WideSpaces,
    Spaces,
}

impl Split {
    const ALL: [Self; 4] = [Self::Bars, Self::Tabs, Self::WideSpaces, Self::Spaces];

    /// Returns the cells of a line, without quotes.
    fn cells(self, line: &str) -> Vec<String> {
        let line = line.trim();
        let cells: Vec<&str> = match self {
            Self::Bars => line.trim_matches(BARS).split(BARS).collect(),
            Self::Tabs => line.split('\t').collect(),
            Self::WideSpaces => line.split("  ").filter(|cell| !cell.trim().is_empty()).collect(),
            Self::Spaces => line.split_whitespace().collect(),
        };
        cells.into_iter().map(cleaned).collect()
    }
}

/// Returns whether a line only draws the border of a table.
fn is_border(line: &str) -> bool {
    let draws = |c: char| {
        c.is_whitespace() || "+-=_:|*".contains(c) || ('\u{2500}'..'\u{2580}').contains(&c)
    };
    line.chars().all(draws)
}

/// Returns the rows of all tables, each with the names in the table's first line.
fn tables(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let lines = text.lines().filter(|line| line.len() <= LINE_MAX && !is_border(line));
    let lines: Vec<&str> = lines.collect();
    let mut at = 0;
    while let Some(head) = lines.get(at) {
        at += 1;
        let Some((split, names)) = lines.get(at).and_then(|row| heading(head, row)) else {
            continue;
        };
        while let Some(line) = lines.get(at) {
            let cells = split.cells(line);
            if cells.len() != names.len() {
                break;
            }
            at += 1;
            records.push(names.iter().cloned().zip(cells).collect());
        }
    }
    records
}

/// Returns the names in the heading of a table, and how its lines are split, if the line behind it
/// is a row of that table.
fn heading(head: &str, row: &str) -> Option<(Split, Vec<String>)> {
    let is_name = |cell: &String| {
        cell.parse::<f64>().is_err()
            && cell.len() <= NAME_MAX
            && !cell.contains([':', '='])
            && cell.contains(char::is_alphanumeric)
    };
    Split::ALL.into_iter().find_map(|split| {
        let (names, cells) = (split.cells(head), split.cells(row));
        let numbers = cells.iter().filter(|cell| cell.parse::<f64>().is_ok()).count();
        let is_table = names.len() >= COLUMNS_MIN
            && names.len() == cells.len()
            && names.iter().all(is_name)
            && numbers > 0;
        is_table.then_some((split, names))
    })
}

/// Returns the rows of a text that has values without any names: a symbol, a side and three
/// numbers, in the order of the wire.
pub(crate) fn unnamed(text: &str) -> Vec<[String; 5]> {
    text.split(['\n', ')', ']', '}'])
        .filter(|piece| piece.len() <= LINE_MAX)
        .filter_map(row)
        .collect()
}

/// Returns the values at the end of a piece of text, if they are those of a packet.
fn row(piece: &str) -> Option<[String; 5]> {
    let between = |c: char| c.is_whitespace() || ",;:=".contains(c) || BARS.contains(&c);
    let cells: Vec<String> =
        piece.split(between).map(cleaned).filter(|cell| !cell.is_empty()).collect();
    let labels = cells.len().checked_sub(OutputField::ALL.len())?;
    let values: [String; 5] = cells.into_iter().skip(labels).collect::<Vec<_>>().try_into().ok()?;
    let [symbol, side, numbers @ ..] = &values;
    let side = text_value(OutputField::Side, side);
    let is_row = labels <= LABELS_MAX
        && symbol.parse::<f64>().is_err()
        && (side == "B" || side == "S")
        && numbers.iter().all(|number| number.parse::<i64>().is_ok());
    is_row.then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the only record of a text, as text.
    fn one(text: &str) -> String {
        let forms = records(text);
        let best = forms.iter().max_by_key(|(_, records)| records.len());
        let best = best.unwrap_or_else(|| panic!("{text}"));
        assert_eq!(best.1.len(), 1, "{text}: {best:?}");
        let pairs = best.1[0].iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn names_with_values_are_read_in_any_notation() {
        for text in [
            "{a:AAPL b:B c:50 d:-7}",
            "&{a:AAPL b:B c:50 d:-7}",
            "{ a: 'AAPL', b: 'B', c: 50n, d: -7 }",
            "[\n  {\n    a: 'AAPL',\n    b: 'B',\n    c: 50,\n    d: -7\n  }\n]",
            "{'a': b'AAPL', 'b': 'B', 'c': 50, 'd': -7}",
            "Packet(a='AAPL', b='B', c=50, d=-7)",
            "Packet { a: \"AAPL\", b: B, c: 50, d: -7 }",
            "Packet[a=AAPL, b=B, c=50, d=-7]",
            "12:30:59.123 INFO a=AAPL b=B c=50 d=-7",
            "a: AAPL\nb : B\nc\t: 50\n- d: -7\n",
            "a => AAPL, b => B, c => 50, d => -7",
            "[\"a\"]=> AAPL, [\"b\"]=> B, [\"c\"]=> 50, [\"d\"]=> -7",
            "<p><a>AAPL</a><b>B</b>\n<c>50</c><d>-7</d></p>",
            "<packet a=\"AAPL\" b=\"B\" c=\"50\" d=\"-7\"/>",
            "+---+---+\n| a | b | c | d |\n+---+---+\n| AAPL | B | 50 | -7 |\n+---+",
            "┌───┬───┐\n│ a │ b │ c │ d │\n├───┼───┤\n│ 'AAPL' │ 'B' │ 50 │ -7 │\n└───┘",
            "a     b   c   d\n----  --  --  --\nAAPL  B   50  -7\n",
            "a b c d\nAAPL B 50 -7\n",
        ] {
            assert_eq!(one(text), "a=AAPL b=B c=50 d=-7", "{text}");
        }
        assert_eq!(
            one("Buy/Sell Indicator: B\n* Packet Sequence : 7\n2) Price: 9.5\n"),
            "Buy/Sell Indicator=B Packet Sequence=7 Price=9.5"
        );
    }

    #[test]
    fn a_sentence_about_a_field_is_no_second_value_of_it() {
        let packet = "Symbol: AAPL\nPrice: 7\nPacket Sequence: 9\n";
        let log = "Requesting the missing packet sequence: 2\nRequesting one packet sequence: 4\n";
        assert_eq!(one(&format!("{packet}{log}")), "Symbol=AAPL Price=7 Packet Sequence=9");
        let alone = "the packet has symbol: AAPL\nand it has a price: 7\nand a sequence of: 9";
        assert_eq!(one(alone), "symbol=AAPL price=7 of=9");
    }

    #[test]
    fn a_repeated_name_begins_the_next_record() {
        let all = records("a: 1\nb: 2\nc: 3\n\nb: 4\nc: 5\nd: 6\n");
        assert_eq!(all[0].1.len(), 2, "{all:?}");
        let table = records("x y z\n1 2 3\n4 5 6\nthe end\n");
        assert_eq!(table[0].1.len(), 2, "{table:?}");
    }

    #[test]
    fn values_without_names_are_read_in_the_wire_s_order() {
        let values = ["AAPL", "B", "50", "-7", "1"];
        for text in [
            "AAPL B 50 -7 1",
            "{AAPL B 50 -7 1}",
            "('AAPL', 'B', 50, -7, 1)",
            "[info] packet: AAPL | Buy | 50 | -7 | 1",
        ] {
            let mut rows = unnamed(text);
            assert_eq!(rows.len(), 1, "{text}");
            rows[0][1].truncate(1);
            assert_eq!(rows[0], values, "{text}");
        }
        assert_eq!(unnamed("[('A', 'B', 1, 2, 3), ('C', 'S', 4, 5, 6)]").len(), 2);
        for text in ["saved 14 packets in 3 ms", "AAPL X 50 100 1", "A B 1 2", "1 B 2 3 4"] {
            assert!(unnamed(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn prose_has_no_records() {
        for text in ["", "connected\nsaved 14 packets\n", "http://127.0.0.1:3000\n12:30:01 done"] {
            assert!(records(text).is_empty(), "{text}: {:?}", records(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text in "[a-c:=>'\"|│<>/{} \\n\\t1é-]{0,80}") {
            let _ = (records(&text), unnamed(&text));
        }
    }
}
