//! One pass over a document notes where a string can end: quotes, backslashes and control characters.

/// Bytes per step of the pass.
const BLOCK: usize = 16;

/// A bit for every byte of a document that ends a run of plain string characters.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// 16 bits for each block, little endian, and after the last one nothing but ones: a search always ends.
    bits: Vec<u8>,
}

impl Index {
    /// Indexes a document; tells whether all of it is ASCII.
    pub fn build(&mut self, document: &[u8]) -> bool {
        let (blocks, rest) = document.as_chunks::<BLOCK>();
        // A word for each block, one for the rest, and four of ones. What an earlier document left behind these stays.
        let needed = 2 * blocks.len() + 10;
        if self.bits.len() < needed {
            self.bits.resize(needed, 0xff);
        }
        let (words, end) = self.bits[..needed].as_chunks_mut::<2>().0.split_at_mut(blocks.len());
        let high = mark_stops(blocks, words);
        end.fill([0xff; 2]);
        let last = last_block(document, rest.len());
        let last_high = mark_stops(&[last], &mut end[..1]);
        !(high | last_high)
    }

    /// Position of the first stop at or after `at`; the document's length or more if there is none.
    #[inline]
    pub fn next(&self, mut at: usize) -> usize {
        loop {
            let Some(word) = self.bits.get(at / 8..).and_then(|bits| bits.first_chunk()) else {
                return usize::MAX;
            };
            let bits = u64::from_le_bytes(*word) >> (at % 8);
            if bits != 0 {
                return at + bits.trailing_zeros() as usize;
            }
            at += 64 - at % 8;
        }
    }
}

/// The last `rest` bytes of the document, fewer than a block, and spaces behind them.
#[inline]
fn last_block(document: &[u8], rest: usize) -> [u8; BLOCK] {
    const SPACES: u128 = u128::from_le_bytes([b' '; BLOCK]);
    match document.last_chunk::<BLOCK>() {
        // A shift and no copy, whose length would be guessed wrong.
        Some(last) => {
            let skip = 8 * (BLOCK - rest) as u32;
            let bytes = u128::from_le_bytes(*last).checked_shr(skip).unwrap_or(0);
            (bytes | SPACES.checked_shl(128 - skip).unwrap_or(0)).to_le_bytes()
        }
        None => {
            let mut block = [b' '; BLOCK];
            block[..rest].copy_from_slice(document);
            block
        }
    }
}

/// Writes a bit for each stop in the blocks; tells whether any byte is not ASCII.
#[cfg(target_arch = "x86_64")]
#[inline]
fn mark_stops(blocks: &[[u8; BLOCK]], words: &mut [[u8; 2]]) -> bool {
    use std::arch::x86_64::*;
    // SAFETY: this needs nothing but SSE2, which every x86_64 has; and the load is of a whole block, at any alignment.
    unsafe {
        let (quote, backslash, last_control) = (_mm_set1_epi8(0x22), _mm_set1_epi8(0x5c), _mm_set1_epi8(0x1f));
        let mut all = _mm_setzero_si128();
        for (block, word) in blocks.iter().zip(words) {
            let bytes = _mm_loadu_si128(block.as_ptr().cast());
            all = _mm_or_si128(all, bytes);
            let ends = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
            let controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes);
            *word = (_mm_movemask_epi8(_mm_or_si128(ends, controls)) as u16).to_le_bytes();
        }
        _mm_movemask_epi8(all) != 0
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn mark_stops(blocks: &[[u8; BLOCK]], words: &mut [[u8; 2]]) -> bool {
    for (block, word) in blocks.iter().zip(words) {
        let stop = |i: usize| u16::from(matches!(block[i], b'"' | b'\\' | ..0x20)) << i;
        *word = (0..BLOCK).fold(0, |stops, i| stops | stop(i)).to_le_bytes();
    }
    !blocks.as_flattened().is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![20 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\'), 400 => b'a'..=b'z']
    }

    proptest! {
        #[test]
        fn every_stop_is_found_and_nothing_else(document in prop::collection::vec(byte(), 0..300)) {
            let mut index = Index::default();
            index.build(&[b'"'; 400]);
            prop_assert_eq!(index.build(&document), document.is_ascii());
            for at in 0..=document.len() {
                let expected = document[at..].iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).map(|n| n + at);
                prop_assert_eq!(Some(index.next(at)).filter(|&stop| stop < document.len()), expected);
            }
        }
    }
}
