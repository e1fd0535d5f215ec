//! A disk that loses its power: which contents a folder may have when everything up to a moment was asked for, and
//! only what was synced is sure to be there.
//!
//! - A sector (512 bytes) is whole: it has any of the contents that it had in memory since its file was last
//!   synced. Each sector is chosen for itself, so writes are dropped, torn and reordered.
//! - A file's length is any that it had since then.
//! - Names (creation, removal, renaming) are sure when their folder was synced; of the others some first ones
//!   are there.
//! - What a failed sync did not bring to the disk no later sync brings there, unless it is written again: so does
//!   Linux, which takes those pages for clean.

use std::collections::{BTreeMap, HashMap};

use super::recording::Record;

const SECTOR: usize = 512;
/// Memory is written back by pages.
const PAGE: usize = 4_096;

/// A source of chance that a number sets.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Below `bound`, which is above zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let bound = u64::try_from(bound).expect("it fits");
        usize::try_from((self.0 >> 11) % bound).expect("it is below one that fits")
    }
}

type Sector = [u8; SECTOR];

/// A file in memory and on the disk.
#[derive(Clone, Default)]
struct File {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// What sectors have been since the last sync, oldest first.
    dirty: BTreeMap<usize, Vec<Sector>>,
    /// The same for sectors whose sync failed, and that were not written since.
    lost: BTreeMap<usize, Vec<Sector>>,
    sizes: Vec<usize>,
}

impl File {
    fn sector(bytes: &[u8], number: usize) -> Sector {
        let mut sector = [0; SECTOR];
        let from = (number * SECTOR).min(bytes.len());
        let to = (from + SECTOR).min(bytes.len());
        sector[..to - from].copy_from_slice(&bytes[from..to]);
        sector
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
            self.sizes.push(end);
        }
        self.now[at..end].copy_from_slice(bytes);
        let pages = (at / PAGE * PAGE)..end.next_multiple_of(PAGE);
        for number in pages.start / SECTOR..pages.end / SECTOR {
            let is_touched = number * SECTOR < end && (number + 1) * SECTOR > at;
            if let Some(lost) = self.lost.remove(&number) {
                self.dirty.insert(number, lost);
            } else if !is_touched {
                continue;
            }
            let sector = File::sector(&self.now, number);
            self.dirty.entry(number).or_default().push(sector);
        }
    }

    fn cut(&mut self, size: usize) {
        let touched = size.min(self.now.len()) / SECTOR..self.now.len().div_ceil(SECTOR);
        self.now.resize(size, 0);
        self.sizes.push(size);
        for number in touched {
            let sector = File::sector(&self.now, number);
            self.dirty.entry(number).or_default().push(sector);
        }
    }

    fn sync(&mut self) {
        self.durable.resize(self.now.len(), 0);
        for number in std::mem::take(&mut self.dirty).into_keys() {
            let from = (number * SECTOR).min(self.now.len());
            let to = (from + SECTOR).min(self.now.len());
            self.durable[from..to].copy_from_slice(&self.now[from..to]);
        }
        self.sizes.clear();
    }

    fn fail_to_sync(&mut self) {
        self.lost.append(&mut self.dirty);
    }

    /// What is found there after the power went out. `eager`: of a hundred sectors that are not synced, so many
    /// were written back all the same as they last were.
    fn survivor(&self, eager: usize, dice: &mut Dice) -> Vec<u8> {
        let mut found = self.durable.clone();
        if let Some(last) = self.sizes.last() {
            let is_last = dice.below(100) < eager;
            let size = match dice.below(self.sizes.len() + 1) {
                _ if is_last => *last,
                0 => self.durable.len(),
                number => self.sizes[number - 1],
            };
            found.resize(size, 0);
        }
        for (number, versions) in self.lost.iter().chain(&self.dirty) {
            let is_last = dice.below(100) < eager;
            let version = match dice.below(versions.len() + 1) {
                _ if is_last => versions.last().expect("a dirty sector was written"),
                0 => continue,
                number => &versions[number - 1],
            };
            let from = (number * SECTOR).min(found.len());
            let to = (from + SECTOR).min(found.len());
            found[from..to].copy_from_slice(&version[..to - from]);
        }
        found
    }
}

/// Change of a name that the folder's sync makes sure.
#[derive(Clone)]
enum Name {
    Is(String, usize),
    IsGone(String),
}

fn rename(names: &mut BTreeMap<String, usize>, change: &Name) {
    match change {
        Name::Is(name, file) => drop(names.insert(name.clone(), *file)),
        Name::IsGone(name) => drop(names.remove(name)),
    }
}

/// Do syncs count? The test that finds nothing without them finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncs {
    Count,
    AreForgotten,
}

/// A folder of files in memory and on the disk.
pub(crate) struct Disk {
    syncs: Syncs,
    files: Vec<File>,
    by_inode: HashMap<u64, usize>,
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    unsynced: Vec<Name>,
}

impl Disk {
    /// With what was there, and on the disk, before the first record.
    pub(crate) fn new(before: &[(String, Vec<u8>)], syncs: Syncs) -> Disk {
        let file = |bytes: &Vec<u8>| File {
            now: bytes.clone(),
            durable: bytes.clone(),
            ..File::default()
        };
        let files = before.iter().map(|(_, bytes)| file(bytes)).collect();
        let names: BTreeMap<String, usize> =
            before.iter().enumerate().map(|(number, (name, _))| (name.clone(), number)).collect();
        let (durable, by_inode) = (names.clone(), HashMap::new());
        Disk { syncs, files, by_inode, names, durable, unsynced: Vec::new() }
    }

    pub(crate) fn take(&mut self, record: &Record) {
        match record {
            Record::Opened { name, file } => {
                let known = self.names.get(name).expect("what is opened was created");
                self.by_inode.insert(*file, *known);
            }
            Record::Created { name, file } => {
                self.files.push(File::default());
                self.by_inode.insert(*file, self.files.len() - 1);
                self.is_named(Name::Is(name.clone(), self.files.len() - 1));
            }
            Record::Written { file, at, bytes } => self.file(*file).write(*at, bytes),
            Record::Cut { file, size } => self.file(*file).cut(*size),
            Record::Synced { file } if self.syncs == Syncs::Count => self.file(*file).sync(),
            Record::NotSynced { file } => self.file(*file).fail_to_sync(),
            Record::Removed { name } => self.is_named(Name::IsGone(name.clone())),
            Record::Linked { from, to } => {
                let file = self.names[from];
                self.is_named(Name::Is(to.clone(), file));
            }
            Record::Renamed { from, to } => {
                let file = self.names[from];
                self.is_named(Name::Is(to.clone(), file));
                self.is_named(Name::IsGone(from.clone()));
            }
            Record::FolderSynced if self.syncs == Syncs::Count => {
                self.durable = self.names.clone();
                self.unsynced.clear();
            }
            Record::Synced { .. } | Record::FolderSynced | Record::Sent { .. } => {}
        }
    }

    fn file(&mut self, inode: u64) -> &mut File {
        &mut self.files[self.by_inode[&inode]]
    }

    fn is_named(&mut self, change: Name) {
        rename(&mut self.names, &change);
        self.unsynced.push(change);
    }

    /// The folder after a loss of power now: names and contents.
    pub(crate) fn survivors(&self, dice: &mut Dice) -> Vec<(String, Vec<u8>)> {
        let eager = [0, 25, 50, 90, 100][dice.below(5)];
        let mut names = self.durable.clone();
        for change in &self.unsynced[..dice.below(self.unsynced.len() + 1)] {
            rename(&mut names, change);
        }
        let found = names.into_iter();
        found.map(|(name, file)| (name, self.files[file].survivor(eager, dice))).collect()
    }
}
