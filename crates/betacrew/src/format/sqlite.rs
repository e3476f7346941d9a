//! SQLite database with the table `packets`.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::{SqliteTableWriter, SqliteWriter};
