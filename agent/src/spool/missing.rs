//! Which contents are not there, in the ways in which they can be asked for: by number, by digest, by pack.

use super::{ContentRow, Contents, SpoolError, State};
use skiff_protocol::Ranges;
use skiff_protocol::limits::MAX_DIGESTS;

impl Contents {
    /// The numbers of such contents that are not in their files, ready to be asked for: nothing of
    /// them counts as arrived. What is asked for already is left out.
    pub fn missing(&self, which: fn(&ContentRow) -> bool) -> Result<Ranges, SpoolError> {
        let mut ranges = Ranges::new();
        for number in 0..self.count() {
            let Some(row) = self.get(number)? else { break };
            if row.is_wanted() && which(&row) {
                ranges.insert(number);
                self.put(number, &ContentRow { arrived: 0, state: State::Pending, ..row })?;
            }
        }
        Ok(ranges)
    }

    /// The same of the first contents, as many as can be asked for by digest, and these digests.
    pub fn missing_digests(&self) -> Result<(Ranges, Vec<u8>), SpoolError> {
        let (mut ranges, mut digests) = (Ranges::new(), Vec::new());
        for number in 0..self.count() {
            let Some(row) = self.get(number)? else { break };
            if !row.is_wanted() {
                continue;
            }
            if digests.len() == 32 * MAX_DIGESTS {
                break;
            }
            ranges.insert_if_room(number, number);
            if !ranges.contains(number) {
                break;
            }
            digests.extend_from_slice(&row.sha256.0);
            self.put(number, &ContentRow { arrived: 0, state: State::Pending, ..row })?;
        }
        Ok((ranges, digests))
    }

    /// Calls `visit` with the contents from packs that are not in their files and not asked for urgently.
    pub fn each_missing(&self, mut visit: impl FnMut(&ContentRow)) -> Result<(), SpoolError> {
        for number in 0..self.count() {
            let Some(row) = self.get(number)? else { break };
            if row.is_wanted() && row.is_packed() {
                visit(&row);
            }
        }
        Ok(())
    }

    /// Whether bytes of some content are there.
    pub fn has_some(&self) -> Result<bool, SpoolError> {
        for number in 0..self.count() {
            if self.get(number)?.is_some_and(|row| !row.state.is_missing() || row.arrived > 0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The packs of the plan all of whose bytes arrived; nothing if there are no others. Contents are ready to go on
    /// where the first of the others begins. What is asked for urgently counts as there.
    pub fn arrived_packs(&self, pack_len: u32) -> Result<Option<Ranges>, SpoolError> {
        let pack_len = u64::from(pack_len.max(1));
        let number = |offset: u64| u32::try_from(offset / pack_len).unwrap_or(u32::MAX);
        let mut have = Ranges::new();
        // The first pack that nothing is known of yet.
        let mut next = 0;
        let mut all = true;
        for content in 0..self.count() {
            let Some(row) = self.get(content)? else { break };
            if !row.is_packed() || !row.is_wanted() {
                continue;
            }
            let missing = number(row.offset.saturating_add(row.arrived.min(row.size - 1)));
            if next < missing {
                have.insert_if_room(next, missing - 1);
            }
            next = next.max(number(row.offset + (row.size - 1)).saturating_add(1));
            all = false;
            let begins = u64::from(missing) * pack_len;
            let arrived = row.arrived.min(begins.saturating_sub(row.offset));
            if row.arrived != arrived {
                self.put(content, &ContentRow { arrived, ..row })?;
            }
        }
        if all {
            return Ok(None);
        }
        let packs = number(self.space().saturating_add(pack_len - 1));
        if next < packs {
            have.insert_if_room(next, packs - 1);
        }
        Ok(Some(have))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::*;
    use skiff_protocol::Digest;

    #[test]
    fn a_stream_goes_on_with_the_packs_that_did_not_arrive() {
        let directory = tempfile::tempdir().unwrap();
        let mut contents = Contents::create(directory.path()).unwrap();
        // Packs of ten bytes:  0000011111 2222222222 2222222222 2222233333 444
        for size in [5, 5, 25, 5, 3] {
            contents.push(Digest([0; 32]), size, Origin::Pack).unwrap().unwrap();
        }
        let change = |number: u32, arrived: u64, state: State| {
            let row = contents.get(number).unwrap().unwrap();
            contents.put(number, &ContentRow { arrived, state, ..row }).unwrap();
        };
        let packs = || {
            let have = contents.arrived_packs(10).unwrap();
            have.map(|have| (0..9).filter(|&pack| have.contains(pack)).collect::<Vec<_>>())
        };
        assert_eq!(packs(), Some(vec![]));
        change(0, 5, State::Done);
        change(1, 4, State::Pending);
        assert_eq!(packs(), Some(vec![]));
        assert_eq!(contents.get(1).unwrap().unwrap().arrived, 0, "its pack is sent again");
        change(1, 5, State::Done);
        change(2, 19, State::Pending);
        assert_eq!(packs(), Some(vec![0, 1]));
        assert_eq!(contents.get(2).unwrap().unwrap().arrived, 10);
        change(3, 5, State::Filled);
        change(2, 20, State::Pending);
        assert_eq!(packs(), Some(vec![0, 1, 2]));
        assert_eq!(contents.get(2).unwrap().unwrap().arrived, 20);
        change(4, 0, State::Urgent);
        assert_eq!(packs(), Some(vec![0, 1, 2, 4]));
        change(2, 25, State::Done);
        assert_eq!(packs(), None);
    }
}
