//! Files and folders that only their owner can access.
//!
//! SQLite gives the WAL and its index the mode of the database, so the database exists before SQLite opens it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::JournalError;

const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Creates a folder if it is missing, and its parents. Warns of one that other users can access.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        return fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE));
    }
    let mode = fs::metadata(folder)?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let (folder, mode) = (folder.display(), format!("{mode:04o}"));
        tracing::warn!(%folder, mode, "other users can access the data folder; run chmod 0700 on it");
    }
    Ok(())
}

/// Creates a folder, whose parent must exist, with mode 0700 whatever the umask. Fails if it exists.
pub(super) fn create_new_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER_MODE).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))
}

/// Opens a file for writing, with mode 0600 whatever the umask, and creates it if it is missing.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    restrict(path);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(FILE_MODE).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.permissions().mode() & 0o777 != FILE_MODE {
        // Only its owner may do this. `restrict` has warned of the file of another user.
        let _ = file.set_permissions(Permissions::from_mode(FILE_MODE));
    }
    Ok(file)
}

/// Creates the database if it is missing, and takes other users' access to the database, its WAL and the index.
///
/// An existing database is not opened: closing it would release SQLite's locks on it in this process.
pub(super) fn make_database_private(path: &Path) -> io::Result<()> {
    for file in ["-wal", "-shm"] {
        restrict(&beside(path, file));
    }
    if path.try_exists()? {
        restrict(path);
        return Ok(());
    }
    open_private(path).map(drop)
}

/// The file whose name is that of the database with a suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Sets the mode of an existing file to 0600.
pub(super) fn restrict(path: &Path) {
    let Ok(metadata) = fs::metadata(path) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    // A link may lead to a device, whose mode is not ours.
    if !metadata.is_file() || mode & 0o077 == 0 {
        return;
    }
    let (file, mode) = (path.display(), format!("{mode:04o}"));
    match fs::set_permissions(path, Permissions::from_mode(FILE_MODE)) {
        Ok(()) => tracing::warn!(%file, mode, "other users could access the file; its mode is 0600 now"),
        Err(error) => tracing::warn!(%file, mode, %error, "other users can access the file; run chmod 0600 on it"),
    }
}

/// Syncs a folder: without a synced directory entry, a power failure could lose a file.
pub(super) fn sync_folder(folder: &Path) -> Result<(), JournalError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| JournalError::FolderUnsynced { path: folder.to_owned(), source })
}

/// Size of a file in bytes; 0 if it is missing.
pub(super) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}
