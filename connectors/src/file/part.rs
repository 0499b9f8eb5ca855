//! The names of the files that a sink makes visible: `part-<epoch>-<task>.<extension>`, and `part-<epoch>-<task>-<n>.<extension>` for
//! the further ones of a task. In an object store `<n>` is a name that nobody has ever used: what is there is never written again.

use std::path::Path;

use tidegate_runtime::{Epoch, Error, Result};
use uuid::Uuid;

use super::listing::below;
use super::partitions::is_partition;

/// The name of one task's file number `n` of one epoch. Names sort as epochs and tasks do, up to 99 999 of each.
pub(crate) fn part_name(epoch: Epoch, subtask: usize, n: usize, extension: &str) -> String {
    let n = if n == 0 { String::new() } else { format!("-{n:05}") };
    format!("part-{:05}-{subtask:05}{n}.{extension}", epoch.number())
}

/// The epoch in a name that [`part_name`] could have made; `None` for any other name.
pub(crate) fn epoch_of(name: &str) -> Option<Epoch> {
    let (numbers, extension) = name.strip_prefix("part-")?.split_once('.')?;
    let (epoch, rest) = numbers.split_once('-')?;
    let (subtask, n) = rest.split_once('-').unwrap_or((rest, "0"));
    let epoch = Epoch::new(epoch.parse().ok()?);
    (part_name(epoch, subtask.parse().ok()?, n.parse().ok()?, extension) == name).then_some(epoch)
}

/// A name for one task's file of one epoch that no other run of the epoch gives.
pub(crate) fn unique_part_name(epoch: Epoch, subtask: usize, extension: &str) -> String {
    format!("part-{:05}-{subtask:05}-{}.{extension}", epoch.number(), Uuid::new_v4().simple())
}

/// The epoch in a name that [`unique_part_name`] could have made; `None` for any other name.
pub(crate) fn unique_epoch_of(name: &str) -> Option<Epoch> {
    let (numbers, _) = name.strip_prefix("part-")?.split_once('.')?;
    let (epoch, rest) = numbers.split_once('-')?;
    let (subtask, unique) = rest.split_once('-')?;
    let is_number = |text: &str| text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_unique = unique.len() == 32 && unique.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_number(epoch) && is_number(subtask) && is_unique).then(|| epoch.parse().ok().map(Epoch::new)).flatten()
}

/// All part files of a directory and its partitions, as paths below it with their epochs.
pub(crate) fn part_files(dir: &Path) -> Result<Vec<(String, Epoch)>> {
    let (mut parts, mut directories) = (Vec::new(), vec![String::new()]);
    while let Some(directory) = directories.pop() {
        let full = dir.join(&directory);
        for entry in std::fs::read_dir(&full).map_err(Error::io("list", &full))? {
            let entry = entry.map_err(Error::io("list", &full))?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let path = below(&directory, &name);
            if let Some(epoch) = epoch_of(&name) {
                parts.push((path, epoch));
            } else if is_partition(&name) && full.join(&name).is_dir() {
                directories.push(path);
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_names_are_read_back() {
        let names = [0, 123_456].map(|epoch| unique_part_name(Epoch::new(epoch), 3, "csv.gz"));
        assert_eq!(names.each_ref().map(|name| unique_epoch_of(name)), [Some(Epoch::new(0)), Some(Epoch::new(123_456))]);
        assert_ne!(names[0], unique_part_name(Epoch::new(0), 3, "csv.gz"));
        for foreign in
            ["part-00000-00003.csv", "part-00000-00003-00001.csv", "part-0-0-0123456789abcdef0123456789abcdef.csv", "x"]
        {
            assert_eq!(unique_epoch_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn names_are_read_back() {
        let names = [(0, 0, "part-00000-00003.csv"), (123_456, 0, "part-123456-00003.csv"), (1, 2, "part-00001-00003-00002.csv")];
        for (epoch, n, name) in names {
            assert_eq!(part_name(Epoch::new(epoch), 3, n, "csv"), name);
            assert_eq!(epoch_of(name), Some(Epoch::new(epoch)));
        }
        for foreign in [
            "part-00000-0a1b.csv",
            "part-0-0.csv",
            "part-00000.csv",
            "part-00000-00001",
            "part-00000-00001-00000.csv",
            "data.csv",
            "part-+0001-00001.csv",
        ] {
            assert_eq!(epoch_of(foreign), None, "{foreign}");
        }
    }
}
