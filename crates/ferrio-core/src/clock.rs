//! The one clock of the loop.

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

/// Seconds of `CLOCK_MONOTONIC`: what Python's `time.monotonic()` gives, to the same float.
#[inline]
pub fn monotonic() -> f64 {
    seconds(clock_gettime(ClockId::Monotonic))
}

/// The clock's resolution in seconds.
pub fn resolution() -> f64 {
    seconds(clock_getres(ClockId::Monotonic))
}

/// Rounded the way Python rounds: nanoseconds as one float, then divided. Adding a fraction to the seconds rounds
/// differently in the last place, and a program that compares both clocks would see time run backwards.
#[inline]
fn seconds(time: Timespec) -> f64 {
    if time.tv_nsec == 0 {
        time.tv_sec as f64
    } else {
        (time.tv_sec * 1_000_000_000 + time.tv_nsec) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: `time.monotonic()`'s conversion, `(double)ns / 1e9`.
    #[test]
    #[allow(clippy::float_cmp)] // the last bit is the point
    fn rounds_like_python() {
        for (tv_sec, tv_nsec, expected) in [
            (0, 1, 1e-9),
            (3, 0, 3.0),
            (12_345, 678_901_234, 12_345.678_901_234),
            // Here seconds plus a fraction would be off by one in the last place.
            (1, 27_895, 1.000_027_895),
            (20_000_000, 999_999_999, 20_000_000.999_999_999),
        ] {
            assert_eq!(seconds(Timespec { tv_sec, tv_nsec }), expected);
        }
    }

    #[test]
    fn runs_forward() {
        let first = monotonic();
        assert!(monotonic() >= first && resolution() > 0.0);
    }
}
