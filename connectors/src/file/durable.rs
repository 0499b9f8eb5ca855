//! The few file operations that must reach the disk.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use tidegate_runtime::{Error, Result};

/// Makes the names in a directory durable: a file that was renamed or created in it is found after a power failure.
pub(crate) fn sync_directory(dir: &Path) -> Result<()> {
    // Elsewhere a directory can't be opened as a file, and the file system orders renames itself.
    if cfg!(unix) { File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir)) } else { Ok(()) }
}

/// Writes a small file so that it is there whole or not at all.
pub(crate) fn write_whole(dir: &Path, name: &str, content: &[u8]) -> Result<()> {
    let hidden = dir.join(format!(".{name}.tmp"));
    let mut file = File::create(&hidden).map_err(Error::io("create", &hidden))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(Error::io("write", &hidden))?;
    std::fs::rename(&hidden, dir.join(name)).map_err(Error::io("rename", &hidden))?;
    sync_directory(dir)
}

/// Creates the directory of this path below `dir`, durably.
pub(crate) fn create_directory(dir: &Path, path: &str) -> Result<()> {
    let mut parent = dir.to_path_buf();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let child = parent.join(name);
        match std::fs::create_dir(&child) {
            Ok(()) => sync_directory(&parent)?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", child)(error)),
        }
        parent = child;
    }
    Ok(())
}

/// Removes a file, if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    if_there(std::fs::remove_file(path), path)
}

/// Removes a directory and what is in it, if it is there.
pub(crate) fn remove_directory(path: &Path) -> Result<()> {
    if_there(std::fs::remove_dir_all(path), path)
}

fn if_there(removed: std::io::Result<()>, path: &Path) -> Result<()> {
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}
