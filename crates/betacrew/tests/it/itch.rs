//! Other people's decoders and books agree with ours about ITCH 5.0: `itch_referees.py` with
//! itchfeed, itchcpp and itch-book.

use crate::support::{betacrew, run};
use feed::payload::itch50::{Books, Message, SyntheticMarket, TYPES, Value};
use feed::wire::packet::Side;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Output;

const SCRIPT: &str = "itch_referees.py";
const PACKAGES: &str = "itchfeed itchcpp itch-book";

/// Seed of a day that has all message types.
const SEED: u64 = 3;
/// Number of moments at which the books are compared: the end, and a hundred random ones.
const MOMENTS: usize = 101;

/// Number of messages, unless `BETACREW_MESSAGES` says another. The packages decode a million in a
/// minute.
const MESSAGES: u64 = 100_000;

fn day_len() -> u64 {
    std::env::var("BETACREW_MESSAGES").map_or(MESSAGES, |text| text.parse().unwrap())
}

/// Returns a field as its number or its text without blanks.
fn raw(value: &Value<'_>) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Price4(price) => price.0.to_string(),
        Value::Price8(price) => price.0.to_string(),
        Value::Time(time) => time.nanos().to_string(),
        Value::Letter(letter) => char::from(letter.0).to_string().trim_end().to_owned(),
        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
    }
}

/// Writes the day as a file of the venue, each message behind its length, and the fields of its
/// messages as one line each.
fn write_files(folder: &Path) {
    let market = SyntheticMarket::new(SEED, day_len());
    let mut day = BufWriter::new(File::create(folder.join("day.itch")).unwrap());
    let mut rows = BufWriter::new(File::create(folder.join("rows")).unwrap());
    for index in 0..day_len() {
        let message = market.message(index);
        day.write_all(&u16::try_from(message.len()).unwrap().to_be_bytes()).unwrap();
        day.write_all(&message).unwrap();
        let mut row = char::from(message[0]).to_string();
        let parsed = Message::parse(&message).unwrap();
        parsed.fields().for_each(|(_, value)| write!(row, "\t{}", raw(&value)).unwrap());
        writeln!(rows, "{row}").unwrap();
    }
    day.flush().unwrap();
    rows.flush().unwrap();
}

/// Writes the books at some moments: number of messages, stock, side, then price and shares of
/// each level, the best first.
fn write_books(folder: &Path) {
    let market = SyntheticMarket::new(SEED, day_len());
    let mut rng = feed::base::rng::Rng::new(SEED);
    let mut moments = BTreeSet::from([day_len()]);
    while moments.len() < MOMENTS {
        moments.insert(rng.bits() % day_len() + 1);
    }
    let mut out = BufWriter::new(File::create(folder.join("books")).unwrap());
    let mut books = Books::new();
    let mut applied = 0;
    for moment in moments {
        for index in applied..moment {
            books.apply(&Message::parse(&market.message(index)).unwrap()).unwrap();
        }
        applied = moment;
        for (locate, book) in books.books() {
            for side in [Side::Buy, Side::Sell] {
                write!(out, "{moment}\t{locate}\t{}", char::from(side.letter())).unwrap();
                for level in book.levels(side) {
                    write!(out, "\t{}\t{}\t{}", level.price.0, level.shares, level.orders).unwrap();
                }
                writeln!(out).unwrap();
            }
        }
    }
    out.flush().unwrap();
}

/// Runs the script and returns its output.
fn referee(args: &[&str]) -> String {
    let Output { status, stdout, stderr } = crate::support::python(SCRIPT, args).unwrap();
    let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(status.success(), "{text}");
    text
}

fn convert(from: &str, to: &str) {
    let (code, _, stderr) = run(&mut betacrew(&["convert", from, to]));
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn other_decoders_find_the_same_fields_and_books() {
    if !crate::support::python_has(SCRIPT, PACKAGES) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    write_books(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (day, rows, books) = (path("day.itch"), path("rows"), path("books"));
    // The program's own file: from the venue's format to another one and back.
    let (table, ours) = (path("day.ndjson"), path("ours.itch"));
    convert(&day, &table);
    convert(&table, &ours);
    for package in ["itchfeed", "itchcpp"] {
        let said = referee(&["fields", package, &ours, &rows]);
        let expected = format!("{} messages of {} types\n", day_len(), TYPES.len());
        assert_eq!(said, expected, "{package}");
        let theirs = path("theirs.itch");
        referee(&["write", package, &day, &theirs]);
        let against = run(&mut betacrew(&["inspect", &day, "--against", &theirs]));
        assert_eq!(against.0, 0, "{package}: {} {}", against.1, against.2);
    }
    for package in ["itch-book", "itchcpp"] {
        let said = referee(&["books", package, &day, &books]);
        assert_eq!(said, format!("{MOMENTS} moments\n"), "{package}");
    }
}
