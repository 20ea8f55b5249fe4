//! Which groups and topics are looked at.

use crate::config::ClusterLag;
use regex::Regex;

/// Regular expressions that a whole name has to match, or must not.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub groups: Names,
    pub topics: Names,
}

/// `None` of `include` lets everything through, of `exclude` keeps nothing out.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub include: Option<Regex>,
    pub exclude: Option<Regex>,
}

impl Names {
    fn let_through(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|regex| regex.is_match(name))
            && self.exclude.as_ref().is_none_or(|regex| !regex.is_match(name))
    }
}

impl Filter {
    /// What the config lets through; it was checked.
    pub fn of(config: &ClusterLag) -> Filter {
        let regex = |pattern: &str| whole(pattern).ok().flatten();
        Filter {
            groups: Names { include: regex(&config.groups), exclude: regex(&config.exclude_groups) },
            topics: Names { include: regex(&config.topics), exclude: regex(&config.exclude_topics) },
        }
    }

    pub fn group(&self, name: &str) -> bool {
        self.groups.let_through(name)
    }

    pub fn topic(&self, name: &str) -> bool {
        self.topics.let_through(name)
    }
}

/// A regular expression for whole names; empty: none.
///
/// # Errors
/// What is wrong with it.
pub fn whole(pattern: &str) -> Result<Option<Regex>, String> {
    match pattern {
        "" => Ok(None),
        _ => Regex::new(&format!("^(?:{pattern})$"))
            .map(Some)
            .map_err(|_| format!("`{pattern}` is not a regular expression; write one such as `orders-.*`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_name_has_to_match() {
        let names = Names { include: whole("orders|pay.*").unwrap(), exclude: whole(".*-test").unwrap() };
        let through = ["orders", "orders-2", "payments", "payments-test", ""].map(|name| names.let_through(name));
        assert_eq!(through, [true, false, true, false, false]);
        assert!(Names::default().let_through("anything"));
        assert!(whole("a(").unwrap_err().contains("`a(`"));
    }
}
