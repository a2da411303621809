//! What of one file is on the medium, and what may be after a power cut.

use rand_core::Rng;

/// The unit that a medium writes whole or not at all, in bytes. Larger ones exist; tearing at the
/// smallest is the harder test.
const SECTOR: usize = 512;

/// A change that was not synced.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Resize(usize),
}

/// One file: its synced bytes, and what came since.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// What surely survives; `None` if the file itself may be gone.
    synced: Option<Vec<u8>>,
    since: Vec<Change>,
    /// Deleted since, which may not have reached the medium.
    deleted: bool,
}

/// How a power cut treats the changes of a file that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The cache was lost whole.
    All,
    /// The cache had just been written.
    Nothing,
    /// Only the first ones, in order.
    Tail,
    /// Each by itself: reordered.
    Some,
    /// Each sector of each by itself: reordered and torn.
    Sectors,
}

impl Loss {
    pub(crate) fn draw(rng: &mut impl Rng) -> Self {
        match rng.next_u32() % 8 {
            0 => Self::All,
            1 => Self::Nothing,
            2 => Self::Tail,
            3 | 4 => Self::Some,
            _ => Self::Sectors,
        }
    }
}

impl Model {
    /// A file that lies there since before anybody looked.
    pub(crate) fn found(content: Vec<u8>) -> Self {
        Self { synced: Some(content), since: Vec::new(), deleted: false }
    }

    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) {
        self.since.push(Change::Write { offset, data: data.to_vec() });
    }

    pub(crate) fn resize(&mut self, size: usize) {
        self.since.push(Change::Resize(size));
    }

    pub(crate) fn delete(&mut self, durably: bool) {
        self.deleted = true;
        self.since.clear();
        if durably {
            self.settle_deletion();
        }
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// The folder was synced.
    pub(crate) fn settle_deletion(&mut self) {
        if self.deleted {
            self.synced = None;
        }
    }

    /// Everything so far is on the medium, the file's name too. Was the file new?
    pub(crate) fn sync(&mut self) -> bool {
        let is_new = self.synced.is_none();
        let mut content = self.synced.take().unwrap_or_default();
        for change in std::mem::take(&mut self.since) {
            apply(&mut content, &change);
        }
        self.synced = Some(content);
        is_new
    }

    /// The file as the power cut leaves it; `None` if there is none. It is what is synced from then on.
    pub(crate) fn cut(&mut self, loss: Loss, rng: &mut impl Rng) -> Option<Vec<u8>> {
        let since = std::mem::take(&mut self.since);
        // A deletion, and the name of a file that never was synced, are entries of the folder.
        let entry_survives = loss == Loss::Nothing || (loss != Loss::All && rng.next_u32().is_multiple_of(2));
        let is_there = match (&self.synced, self.deleted) {
            (Some(_), true) => !entry_survives,
            (Some(_), false) => true,
            (None, deleted) => !deleted && entry_survives,
        };
        self.deleted = false;
        if !is_there {
            self.synced = None;
            return None;
        }
        let mut content = self.synced.take().unwrap_or_default();
        let first_lost = usize::try_from(rng.next_u32()).unwrap_or_default() % (since.len() + 1);
        for (index, change) in since.iter().enumerate() {
            match loss {
                Loss::All => {}
                Loss::Nothing => apply(&mut content, change),
                Loss::Tail if index < first_lost => apply(&mut content, change),
                Loss::Tail => {}
                Loss::Some if rng.next_u32().is_multiple_of(2) => apply(&mut content, change),
                Loss::Some => {}
                Loss::Sectors => apply_torn(&mut content, change, rng),
            }
        }
        self.synced = Some(content.clone());
        Some(content)
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Resize(size) => content.resize(*size, 0),
        Change::Write { offset, data } => {
            let end = offset + data.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            if let Some(place) = content.get_mut(*offset..end) {
                place.copy_from_slice(data);
            }
        }
    }
}

fn apply_torn(content: &mut Vec<u8>, change: &Change, rng: &mut impl Rng) {
    let Change::Write { offset, data } = change else {
        if rng.next_u32().is_multiple_of(2) {
            apply(content, change);
        }
        return;
    };
    let mut at = *offset;
    let mut rest = data.as_slice();
    while !rest.is_empty() {
        let (sector, after) = rest.split_at((SECTOR - at % SECTOR).min(rest.len()));
        if rng.next_u32().is_multiple_of(2) {
            apply(content, &Change::Write { offset: at, data: sector.to_vec() });
        }
        at += sector.len();
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn rng(seed: u64) -> ChaCha12Rng {
        ChaCha12Rng::seed_from_u64(seed)
    }

    #[test]
    fn what_was_synced_survives_every_cut() {
        for seed in 0..200 {
            let mut rng = rng(seed);
            let mut model = Model::default();
            model.write(0, &[1; 2_000]);
            model.sync();
            model.write(3_000, &[2; 2_000]);
            let loss = Loss::draw(&mut rng);
            let content = model.cut(loss, &mut rng).unwrap();
            assert_eq!(content[..2_000], [1; 2_000]);
        }
    }

    #[test]
    fn unsynced_writes_are_kept_lost_reordered_and_torn() {
        let after = |loss, seed| {
            let mut model = Model::found(vec![0; 2_048]);
            model.write(0, &[1; 1_024]);
            model.write(1_024, &[2; 1_024]);
            model.cut(loss, &mut rng(seed)).unwrap()
        };
        assert!(after(Loss::All, 0).iter().all(|byte| *byte == 0));
        assert!(after(Loss::Nothing, 0).iter().all(|byte| *byte != 0));
        let kinds = |loss| {
            let contents: std::collections::BTreeSet<Vec<u8>> = (0..200).map(|seed| after(loss, seed)).collect();
            contents.len()
        };
        assert_eq!(kinds(Loss::Tail), 3);
        // The second without the first: reordered.
        assert_eq!(kinds(Loss::Some), 4);
        assert_eq!(kinds(Loss::Sectors), 16);
    }

    #[test]
    fn a_new_file_and_a_deletion_may_be_lost_until_they_are_synced() {
        let mut fates = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let mut new = Model::default();
            new.write(0, b"new");
            let mut gone = Model::found(b"old".to_vec());
            gone.delete(false);
            fates.insert((
                new.cut(Loss::Some, &mut rng(seed)).is_some(),
                gone.cut(Loss::Some, &mut rng(seed + 1_000)).is_some(),
            ));
        }
        assert_eq!(fates.len(), 4);
    }
}
