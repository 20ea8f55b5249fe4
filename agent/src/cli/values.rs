//! Values of flags that several verbs have.

use std::time::Duration;

pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration: jiff::SignedDuration = text.parse().map_err(|_| "give a time such as 500ms, 30s or 5m")?;
    Duration::try_from(duration).map_err(|_| "the time is negative".into())
}

pub fn parse_property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give it as name=value")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}
