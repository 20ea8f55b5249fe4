//! An aggregate as each of its sources is read for it: a source may have a field elsewhere than the aggregate asks for it.

use std::borrow::Cow;

use super::types::{Aggregate, Condition, FieldPath, Source};

impl Aggregate {
    /// Whether it counts events of the source of this name.
    pub fn reads(&self, source: &str) -> bool {
        self.sources.iter().any(|name| name == source)
    }

    /// The same with every field where `source` has it.
    pub fn within(&self, source: &Source) -> Cow<'_, Aggregate> {
        if source.fields.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut own = self.clone();
        own.each_path(&mut |path| {
            if let Some((_, place)) = source.fields.iter().find(|(name, _)| name == path) {
                *path = place.clone();
            }
        });
        Cow::Owned(own)
    }

    /// Every field that it asks for, each once.
    pub fn paths(&self) -> Vec<FieldPath> {
        let mut paths = Vec::new();
        self.clone().each_path(&mut |path| paths.push(path.clone()));
        paths.sort();
        paths.dedup();
        paths
    }

    fn each_path(&mut self, look: &mut dyn FnMut(&mut FieldPath)) {
        in_conditions(&mut self.filter, look);
        for label in &mut self.by {
            look(&mut label.path);
            label.or.iter_mut().for_each(&mut *look);
        }
        for measure in &mut self.measures {
            let one = measure.field.iter_mut().chain(&mut measure.or).chain(&mut measure.weight);
            one.for_each(&mut *look);
            measure.since.iter_mut().for_each(|since| look(&mut since.path));
            in_conditions(&mut measure.filter, look);
            measure.ratio.iter_mut().for_each(|of| in_conditions(&mut of.filter, look));
        }
    }
}

fn in_conditions(filter: &mut [Condition], look: &mut dyn FnMut(&mut FieldPath)) {
    for condition in filter {
        match condition {
            Condition::Field { path, .. } => look(path),
            Condition::Any(branches) => branches.iter_mut().for_each(|branch| in_conditions(branch, look)),
            Condition::Not(inner) => in_conditions(inner, look),
        }
    }
}
