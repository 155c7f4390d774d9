//! How long a receiver that fails is left alone.

use std::time::Duration;

/// The shortest pause.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(600);

/// The pause after so many failures in a row: anything up to twice the window of the failure before, so that receivers
/// that came back are not asked by everybody at once (full jitter). `seed` is fresh randomness, `asked` is how long the
/// receiver itself asked for.
#[must_use]
pub fn pause(failures: u32, seed: u128, asked: Option<Duration>) -> Duration {
    let window = PAUSE_MIN.saturating_mul(1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX)).min(PAUSE_MAX);
    let millis = u128::from(u32::MAX).min(window.as_millis());
    let jittered = Duration::from_millis(u64::try_from(seed % (millis + 1)).unwrap_or(0));
    jittered.max(asked.unwrap_or_default()).clamp(PAUSE_MIN, PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        for (failures, longest) in [(0, 1), (1, 2), (2, 4), (5, 32), (9, 512), (10, 600), (4_000_000, 600)] {
            let most = (0..2000_u128).map(|n| pause(failures, n * 7_919_993, None)).max().unwrap();
            assert!(most <= Duration::from_secs(longest), "{failures}: {most:?}");
            assert!(most >= Duration::from_secs(longest) * 9 / 10, "{failures}: {most:?}");
        }
        assert_eq!(pause(3, 0, None), PAUSE_MIN);
        assert_eq!(pause(0, 0, Some(Duration::from_secs(30))), Duration::from_secs(30));
        assert_eq!(pause(0, 0, Some(Duration::from_secs(86_400))), PAUSE_MAX);
    }
}
