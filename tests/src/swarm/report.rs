//! What a swarm tells: named figures, as lines for people or as one JSON object.

use std::io::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// Figures in the order in which they were found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    figures: Map<String, Value>,
}

impl Report {
    /// Adds a figure. The name carries the unit.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.figures.insert(name.into(), value.into());
    }

    /// Adds a duration in seconds, to the millisecond.
    pub fn seconds(&mut self, name: impl Into<String>, took: Duration) {
        self.add(name, thousandths(took.as_secs_f64()));
    }

    /// Adds durations one by one, in seconds, to the millisecond.
    pub fn list(&mut self, name: impl Into<String>, all: &[Duration]) {
        self.add(name, all.iter().map(|took| thousandths(took.as_secs_f64())).collect::<Vec<_>>());
    }

    /// Adds the spread of many durations, in milliseconds: `NAME_p50_ms` and so on.
    pub fn spread(&mut self, name: &str, mut all: Vec<Duration>) {
        all.sort_unstable();
        for (what, share) in [("min", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            if let Some(took) = percentile(&all, share) {
                self.add(format!("{name}_{what}_ms"), thousandths(took.as_secs_f64() * 1000.0));
            }
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// Nobody reads it any more.
    pub fn write(&self, out: &mut impl Write, as_json: bool) -> std::io::Result<()> {
        if as_json {
            return writeln!(out, "{}", json!(self.figures));
        }
        for (name, value) in &self.figures {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            writeln!(out, "{name:<32} {text}")?;
        }
        Ok(())
    }
}

fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// The nearest-rank percentile of sorted values; `None` if there are none.
fn percentile(sorted: &[Duration], share: f64) -> Option<Duration> {
    // A rank is a small positive number.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let all: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let ms = |share| percentile(&all, share).unwrap().as_millis();
        assert_eq!([ms(0.0), ms(0.5), ms(0.9), ms(0.99), ms(1.0)], [1, 50, 90, 99, 100]);
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(percentile(&all[..1], 0.99), Some(Duration::from_millis(1)));
    }

    #[test]
    fn reports_are_lines_or_one_object() {
        let mut report = Report::default();
        report.add("agents", 3);
        report.spread("start", vec![Duration::from_micros(1500), Duration::from_millis(2)]);
        let mut text = Vec::new();
        report.write(&mut text, true).unwrap();
        let object: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            (&object["agents"], &object["start_min_ms"], &object["start_max_ms"]),
            (&json!(3), &json!(1.5), &json!(2.0))
        );
        text.clear();
        report.write(&mut text, false).unwrap();
        assert!(String::from_utf8(text).unwrap().starts_with("agents                           3\n"));
    }
}
