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
        self.bits.clear();
        self.bits.resize(document.len() / 8 + 16, 0xff);
        let (words, _) = self.bits.as_chunks_mut::<2>();
        let mut ascii = true;
        for (block, word) in blocks.iter().zip(&mut *words) {
            let (stops, plain) = stops(block);
            *word = stops.to_le_bytes();
            ascii &= plain;
        }
        let mut last = [0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        // The zeros after the end are control characters, thus stops.
        let (stops, plain) = stops(&last);
        words[blocks.len()] = stops.to_le_bytes();
        ascii & plain
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

/// A bit for each stop in the block, and whether it is all ASCII.
#[cfg(target_arch = "x86_64")]
#[inline]
fn stops(block: &[u8; BLOCK]) -> (u16, bool) {
    use std::arch::x86_64::*;
    let (low, high) = block.split_at(8);
    let word = |half: &[u8]| half.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
    // SAFETY: they need nothing but SSE2, which every x86_64 has; none of them touches memory.
    unsafe {
        let bytes = _mm_set_epi64x(word(high), word(low));
        let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        let controls = _mm_cmpeq_epi8(_mm_max_epu8(bytes, _mm_set1_epi8(0x1f)), _mm_set1_epi8(0x1f));
        let stops = _mm_or_si128(_mm_or_si128(quotes, backslashes), controls);
        (_mm_movemask_epi8(stops) as u16, _mm_movemask_epi8(bytes) == 0)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn stops(block: &[u8; BLOCK]) -> (u16, bool) {
    let stops = (0..BLOCK).fold(0, |stops, i| stops | u16::from(matches!(block[i], b'"' | b'\\' | ..0x20)) << i);
    (stops, block.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_stop_is_found_and_nothing_else(document in prop::collection::vec(prop_oneof![20 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\'), 400 => b'a'..b'z'], 0..300)) {
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
