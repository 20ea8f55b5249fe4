//! Counts of adjacent buckets of one sign.

/// From the first populated bucket to the last. Empty, or both ends are above zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dense {
    offset: i32,
    counts: Vec<u64>,
}

impl Dense {
    /// `None` if `counts` has a zero at an end.
    pub fn new(offset: i32, counts: Vec<u64>) -> Option<Dense> {
        match (counts.first(), counts.last()) {
            (None, _) => Some(Dense::default()),
            (Some(0), _) | (_, Some(0)) => None,
            _ => Some(Dense { offset, counts }),
        }
    }

    /// Index of the first bucket.
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// Counts from [`Dense::offset`] on.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Index and count of each bucket, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> {
        self.counts.iter().enumerate().map(|(i, &count)| (self.offset + i as i32, count))
    }

    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, &count| sum.wrapping_add(count))
    }

    /// First and last index.
    pub fn range(&self) -> Option<(i32, i32)> {
        (!self.counts.is_empty()).then(|| (self.offset, self.offset + self.counts.len() as i32 - 1))
    }

    /// Adds to a bucket. The caller has made sure that the range stays small.
    #[inline]
    pub fn add(&mut self, index: i32, count: u64) {
        if let Some(bucket) = usize::try_from(index.wrapping_sub(self.offset)).ok().and_then(|i| self.counts.get_mut(i))
        {
            *bucket = bucket.wrapping_add(count);
        } else if count > 0 {
            self.extend_to(index);
            self.counts[(index - self.offset) as usize] = count;
        }
    }

    #[cold]
    fn extend_to(&mut self, index: i32) {
        if self.counts.is_empty() {
            self.offset = index;
        }
        if index < self.offset {
            let missing = (self.offset - index) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.offset = index;
        } else {
            self.counts.resize((index - self.offset) as usize + 1, 0);
        }
    }

    /// Divides all counts by `2^steps`, each rounded down.
    pub fn halve(&mut self, steps: u32) {
        self.counts.iter_mut().for_each(|count| *count = count.checked_shr(steps).unwrap_or(0));
        let last = self.counts.iter().rposition(|&count| count > 0);
        self.counts.truncate(last.map_or(0, |last| last + 1));
        let first = self.counts.iter().position(|&count| count > 0).unwrap_or(0);
        self.counts.drain(..first);
        self.offset = if last.is_some() { self.offset + first as i32 } else { 0 };
    }

    /// Halves the resolution `steps` times.
    pub fn coarsen(&mut self, steps: i32) {
        let Some((first, last)) = self.range() else { return };
        if steps == 0 {
            return;
        }
        let mut counts = vec![0u64; ((last >> steps) - (first >> steps)) as usize + 1];
        for (index, count) in self.iter() {
            let bucket = &mut counts[((index >> steps) - (first >> steps)) as usize];
            *bucket = bucket.wrapping_add(count);
        }
        *self = Dense { offset: first >> steps, counts };
    }
}

/// The smallest number of halvings at which the range holds at most so many buckets.
#[inline]
pub fn steps_to_fit((first, last): (i32, i32), most: usize) -> i32 {
    let mut steps = 0;
    while (last >> steps) - (first >> steps) >= most as i32 {
        steps += 1;
    }
    steps
}

/// The range over both, if any.
pub fn union(a: Option<(i32, i32)>, b: Option<(i32, i32)>) -> Option<(i32, i32)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (range, None) | (None, range) => range,
    }
}
