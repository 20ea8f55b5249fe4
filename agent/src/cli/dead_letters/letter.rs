//! A dead letter as it is read back from its topic.

/// What its headers say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letter {
    pub reason: String,
    pub detail: String,
    /// Where it was read.
    pub topic: String,
    pub partition: Option<i32>,
    pub offset: String,
    /// Which of its record's events it is, if that had several.
    pub event: Option<String>,
    /// Its record's Kafka timestamp, Unix milliseconds.
    pub timestamp: Option<i64>,
    /// Its payload or key is not all of what the record had.
    pub is_cut: bool,
}

impl Letter {
    /// `None` if these are not the headers of a dead letter.
    pub fn read(headers: &[(String, Vec<u8>)]) -> Option<Letter> {
        let header = |name: &str| {
            let named = headers.iter().rev().find(|(key, _)| key.strip_prefix("streamgauge.") == Some(name));
            named.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        Some(Letter {
            reason: header("reason")?,
            detail: header("detail").unwrap_or_default(),
            topic: header("topic")?,
            partition: header("partition").and_then(|text| text.parse().ok()),
            offset: header("offset").unwrap_or_default(),
            event: header("event"),
            timestamp: header("timestamp").and_then(|text| text.parse().ok()),
            is_cut: header("payload_bytes").is_some() || header("cut_from").is_some(),
        })
    }

    /// Topic, partition, offset and event.
    pub fn origin(&self) -> String {
        let partition = self.partition.map_or_else(String::new, |partition| partition.to_string());
        let event = self.event.as_ref().map_or_else(String::new, |event| format!("[{event}]"));
        format!("{}/{partition}@{}{event}", self.topic, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        of.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_letter_says_where_it_comes_from_and_whether_it_is_whole() {
        let mut of = vec![
            ("streamgauge.reason", "not_json"),
            ("streamgauge.topic", "t"),
            ("streamgauge.partition", "3"),
            ("streamgauge.offset", "17"),
            ("streamgauge.timestamp", ""),
        ];
        let letter = Letter::read(&headers(&of)).unwrap();
        assert_eq!((letter.origin().as_str(), letter.is_cut, letter.timestamp), ("t/3@17", false, None));
        of.extend([("streamgauge.event", "2"), ("streamgauge.cut_from", "5000")]);
        let letter = Letter::read(&headers(&of)).unwrap();
        assert_eq!((letter.origin().as_str(), letter.is_cut), ("t/3@17[2]", true));
    }

    #[test]
    fn what_has_no_such_headers_is_no_letter() {
        assert_eq!(Letter::read(&headers(&[("reason", "not_json"), ("streamgauge.topic", "t")])), None);
    }
}
