//! Reading of packets from an SQLite database that any program may have made.

use crate::format::bounded::VALUE_MAX;
use crate::format::rows::{Batch, COLUMNS};
use crate::format::table::sqlite::{NAME, SqliteTableReader};
use crate::format::table::{self, HEX, MESSAGE_TYPE, SEQUENCE, Table};
use crate::format::wide::{Wide, in_row};
use crate::format::{MessageConsumer, ReadError};
use crate::text::location::shown;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Maximum length in bytes of a value or a row of a foreign database.
const VALUE_BYTES_MAX: i32 = 1 << 20;

/// Maximum memory in bytes that SQLite takes in this process.
const HEAP_MAX: u64 = 64 << 20;

/// Number of instructions of SQLite's virtual machine between two checks of the limits.
const STEPS_A_LOOK: i32 = 10_000;

/// Number of instructions that reading any database may take: 20 million take about a second.
const STEPS_MIN: u64 = 20_000_000;

/// Number of further instructions for each byte of a database. A table takes at most a fifth of it,
/// which a test measures; the rest is for views that join a few.
const STEPS_A_BYTE: u64 = 50;

/// Time that any database may take to find its rows, without the time for using them.
const TIME_MIN: Duration = Duration::from_secs(20);

/// Further time for each MiB of a database.
const TIME_A_MIB: Duration = Duration::from_secs(1);

/// Work that SQLite has done for a database. It is limited, because a view can compute for ever.
#[derive(Debug)]
struct Effort {
    base: Instant,
    /// Nanoseconds in SQLite before the call that is going on, and when that began.
    spent: AtomicU64,
    began: AtomicU64,
}

impl Effort {
    fn new() -> Self {
        Self { base: Instant::now(), spent: AtomicU64::new(0), began: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Runs a call of SQLite and counts its time.
    fn of<T>(&self, call: impl FnOnce() -> T) -> T {
        self.began.store(self.now(), Ordering::Relaxed);
        let done = call();
        self.spent.store(self.taken(), Ordering::Relaxed);
        done
    }

    fn taken(&self) -> u64 {
        let began = self.began.load(Ordering::Relaxed);
        self.spent.load(Ordering::Relaxed).saturating_add(self.now().saturating_sub(began))
    }
}

/// Limits the work of SQLite for a database of this many bytes.
fn limit(database: &mut Connection, bytes: u64) -> rusqlite::Result<Arc<Effort>> {
    // Without a trusted schema, views call no functions that reach beyond the database.
    database.execute_batch(&format!(
        "PRAGMA hard_heap_limit = {HEAP_MAX};
        PRAGMA trusted_schema = OFF;
        PRAGMA cell_size_check = ON;
        PRAGMA query_only = ON;"
    ))?;
    database.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
    let effort = Arc::new(Effort::new());
    let most_steps = STEPS_MIN.saturating_add(bytes.saturating_mul(STEPS_A_BYTE));
    let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    let most_time = TIME_MIN.saturating_add(TIME_A_MIB.saturating_mul(mib)).as_nanos();
    let (seen, mut steps) = (Arc::clone(&effort), 0u64);
    let look = move || {
        steps = steps.saturating_add(u64::from(STEPS_A_LOOK.unsigned_abs()));
        steps > most_steps || u128::from(seen.taken()) > most_time
    };
    database.progress_handler(STEPS_A_LOOK, Some(look))?;
    Ok(effort)
}

/// Reads packets in order of sequence.
pub(in crate::format) fn read(
    path: &Path,
    each: &mut MessageConsumer<'_>,
) -> Result<(), ReadError> {
    let source = Source::of(path)?;
    let mut database = source.open()?;
    let effort = limit(&mut database, source.len.saturating_add(source.log_len)).map_err(fault)?;
    let explain = |error| source.explain(error);
    let (query, table) = effort.of(|| select(&database, &source))?;
    let mut select = effort.of(|| database.prepare(&query)).map_err(explain)?;
    let mut rows = select.query([]).map_err(explain)?;
    if let Some(table) = table {
        let mut reader = SqliteTableReader::new(table, each);
        let mut number = 0;
        while let Some(row) = effort.of(|| rows.next()).map_err(explain)? {
            number += 1;
            reader.take(row).map_err(|reason| in_row(number, &reason))??;
        }
        reader.flush()?;
        return source.unchanged();
    }
    let mut batch = Batch::new(each);
    let mut number = 0;
    while let Some(row) = effort.of(|| rows.next()).map_err(explain)? {
        number += 1;
        let (packet, arrival) =
            wide(row).and_then(|row| row.narrow()).map_err(|reason| in_row(number, &reason))?;
        batch.push(packet, arrival)?;
    }
    batch.flush()?;
    source.unchanged()
}

/// Returns the query for the columns of messages that the database has, and the table of messages;
/// `None` for order packets.
fn select(
    database: &Connection,
    source: &Source,
) -> Result<(String, Option<&'static Table>), ReadError> {
    let has = |column: &str, table: &str| {
        database.prepare(&format!("SELECT p.{column} FROM {table} AS p")).is_ok()
    };
    if has("*", "packets") || !has("*", NAME) {
        return select_packets(database, source).map(|query| (query, None));
    }
    let payload = [MESSAGE_TYPE, HEX].into_iter().filter(|column| has(column, NAME));
    let Some(table) = Table::named(payload) else {
        let reason = format!("`{NAME}` has neither a column {MESSAGE_TYPE} nor {HEX}");
        return Err(ReadError::Content(reason));
    };
    let columns = table.columns().iter().map(|column| match has(column.name, NAME) {
        true => table::sqlite::bounded(column),
        false => "NULL".to_owned(),
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let query = format!("SELECT {columns} FROM {NAME} AS p ORDER BY p.{SEQUENCE}");
    Ok((query, Some(table)))
}

/// Returns the query for the columns of packets that the table has.
///
/// Rows that have to be sorted wait in a temporary file. So that long values do not fill it, short
/// ones stand for them, which [`wide`] refuses.
fn select_packets(database: &Connection, source: &Source) -> Result<String, ReadError> {
    database.prepare("SELECT 1 FROM packets").map_err(|error| source.explain(error))?;
    let mut columns = Vec::new();
    for (at, name) in COLUMNS.into_iter().enumerate() {
        // A damaged database has names that are no text, which rusqlite does not list.
        let there = database.prepare(&format!("SELECT p.{name} FROM packets AS p")).is_ok();
        columns.push(match (there, at) {
            (true, 0 | 1 | 6) => {
                format!("iif(octet_length(p.{name}) > {VALUE_MAX}, zeroblob(0), p.{name})")
            }
            (true, _) => format!("iif(typeof(p.{name}) IN ('integer', 'null'), p.{name}, '')"),
            (false, 5..) => "NULL".to_owned(),
            (false, _) => {
                return Err(ReadError::Content(format!("`packets` has no column {name}")));
            }
        });
    }
    let columns = columns.join(", ");
    Ok(format!("SELECT {columns} FROM packets AS p ORDER BY p.sequence"))
}

/// Database that another program may be writing.
struct Source {
    /// Path without links, beside which its other files are.
    path: PathBuf,
    len: u64,
    /// Length of the write-ahead log, which may have all the rows.
    log_len: u64,
    changed: SystemTime,
    /// True if the database is read as an immutable file, without locks, journal and log.
    immutable: bool,
}

impl Source {
    fn of(path: &Path) -> Result<Self, ReadError> {
        let path = path.canonicalize()?;
        let mut head = Vec::new();
        let file = File::open(&path)?;
        let metadata = file.metadata()?;
        file.take(HEAD_LEN).read_to_end(&mut head)?;
        let wal_mode = head.get(WRITE_VERSION) == Some(&WAL);
        let (len, changed) = (metadata.len(), metadata.modified()?);
        let mut source = Self { path, len, log_len: 0, changed, immutable: wal_mode };
        if !wal_mode || source.len_of("-wal")? == 0 {
            return Ok(source);
        }
        source.log_len = source.len_of("-wal")?;
        // Rows are in the write-ahead log, and SQLite finds them by its index, the third file. It
        // would make that file where there is none, and leave it there.
        match source.beside("-shm").exists() {
            true => Ok(Self { immutable: false, ..source }),
            false => Err(ReadError::Content(format!(
                "`{0}-wal` has changes that are not in it yet, and `{0}-shm` is missing: put them \
                 in with sqlite3 '{0}' 'PRAGMA wal_checkpoint(TRUNCATE)'",
                shown(&source.path)
            ))),
        }
    }

    /// Returns the path of another file of the database.
    fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(end);
        name.into()
    }

    /// Returns the length of another file of the database, or 0 if there is none.
    fn len_of(&self, end: &str) -> io::Result<u64> {
        match std::fs::metadata(self.beside(end)) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn open(&self) -> Result<Connection, ReadError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // In rollback mode reading leaves no other files, and takes the locks that keep it right.
        let opened = match self.immutable {
            true => Connection::open_with_flags(
                format!("file:{}?immutable=1", percent_encoded(&self.path)),
                flags | OpenFlags::SQLITE_OPEN_URI,
            ),
            false => Connection::open_with_flags(&self.path, flags),
        };
        opened.map_err(fault)
    }

    /// Checks that no program has changed the files that were read without locks.
    fn unchanged(&self) -> Result<(), ReadError> {
        let metadata = std::fs::metadata(&self.path)?;
        let same = metadata.len() == self.len && metadata.modified()? == self.changed;
        match !self.immutable || (same && self.len_of("-wal")? == 0) {
            true => Ok(()),
            false => {
                Err(ReadError::Content("it was changed while it was read: try again".to_owned()))
            }
        }
    }

    fn explain(&self, error: rusqlite::Error) -> ReadError {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => ReadError::Content(format!(
                "`packets` takes too long for a database of {} bytes: if it is a view, copy its \
                 rows into a table",
                self.len
            )),
            Some(ErrorCode::OutOfMemory) => ReadError::Content(format!(
                "reading it takes more than {} MiB of memory",
                HEAP_MAX >> 20
            )),
            Some(ErrorCode::ReadOnly) if self.len_of("-journal").is_ok_and(|len| len > 0) => {
                ReadError::Content(format!(
                    "`{0}-journal` is of a change that was not finished: have it undone with \
                     sqlite3 '{0}' 'PRAGMA user_version'",
                    shown(&self.path)
                ))
            }
            _ => fault(error),
        }
    }
}

/// Length of the part of a database's head that says how it is written.
const HEAD_LEN: u64 = 20;

/// Offset of the journal mode in the head, and its value for write-ahead logging.
const WRITE_VERSION: usize = 18;
const WAL: u8 = 2;

/// Returns a path as part of a URI.
fn percent_encoded(path: &Path) -> String {
    let mut text = String::new();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' => text.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => text.push(byte.into()),
            byte => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

/// Reads a row of a [`select`] query.
fn wide<'a>(row: &'a Row<'_>) -> Result<Wide<'a>, String> {
    let text = |at: usize| match row.get_ref(at) {
        Ok(ValueRef::Text(text)) => {
            std::str::from_utf8(text).map(Some).map_err(|error| format!("{}: {error}", COLUMNS[at]))
        }
        Ok(ValueRef::Null) => Ok(None),
        _ => Err(format!("{} is no text, or longer than {VALUE_MAX} bytes", COLUMNS[at])),
    };
    let integer = |at: usize| match row.get_ref(at) {
        Ok(ValueRef::Integer(number)) => Ok(Some(number)),
        Ok(ValueRef::Null) => Ok(None),
        _ => Err(format!("{} is no integer", COLUMNS[at])),
    };
    fn there<T>(at: usize, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("{} is null", COLUMNS[at]))
    }
    Ok(Wide {
        symbol: there(0, text(0)?)?,
        side: there(1, text(1)?)?,
        quantity: there(2, integer(2)?)?,
        price: there(3, integer(3)?)?,
        sequence: there(4, integer(4)?)?,
        arrived: integer(5)?,
        origin: text(6)?,
    })
}

fn fault(error: rusqlite::Error) -> ReadError {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory,
        ) => ReadError::Io(io::Error::other(error)),
        // Also what is no database at all, and a table that is none of ours.
        _ => ReadError::Content(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::write::PACKETS;
    use super::*;
    use crate::error::Exit;
    use crate::format::testing::read_file;
    use crate::format::{Arrival, Format};
    use feed::wire::Messages;
    use rusqlite::StatementStatus;

    #[test]
    fn errors_say_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        for (rows, message) in [
            ("", "no such table: packets"),
            ("CREATE TABLE packets (symbol)", "`packets` has no column buySellIndicator"),
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
                database.execute_batch(&format!("BEGIN;{PACKETS}")).unwrap();
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

    /// Makes a database and lets `read_file` say what is wrong with it.
    fn complaint(sql: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let error = read_file(&path, Format::Sqlite).unwrap_err();
        assert_eq!(error.exit(), Exit::Storage);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{sql}");
        error.to_string()
    }

    const ROW: &str = "SELECT 'A' AS symbol, 'B' AS buySellIndicator, 1 AS quantity, 2 AS price";

    #[test]
    fn views_are_tables_as_long_as_they_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let counting = |end: &str| {
            format!(
                "CREATE VIEW packets AS WITH RECURSIVE n(sequence) AS
                    (SELECT 1 UNION ALL SELECT sequence + 1 FROM n {end})
                SELECT * FROM ({ROW}), n;"
            )
        };
        let view = counting("WHERE sequence < 1000");
        Connection::open(&path).unwrap().execute_batch(&view).unwrap();
        assert_eq!(read_file(&path, Format::Sqlite).unwrap().len(), 1000);
        let endless = complaint(&counting(""));
        assert!(endless.contains("`packets` takes too long"), "{endless}");
    }

    #[test]
    fn tables_take_a_small_part_of_the_steps_that_they_may() {
        let folder = tempfile::tempdir().unwrap();
        for (name, key) in [("a.db", "INTEGER PRIMARY KEY"), ("b.db", "")] {
            let path = folder.path().join(name);
            let database = Connection::open(&path).unwrap();
            // As short as rows can be.
            let create = format!(
                "CREATE TABLE packets (symbol, buySellIndicator, quantity, price, sequence {key});
                WITH RECURSIVE n(sequence) AS
                    (SELECT 1 UNION ALL SELECT sequence + 1 FROM n WHERE sequence < 20000)
                INSERT INTO packets SELECT '', 'B', 0, 0, sequence FROM n;"
            );
            database.execute_batch(&create).unwrap();
            let source = Source::of(&path).unwrap();
            let mut select = database.prepare(&select(&database, &source).unwrap().0).unwrap();
            let mut rows = select.query([]).unwrap();
            while rows.next().unwrap().is_some() {}
            drop(rows);
            let steps = u64::try_from(select.get_status(StatementStatus::VmStep)).unwrap();
            let most = source.len * STEPS_A_BYTE / 5;
            assert!(steps > 20_000 && steps < most, "{name}: {steps}, {most}");
        }
    }

    #[test]
    fn what_views_take_is_bounded() {
        let from =
            |sequence: &str| format!("CREATE VIEW packets AS {ROW}, {sequence} AS sequence;");
        // One value that is too large for any row, and many that are together.
        let large = complaint(&from("length(hex(zeroblob(600000)))"));
        assert!(large.contains("too big"), "{large}");
        let views = (0..64)
            .map(|at| format!("CREATE VIEW v{} AS SELECT a.x FROM v{at} a, v{at} b;", at + 1));
        let views: String = views.collect();
        let nested = format!("CREATE TABLE v0 (x); {views}{}", from("(SELECT x FROM v64)"));
        let nested = complaint(&nested);
        assert!(nested.contains("memory") || nested.contains("too"), "{nested}");
        let named =
            |len: usize| complaint(&from("1").replace("'A'", &format!("'{}'", "A".repeat(len))));
        assert!(named(VALUE_MAX).contains("row 1: symbol \"AAAA"));
        let long = named(VALUE_MAX + 1);
        assert!(long.contains("row 1: symbol is no text, or longer than 256 bytes"), "{long}");
    }

    #[test]
    fn columns_may_be_in_any_order_and_without_the_last_two() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch(
                "CREATE TABLE packets (note, SEQUENCE, price, quantity, buySellIndicator, symbol);
                INSERT INTO packets VALUES (NULL, 2, -1, 5, 'S', 'AB'), ('', 1, 1, 1, 'B', 'C')",
            )
            .unwrap();
        let rows = read_file(&path, Format::Sqlite).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1], (*b"AB  S\0\0\0\x05\xff\xff\xff\xff\0\0\0\x02", Arrival::UNKNOWN));
    }

    /// Lists the content of a folder by name.
    fn files(folder: &Path) -> std::collections::BTreeMap<std::ffi::OsString, Vec<u8>> {
        let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect()
    }

    /// The table, made in this way of writing and without a lock.
    fn create(mode: &str) -> String {
        format!("PRAGMA journal_mode = {mode};{PACKETS}")
    }

    fn insert(sequence: u32) -> String {
        format!("INSERT INTO packets {ROW}, {sequence}, NULL, NULL;")
    }

    #[test]
    fn databases_of_others_are_read_right_and_left_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x%?#.db");
        let other = Connection::open(&path).unwrap();
        let count = || read_file(&path, Format::Sqlite).map(|rows| rows.len());
        other.execute_batch(&create("WAL")).unwrap();
        other.execute_batch("PRAGMA wal_autocheckpoint = 0;").unwrap();
        other.execute_batch(&insert(1)).unwrap();
        // Others have it open, and what they have written is in the log alone.
        assert_eq!(count().unwrap(), 1);
        other.execute_batch(&insert(2)).unwrap();
        assert_eq!(count().unwrap(), 2);

        // The same where the other program has died: a copy of what it left.
        let left = tempfile::tempdir().unwrap();
        let copy = left.path().join("x.db");
        for end in ["", "-wal", "-shm"] {
            let from = format!("{}{end}", path.display());
            std::fs::copy(from, format!("{}{end}", copy.display())).unwrap();
        }
        assert_eq!(read_file(&copy, Format::Sqlite).unwrap().len(), 2);
        let names = |folder: &Path| files(folder).into_keys().collect::<Vec<_>>();
        assert_eq!(names(left.path()), ["x.db", "x.db-shm", "x.db-wal"]);
        std::fs::remove_file(format!("{}-shm", copy.display())).unwrap();
        let before = files(left.path());
        let error = read_file(&copy, Format::Sqlite).unwrap_err().to_string();
        assert!(error.contains("x.db-wal` has changes") && error.contains("checkpoint"), "{error}");
        assert_eq!(files(left.path()), before);

        // No process has it open: the file alone is read, and no other file appears beside it.
        drop(other);
        let before = files(folder.path());
        assert_eq!(count().unwrap(), 2);
        assert_eq!(files(folder.path()), before);
        assert_eq!(before.len(), 1);
    }

    #[test]
    fn an_unfinished_change_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch(&create("DELETE")).unwrap();
        // So that the change does not stay in memory.
        other.execute_batch("PRAGMA cache_size = 1;").unwrap();
        (1..500).for_each(|sequence| other.execute_batch(&insert(sequence)).unwrap());
        other.execute_batch("BEGIN; UPDATE packets SET price = 3;").unwrap();
        let left = tempfile::tempdir().unwrap();
        for name in files(folder.path()).keys() {
            std::fs::copy(folder.path().join(name), left.path().join(name)).unwrap();
        }
        let before = files(left.path());
        assert_eq!(before.len(), 2);
        let error = read_file(&left.path().join("x.db"), Format::Sqlite).unwrap_err().to_string();
        assert!(error.contains("x.db-journal` is of a change that was not finished"), "{error}");
        assert_eq!(files(left.path()), before);
    }

    #[test]
    fn a_change_without_locks_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch(&create("WAL")).unwrap();
        other.execute_batch(&insert(1)).unwrap();
        drop(other);
        let mut take = |_: Messages<'_>, _| {
            let other = Connection::open(&path).unwrap();
            other.execute_batch(&insert(2)).unwrap();
            Ok(())
        };
        let error = read(&path, &mut take).unwrap_err();
        assert!(
            matches!(error, ReadError::Content(reason) if reason.contains("was changed while"))
        );
    }
}
