//! `top`: which items were the most frequent, or had the most of something.

use super::ranking::{Ranking, Top};
use super::{Form, Known, Occurrence, Rules, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

fn halves(weight: u128) -> (u64, u64) {
    (weight as u64, (weight >> 64) as u64)
}

fn whole(low: u64, high: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

impl Statistic for Top {
    type Stored = pb::Top;
    type Given = Ranking;

    const RULES: Rules = Rules {
        word: "top",
        takes: Takes::Item,
        takes_sign: false,
        unit: None,
        form: Form::Ranking,
        shows: &[Known::Count],
        own: Known::Count,
        totals: &[],
        window: &[Stat::Own],
    };

    fn empty(ranking: &Ranking) -> Top {
        Top { ranking: *ranking, count: 0, error: 0, entries: Vec::new(), text: Vec::new() }
    }

    #[inline]
    fn record(&mut self, Occurrence { sample, item, .. }: Occurrence<'_>, ranking: &Ranking) {
        self.count = self.count.wrapping_add(1);
        self.add(item, if ranking.sums { sample.nanos.unsigned_abs() } else { 1 });
    }

    fn merge(&mut self, other: &Top) {
        self.absorb(other);
    }

    fn encode(&self) -> pb::Top {
        let entry = |(item, weight): (&[u8], u128)| {
            let (weight, weight_high) = halves(weight);
            pb::TopItem { item: item.to_vec(), weight, weight_high }
        };
        let (error, error_high) = halves(self.error);
        pb::Top {
            k: self.ranking.k,
            sums: self.ranking.sums,
            count: self.count,
            error,
            error_high,
            items: self.items().map(entry).collect(),
        }
    }

    fn decode(stored: pb::Top) -> Option<Top> {
        let ranking = Ranking { k: stored.k, sums: stored.sums };
        let mut top = Top {
            ranking,
            count: stored.count,
            error: whole(stored.error, stored.error_high),
            entries: Vec::with_capacity(stored.items.len()),
            text: Vec::new(),
        };
        if !(1..=Ranking::MOST).contains(&ranking.k) || stored.items.len() > 2 * ranking.kept() as usize {
            return None;
        }
        for pb::TopItem { item, weight, weight_high } in stored.items {
            top.append(&item, whole(weight, weight_high))?;
        }
        Some(top)
    }

    fn fits(&self, ranking: &Ranking) -> bool {
        self.ranking == *ranking
    }

    fn stats(&self) -> Stats {
        Stats { count: Some(self.count), ..Stats::default() }
    }

    fn total(&self) -> Total<'_> {
        Total::Ranking(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::{Exact, Ranked, Sample};
    use super::*;

    const TWO: Ranking = Ranking { k: 2, sums: false };

    fn top(ranking: Ranking, items: &[(u32, u32)]) -> Top {
        let mut top = Top::empty(&ranking);
        for (item, weight) in items {
            let sample = Sample { value: f64::from(*weight), nanos: i128::from(*weight) * 1_000_000_000 };
            top.record(Occurrence { sample, at: 0, item: item.to_string().as_bytes(), total: None }, &ranking);
        }
        top
    }

    fn merged(a: &Top, b: &Top) -> Top {
        let mut merged = a.clone();
        merged.merge(b);
        merged
    }

    /// Each item is within the error of what it truly has, and the error within what the file promises.
    fn assert_bounds(top: &Top, items: &[(u32, u32)]) {
        let mut truth: BTreeMap<Vec<u8>, u128> = BTreeMap::new();
        for (item, weight) in items {
            let weight = if top.ranking.sums { u128::from(*weight) * 1_000_000_000 } else { 1 };
            *truth.entry(item.to_string().into_bytes()).or_default() += weight;
        }
        let held: BTreeMap<Vec<u8>, u128> = top.items().map(|(item, weight)| (item.to_vec(), weight)).collect();
        for (item, weight) in &truth {
            let held = held.get(item).copied().unwrap_or_default();
            assert!(held <= *weight && *weight <= held + top.error, "{held} + {} for {weight}", top.error);
        }
        assert!(held.keys().all(|item| truth.contains_key(item)));
        let all: u128 = truth.values().sum();
        assert!(top.error <= all / (u128::from(top.ranking.kept()) + 1), "{} of {all}", top.error);
        assert!(top.entries.len() <= 2 * top.ranking.kept() as usize);
        assert_eq!(top.count, items.len() as u64);
    }

    #[test]
    fn few_items_are_exact_and_ties_are_by_text() {
        let top = top(TWO, &[(7, 1), (5, 1), (7, 1), (9, 1), (5, 1), (1, 1)]);
        let (ranked, error) = top.ranked();
        let ranked: Vec<_> = ranked.iter().map(|r| (r.item.as_str(), r.weight)).collect();
        assert_eq!((ranked.as_slice(), error), (&[("5", Exact::Int(2)), ("7", Exact::Int(2))][..], Exact::Int(0)));
    }

    #[test]
    fn sums_are_in_the_exposed_unit() {
        let (ranked, _) = top(Ranking { sums: true, k: 1 }, &[(1, 30), (2, 10), (2, 25)]).ranked();
        assert_eq!(ranked, [Ranked { item: "2".into(), weight: Exact::Nanos(35_000_000_000) }]);
    }

    /// Item `n` of many, with frequencies like those of words.
    fn item() -> impl Strategy<Value = (u32, u32)> {
        (0.0f64..1.0, 0u32..50).prop_map(|(u, weight)| ((1.0 / (u + 0.0005)) as u32 * 3 + weight % 3, weight))
    }

    fn items() -> impl Strategy<Value = Vec<(u32, u32)>> {
        prop_oneof![
            proptest::collection::vec(item(), 0..400),
            // Every one of them another: nothing is frequent.
            (0u32..1_000, 0u32..500).prop_map(|(from, many)| (from..from + many).map(|n| (n, n % 7)).collect()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

        #[test]
        fn the_bounds_hold_in_whatever_order_parts_are_merged(
            parts in proptest::collection::vec(items(), 1..8),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 8),
            sums in any::<bool>(),
        ) {
            let ranking = Ranking { k: 2, sums };
            let whole = parts.concat();
            assert_bounds(&top(ranking, &whole), &whole);
            let mut tops: Vec<Top> = parts.iter().map(|part| top(ranking, part)).collect();
            for index in order {
                if tops.len() > 1 {
                    let one = tops.swap_remove(index.index(tops.len()));
                    let at = index.index(tops.len());
                    tops[at] = merged(&tops[at], &one);
                }
            }
            let merged = tops.into_iter().reduce(|a, b| merged(&b, &a)).unwrap();
            assert_bounds(&merged, &whole);
            prop_assert_eq!(Top::decode(merged.encode()), Some(merged));
        }

        #[test]
        fn what_fits_merges_to_the_same_bits_in_any_order(
            a in proptest::collection::vec((0u32..128, 0u32..9), 0..90),
            b in proptest::collection::vec((0u32..128, 0u32..9), 0..90),
            c in proptest::collection::vec((0u32..128, 0u32..9), 0..90),
        ) {
            let whole = top(TWO, &[a.clone(), b.clone(), c.clone()].concat());
            let [a, b, c] = [a, b, c].map(|items| top(TWO, &items));
            prop_assert_eq!(whole.error, 0);
            prop_assert_eq!(merged(&a, &b).encode(), merged(&b, &a).encode());
            prop_assert_eq!(merged(&merged(&a, &b), &c).encode(), merged(&a, &merged(&b, &c)).encode());
            prop_assert_eq!(merged(&merged(&c, &a), &b).encode(), whole.encode());
        }
    }

    /// A state that was stored goes on as if it had not been.
    #[test]
    fn a_stored_state_goes_on_as_the_live_one() {
        let items: Vec<_> = (0..3_000u32).map(|n| (n * 7_919 % 613 * (n % 5), n)).collect();
        let mut live = top(TWO, &items[..1_000]);
        let mut stored = Top::decode(live.encode()).unwrap();
        for (item, _) in &items[1_000..] {
            live.add(item.to_string().as_bytes(), 1);
            stored.add(item.to_string().as_bytes(), 1);
        }
        assert!(live.error > 0);
        assert_eq!(live.encode(), stored.encode());
    }
}
