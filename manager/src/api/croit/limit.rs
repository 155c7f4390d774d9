//! Limits against abuse (spec/hooks.md §2): a bucket for each caller, that fills at a steady rate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hostler_common::time::Timestamp;

/// How many callers are remembered. Those whose bucket is full again are forgotten first.
const CALLERS_MAX: usize = 10_000;

/// A caller who must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// How long, in seconds.
    pub(super) wait_s: u32,
}

/// Buckets of one size.
#[derive(Debug)]
pub(super) struct Buckets {
    per_second: f64,
    size: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Timestamp,
}

impl Buckets {
    pub(super) fn new(per_second: u32, size: u32) -> Self {
        Self { per_second: f64::from(per_second), size: f64::from(size), buckets: Mutex::default() }
    }

    /// Takes one call out of the caller's bucket.
    pub(super) fn pass(&self, caller: &str, now: Timestamp) -> Result<(), Refused> {
        // The map is whole after any panic: nothing in here leaves it half changed.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(caller) {
            bucket.left = self.filled(bucket, now);
            bucket.at = now;
            if bucket.left < 1.0 {
                let wait = ((1.0 - bucket.left) / self.per_second).ceil().max(1.0);
                return Err(Refused { wait_s: wait as u32 });
            }
            bucket.left -= 1.0;
            return Ok(());
        }
        if buckets.len() >= CALLERS_MAX {
            buckets.retain(|_, bucket| self.filled(bucket, now) < self.size);
            if buckets.len() >= CALLERS_MAX {
                buckets.clear();
            }
        }
        buckets.insert(caller.to_owned(), Bucket { left: self.size - 1.0, at: now });
        Ok(())
    }

    fn filled(&self, bucket: &Bucket, now: Timestamp) -> f64 {
        (bucket.left + now.since(bucket.at).as_secs_f64() * self.per_second).min(self.size)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let buckets = Buckets::new(2, 3);
        let start = Timestamp::from_micros(1_000_000);
        for _ in 0..3 {
            assert_eq!(buckets.pass("a", start), Ok(()));
        }
        assert_eq!(buckets.pass("a", start), Err(Refused { wait_s: 1 }));
        assert_eq!(buckets.pass("b", start), Ok(()), "others have their own");
        let later = start.after(Duration::from_millis(500));
        assert_eq!(buckets.pass("a", later), Ok(()));
        assert_eq!(buckets.pass("a", later), Err(Refused { wait_s: 1 }));
        assert_eq!(buckets.pass("a", start), Err(Refused { wait_s: 1 }), "a clock that goes back gives nothing");
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let buckets = Buckets::new(1, 2);
        let now = Timestamp::from_micros(0);
        for caller in 0..CALLERS_MAX + 5 {
            assert_eq!(buckets.pass(&caller.to_string(), now), Ok(()));
        }
        assert!(buckets.buckets.lock().unwrap().len() <= CALLERS_MAX);
    }
}
