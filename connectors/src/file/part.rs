//! The names of the files that a sink makes visible: `part-<epoch>-<task>.<extension>`.

use std::path::Path;

use tidegate_runtime::{Epoch, Error, Result};

/// The name of one task's file of one epoch. Names sort as epochs and tasks do, up to 99 999 of each.
pub(crate) fn part_name(epoch: Epoch, subtask: usize, extension: &str) -> String {
    format!("part-{:05}-{subtask:05}.{extension}", epoch.number())
}

/// The epoch in a name that [`part_name`] could have made; `None` for any other name.
pub(crate) fn epoch_of(name: &str) -> Option<Epoch> {
    let (numbers, extension) = name.strip_prefix("part-")?.split_once('.')?;
    let (epoch, subtask) = numbers.split_once('-')?;
    let epoch = Epoch::new(epoch.parse().ok()?);
    (part_name(epoch, subtask.parse().ok()?, extension) == name).then_some(epoch)
}

/// All part files of a directory, as names with their epochs.
pub(crate) fn part_files(dir: &Path) -> Result<Vec<(String, Epoch)>> {
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let name = entry.map_err(Error::io("list", dir))?.file_name();
        let part = name.to_str().and_then(|name| Some((name.to_owned(), epoch_of(name)?)));
        parts.extend(part);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (epoch, name) in [(0, "part-00000-00003.csv"), (123_456, "part-123456-00003.csv")] {
            assert_eq!(part_name(Epoch::new(epoch), 3, "csv"), name);
            assert_eq!(epoch_of(name), Some(Epoch::new(epoch)));
        }
        for foreign in
            ["part-00000-0a1b.csv", "part-0-0.csv", "part-00000.csv", "part-00000-00001", "data.csv", "part-+0001-00001.csv"]
        {
            assert_eq!(epoch_of(foreign), None, "{foreign}");
        }
    }
}
