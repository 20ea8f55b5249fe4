//! An order-free 128-bit sum over a task's live entries: two states are the same when their fingerprints are.

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

/// Entries up to this size, bytes, are put together on the stack to be hashed.
const USUAL_SIZE: usize = 256;

/// Hash of one entry's key and value bytes as they were written to the changelog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryHash([u64; 2]);

impl EntryHash {
    /// Hashes the pair; the key's length goes in, so that bytes cannot move from key to value unnoticed.
    pub fn of(key: &[u8], value: &[u8]) -> Self {
        // Piece by piece would first set up half a kilobyte of hasher.
        let mut whole = SmallVec::<[u8; USUAL_SIZE]>::new();
        for piece in [&(key.len() as u64).to_le_bytes(), key, value] {
            whole.extend_from_slice(piece);
        }
        let hash = xxh3_128(&whole);
        EntryHash([hash as u64, (hash >> 64) as u64])
    }

    /// 16 bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.value().to_be_bytes()
    }

    fn value(self) -> u128 {
        u128::from(self.0[0]) | u128::from(self.0[1]) << 64
    }
}

/// The sum, modulo 2^128, of the hashes of all live entries. Adding and removing need only the entry's hash, so that
/// overwriting, merging and expiry cost no second encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(u128);

impl Fingerprint {
    pub fn add(&mut self, hash: EntryHash) {
        self.0 = self.0.wrapping_add(hash.value());
    }

    pub fn remove(&mut self, hash: EntryHash) {
        self.0 = self.0.wrapping_sub(hash.value());
    }

    /// 16 bytes, big endian.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Fingerprint::to_bytes`]; `None` if there are not 16 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Fingerprint(u128::from_be_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_additions_does_not_matter_and_removal_undoes() {
        let [a, b, c] = [("a", "1"), ("b", "2"), ("c", "3")].map(|(k, v)| EntryHash::of(k.as_bytes(), v.as_bytes()));
        let sum = |hashes: &[EntryHash]| {
            let mut sum = Fingerprint::default();
            hashes.iter().for_each(|&hash| sum.add(hash));
            sum
        };
        assert_eq!(sum(&[a, b, c]), sum(&[c, a, b]));
        let mut without_b = sum(&[a, b, c]);
        without_b.remove(b);
        assert_eq!(without_b, sum(&[a, c]));
        assert_ne!(without_b, sum(&[a, b]));
    }

    #[test]
    fn the_hash_is_that_of_the_pieces_one_after_the_other() {
        for length in [0, 1, 100, 231, 232, 240, 248, 249, 256, 1_000, 10_000] {
            let value: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let mut pieces = xxhash_rust::xxh3::Xxh3::new();
            pieces.update(&3_u64.to_le_bytes());
            pieces.update(b"key");
            pieces.update(&value);
            assert_eq!(EntryHash::of(b"key", &value).value(), pieces.digest128(), "{length}");
        }
    }

    #[test]
    fn the_border_between_key_and_value_counts() {
        assert_ne!(EntryHash::of(b"ab", b"c"), EntryHash::of(b"a", b"bc"));
    }
}
