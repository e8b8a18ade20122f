//! The file of the write-ahead log.

use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;

use super::files;

/// Counts the pages of the WAL from now on.
pub(super) fn count_wal_pages(connection: &mut Connection) -> rusqlite::Result<Arc<AtomicI64>> {
    let pages = Arc::new(AtomicI64::new(0));
    let counted = pages.clone();
    let count = move |_: &mut Wal, pages: c_int| {
        counted.store(pages.into(), Ordering::Relaxed);
        Ok(())
    };
    connection.wal_hook(Some(count))?;
    Ok(pages)
}

/// Sets whether the WAL stays beside the database when the connection is closed.
pub(super) fn keep_wal_on_close(connection: &Connection, keep: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop)
}

/// The file of the database's WAL.
pub(super) fn wal_file(path: &Path) -> PathBuf {
    files::beside(path, "-wal")
}
