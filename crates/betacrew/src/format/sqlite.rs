//! An SQLite database with the table `packets`.

use super::rows::{Batch, packet};
use super::wide::{Wide, in_row};
use super::{Arrival, Each, Encoder, Fault};
use feed::wire::RawFrame;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params};
use std::fmt::Write;
use std::io;
use std::path::Path;

/// Nothing can be undone and nothing is synchronized: whoever puts the file in place does that to
/// a whole one.
const BEGIN: &str = "
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA locking_mode = EXCLUSIVE;
    BEGIN;
    CREATE TABLE packets (
        symbol TEXT NOT NULL,
        buySellIndicator TEXT NOT NULL,
        quantity INTEGER NOT NULL,
        price INTEGER NOT NULL,
        sequence INTEGER PRIMARY KEY,
        arrived INTEGER,
        origin TEXT
    );";

const INSERT: &str = "INSERT INTO packets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const SELECT: &str = "
    SELECT symbol, buySellIndicator, quantity, price, sequence, arrived, origin
    FROM packets ORDER BY sequence";

pub(super) struct Writer {
    database: Connection,
    symbol: String,
}

impl Writer {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // The partial file is locked by this process already, which some systems take for a lock
        // against SQLite. SQLite needs none, because no other process opens the file.
        let unlocked = if cfg!(unix) { c"unix-none" } else { c"win32-none" };
        let database =
            Connection::open_with_flags_and_vfs(path, flags, unlocked).map_err(failed)?;
        database.execute_batch(BEGIN).map_err(failed)?;
        Ok(Self { database, symbol: String::new() })
    }
}

impl Encoder for Writer {
    fn put(&mut self, frames: &[RawFrame], arrival: Arrival) -> io::Result<()> {
        let origin = arrival.origin_text();
        let mut insert = self.database.prepare_cached(INSERT).map_err(failed)?;
        for frame in frames {
            let packet = packet(frame)?;
            self.symbol.clear();
            let _ = write!(self.symbol, "{}", packet.symbol);
            let side = if packet.side.letter() == b'B' { "B" } else { "S" };
            insert
                .execute(params![
                    self.symbol,
                    side,
                    packet.quantity,
                    packet.price,
                    packet.sequence,
                    arrival.time(),
                    origin
                ])
                .map_err(failed)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.database.execute_batch("COMMIT").map_err(failed)?;
        self.database.close().map_err(|(_, error)| failed(error))
    }
}

fn failed(error: rusqlite::Error) -> io::Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => io::ErrorKind::StorageFull.into(),
        _ => io::Error::other(error),
    }
}

/// Reads in the order of sequences.
pub(super) fn read(path: &Path, each: &mut Each<'_>) -> Result<(), Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(fault)?;
    let mut select = database.prepare(SELECT).map_err(fault)?;
    let mut rows = select.query([]).map_err(fault)?;
    let mut batch = Batch::new(each);
    let mut number = 0;
    while let Some(row) = rows.next().map_err(fault)? {
        number += 1;
        let (packet, arrival) =
            wide(row).and_then(|row| row.narrow()).map_err(|reason| in_row(number, &reason))?;
        batch.push(packet, arrival)?;
    }
    batch.flush()?;
    Ok(())
}

fn wide<'a>(row: &'a Row<'_>) -> Result<Wide<'a>, String> {
    let text = |column| match row.get_ref(column) {
        Ok(ValueRef::Text(text)) => {
            std::str::from_utf8(text).map(Some).map_err(|error| format!("{column}: {error}"))
        }
        Ok(ValueRef::Null) => Ok(None),
        _ => Err(format!("{column} is no text")),
    };
    let integer = |column| match row.get_ref(column) {
        Ok(ValueRef::Integer(number)) => Ok(Some(number)),
        Ok(ValueRef::Null) => Ok(None),
        _ => Err(format!("{column} is no integer")),
    };
    fn there<T>(column: &'static str, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("{column} is null"))
    }
    Ok(Wide {
        symbol: there("symbol", text("symbol")?)?,
        side: there("buySellIndicator", text("buySellIndicator")?)?,
        quantity: there("quantity", integer("quantity")?)?,
        price: there("price", integer("price")?)?,
        sequence: there("sequence", integer("sequence")?)?,
        arrived: integer("arrived")?,
        origin: text("origin")?,
    })
}

fn fault(error: rusqlite::Error) -> Fault {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory,
        ) => Fault::Io(io::Error::other(error)),
        // Also what is no database at all, and a table that is none of ours.
        _ => Fault::Content(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use crate::format::testing::read_file;

    #[test]
    fn errors_say_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        for (rows, message) in [
            ("", "no such table: packets"),
            ("CREATE TABLE packets (symbol)", "no such column: buySellIndicator"),
            ("('A', 'X', 1, 1, 2, NULL, NULL)", "row 1: buySellIndicator is \"X\""),
            ("('A', 'B', 1, 1, 0, NULL, NULL)", "row 1: sequence 0 is not in"),
            ("('A', 'B', 1.5, 1, 1, NULL, NULL)", "row 1: quantity is no integer"),
            ("('A', 'B', 3000000000, 1, 1, NULL, NULL)", "row 1: quantity 3000000000 does not fit"),
            ("(x'ff', 'B', 1, 1, 1, NULL, NULL)", "row 1: symbol is no text"),
            ("('A', 'B', 1, 1, 1, -1, NULL)", "row 1: arrived lies before 1970"),
            ("('A', 'B', 1, 1, 1, NULL, 'x')", "row 1: origin is \"x\""),
        ] {
            let _ = std::fs::remove_file(&path);
            let database = Connection::open(&path).unwrap();
            if rows.starts_with('(') {
                database.execute_batch(BEGIN).unwrap();
                database.execute_batch(&format!("INSERT INTO packets VALUES {rows}")).unwrap();
                database.execute_batch("COMMIT").unwrap();
            } else {
                database.execute_batch(rows).unwrap();
            }
            drop(database);
            let error = read_file(&path, Format::Sqlite).unwrap_err().to_string();
            assert!(error.contains(message), "{rows}: {error}");
        }
    }
}
