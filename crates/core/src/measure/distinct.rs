//! `distinct`: how many different items there were.
//!
//! Few are known exactly, by their hashes. Beyond that it is a HyperLogLog sketch (Flajolet, Fusy, Gandouet, Meunier
//! 2007), whose number is told by Ertl's estimator: it needs no tables and is unbiased from the first item on (O.
//! Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", arXiv:1702.01284, algorithm 6).
//!
//! A state is a function of the set of items: not of their order, not of how it was merged. That is why it is no
//! crate's: those that are well kept remember the order of updates to estimate better (HIP).

use xxhash_rust::xxh3::xxh3_64;

use super::{Form, Known, Occurrence, Rules, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

/// How exact a sketch is: it has `2^precision` registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision(u8);

impl Default for Precision {
    /// 1.6 %, in 4 KiB at most.
    fn default() -> Self {
        Precision(12)
    }
}

impl Precision {
    const LEAST: u8 = 6;
    const MOST: u8 = 16;

    /// The smallest sketch whose standard error is at most this; `None` if there is none.
    pub fn with_error(error: f64) -> Option<Precision> {
        (Self::LEAST..=Self::MOST).map(Precision).find(|precision| precision.error() <= error)
    }

    /// Standard error of an estimate, as a fraction of it.
    pub fn error(self) -> f64 {
        1.04 / (self.registers() as f64).sqrt()
    }

    pub fn registers(self) -> usize {
        1 << self.0
    }

    /// So many items are known by their hashes, which take half the room of the registers then.
    pub fn most_hashes(self) -> usize {
        self.registers() / 16
    }

    /// The register that a hash belongs to, and what it has at least then: one more than the zeros that the rest of
    /// the hash begins with.
    fn place(self, hash: u64) -> (usize, u8) {
        let register = (hash >> (64 - self.0)) as usize;
        // The bit behind the rest ends a run of zeros.
        let rest = hash << self.0 | 1 << (self.0 - 1);
        (register, rest.leading_zeros() as u8 + 1)
    }

    /// The largest value of a register.
    fn most(self) -> u8 {
        64 - self.0 + 1
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distinct {
    precision: Precision,
    held: Held,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    /// Ascending.
    Hashes(Vec<u64>),
    Registers(Box<[u8]>),
}

impl Distinct {
    /// Their number, and its standard error as a fraction; `None`: it is exact.
    fn estimate(&self) -> (f64, Option<f64>) {
        match &self.held {
            Held::Hashes(hashes) => (hashes.len() as f64, None),
            Held::Registers(registers) => (estimate(registers, self.precision), Some(self.precision.error())),
        }
    }

    #[inline]
    fn add(&mut self, hash: u64) {
        match &mut self.held {
            Held::Hashes(hashes) => {
                if let Err(at) = hashes.binary_search(&hash) {
                    hashes.insert(at, hash);
                    self.settle();
                }
            }
            Held::Registers(registers) => raise(registers, self.precision, hash),
        }
    }

    /// More hashes than are kept become registers.
    fn settle(&mut self) {
        let Held::Hashes(hashes) = &self.held else { return };
        if hashes.len() > self.precision.most_hashes() {
            let mut registers = vec![0; self.precision.registers()].into_boxed_slice();
            hashes.iter().for_each(|&hash| raise(&mut registers, self.precision, hash));
            self.held = Held::Registers(registers);
        }
    }
}

#[inline]
fn raise(registers: &mut [u8], precision: Precision, hash: u64) {
    let (register, value) = precision.place(hash);
    if let Some(held) = registers.get_mut(register) {
        *held = (*held).max(value);
    }
}

/// Ertl's estimator: `m² · α∞ / (m·σ(C₀/m) + Σ Cₖ·2⁻ᵏ + m·τ(1 − C_{q+1}/m)·2^{-q})`, with `Cₖ` registers of the value
/// `k`.
fn estimate(registers: &[u8], precision: Precision) -> f64 {
    let mut counts = [0u32; 65];
    registers.iter().for_each(|&value| counts[usize::from(value)] += 1);
    let m = registers.len() as f64;
    let q = usize::from(precision.most() - 1);
    let mut z = m * tau(1.0 - f64::from(counts[q + 1]) / m);
    for k in (1..=q).rev() {
        z = 0.5 * (z + f64::from(counts[k]));
    }
    z += m * sigma(f64::from(counts[0]) / m);
    m / (2.0 * std::f64::consts::LN_2) * (m / z)
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// What four bits hold at most.
const BEYOND: u8 = 15;

impl Statistic for Distinct {
    type Stored = pb::Distinct;
    type Given = Precision;

    const RULES: Rules = Rules {
        word: "distinct",
        takes: Takes::Item,
        takes_sign: false,
        unit: Some(""),
        form: Form::Estimate,
        shows: &[Known::Value],
        own: Known::Value,
        totals: &[Stat::Own],
        window: &[Stat::Own],
    };

    fn empty(precision: &Precision) -> Distinct {
        Distinct { precision: *precision, held: Held::Hashes(Vec::new()) }
    }

    #[inline]
    fn record(&mut self, Occurrence { item, .. }: Occurrence<'_>, _: &Precision) {
        self.add(xxh3_64(item));
    }

    fn merge(&mut self, other: &Distinct) {
        debug_assert_eq!(self.precision, other.precision);
        match (&mut self.held, &other.held) {
            (Held::Registers(mine), Held::Registers(theirs)) => {
                mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
            }
            (Held::Registers(mine), Held::Hashes(theirs)) => {
                theirs.iter().for_each(|&hash| raise(mine, self.precision, hash));
            }
            (Held::Hashes(mine), Held::Registers(theirs)) => {
                let mut registers = theirs.clone();
                mine.iter().for_each(|&hash| raise(&mut registers, self.precision, hash));
                self.held = Held::Registers(registers);
            }
            (Held::Hashes(mine), Held::Hashes(theirs)) => {
                mine.extend_from_slice(theirs);
                mine.sort_unstable();
                mine.dedup();
                self.settle();
            }
        }
    }

    fn encode(&self) -> pb::Distinct {
        let precision = u32::from(self.precision.0);
        let registers = match &self.held {
            Held::Hashes(hashes) => return pb::Distinct { precision, hashes: hashes.clone(), ..Default::default() },
            Held::Registers(registers) => registers,
        };
        let base = registers.iter().copied().min().unwrap_or_default();
        let above = |value: u8| (value - base).min(BEYOND);
        let pair = |pair: &[u8; 2]| above(pair[0]) | above(pair[1]) << 4;
        let beyond = (0u32..).zip(registers.iter()).filter(|&(_, &value)| above(value) == BEYOND);
        pb::Distinct {
            precision,
            hashes: Vec::new(),
            base: u32::from(base),
            registers: registers.as_chunks::<2>().0.iter().map(pair).collect(),
            beyond: beyond.map(|(register, &value)| register << 6 | u32::from(value)).collect(),
        }
    }

    fn decode(stored: pb::Distinct) -> Option<Distinct> {
        let precision =
            u8::try_from(stored.precision).ok().filter(|p| (Precision::LEAST..=Precision::MOST).contains(p));
        let precision = Precision(precision?);
        if stored.registers.is_empty() {
            let hashes = stored.hashes;
            let sound = hashes.len() <= precision.most_hashes() && hashes.is_sorted_by(|a, b| a < b);
            return sound.then_some(Distinct { precision, held: Held::Hashes(hashes) });
        }
        let base = u8::try_from(stored.base).ok().filter(|&base| base <= precision.most())?;
        let halves = stored.registers.iter().flat_map(|byte| [byte & BEYOND, byte >> 4]);
        let mut registers: Box<[u8]> = halves.map(|above| base + above).collect();
        for beyond in stored.beyond {
            let held = registers.get_mut((beyond >> 6) as usize)?;
            *held = (*held).max((beyond & 63) as u8);
        }
        let sound = registers.len() == precision.registers() && registers.iter().all(|&held| held <= precision.most());
        (sound && stored.hashes.is_empty()).then_some(Distinct { precision, held: Held::Registers(registers) })
    }

    fn fits(&self, precision: &Precision) -> bool {
        self.precision == *precision
    }

    fn stats(&self) -> Stats {
        let (value, error) = self.estimate();
        Stats { value: Some(value.round()), error, ..Stats::default() }
    }

    fn total(&self) -> Total<'_> {
        Total::Gauge(self.stats().value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(precision: Precision, items: impl IntoIterator<Item = u64>) -> Distinct {
        let mut sketch = Distinct::empty(&precision);
        items.into_iter().for_each(|item| sketch.add(xxh3_64(&item.to_le_bytes())));
        sketch
    }

    fn merged(a: &Distinct, b: &Distinct) -> Distinct {
        let mut merged = a.clone();
        merged.merge(b);
        merged
    }

    #[test]
    fn few_are_exact_and_many_within_their_error() {
        let precision = Precision::default();
        let mut worst = 0.0f64;
        for count in [0u64, 1, 2, 255, 256, 257, 1_000, 5_000, 20_000, 100_000, 1_000_000] {
            let (mut squares, runs) = (0.0, if count > 50_000 { 4 } else { 20 });
            for run in 0..runs {
                let (estimate, error) = sketch(precision, (0..count).map(|item| item << 8 | run)).estimate();
                assert_eq!(error.is_none(), count <= 256, "{count}");
                let off = (estimate - count as f64) / (count as f64).max(1.0);
                assert!(count > 256 || off == 0.0, "{count}: {estimate}");
                worst = worst.max(off.abs());
                squares += off * off;
            }
            let off = (squares / runs as f64).sqrt();
            assert!(off <= 1.5 * precision.error(), "{count}: {off}");
        }
        assert!(worst < 4.0 * precision.error(), "{worst}");
    }

    #[test]
    fn an_error_that_is_asked_for_is_kept() {
        let registers = |error| Precision::with_error(error).map(Precision::registers);
        assert_eq!([0.1, 0.02, 0.01, 0.005].map(registers), [Some(128), Some(4_096), Some(16_384), Some(65_536)]);
        assert_eq!(registers(0.001), None);
    }

    #[test]
    fn registers_are_stored_in_half_a_byte_each() {
        use prost::Message;
        let stored = sketch(Precision::default(), 0..1_000_000).encode();
        assert!(stored.encoded_len() < 2_100, "{}", stored.encoded_len());
        assert_eq!(sketch(Precision::default(), 0..3).encode().encoded_len(), 28);
    }

    #[test]
    fn a_hash_of_zeros_alone_is_counted() {
        let mut sketch = sketch(Precision(6), 0..100);
        sketch.add(0);
        sketch.add(u64::MAX);
        let Held::Registers(registers) = &sketch.held else { panic!("more than 4 items") };
        assert_eq!((registers[0], Precision(6).most()), (59, 59));
        assert!(sketch.estimate().0.is_finite());
        let full = Distinct { held: Held::Registers(vec![59; 64].into()), precision: Precision(6) };
        assert!(full.estimate().0 > 1e18);
        assert_eq!(Distinct::decode(full.encode()), Some(full));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

        #[test]
        fn what_was_merged_at_random_is_exact_while_small_and_else_within_its_error(
            parts in proptest::collection::vec((0u64..4_000, 0u64..1_500), 1..6),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 6),
        ) {
            let precision = Precision::default();
            let items = |&(from, many): &(u64, u64)| from..from + many;
            let different = parts.iter().flat_map(items).collect::<std::collections::BTreeSet<_>>().len() as f64;
            let mut sketches: Vec<Distinct> = parts.iter().map(|part| sketch(precision, items(part))).collect();
            for index in order {
                if sketches.len() > 1 {
                    let one = sketches.swap_remove(index.index(sketches.len()));
                    let at = index.index(sketches.len());
                    sketches[at] = merged(&one, &sketches[at]);
                }
            }
            let whole = sketches.into_iter().reduce(|a, b| merged(&b, &a)).unwrap();
            let (estimate, error) = whole.estimate();
            let off = (estimate - different).abs();
            // Five standard errors: of a million estimates one may be further away.
            prop_assert!(off <= 5.0 * error.unwrap_or(0.0) * different, "{estimate} for {different}");
            prop_assert!(different > 256.0 || off == 0.0, "{estimate} for {different}");
        }

        #[test]
        fn parts_merge_to_the_same_bits_in_any_order(
            a in proptest::collection::vec(0u64..2_000, 0..60),
            b in proptest::collection::vec(0u64..2_000, 0..60),
            c in proptest::collection::vec(0u64..2_000, 0..60),
        ) {
            // With 64 registers hashes end at four items: all forms meet each other.
            let precision = Precision(6);
            let whole = sketch(precision, [a.clone(), b.clone(), c.clone()].concat());
            let [a, b, c] = [a, b, c].map(|items| sketch(precision, items));
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(&merged(&merged(&c, &a), &b), &whole);
            prop_assert_eq!(Distinct::decode(whole.encode()), Some(whole));
        }

        #[test]
        fn what_is_damaged_is_refused_or_read_without_panic(
            items in proptest::collection::vec(any::<u64>(), 0..40),
            base in 0u32..300,
            beyond in proptest::collection::vec(any::<u32>(), 0..4),
            precision in 0u32..70,
        ) {
            let stored = sketch(Precision(6), items).encode();
            let wrong_base = pb::Distinct { base, ..stored.clone() };
            let wrong_registers = pb::Distinct { beyond, ..stored.clone() };
            for stored in [wrong_base, wrong_registers, pb::Distinct { precision, ..stored }] {
                if let Some(read) = Distinct::decode(stored) {
                    prop_assert!(read.estimate().0 >= 0.0);
                }
            }
        }
    }
}
