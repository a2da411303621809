//! The disk: its folders, what is to go wrong in each, and what was done.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use crate::model::{Loss, Model};
use crate::vfs;

/// SQLite would not take the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("SQLite refused the virtual file system (code {0})")]
pub struct InstallError(pub(crate) i32);

/// SQLite's default file system in this process, for the folders that were named to it.
#[derive(Debug, Default)]
pub struct Disk {
    folders: Mutex<HashMap<PathBuf, Arc<Mutex<State>>>>,
}

/// One folder, with faults and counts of its own: tests beside each other do not meet.
#[derive(Debug, Clone)]
pub struct Folder(Arc<Mutex<State>>);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// No space is left (`SQLITE_FULL`).
    Full,
    /// The medium fails (`SQLITE_IOERR_WRITE` and the like).
    Io,
    /// The folder became read-only (`SQLITE_READONLY`).
    ReadOnly,
}

/// When something goes wrong: at operations `from`, `from + 1`, …, `count` of them, counted from 1
/// and from the call of [`Folder::fail`] on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// The first operation that fails; 1 is the next one.
    pub from: u64,
    /// How many fail; `u64::MAX` for all that follow.
    pub count: u64,
}

/// What was done to the files of a folder since it was first named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes.
    pub writes: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Syncs: each waits for the medium.
    pub syncs: u64,
    /// Truncations and deletions.
    pub others: u64,
}

impl Counts {
    /// All operations that change a file, or wait for it: what faults and cuts are counted in.
    #[must_use]
    pub fn operations(self) -> u64 {
        self.writes + self.syncs + self.others
    }
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<PathBuf, Model>,
    counts: Counts,
    /// Counted in operations since the folder was first named.
    fault: Option<Fault>,
    cut: Option<(u64, u64)>,
    is_off: bool,
    /// What else the power drives.
    when_cut: Option<fn()>,
}

/// An operation that changes a file, or waits for it.
#[derive(Debug)]
pub(crate) enum Operation<'a> {
    Write {
        offset: usize,
        data: &'a [u8],
    },
    Resize(usize),
    Sync,
    /// Durable at once if SQLite asked to sync the folder as well.
    Delete {
        durably: bool,
    },
}

/// Why an operation was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    PowerIsOff,
    Fault(FaultKind),
}

impl Disk {
    /// Makes the disk SQLite's default in this process, once; later calls return the same.
    ///
    /// # Errors
    /// [`InstallError`] with SQLite's code.
    pub fn install() -> Result<&'static Self, InstallError> {
        static DISK: OnceLock<Result<&'static Disk, InstallError>> = OnceLock::new();
        *DISK.get_or_init(|| {
            // SQLite keeps it until the process ends.
            let disk: &'static Disk = Box::leak(Box::default());
            vfs::register(disk).map(|()| disk)
        })
    }

    /// The folder that holds the databases in question. From now on their files are this disk's; files
    /// in folders that were never named stay the file system's.
    pub fn folder(&self, path: &Path) -> Folder {
        Folder(Arc::clone(self.lock().entry(real(path)).or_default()))
    }

    /// The folder of `file`, if somebody named it.
    pub(crate) fn folder_of(&self, file: &Path) -> Option<Folder> {
        let folder = real(file.parent().unwrap_or(Path::new(".")));
        self.lock().get(&folder).map(|state| Folder(Arc::clone(state)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Mutex<State>>>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same folder under two names would have two sets of faults.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

impl Folder {
    /// Cuts the power at the operation `operation` from now (1 is the next): it and whatever was not
    /// synced before it may be lost, torn or reordered, as `seed` decides. Everything fails from then
    /// on, until [`restore_power`](Self::restore_power).
    pub fn cut_power_at(&self, operation: u64, seed: u64) {
        let mut state = self.lock();
        state.cut = Some((state.counts.operations() + operation, seed));
    }

    /// Cuts the power at once.
    pub fn cut_power(&self, seed: u64) {
        self.lock().cut_now(seed);
    }

    /// Called when the power is cut, after the last byte has reached a file: a whole process may end
    /// there.
    pub fn when_cut(&self, end: fn()) {
        self.lock().when_cut = Some(end);
    }

    /// Is the power off?
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.lock().is_off
    }

    /// The power is back, no cut and no fault is to come. Databases must be opened anew.
    pub fn restore_power(&self) {
        let mut state = self.lock();
        state.is_off = false;
        state.cut = None;
        state.fault = None;
    }

    /// Lets operations fail.
    pub fn fail(&self, fault: Fault) {
        let mut state = self.lock();
        let from = state.counts.operations().saturating_add(fault.from);
        state.fault = Some(Fault { from, ..fault });
    }

    /// What was done so far. Operations that were refused count too.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// A database or its log is opened: from now on the disk knows it.
    pub(crate) fn opened(&self, path: &Path) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.is_off {
            return Err(Refusal::PowerIsOff);
        }
        let on_disk = fs::read(path).ok();
        match (state.files.get_mut(path), on_disk) {
            // Made again after a deletion that is not on the medium yet: the old bytes are gone.
            (Some(model), _) if model.is_deleted() => *model = Model::default(),
            (Some(_), Some(_)) => {}
            // Not known, or moved away behind SQLite's back.
            (_, Some(content)) => drop(state.files.insert(path.to_owned(), Model::found(content))),
            (_, None) => drop(state.files.insert(path.to_owned(), Model::default())),
        }
        Ok(())
    }

    /// Counts the operation, lets what is due go wrong, remembers what may be lost, and does it. All
    /// under one lock: nothing reaches a file after the power was cut.
    pub(crate) fn perform(
        &self,
        path: &Path,
        operation: &Operation<'_>,
        really: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.is_off {
            return Err(Refusal::PowerIsOff);
        }
        match operation {
            Operation::Write { data, .. } => {
                state.counts.writes += 1;
                state.counts.bytes += u64::try_from(data.len()).unwrap_or_default();
            }
            Operation::Sync => state.counts.syncs += 1,
            Operation::Resize(_) | Operation::Delete { .. } => state.counts.others += 1,
        }
        let now = state.counts.operations();
        if let Some(fault) = state.fault.filter(|fault| now >= fault.from && now - fault.from < fault.count) {
            return Err(Refusal::Fault(fault.kind));
        }
        let cut = state.cut.filter(|(at, _)| now >= *at);
        let model = state.files.entry(path.to_owned()).or_default();
        match operation {
            Operation::Write { offset, data } => model.write(*offset, data),
            Operation::Resize(size) => model.resize(*size),
            // A sync that the cut interrupts has promised nothing.
            Operation::Sync if cut.is_some() => {}
            // SQLite syncs the folder with the first sync of a new file: its deletions are durable then.
            Operation::Sync if model.sync() => state.files.values_mut().for_each(Model::settle_deletion),
            Operation::Sync => {}
            Operation::Delete { durably } => model.delete(*durably && cut.is_none()),
        }
        match cut {
            Some((_, seed)) => {
                state.cut_now(seed);
                Err(Refusal::PowerIsOff)
            }
            None => really().map_err(|_| Refusal::Fault(FaultKind::Io)),
        }
    }

    pub(crate) fn check_power(&self) -> Result<(), Refusal> {
        if self.lock().is_off { Err(Refusal::PowerIsOff) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn cut_now(&mut self, seed: u64) {
        self.is_off = true;
        self.cut = None;
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut files: Vec<_> = self.files.iter_mut().collect();
        // A map has no order of its own, and a seed must always mean the same.
        files.sort_by(|a, b| a.0.cmp(b.0));
        for (path, model) in files {
            let loss = Loss::draw(&mut rng);
            let left = match model.cut(loss, &mut rng) {
                Some(content) => fs::write(path, content),
                None => fs::remove_file(path),
            };
            // Nobody reads the folder between the cut and the next start; a file that was not there
            // cannot be removed.
            drop(left.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }));
        }
        if let Some(end) = self.when_cut {
            end();
        }
    }
}
