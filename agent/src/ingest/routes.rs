//! Which topic an event goes to, by what it says. Pure.

use crate::config::{Destination, Rule};
use std::borrow::Cow;
use std::sync::Arc;

/// The topics that events of one kind go to.
#[derive(Debug)]
pub struct Routes {
    /// For those that no rule is for.
    usual: Arc<str>,
    /// Fields with the values that they may have, and the topic for events that fit. The first one decides.
    rules: Vec<(Values, Arc<str>)>,
}

/// Fields by their names, each with the values of which one has to be there.
type Values = Vec<(String, Vec<String>)>;

impl Routes {
    /// Those of events that are handed in at no path of a route's own.
    pub fn of(destination: &Destination) -> Routes {
        let rules = destination.routes.iter().filter_map(|route| match &route.rule {
            Rule::Where(fields) => Some((fields.clone(), Arc::from(route.topic.as_str()))),
            Rule::Path(_) => None,
        });
        Routes { rules: rules.collect(), ..Routes::to(&destination.topic) }
    }

    /// All go to one topic.
    pub fn to(topic: &str) -> Routes {
        Routes { usual: Arc::from(topic), rules: Vec::new() }
    }

    /// Where an event goes whose fields have these values.
    pub fn topic<'a>(&self, value: impl Fn(&str) -> Option<Cow<'a, str>>) -> Arc<str> {
        let fits = |(fields, _): &&(Values, Arc<str>)| {
            let has = |(name, values): &(String, Vec<String>)| {
                value(name).is_some_and(|value| values.iter().any(|each| *each == value))
            };
            fields.iter().all(has)
        };
        self.rules.iter().find(fits).map_or(&self.usual, |(_, topic)| topic).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Route;

    #[test]
    fn the_first_rule_whose_fields_all_fit_decides() {
        let fields = |fields: &[(&str, &[&str])]| {
            let own = |(name, values): &(&str, &[&str])| {
                ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
            };
            Rule::Where(fields.iter().map(own).collect())
        };
        let route = |rule, topic: &str| Route { rule, topic: topic.to_owned() };
        let routes = Routes::of(&Destination {
            topic: "logs".into(),
            routes: vec![
                route(Rule::Path("/audit".into()), "audit"),
                route(fields(&[("level", &["ERROR", "FATAL"]), ("source", &["pay"])]), "pay-errors"),
                route(fields(&[("source", &["pay", "bill"])]), "money"),
            ],
        });
        let topic = |source: &'static str, level: &'static str| {
            let value = move |name: &str| match name {
                "source" => Some(source.into()),
                "level" => Some(level.into()),
                _ => None,
            };
            routes.topic(value).to_string()
        };
        assert_eq!(topic("pay", "FATAL"), "pay-errors");
        assert_eq!(topic("pay", "INFO"), "money");
        assert_eq!(topic("bill", "ERROR"), "money");
        assert_eq!(topic("shop", "ERROR"), "logs");
        assert_eq!(&*routes.topic(|_| None), "logs");
    }
}
