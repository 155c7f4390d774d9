//! How long a receiver that fails is left alone.

use std::time::Duration;

use super::state::Pace;

/// The shortest pause.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The pause after so many failures in a row: anything up to the window of that many, so that receivers that came back are
/// not asked by everybody at once (full jitter). `seed` is fresh randomness, `asked` is how long the receiver itself asked for.
#[must_use]
pub fn pause(pace: Pace, failures: u32, seed: u128, asked: Option<Duration>) -> Duration {
    let longest = longest(pace);
    let window = PAUSE_MIN.saturating_mul(growth(pace).saturating_pow(failures)).min(longest);
    let millis = u128::from(u32::MAX).min(window.as_millis());
    let jittered = Duration::from_millis(u64::try_from(seed % (millis + 1)).unwrap_or(0));
    jittered.max(asked.unwrap_or_default()).clamp(PAUSE_MIN, longest)
}

/// The longest pause.
#[must_use]
pub fn longest(pace: Pace) -> Duration {
    match pace {
        Pace::Quick => Duration::from_secs(600),
        Pace::Long => Duration::from_secs(3600),
    }
}

fn growth(pace: Pace) -> u32 {
    match pace {
        Pace::Quick => 2,
        Pace::Long => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let quick = [(0, 1), (1, 2), (2, 4), (5, 32), (9, 512), (10, 600), (4_000_000, 600)].map(|c| (Pace::Quick, c));
        let long = [(1, 3), (2, 9), (7, 2187), (8, 3600), (4_000_000, 3600)].map(|c| (Pace::Long, c));
        for (pace, (failures, limit)) in quick.into_iter().chain(long) {
            let most = (0..2000_u128).map(|n| pause(pace, failures, n * 7_919_993, None)).max().unwrap();
            assert!(most <= Duration::from_secs(limit), "{failures}: {most:?}");
            assert!(most >= Duration::from_secs(limit) * 9 / 10, "{failures}: {most:?}");
        }
        assert_eq!(pause(Pace::Quick, 3, 0, None), PAUSE_MIN);
        assert_eq!(pause(Pace::Quick, 0, 0, Some(Duration::from_secs(30))), Duration::from_secs(30));
        let day = Some(Duration::from_secs(86_400));
        assert_eq!(pause(Pace::Quick, 0, 0, day), longest(Pace::Quick));
        assert_eq!(pause(Pace::Long, 0, 0, day), longest(Pace::Long));
    }
}
