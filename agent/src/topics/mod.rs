//! The cluster's topics: read, and changed where the policy allows it. Each call makes a client of its own: they are rare,
//! and a new client knows nothing that is no longer so.

#![forbid(unsafe_code)]

pub mod apply;
mod error;
mod policy;
mod size;

use error::Ask;
pub use error::{Kind, TopicError};
pub use policy::Policy;

use crate::config::{TopicChange, Topics as Config};
use crate::kafka::{NewTopic, Setting, Settings, TopicAdmin, TopicDescription};
use regex::Regex;
use size::Ends;
use std::collections::HashMap;

/// A topic as it is; its settings and ends only if it was asked for by itself.
#[derive(Clone, Debug)]
pub struct Topic {
    pub description: TopicDescription,
    /// Why no changing call touches it.
    pub protected_by: Option<String>,
    pub settings: Vec<Setting>,
    /// First and next offset by partition, of those whose leader answered.
    pub ends: HashMap<i32, Ends>,
}

/// A change of settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    pub set: Vec<(String, String)>,
    /// To be taken back to their default.
    pub reset: Vec<String>,
}

/// The topics of one cluster. All calls block for as long as the brokers take.
#[derive(Clone, Debug)]
pub struct Topics {
    settings: Settings,
    policy: Policy,
    timeout: std::time::Duration,
}

impl Topics {
    pub fn new(settings: Settings, config: &Config, policy: Policy) -> Topics {
        Topics { settings, policy, timeout: config.timeout }
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    fn admin(&self) -> Result<TopicAdmin, TopicError> {
        let refused =
            |error: String| TopicError::new(Kind::Failed, format!("librdkafka refuses the properties: {error}"));
        TopicAdmin::create(&self.settings, self.timeout).map_err(refused)
    }

    /// Topics by name; `pattern`: only names that it matches.
    pub fn list(&self, pattern: Option<&Regex>, internal: bool) -> Result<Vec<Topic>, TopicError> {
        let all = self.admin()?.list().map_err(|error| TopicError::of(Ask::List, "", error))?;
        let wanted = all.into_iter().filter(|topic| {
            (internal || !topic.internal) && pattern.is_none_or(|pattern| pattern.is_match(&topic.name))
        });
        let topic = |description: TopicDescription| Topic {
            protected_by: self.policy.protects(&description.name),
            description,
            settings: Vec::new(),
            ends: HashMap::new(),
        };
        Ok(wanted.map(topic).collect())
    }

    /// One topic's partitions; takes fewer rights than [`Topics::get`].
    pub fn look(&self, name: &str) -> Result<TopicDescription, TopicError> {
        let found = self.admin()?.describe_topic(checked(name)?);
        found.map_err(|error| TopicError::of(Ask::Describe, name, error))
    }

    /// One topic with everything that is known of it.
    pub fn get(&self, name: &str) -> Result<Topic, TopicError> {
        let admin = self.admin()?;
        let failed = |ask| move |error| TopicError::of(ask, name, error);
        let description = admin.describe_topic(checked(name)?).map_err(failed(Ask::Describe))?;
        let settings = admin.settings_of(name).map_err(failed(Ask::Settings))?;
        let ends = size::ends(&self.settings, &description, self.timeout);
        Ok(Topic { protected_by: self.policy.protects(name), description, settings, ends })
    }

    /// Makes a topic and returns it; `validate_only`: only asks the brokers whether they would.
    pub fn create(&self, new: &NewTopic, validate_only: bool) -> Result<Option<Topic>, TopicError> {
        checked(&new.name)?;
        counts(new)?;
        self.policy.allows(TopicChange::Create, &new.name)?;
        let made = self.admin()?.make_topic(new, validate_only);
        made.map_err(|error| TopicError::of(Ask::Create, &new.name, error))?;
        self.after(&new.name, validate_only)
    }

    /// Changes some settings of a topic and leaves the others.
    pub fn update(
        &self,
        name: &str,
        change: &SettingsChange,
        validate_only: bool,
    ) -> Result<Option<Topic>, TopicError> {
        let invalid = |message: String| Err(TopicError::new(Kind::Invalid, message));
        checked(name)?;
        if change.set.is_empty() && change.reset.is_empty() {
            return invalid(format!("nothing to change in topic {name}: name settings in `set` or `reset`"));
        }
        if let Some(both) = change.reset.iter().find(|key| change.set.iter().any(|(set, _)| set == *key)) {
            return invalid(format!("`{both}` is both set and reset: choose one"));
        }
        self.policy.allows(TopicChange::Update, name)?;
        let admin = self.admin()?;
        let failed = |ask| move |error| TopicError::of(ask, name, error);
        // Brokers answer for an unknown topic as for a setting that they do not know.
        admin.describe_topic(name).map_err(failed(Ask::Describe))?;
        admin.change_settings(name, &change.set, &change.reset, validate_only).map_err(failed(Ask::Change))?;
        self.after(name, validate_only)
    }

    /// Grows a topic to `total` partitions.
    pub fn grow(&self, name: &str, total: i32, validate_only: bool) -> Result<Option<Topic>, TopicError> {
        checked(name)?;
        if total < 1 {
            return Err(TopicError::new(Kind::Invalid, format!("{total} partitions: ask for more than the topic has")));
        }
        self.policy.allows(TopicChange::Grow, name)?;
        let admin = self.admin()?;
        let failed = |ask| move |error| TopicError::of(ask, name, error);
        let now = admin.describe_topic(name).map_err(failed(Ask::Describe))?.partitions.len();
        if usize::try_from(total).unwrap_or(0) <= now {
            let message = format!("topic {name} has {now} partitions, and can only grow: ask for more than that");
            return Err(TopicError::new(Kind::Invalid, message));
        }
        admin.grow(name, total, validate_only).map_err(failed(Ask::Grow))?;
        self.after(name, validate_only)
    }

    /// Deletes a topic; `validate_only`: only looks whether it is there and may be.
    pub fn delete(&self, name: &str, validate_only: bool) -> Result<(), TopicError> {
        checked(name)?;
        self.policy.allows(TopicChange::Delete, name)?;
        let admin = self.admin()?;
        let failed = |ask| move |error| TopicError::of(ask, name, error);
        if validate_only {
            return admin.describe_topic(name).map(drop).map_err(failed(Ask::Describe));
        }
        admin.remove_topic(name).map_err(failed(Ask::Delete))
    }

    /// The topic after a change. Brokers learn of it one after the other: one that does not know it yet is asked again.
    fn after(&self, name: &str, validate_only: bool) -> Result<Option<Topic>, TopicError> {
        if validate_only {
            return Ok(None);
        }
        for _ in 0..20 {
            match self.get(name) {
                Err(error) if error.kind == Kind::Missing => std::thread::sleep(std::time::Duration::from_millis(100)),
                Ok(topic) if topic.description.partitions.iter().any(|partition| partition.leader.is_none()) => {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
                other => return other.map(Some),
            }
        }
        self.get(name).map(Some)
    }
}

/// Kafka's rule for names, said before anybody is asked.
fn checked(name: &str) -> Result<&str, TopicError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 249 || !name.chars().all(fits) || matches!(name, "." | "..") {
        let message = format!("`{name}` is not a valid topic name: use 1 to 249 letters, digits, `.`, `_` and `-`");
        return Err(TopicError::new(Kind::Invalid, message));
    }
    Ok(name)
}

fn counts(new: &NewTopic) -> Result<(), TopicError> {
    for (what, count) in [("partitions", new.partitions), ("replication factor", new.replication)] {
        if count.is_some_and(|count| count < 1) {
            let message = format!("{what} of topic {}: use 1 or more, or leave it to the brokers", new.name);
            return Err(TopicError::new(Kind::Invalid, message));
        }
    }
    Ok(())
}
