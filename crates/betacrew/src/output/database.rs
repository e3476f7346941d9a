//! Replacing an SQLite database, which is several files: what has not been written to the database
//! itself is in a journal or a write-ahead log beside it, and SQLite applies what it finds there to
//! whatever has the database's name.

use super::place::database_sidecars;
use crate::storage::{Durability, sync_folder};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// Time that another process has to end its transaction in the old database.
const PATIENCE: Duration = Duration::from_secs(2);

/// First bytes of a database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Step that was done last, for tests that end everything there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum DatabaseStep {
    /// The old database has all its rows in its own file, and is locked.
    AtRest,
    /// One of the files beside it was removed.
    Removed,
    /// The new database has the name.
    Put,
}

/// Puts a database at `place` by `put`, so that at every instant the name leads to all of the old
/// rows or all of the new ones.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] where another process uses the old database; errors of `put` and
/// of the system. The old database still stands there then.
pub(super) fn replace(
    place: &Path,
    durability: Durability,
    put: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    replace_by_steps(place, durability, put, &mut |_| Ok(()))
}

/// The order of the steps protects readers, even if the process is killed between two of them:
///
/// 1. SQLite itself closes the old database: it rolls back rows that were not committed, writes the
///    committed ones into the database's own file, and removes its journal and log. Removing these
///    files directly could remove rows, or leave half of a transaction.
/// 2. The old database stays locked, so that no process can begin another journal or log.
/// 3. Files that are left beside it belong to nothing: to a database that was removed, or that
///    SQLite cannot read. They go before the new database comes, for SQLite would apply them
///    to it.
/// 4. The new database takes the name.
fn replace_by_steps(
    place: &Path,
    durability: Durability,
    put: impl FnOnce() -> io::Result<()>,
    step: &mut dyn FnMut(DatabaseStep) -> io::Result<()>,
) -> io::Result<()> {
    let _locked = bring_to_rest(place)?;
    step(DatabaseStep::AtRest)?;
    for sidecar in database_sidecars(place) {
        match fs::remove_file(&sidecar) {
            // With the end of its name it can be too long for any file to have it.
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename
                ) =>
            {
                return Err(error);
            }
            _ => step(DatabaseStep::Removed)?,
        }
    }
    if durability == Durability::Synced {
        // The names must not come back after a loss of power, beside the new database.
        sync_folder(place)?;
    }
    put()?;
    step(DatabaseStep::Put)
}

/// Has SQLite finish what was begun with the database at `place`, and locks it for as long as what
/// this returns is kept. `None` where there is no database.
fn bring_to_rest(place: &Path) -> io::Result<Option<Connection>> {
    if !is_database(place)? {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // SQLite takes a relative name such as `file:x` for a URI.
    let absolute = std::path::absolute(place)?;
    let settled = Connection::open_with_flags(absolute, flags).and_then(|database| {
        database.busy_timeout(PATIENCE)?;
        // This writes the log's rows into the database; no other process may have it open then.
        database.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
        database.execute_batch("BEGIN EXCLUSIVE; SELECT count(*) FROM sqlite_schema;")?;
        Ok(database)
    });
    match settled {
        Ok(database) => Ok(Some(database)),
        Err(error) => match error.sqlite_error_code() {
            // SQLite has done what it could with it: there is nothing to be kept from harm.
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Ok(None),
            // A database that cannot be changed is at rest if nothing lies beside it.
            Some(ErrorCode::ReadOnly) if !has_sidecars(place) => Ok(None),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another process has this database open: close it there, or name another file",
            )),
            _ => Err(io::Error::other(error)),
        },
    }
}

/// Returns whether `place` is a database. Its first bytes never change, so that no journal has to
/// restore them; a journal beside another file would only damage that.
fn is_database(place: &Path) -> io::Result<bool> {
    let file = match File::open(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let mut begin = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    Ok(begin == MAGIC)
}

fn has_sidecars(place: &Path) -> bool {
    database_sidecars(place).any(|sidecar| sidecar.exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const ROWS: usize = 2000;

    fn database(path: &Path, value: &str) -> Connection {
        let database = Connection::open(path).unwrap();
        // No loss of power is tested here.
        database.execute_batch("PRAGMA synchronous = OFF").unwrap();
        database.execute_batch("CREATE TABLE packets (value TEXT)").unwrap();
        fill(&database, value);
        database
    }

    fn fill(database: &Connection, value: &str) {
        let rows = format!(
            "BEGIN; DELETE FROM packets;
            WITH RECURSIVE row(at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM row WHERE at < {ROWS})
            INSERT INTO packets SELECT '{value}' FROM row;
            COMMIT;"
        );
        database.execute_batch(&rows).unwrap();
    }

    /// The value of all rows, as SQLite finds it. What it finds must be sound.
    fn found(path: &Path) -> String {
        let database = Connection::open(path).unwrap();
        let text = |query: &str| database.query_row(query, [], |row| row.get(0)).unwrap();
        let sound: String = text("PRAGMA integrity_check");
        assert_eq!(sound, "ok");
        let rows: String = text("SELECT min(value) || max(value) || count(*) FROM packets");
        let value = &rows[..3];
        assert_eq!(rows, format!("{value}{value}{ROWS}"));
        value.to_owned()
    }

    /// Copies a database and what is beside it, as a process that dies now leaves them.
    fn dies(database: &Path, folder: &Path) -> PathBuf {
        let place = folder.join("x.sqlite");
        fs::copy(database, &place).unwrap();
        for (from, to) in database_sidecars(database).zip(database_sidecars(&place)) {
            if from.exists() {
                fs::copy(from, to).unwrap();
            }
        }
        place
    }

    /// Rows in a write-ahead log.
    fn with_log(folder: &Path, place: &Path) -> PathBuf {
        let path = folder.join("from.sqlite");
        let from = database(&path, "too old");
        from.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
        fill(&from, "old");
        dies(&path, place)
    }

    /// Half of a transaction in the database, and the journal that undoes it.
    fn with_journal(folder: &Path, place: &Path) -> PathBuf {
        let path = folder.join("from.sqlite");
        let from = database(&path, "old");
        let before = fs::read(&path).unwrap();
        from.execute_batch("PRAGMA cache_size = 2; BEGIN; UPDATE packets SET value = 'half'")
            .unwrap();
        assert_ne!(fs::read(&path).unwrap(), before, "nothing would have to be undone");
        dies(&path, place)
    }

    /// A log of a database that is gone.
    fn without_database(folder: &Path, place: &Path) -> PathBuf {
        let place = with_log(folder, place);
        fs::remove_file(&place).unwrap();
        place
    }

    /// A log beside what is no database.
    fn beside_text(folder: &Path, place: &Path) -> PathBuf {
        let place = with_journal(folder, place);
        fs::copy(place.with_extension("sqlite-journal"), place.with_extension("sqlite-wal"))
            .unwrap();
        fs::write(&place, "my notes, which are longer than the head of a database").unwrap();
        place
    }

    /// Runs the replacement up to its step `end`; returns whether it has finished.
    fn run(place: &Path, new: &Path, durability: Durability, end: usize) -> bool {
        let mut steps = 0;
        let done = replace_by_steps(place, durability, || fs::rename(new, place), &mut |_| {
            steps += 1;
            if steps > end { Err(io::Error::other("killed")) } else { Ok(()) }
        });
        done.is_ok()
    }

    #[test]
    fn at_every_step_the_name_leads_to_all_old_rows_or_all_new_ones() {
        for (scene, old) in [
            (with_log as fn(&Path, &Path) -> PathBuf, Some("old")),
            (with_journal, Some("old")),
            (without_database, None),
            (beside_text, None),
        ] {
            for durability in [Durability::Buffered, Durability::Synced] {
                let mut ended = false;
                for end in 0..10 {
                    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir());
                    let place = scene(other.unwrap().path(), folder.path());
                    let new = folder.path().join("new");
                    drop(database(&new, "new"));
                    ended = run(&place, &new, durability, end);
                    let put = !new.exists();
                    match old {
                        _ if put => assert_eq!(found(&place), "new", "step {end}"),
                        Some(old) => assert_eq!(found(&place), old, "step {end}"),
                        None => assert!(!place.exists() || !is_sound(&place)),
                    }
                    assert!(put || !ended);
                    if ended {
                        break;
                    }
                }
                assert!(ended);
            }
        }
    }

    fn is_sound(place: &Path) -> bool {
        fs::read(place).unwrap().starts_with(MAGIC)
    }

    #[test]
    fn without_these_steps_readers_find_old_rows_or_damage() {
        // Shows that the test above can fail.
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let place = with_log(other.path(), folder.path());
        let new = folder.path().join("new");
        drop(database(&new, "new"));
        fs::rename(&new, &place).unwrap();
        let found = Connection::open(&place).unwrap().query_row(
            "SELECT min(value) FROM packets",
            [],
            |row| row.get::<_, String>(0),
        );
        assert_ne!(found.ok().as_deref(), Some("new"));
    }

    #[test]
    fn a_database_that_is_open_elsewhere_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (place, new) = (folder.path().join("x.sqlite"), folder.path().join("new"));
        let other = database(&place, "old");
        other.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
        fill(&other, "old");
        drop(database(&new, "new"));
        let refused =
            replace(&place, Durability::Buffered, || fs::rename(&new, &place)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy, "{refused}");
        assert_eq!(found(&place), "old");
        drop(other);
        replace(&place, Durability::Buffered, || fs::rename(&new, &place)).unwrap();
        assert_eq!(found(&place), "new");
    }
}
