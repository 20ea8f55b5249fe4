//! The tasks that a worker runs, and whose a record is.

use super::fold::LiveTask;
use crate::kafka::Record;
use std::collections::HashMap;
use std::ops::Deref;

/// A list whose order is nobody's business: whatever changes it makes what is known of records' tasks void.
#[derive(Default)]
pub(super) struct Tasks {
    list: Vec<LiveTask>,
    /// The last answer: records come in runs of one partition.
    last: Option<(Handle, usize)>,
    by_handle: HashMap<Handle, Option<usize>, rustc_hash::FxBuildHasher>,
}

/// librdkafka's topic, and a partition of it.
type Handle = (usize, i32);

impl Tasks {
    pub fn push(&mut self, task: LiveTask) {
        self.forget();
        self.list.push(task);
    }

    /// Takes those out that `is_gone` says it of.
    pub fn take_out(&mut self, is_gone: impl Fn(&LiveTask) -> bool) -> Vec<LiveTask> {
        self.forget();
        self.list.extract_if(.., |live| is_gone(live)).collect()
    }

    /// Puts one behind all others.
    pub fn put_last(&mut self, at: usize) {
        self.forget();
        self.list[at..].rotate_left(1);
    }

    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, LiveTask> {
        self.list.iter_mut()
    }

    pub fn at(&mut self, at: usize) -> &mut LiveTask {
        &mut self.list[at]
    }

    /// The record's task; `None` if this worker does not have it.
    pub fn of_record(&mut self, record: &Record<'_>) -> Option<&mut LiveTask> {
        let handle = (record.topic_handle(), record.partition());
        if let Some((last, at)) = self.last
            && last == handle
        {
            return self.list.get_mut(at);
        }
        let is_its = |live: &LiveTask| live.task.id.partition == handle.1 && *live.task.id.topic == *record.topic();
        let found = *self.by_handle.entry(handle).or_insert_with(|| self.list.iter().position(is_its));
        self.last = found.map(|at| (handle, at));
        self.list.get_mut(found?)
    }

    fn forget(&mut self) {
        self.last = None;
        self.by_handle.clear();
    }
}

impl Deref for Tasks {
    type Target = [LiveTask];

    fn deref(&self) -> &[LiveTask] {
        &self.list
    }
}

impl<'a> IntoIterator for &'a Tasks {
    type Item = &'a LiveTask;
    type IntoIter = std::slice::Iter<'a, LiveTask>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl<'a> IntoIterator for &'a mut Tasks {
    type Item = &'a mut LiveTask;
    type IntoIter = std::slice::IterMut<'a, LiveTask>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter_mut()
    }
}
