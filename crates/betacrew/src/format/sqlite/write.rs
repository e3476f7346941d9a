//! Writing of packets to a new SQLite database.

use crate::format::rows::{packet, short_sequence};
use crate::format::table::{self, Table};
use crate::format::{Arrival, Encoder};
use feed::wire::Messages;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

/// Settings without rollback and sync, because the file gets its name only once it is complete, and
/// is synced then if requested.
const SETTINGS: &str = "
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA locking_mode = EXCLUSIVE;
    BEGIN;";

/// Statement that creates the table of order packets.
pub(super) const PACKETS: &str = "
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

/// Database that is being filled.
struct NewDatabase {
    database: Connection,
    path: PathBuf,
}

impl NewDatabase {
    /// Opens the empty file of a database. `table` is the statement that creates its table.
    fn new(path: &Path, table: &str) -> io::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // A name such as `file:x` would be a URI if it were not absolute.
        let path = std::path::absolute(path)?;
        // The partial file is locked by this process already, which some systems take for a lock
        // against SQLite. SQLite needs none, because no other process opens the file.
        let unlocked = if cfg!(unix) { c"unix-none" } else { c"win32-none" };
        let database =
            Connection::open_with_flags_and_vfs(&path, flags, unlocked).map_err(failed)?;
        let sql = format!("{SETTINGS}{table}");
        database.execute_batch(&sql).map_err(|error| explained(&path, error))?;
        Ok(Self { database, path })
    }

    /// Completes the database.
    fn finish(self) -> io::Result<()> {
        let done = self.database.execute_batch("COMMIT");
        done.map_err(|error| explained(&self.path, error))?;
        self.database.close().map_err(|(_, error)| failed(error))
    }
}

/// Writer of order packets.
pub(in crate::format) struct SqliteWriter {
    database: NewDatabase,
    symbol: String,
}

impl SqliteWriter {
    pub(in crate::format) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { database: NewDatabase::new(path, PACKETS)?, symbol: String::new() })
    }
}

/// Writer of messages of any length.
pub(in crate::format) struct SqliteTableWriter {
    database: NewDatabase,
    table: &'static Table,
    insert: String,
}

impl SqliteTableWriter {
    pub(in crate::format) fn new(path: &Path, table: &'static Table) -> io::Result<Self> {
        let database = NewDatabase::new(path, &table::sqlite::create(table))?;
        Ok(Self { database, table, insert: table::sqlite::insert(table) })
    }
}

impl Encoder for SqliteTableWriter {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        let failed = |error| explained(&self.database.path, error);
        let mut insert = self.database.database.prepare_cached(&self.insert).map_err(failed)?;
        table::sqlite::put(&mut insert, self.table, messages, arrival, &failed)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.database.finish()
    }
}

impl Encoder for SqliteWriter {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        let origin = arrival.origin_text();
        let mut symbol = std::mem::take(&mut self.symbol);
        let failed = |error| explained(&self.database.path, error);
        let mut insert = self.database.database.prepare_cached(INSERT).map_err(failed)?;
        for frame in messages.packets() {
            let packet = packet(frame)?;
            symbol.clear();
            let _ = write!(symbol, "{}", packet.symbol);
            let side = if packet.side.letter() == b'B' { "B" } else { "S" };
            insert
                .execute(params![
                    symbol,
                    side,
                    packet.quantity,
                    packet.price,
                    short_sequence(packet.sequence)?,
                    arrival.time(),
                    origin
                ])
                .map_err(failed)?;
        }
        drop(insert);
        self.symbol = symbol;
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.database.finish()
    }
}

/// Returns the error of the system for a code of SQLite that stands for several.
fn explained(path: &Path, error: rusqlite::Error) -> io::Error {
    let refused = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
    match refused && at_size_limit(path) {
        true => too_large(),
        false => failed(error),
    }
}

/// Distance in bytes from the limit at which a write may have reached it: SQLite's largest page.
#[cfg(unix)]
const PAGE_MAX: u64 = 65_536;

/// Returns whether a file has reached the file size limit of this process (`ulimit -f`).
#[cfg(unix)]
fn at_size_limit(path: &Path) -> bool {
    use rustix::process::{Resource, getrlimit};
    let len = std::fs::metadata(path).map_or(0, |found| found.len());
    getrlimit(Resource::Fsize).current.is_some_and(|limit| len.saturating_add(PAGE_MAX) > limit)
}

#[cfg(unix)]
fn too_large() -> io::Error {
    rustix::io::Errno::FBIG.into()
}

/// Returns false, because this system has no file size limit.
#[cfg(not(unix))]
fn at_size_limit(_: &Path) -> bool {
    false
}

#[cfg(not(unix))]
fn too_large() -> io::Error {
    io::ErrorKind::FileTooLarge.into()
}

fn failed(error: rusqlite::Error) -> io::Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => io::ErrorKind::StorageFull.into(),
        _ => io::Error::other(error),
    }
}
