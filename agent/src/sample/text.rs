//! A sample's lines and summary, for people.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use super::summary::AggregateSummary;
use super::{Became, Line, Summary, Taken};

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "record {}", self.record)?;
        if let Some(event) = self.event {
            write!(f, ", event {event}")?;
        }
        match &self.became {
            Became::DeadLetter { reason, detail } => writeln!(f, ": dead letter ({reason}): {detail}"),
            Became::PassedBy { reason } => {
                let why = match *reason {
                    "tombstone" => "a tombstone",
                    "where" => "the source's `where` does not hold",
                    "comment" => "a comment",
                    "abort" => "the source's `remap` aborts",
                    "no_events" => "it holds no event",
                    other => other,
                };
                writeln!(f, ": passes by, {why}")
            }
            Became::Event { time, aggregates } => {
                writeln!(f, ": an event of {time}")?;
                aggregates.iter().try_for_each(|taken| write!(f, "{taken}"))
            }
        }
    }
}

impl Display for Taken {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.taken {
            let why = self.remarks.first().map_or("not taken", String::as_str);
            return writeln!(f, "  {}: {why}", self.aggregate);
        }
        let labels: Vec<_> = self.labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
        write!(f, "  {}{{{}}}", self.aggregate, labels.join(", "))?;
        for (measure, sample) in &self.measures {
            if let Some(value) = sample {
                write!(f, " {measure}={value}")?;
            }
        }
        writeln!(f)?;
        self.remarks.iter().try_for_each(|remark| writeln!(f, "    {remark}"))
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let share = |part: u64| 100.0 * part as f64 / self.records.max(1) as f64;
        writeln!(
            f,
            "source {}: {} of {} records are events ({:.1} %)",
            self.source,
            self.events,
            self.records,
            share(self.events)
        )?;
        for (reason, records) in &self.passed_by {
            writeln!(f, "  pass by: {records} ({reason})")?;
        }
        for (reason, records) in &self.dead_letters {
            writeln!(f, "  dead letters: {records} ({reason})")?;
        }
        self.aggregates.iter().try_for_each(|aggregate| aggregate.write(f, self.events))?;
        self.never_held.iter().chain(&self.hints).try_for_each(|hint| writeln!(f, "hint: {hint}"))
    }
}

impl AggregateSummary {
    fn write(&self, f: &mut Formatter<'_>, events: u64) -> fmt::Result {
        writeln!(f, "aggregate {}: counts {} of {events} events, {} series", self.aggregate, self.taken, self.series)?;
        for (reason, skipped) in &self.skipped {
            writeln!(f, "  skips {skipped} events ({reason})")?;
        }
        for label in &self.labels {
            write!(f, "  label {}: {} values", label.label, label.values)?;
            if label.empty > 0 {
                write!(f, ", empty in {} events", label.empty)?;
            }
            writeln!(f, "{}", reasons(&label.adjusted))?;
        }
        for measure in &self.measures {
            writeln!(f, "  measure {}: {} events{}", measure.measure, measure.measured, reasons(&measure.skipped))?;
        }
        Ok(())
    }
}

fn reasons(counted: &BTreeMap<String, u64>) -> String {
    counted.iter().map(|(reason, events)| format!(", {reason} in {events}")).collect()
}
