//! ITCH 5.0: messages and order books of a day file, beside programs that others wrote in C++ for
//! Python.

use super::Plan;
use crate::Result;
use crate::measure::{By, Cost, Entry, here, side_by_side};
use crate::process::{Python, betacrew, run};
use crate::raw::CHUNK;
use crate::report::{Row, Want, count};
use bench::hot::decode_every_field;
use feed::payload::itch50::{Books, Message, SyntheticMarket};
use feed::wire::{Framing, MESSAGE_MAX};

use feed::wire::packet::Side;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Seed of a day that has all message types.
const SEED: u64 = 3;

/// Day file, and what it has.
struct Day {
    path: PathBuf,
    messages: u64,
}

impl Day {
    /// Writes a day as the venue's files have it: each message behind its length.
    fn write(plan: &Plan) -> Result<Self> {
        let messages = plan.size(2_000_000, 300_000);
        let path = plan.place("day.itch");
        let market = SyntheticMarket::new(SEED, messages);
        let mut file = BufWriter::new(File::create(&path)?);
        for index in 0..messages {
            let message = market.message(index);
            file.write_all(&u16::try_from(message.len())?.to_be_bytes())?;
            file.write_all(&message)?;
        }
        file.flush()?;
        Ok(Self { path, messages })
    }
}

/// Hands each message of a day file to `each`; returns their number. The file is read in pieces,
/// because memory that is touched for the first time costs more than reading.
fn read(day: &Path, mut each: impl FnMut(&Message<'_>) -> Result<()>) -> Result<u64> {
    let mut file = File::open(day)?;
    let (mut buffer, mut held, mut count) = (vec![0; CHUNK + MESSAGE_MAX + 2], 0, 0);
    loop {
        let came = file.read(&mut buffer[held..])?;
        let mut rest = &buffer[..held + came];
        while let Some((message, behind)) = Framing::Length.split_first(rest) {
            each(&Message::parse(message)?)?;
            (rest, count) = (behind, count + 1);
        }
        let (len, end) = (rest.len(), held + came);
        match came {
            0 if len == 0 => return Ok(count),
            0 => return Err("the file ends inside a message".into()),
            _ => buffer.copy_within(end - len..end, 0),
        }
        held = len;
    }
}

/// Returns the cost of a task of one of the packages, and the other lines that it prints.
fn theirs(python: &Python, task: &str, package: &str, day: &Day) -> Result<(Cost, String)> {
    let day = day.path.to_str().ok_or("the folder's name is no text")?;
    let text = python.run("itch.py", &[task, package, day])?;
    let (nanos, rest) = text.split_once('\n').ok_or("the script has printed nothing")?;
    let cpu = std::time::Duration::from_nanos(nanos.parse()?);
    Ok((Cost { wall: cpu, cpu }, rest.to_owned()))
}

/// Returns Python if it has the packages.
fn python(number: u32) -> Option<Python> {
    let python = Python::with("itch.py");
    if python.is_none() {
        eprintln!("{number} is left out: no Python (BETACREW_PYTHON) has itchcpp and itch-book");
    }
    python
}

/// Target 27.
pub(super) fn decode(plan: &Plan) -> Result<Vec<Row>> {
    let Some(python) = python(27) else { return Ok(Vec::new()) };
    let day = Day::write(plan)?;
    let expected = format!("messages {}\n", day.messages);
    let base = || {
        let (cost, found) = theirs(&python, "decode", "itchcpp", &day)?;
        match found == expected {
            true => Ok(cost),
            false => Err(format!("itchcpp found {found:?}").into()),
        }
    };
    let ours = || {
        here(|| {
            let decode = |message: &Message<'_>| {
                decode_every_field(message);
                Ok(())
            };
            match read(&day.path, decode)? == day.messages {
                true => Ok(()),
                false => Err("not all messages were read".into()),
            }
        })
    };
    let entries = vec![Entry::new("itchcpp", base), Entry::new("betacrew", ours)];
    let all = side_by_side(plan.rounds, entries)?;
    let work = format!("ITCH 5.0, every field of a file of {} messages", count(day.messages));
    let what = (27, work.as_str(), "itchcpp");
    Ok(vec![Row::faster(what, By::Cpu, (&all[1], &all[0]), Want::AtLeast(2.0))])
}

/// Returns the best level of each side of each stock, as the script prints it.
fn best_levels(books: &Books) -> Result<String> {
    let mut text = String::new();
    for (locate, book) in books.books() {
        for (side, letter) in [(Side::Buy, 'B'), (Side::Sell, 'S')] {
            if let Some(best) = book.best(side) {
                writeln!(text, "{locate} {letter} {} {}", best.price.0, best.shares)?;
            }
        }
    }
    Ok(text)
}

fn final_books(day: &Day) -> Result<Books> {
    let mut books = Books::new();
    read(&day.path, |message| Ok(books.apply(message)?))?;
    Ok(books)
}

/// Target 28.
pub(super) fn books(plan: &Plan) -> Result<Vec<Row>> {
    let Some(python) = python(28) else { return Ok(Vec::new()) };
    let day = Day::write(plan)?;
    let expected = best_levels(&final_books(&day)?)?;
    let base = |package: &'static str| {
        let (python, day, expected) = (&python, &day, &expected);
        move || {
            let (cost, found) = theirs(python, "books", package, day)?;
            match found == *expected {
                true => Ok(cost),
                false => Err(format!("the books of {package} are others:\n{found}").into()),
            }
        }
    };
    let whole = || {
        let mut command = betacrew()?;
        run(command.args(["inspect", "--book"]).arg(&day.path), None)
    };
    let entries = vec![
        Entry::new("betacrew", || here(|| final_books(&day).map(drop))),
        Entry::new("inspect", whole),
        Entry::new("itchcpp", base("itchcpp")),
        Entry::new("itch-book", base("itch-book")),
    ];
    let all = side_by_side(plan.rounds, entries)?;
    let messages = count(day.messages);
    let work = format!("ITCH 5.0, order books of a file of {messages} messages");
    let inspect = format!("inspect --book of a file of {messages} messages, as a process");
    let mut rows = Vec::new();
    for theirs in &all[2..] {
        let row = |work: &str, ours, want| {
            Row::faster((28, work, theirs.name), By::Cpu, (ours, theirs), want)
        };
        rows.push(row(&work, &all[0], Want::AtLeast(1.0)));
        rows.push(row(&inspect, &all[1], Want::Shown));
    }
    Ok(rows)
}
