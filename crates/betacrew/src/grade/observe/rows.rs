//! Reader of a client's output, in any of the shapes that clients write.

use crate::grade::observe::fields::{OutputField, plain, text_value, value};
use crate::grade::observe::names::FieldNames;
use crate::grade::observe::records;
use serde_json::Value;

/// Maximum size in bytes of an output that is read.
pub(crate) const OUTPUT_MAX: usize = 4 << 20;
/// Beginning of the reason why broken JSON is not read.
pub(crate) const BROKEN_JSON: &str = "invalid or incomplete JSON";
/// Maximum number of positions at which JSON is tried in a text that is not JSON as a whole.
const STARTS_MAX: usize = 200;
/// Maximum number of objects around the packets.
const DEPTH_MAX: u32 = 3;
/// Minimum number of known fields that make a row a packet.
const FIELDS_MIN: usize = 3;

/// One packet of an output, with each field as normalised text or absent.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct OutputRow {
    /// Values in the order of [`OutputField::ALL`].
    fields: [Option<String>; 5],
    /// Positions of the fields' names among their aliases; 0 is the best name.
    ranks: [usize; 5],
}

impl OutputRow {
    /// Returns the value of a field.
    pub(crate) fn get(&self, field: OutputField) -> Option<&str> {
        self.fields[field as usize].as_deref()
    }

    /// Returns the sequence, if the row has one that is a number.
    pub(crate) fn sequence(&self) -> Option<i64> {
        self.get(OutputField::Sequence)?.parse().ok()
    }

    /// Sets a field under its best name.
    pub(crate) fn set(&mut self, field: OutputField, value: Option<String>) {
        self.set_as(field, 0, value);
    }

    /// Sets a field under a name of this rank, unless a better name has set it already. Returns
    /// whether it was set.
    fn set_as(&mut self, field: OutputField, rank: usize, value: Option<String>) -> bool {
        let place = &mut self.fields[field as usize];
        let better = place.is_none() || rank < self.ranks[field as usize];
        if better {
            *place = value;
            self.ranks[field as usize] = rank;
        }
        better
    }

    fn count(&self) -> usize {
        self.fields.iter().flatten().count()
    }
}

/// Rows of an output, and how they were read.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct OutputRows {
    /// Packets in the order of the output.
    pub(crate) rows: Vec<OutputRow>,
    /// Shape of the output, such as "an array of objects".
    pub(crate) shape: &'static str,
    /// Names that the output uses for the fields.
    pub(crate) names: [Option<String>; 5],
    /// Kind of the text that has the rows.
    pub(crate) kind: TextKind,
}

/// Kind of a text with packets.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum TextKind {
    /// Text for people, such as the lines of a log.
    Printed,
    /// Data for programs.
    #[default]
    Data,
}

impl OutputRows {
    /// Drops all rows behind the first ones.
    pub(crate) fn truncate(&mut self, most: usize) {
        self.rows.truncate(most);
        self.rows.shrink_to_fit();
    }

    fn of(shape: &'static str) -> Self {
        Self { shape, ..Self::default() }
    }

    /// Returns whether each field is in some row of the output, or the output has no packets.
    pub(crate) fn has_all_fields(&self) -> bool {
        let is_there = |field| self.rows.iter().any(|row| row.get(field).is_some());
        self.rows.is_empty() || OutputField::ALL.into_iter().all(is_there)
    }

    /// Returns the shape that was recognised, with the field names that differ from the exercise's.
    pub(crate) fn understood(&self) -> String {
        let other = OutputField::ALL.into_iter().filter_map(|field| {
            let name = self.names[field as usize].as_deref()?;
            (name != field.name()).then(|| format!("{name} is {}", field.name()))
        });
        let names: Vec<String> = other.collect();
        match names.is_empty() {
            true => self.shape.to_owned(),
            false => format!("{} ({})", self.shape, names.join(", ")),
        }
    }

    fn take_name(&mut self, field: OutputField, name: &str) {
        let place = &mut self.names[field as usize];
        if place.is_none() {
            *place = Some(plain(name).chars().take(40).collect());
        }
    }

    /// Adds a row made of an object's members, including those of objects inside it. Returns
    /// whether the object is a packet.
    fn add(&mut self, names: &FieldNames, key: Option<&str>, object: &Value) -> bool {
        let mut row = OutputRow::default();
        self.members(names, object, &mut row, 1);
        let enough = row.count() >= FIELDS_MIN;
        if enough {
            let number = key.filter(|key| key.parse::<i64>().is_ok());
            // The key counts only if the packet itself has no sequence.
            row.set_as(OutputField::Sequence, usize::MAX, number.map(str::to_owned));
            self.rows.push(row);
        }
        enough
    }

    fn members(&mut self, names: &FieldNames, object: &Value, row: &mut OutputRow, depth: u32) {
        let members = || object.as_object().into_iter().flatten();
        // An object without any known field contains packets rather than being one.
        if members().all(|(name, _)| names.of(name).is_none()) {
            return;
        }
        for (name, member) in members() {
            let known = names.of(name);
            if let Some((field, rank, text)) =
                known.and_then(|(field, rank)| Some((field, rank, value(field, member)?)))
            {
                if row.set_as(field, rank, Some(text)) && self.rows.is_empty() {
                    self.names[field as usize] = None;
                    self.take_name(field, name);
                }
            } else if member.is_object() && depth < DEPTH_MAX {
                self.members(names, member, row, depth + 1);
            }
        }
    }
}

/// Reads an output with these names of fields.
///
/// # Errors
/// Returns a message if no packets can be recognised; it is a predicate without a subject.
pub(crate) fn read(bytes: &[u8], names: &FieldNames) -> Result<OutputRows, String> {
    if bytes.len() > OUTPUT_MAX {
        return Err(format!("larger than {} MiB", OUTPUT_MAX >> 20));
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err("empty".to_owned());
    }
    let whole = match serde_json::from_str::<Value>(text) {
        // Go writes a list that was never made as null.
        Ok(Value::Null) => return Ok(OutputRows::of("an empty list")),
        Ok(value) => {
            return json(&value, names, 0).ok_or_else(|| {
                let fields = OutputField::ALL.map(OutputField::name).join(", ");
                format!("JSON without packets (expected objects with {fields})")
            });
        }
        Err(error) => error,
    };
    let bare = |c: char| c.is_whitespace() || matches!(c, '[' | '{');
    let is_json =
        text.starts_with(['[', '{']) && text.trim_start_matches(bare).starts_with(['"', ']', '}']);
    let shapes = match is_json {
        // A text that begins like JSON is either lines of JSON or broken JSON, never CSV.
        true => [None, None, text.starts_with('{').then(|| lines(text, names)).flatten()],
        false => [embedded(text, names), csv(text, names), lines(text, names)],
    };
    let best = shapes
        .into_iter()
        .flatten()
        .max_by_key(|rows| rows.rows.len())
        .filter(|rows| !rows.rows.is_empty());
    if let (Some(best), _) | (None, Some(best)) = (best, printed(text, names, is_json)) {
        return Ok(best);
    }
    Err(match is_json {
        true => format!("{BROKEN_JSON}: {whole}"),
        false => "neither JSON, lines of JSON nor CSV with packets".to_owned(),
    })
}

/// Returns the packets of a text for people, unless it is broken JSON.
fn printed(text: &str, names: &FieldNames, is_json: bool) -> Option<OutputRows> {
    if is_json {
        return None;
    }
    let shown = |shape| OutputRows { kind: TextKind::Printed, ..OutputRows::of(shape) };
    let mut all = Vec::new();
    for (shape, records) in records::records(text) {
        let mut found = shown(shape);
        for record in records {
            let members = record.into_iter().map(|(name, value)| (name, Value::String(value)));
            found.add(names, None, &Value::Object(members.collect()));
        }
        all.push(found);
    }
    let mut found = shown("rows without names, in the wire's order of fields");
    for values in records::unnamed(text) {
        let mut row = OutputRow::default();
        for (field, value) in OutputField::ALL.into_iter().zip(values) {
            row.set(field, Some(text_value(field, &value)));
        }
        found.rows.push(row);
    }
    all.push(found);
    all.into_iter().max_by_key(|rows| rows.rows.len()).filter(|rows| !rows.rows.is_empty())
}

/// Returns the packets of a JSON value; `None` if the value has a different shape.
fn json(value: &Value, names: &FieldNames, depth: u32) -> Option<OutputRows> {
    match value {
        Value::Array(items) => array(items, names),
        Value::Object(members) if members.is_empty() && depth == 0 => {
            Some(OutputRows::of("an empty object"))
        }
        Value::Object(members) if depth < DEPTH_MAX => {
            let mut single = OutputRows::of("one object");
            if single.add(names, None, value) {
                return Some(single);
            }
            let mut keyed = OutputRows::of("an object of packets by sequence");
            for (key, member) in members {
                keyed.add(names, Some(key), member);
            }
            // Keys may be in the order of text, and programs that read an object do not rely on
            // order.
            keyed.rows.sort_by_key(OutputRow::sequence);
            let inner = members.values().filter(|member| member.is_array() || member.is_object());
            let inner: Vec<OutputRows> =
                inner.filter_map(|member| json(member, names, depth + 1)).collect();
            let listed = wrapped(inner);
            match keyed.rows.is_empty() {
                true => listed,
                false => {
                    listed.filter(|listed| listed.rows.len() > keyed.rows.len()).or(Some(keyed))
                }
            }
        }
        _ => None,
    }
}

/// Joins several lists, such as packets grouped by symbol, into one.
fn wrapped(inner: Vec<OutputRows>) -> Option<OutputRows> {
    let mut all = OutputRows::of("an array inside an object");
    let mut found = false;
    for rows in inner {
        found = true;
        for field in OutputField::ALL {
            if let Some(name) = &rows.names[field as usize] {
                all.take_name(field, name);
            }
        }
        all.rows.extend(rows.rows);
    }
    found.then_some(all)
}

/// Returns the packets of an array of objects or of arrays.
fn array(items: &[Value], names: &FieldNames) -> Option<OutputRows> {
    if items.is_empty() {
        return Some(OutputRows::of("an empty array"));
    }
    let mut objects = OutputRows::of("an array of objects");
    for item in items {
        objects.add(names, None, item);
    }
    if !objects.rows.is_empty() {
        return Some(objects);
    }
    let mut plain = OutputRows::of("an array of arrays, in the wire's order of fields");
    for item in items {
        let cells = item.as_array().filter(|cells| cells.len() == OutputField::ALL.len());
        let mut row = OutputRow::default();
        for (field, cell) in OutputField::ALL.into_iter().zip(cells.into_iter().flatten()) {
            row.set(field, value(field, cell));
        }
        plain.rows.extend((row.sequence().is_some()).then_some(row));
    }
    (!plain.rows.is_empty()).then_some(plain)
}

/// Reads one JSON object a line, and skips other lines.
fn lines(text: &str, names: &FieldNames) -> Option<OutputRows> {
    let mut found = OutputRows::of("lines of JSON");
    for line in text.lines() {
        let line = line.trim().trim_end_matches(',');
        if line.starts_with('{')
            && let Ok(object) = serde_json::from_str::<Value>(line)
        {
            found.add(names, None, &object);
        }
    }
    Some(found)
}

/// Reads CSV with any usual delimiter, with or without a header.
fn csv(text: &str, names: &FieldNames) -> Option<OutputRows> {
    let first = text.lines().next()?;
    let count = |c: &u8| first.bytes().filter(|byte| byte == c).count();
    let delimiter = *b",;\t|".iter().max_by_key(|c| count(c))?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut records = reader.records().flatten();
    let head = records.next()?;
    let columns: Vec<Option<(OutputField, usize)>> =
        head.iter().map(|name| names.of(name)).collect();
    let named = columns.iter().flatten().count() >= FIELDS_MIN;
    let (mut found, columns) = match named {
        true => (OutputRows::of("CSV"), columns),
        false => {
            let columns = OutputField::ALL.map(|field| Some((field, 0))).to_vec();
            (OutputRows::of("CSV without a header, in the wire's order of fields"), columns)
        }
    };
    for (name, column) in head.iter().zip(&columns).filter(|_| named) {
        column.iter().for_each(|(field, _)| found.take_name(*field, name));
    }
    let is_border = |record: &csv::StringRecord| {
        record.iter().flat_map(str::chars).all(|c| "-+=: ".contains(c))
    };
    let records = (!named).then_some(head).into_iter().chain(records);
    for record in records.filter(|record| !is_border(record)) {
        let mut row = OutputRow::default();
        for (cell, column) in record.iter().zip(&columns) {
            if let Some((field, rank)) = column {
                row.set_as(*field, *rank, Some(text_value(*field, cell)));
            }
        }
        // Without names only the wire's five values are a packet.
        let is_packet = named
            || record.len() == OutputField::ALL.len()
                && [OutputField::Quantity, OutputField::Price, OutputField::Sequence]
                    .into_iter()
                    .all(|field| row.get(field).is_some_and(|text| text.parse::<i64>().is_ok()));
        if row.count() >= FIELDS_MIN && is_packet {
            found.rows.push(row);
        }
    }
    Some(found)
}

/// Finds JSON inside another text, such as a log, and returns the value with the most packets.
fn embedded(text: &str, names: &FieldNames) -> Option<OutputRows> {
    let mut start = 0;
    let mut best: Option<OutputRows> = None;
    for _ in 0..STARTS_MAX {
        let Some(next) = text.get(start..).and_then(|rest| rest.find(['[', '{'])) else { break };
        start += next;
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                let found = json(&value, names, 0).filter(|rows| {
                    best.as_ref().is_none_or(|best| rows.rows.len() > best.rows.len())
                });
                best = found.or(best);
                start += values.byte_offset().max(1);
            }
            _ => start += 1,
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROW: &str =
        r#"{"symbol":"AAPL","buySellIndicator":"B","quantity":50,"price":100,"sequence":1}"#;

    fn one(text: &str) -> OutputRows {
        let rows = read(text.as_bytes(), &FieldNames::default())
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        let values = ["AAPL", "B", "50", "100", "1"];
        assert_eq!(rows.rows.len(), 1, "{text}");
        for (field, value) in OutputField::ALL.into_iter().zip(values) {
            assert_eq!(rows.rows[0].get(field), Some(value), "{text}");
        }
        rows
    }

    #[test]
    fn the_usual_shapes_of_outputs_are_read() {
        for (text, shape) in [
            (format!("[{ROW}]"), "an array of objects"),
            (format!("\u{feff}[\n{ROW}\n]\n"), "an array of objects"),
            (format!(r#"{{"count":1,"packets":[{ROW}]}}"#), "an array inside an object"),
            (format!(r#"{{"data":{{"AAPL":[{ROW}],"META":[]}}}}"#), "an array inside an object"),
            (format!(r#"{{"1":{ROW}}}"#), "an object of packets by sequence"),
            (ROW.to_owned(), "one object"),
            (format!("connected\n{ROW}\ndone"), "lines of JSON"),
            (
                r#"[["AAPL","B",50,100,1]]"#.to_owned(),
                "an array of arrays, in the wire's order of fields",
            ),
            ("Ticker;Side;Qty;Price;Seq\nAAPL;Buy;50;100;1\n".to_owned(), "CSV"),
            ("AAPL,B,50,100,1\n".to_owned(), "CSV without a header, in the wire's order of fields"),
            (
                format!("got [1/2] packets:\n[\n {}\n]\nbye", ROW.replace(',', ",\n")),
                "an array of objects",
            ),
        ] {
            assert_eq!(one(&text).shape, shape, "{text}");
        }
        for text in [
            "{Symbol:AAPL Side:B Quantity:50 Price:100 Sequence:1}",
            "[{Symbol:AAPL Side:B Quantity:50 Price:100 Sequence:1}]",
            "[{ symbol: 'AAPL', side: 'B', quantity: 50, price: 100, sequence: 1 }]",
            "[{'symbol': 'AAPL', 'side': 'B', 'quantity': 50, 'price': 100, 'sequence': 1}]",
            "Symbol: AAPL\nBuy/Sell Indicator: B\nQuantity: 50\nPrice: 100\nPacket Sequence: 1",
            "got symbol=AAPL side=B qty=50 price=100 seq=1\n",
            "+---+\n| Symbol | Side | Qty | Price | Seq |\n+---+\n| AAPL | B | 50 | 100 | 1 |\n",
            "Symbol  Side  Qty  Price  Seq\nAAPL    B     50   100    1\n",
            "<p><symbol>AAPL</symbol><side>B</side><qty>50</qty><px>100</px><seq>1</seq></p>",
            "{AAPL B 50 100 1}",
        ] {
            assert_eq!(one(text).kind, TextKind::Printed, "{text}");
        }
        one("| Symbol | Side | Qty | Price | Seq |\n|---|---|--:|---|---|\n|AAPL|B|50|100|1|\n");
        let inner = r#"{"symbol":"AAPL","side":"buy","qty":"50","price":100.0}"#;
        one(&format!(r#"{{"1":{inner}}}"#));
        one(&format!(r#"[{{"packetSequence":1,"packet":{inner}}}]"#));
        // A row number of the client's own must not replace the sequence.
        one(&format!("[{}]", ROW.replace('{', r#"{"id":7,"type":"order","#)));
        one("id,symbol,side,quantity,price,sequence\n7,AAPL,B,50,100,1\n");
        let rows = one(&format!("[{}]", ROW.replace("sequence", "packetSequence")));
        assert_eq!(rows.understood(), "an array of objects (packetSequence is sequence)");
        for nothing in ["[]", "{}", "null"] {
            assert_eq!(read(nothing.as_bytes(), &FieldNames::default()).unwrap().rows, []);
        }
    }

    #[test]
    fn packets_of_a_keyed_object_are_sorted_by_number() {
        let row = |seq: u32| format!(r#""{seq}":{{"symbol":"A","side":"B","price":1}}"#);
        let text = format!("{{{}}}", [10, 9, 100].map(row).join(","));
        let rows = read(text.as_bytes(), &FieldNames::default()).unwrap();
        let order: Vec<_> = rows.rows.iter().filter_map(OutputRow::sequence).collect();
        assert_eq!(order, [9, 10, 100]);
    }

    #[test]
    fn an_unreadable_output_is_refused_with_its_reason() {
        let why = |text: &str| read(text.as_bytes(), &FieldNames::default()).unwrap_err();
        assert_eq!(why(" \n"), "empty");
        assert!(why(r#"{"name":"client","version":"1"}"#).contains("JSON without packets"));
        assert!(why(&format!("[{ROW},")).contains("incomplete JSON"));
        assert!(why("connected\nsaved 14 packets\n").contains("neither JSON"));
        assert!(why(&"[".repeat(100_000)).contains("neither JSON"));
        assert!(why(&"1".repeat(OUTPUT_MAX + 1)).contains("larger than 4 MiB"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400),
            pick in prop::collection::vec(0usize..12, 0..60)) {
            let _ = read(&bytes, &FieldNames::default());
            let parts = ["[", "]", "{", "}", "\"sequence\":", "1", ",", "\n", ROW, "\"", ";", "-"];
            let text: String = pick.iter().map(|&part| parts[part]).collect();
            let _ = read(text.as_bytes(), &FieldNames::default());
        }
    }
}
