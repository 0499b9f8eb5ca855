//! The record of what a file sink committed to an object store, which has no file that can be added to.
//!
//! ```text
//! _tidegate_manifest/owner                      whose output it is: the first line of a file system's manifest
//! _tidegate_manifest/00000000000000000064       the line of an epoch
//! _tidegate_manifest/00000000000000000063.all   the lines of all epochs up to one
//! ```
//!
//! An epoch is committed by the one request that puts its line, if there is none: two runs of a query can't both commit it. Each
//! 64 epochs all lines are put together, so that a reader has few to ask for.

use std::path::PathBuf;

use tidegate_runtime::{Epoch, Error, Result};

use super::listing::FileState;
use super::manifest::{Content, MANIFEST, Owner, Record, checked_line, header, parse_checked_line};
use crate::objects::Objects;

/// After so many epochs their lines are put together.
const TOGETHER: u64 = 64;

/// The object among those listed that says whose output it is.
pub(crate) fn owner_in(listed: &[FileState]) -> Option<&FileState> {
    let path = path_of("owner");
    listed.iter().find(|object| object.path == path)
}

/// Says whose output it is, if nobody has.
pub(crate) fn claim(objects: &Objects, owner: &Owner) -> Result<bool> {
    objects.create(&path_of("owner"), &header(owner)?)
}

/// What the listed objects of a manifest say; `known` is what was read of it before.
pub(crate) fn read(objects: &Objects, listed: &[FileState], known: Option<Content>) -> Result<Content> {
    let names = || listed.iter().filter_map(|object| object.path.strip_prefix(MANIFEST)?.strip_prefix('/'));
    let together = names().filter_map(|name| name.strip_suffix(".all")?.parse::<u64>().ok()).max().map(Epoch::new);
    let mut content = match (known, together) {
        (Some(known), together) if known.last() >= together => known,
        (_, Some(epoch)) => content_of(objects, &together_name(epoch))?,
        (_, None) => content_of(objects, "owner")?,
    };
    // A long listing comes in pieces of different moments, which may have an epoch and not the one before: so the lines are asked for one
    // after the other, until there is none.
    let listed: Vec<Epoch> = names().filter_map(|name| name.parse::<u64>().ok()).map(Epoch::new).collect();
    let first = || listed.iter().min().copied().unwrap_or(Epoch::FIRST);
    loop {
        let epoch = content.last().map_or_else(first, Epoch::next);
        let name = epoch_name(epoch);
        let Some(bytes) = objects.read(&path_of(&name))? else { break };
        let record = parse_checked_line::<Record>(&bytes).filter(|record| record.epoch == epoch);
        let record = record.ok_or_else(|| Error::damaged(place(objects, &name), "it does not pass its check"))?;
        content.add(&place(objects, &name), record)?;
    }
    if let Some(lost) = listed.iter().filter(|epoch| Some(**epoch) > content.last()).min() {
        let what = format!("epoch {lost} is there, and one before it is not");
        return Err(Error::damaged(place(objects, &epoch_name(*lost)), what));
    }
    Ok(content)
}

/// Commits an epoch after those of `content`.
///
/// # Errors
/// Also when another run of the query has committed the epoch, with other files.
pub(crate) fn commit(objects: &Objects, content: &mut Content, record: Record) -> Result<()> {
    let (epoch, name) = (record.epoch, epoch_name(record.epoch));
    if !objects.create(&path_of(&name), &checked_line(&record)?)? {
        return Err(Error::user(format!(
            "[CONCURRENT_STREAM_LOG_UPDATE] epoch {epoch} of the output in {} was committed by another run of this query: let only one \
             run at a time",
            objects.url()
        )));
    }
    content.add(&place(objects, &name), record)?;
    if (epoch.number() + 1).is_multiple_of(TOGETHER) {
        put_together(objects, content, epoch);
    }
    Ok(())
}

/// This only saves time: without it the lines are read one by one.
fn put_together(objects: &Objects, content: &Content, epoch: Epoch) {
    let put = || -> Result<()> {
        objects.create(&path_of(&together_name(epoch)), &content.to_bytes()?)?;
        // What readers may be reading now stays: the lines since the time before this one, and what was put together then.
        let Some(before) = epoch.number().checked_sub(TOGETHER) else { return Ok(()) };
        let first = (before + 1).saturating_sub(TOGETHER);
        for old in (first..=before).map(Epoch::new) {
            objects.remove(&path_of(&epoch_name(old)))?;
        }
        let older = before.checked_sub(TOGETHER).map(Epoch::new);
        older.map_or(Ok(()), |older| objects.remove(&path_of(&together_name(older))))
    };
    if let Err(error) = put() {
        tracing::warn!(%error, %epoch, output = objects.url(), "the lines of a manifest can't be put together");
    }
}

fn content_of(objects: &Objects, name: &str) -> Result<Content> {
    Content::parse(&place(objects, name), &bytes_of(objects, name)?)
}

fn bytes_of(objects: &Objects, name: &str) -> Result<Vec<u8>> {
    let gone = || {
        let place = place(objects, name);
        Error::user(format!(
            "{} was listed and is gone: the output was removed, or changed much while it was read",
            place.display()
        ))
    };
    objects.read(&path_of(name))?.ok_or_else(gone)
}

fn place(objects: &Objects, name: &str) -> PathBuf {
    PathBuf::from(format!("{}/{}", objects.url(), path_of(name)))
}

fn path_of(name: &str) -> String {
    format!("{MANIFEST}/{name}")
}

fn epoch_name(epoch: Epoch) -> String {
    format!("{:020}", epoch.number())
}

fn together_name(epoch: Epoch) -> String {
    format!("{:020}.all", epoch.number())
}
