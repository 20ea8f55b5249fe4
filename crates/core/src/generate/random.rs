//! Counter-based randomness: the draws of item `n` depend on the seed and `n` alone. A generator with a running state
//! would have to be replayed from its beginning to get at one event.

use std::convert::Infallible;

use rand::{Rng, TryRng};

/// SplitMix64, begun at a state that is hashed from seed, number and purpose. Small, the same on every platform, and good
/// enough for test data; not for secrets.
pub(super) struct Draws(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draws {
    /// The draws of item `n`. Different purposes of the same item draw independently of each other.
    pub fn new(seed: u64, n: u64, purpose: u64) -> Self {
        Draws(mix(mix(mix(seed.wrapping_add(purpose)).wrapping_add(GOLDEN)).wrapping_add(n)))
    }

    /// Uniform in `0..bound`. The bias of at most `bound / 2^32` does not matter here.
    pub fn below(&mut self, bound: u32) -> u32 {
        (((self.next_u64() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl TryRng for Draws {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|bits| (bits >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(GOLDEN);
        Ok(mix(self.0))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

/// SplitMix64's finalizer: every bit of the input moves every bit of the output.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
