//! Axes of a picture: positions of values, and round values for ticks.

/// Linear scale from values to positions in pixels.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    /// Lowest value.
    pub(super) low: f64,
    /// Highest value.
    pub(super) high: f64,
    /// Position of the lowest value.
    pub(super) from: f64,
    /// Position of the highest value.
    pub(super) to: f64,
}

impl Scale {
    /// Returns the position of a value.
    pub(super) fn place(&self, value: f64) -> f64 {
        let span = self.high - self.low;
        // If all values are equal, they lie in the middle.
        let share = if span > 0.0 { (value - self.low) / span } else { 0.5 };
        share.mul_add(self.to - self.from, self.from)
    }

    /// Returns round values within the scale, at most `most` of them.
    pub(super) fn ticks(&self, most: u32) -> Vec<f64> {
        let span = self.high - self.low;
        if span <= 0.0 {
            return vec![self.low];
        }
        let rough = span / f64::from(most.max(1));
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|nice| nice * power);
        // Prices and sequences are integers, so a step is at least 1.
        let step = step.into_iter().find(|step| *step >= rough).unwrap_or(rough).max(1.0);
        let first = (self.low / step).ceil() * step;
        (0..=most)
            .map(|tick| f64::from(tick).mul_add(step, first))
            .take_while(|value| *value <= self.high)
            .collect()
    }
}

/// Returns a number in a form that is short enough for an axis: `950`, `12.5 k`, `3 M`.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    let (divisor, unit) = match size {
        ..1e4 => (1.0, ""),
        ..1e6 => (1e3, " k"),
        ..1e9 => (1e6, " M"),
        ..1e12 => (1e9, " G"),
        ..1e15 => (1e12, " T"),
        _ => (1e15, " P"),
    };
    let text = format!("{:.3}", value / divisor);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let ticks = |low, high| Scale { low, high, from: 0.0, to: 1.0 }.ticks(5);
        assert_eq!(ticks(1.0, 14.0), [5.0, 10.0]);
        assert_eq!(ticks(98.0, 102.0), [98.0, 99.0, 100.0, 101.0, 102.0]);
        assert_eq!(ticks(-1_000.0, 1_000.0), [-1000.0, -500.0, 0.0, 500.0, 1000.0]);
        assert_eq!(ticks(7.0, 7.0), [7.0]);
        let extreme = ticks(f64::from(i32::MIN), f64::from(i32::MAX));
        assert_eq!(extreme, [-2e9, -1e9, 0.0, 1e9, 2e9]);
    }

    #[test]
    fn positions_lie_between_the_ends() {
        let scale = Scale { low: 10.0, high: 20.0, from: 100.0, to: 0.0 };
        assert_eq!([10.0, 15.0, 20.0].map(|value| scale.place(value)), [100.0, 50.0, 0.0]);
        let flat = Scale { low: 7.0, high: 7.0, ..scale };
        assert_eq!(flat.place(7.0), 50.0);
    }

    #[test]
    fn numbers_are_short() {
        let short = [0.0, -950.0, 9_999.0, 12_500.0, 3e6, 2_147_483_647.0, 7e17].map(short);
        assert_eq!(short, ["0", "-950", "9999", "12.5 k", "3 M", "2.147 G", "700 P"]);
    }
}
