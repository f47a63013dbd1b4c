//! Ranges, round ticks, and room for labels.

use super::{Line, Panel, Scale, Trim};

/// Share of the points, pooled over lines, that may leave the plot where the ends of lines stay.
const TRIMMED: f64 = 0.2;

/// Decimals of a label; smaller numbers have an exponent.
const MOST_DIGITS: usize = 9;

/// Maps numbers to a coordinate of the drawing.
pub(super) struct Axis {
    scale: Scale,
    /// In numbers, or in their decimal logarithms.
    low: f64,
    high: f64,
    /// About how many ticks fit.
    wanted: f64,
    /// Distance of ticks below which a linear axis does not go.
    finest: f64,
    /// Coordinates of `low` and `high`.
    from: f64,
    to: f64,
}

impl Axis {
    pub(super) fn horizontal(panel: &Panel, from: f64, to: f64) -> Self {
        let values = panel.lines.iter().flat_map(|line| &line.points).map(|point| point.x);
        let mut values: Vec<f64> = match panel.x_scale {
            Scale::Linear => values.collect(),
            Scale::Log => values.filter(|value| *value > 0.0).map(libm::log10).collect(),
        };
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let (low, high) = ends(&values);
        // Epochs, steps and trials are whole.
        Self { scale: panel.x_scale, low, high, wanted: 4.5, finest: 1.0, from, to }
    }

    /// In the manner of `panel`, as narrow as the points of `lines` allow.
    pub(super) fn vertical(panel: &Panel, lines: &[&Line], from: f64, to: f64) -> Self {
        let number = |value: f64| if panel.scale == Scale::Log { libm::log10(value) } else { value };
        let can_show = |value: &f64| value.is_finite() && (panel.scale == Scale::Linear || *value > 0.0);
        let sorted = |values: &mut dyn Iterator<Item = f64>| {
            let mut values: Vec<f64> = values.filter(can_show).map(number).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let all = sorted(&mut lines.iter().flat_map(|line| &line.points).flat_map(|point| [point.low, point.high]));
        let last = lines.iter().filter_map(|line| line.points.iter().rev().find(|point| can_show(&point.y)));
        let last = sorted(&mut last.flat_map(|point| [point.low, point.high]));
        let trimmed = |share: f64| (share * all.len() as f64) as usize;
        let (mut low, mut high) = ends(&all);
        // Ends of the lines stay, with some room to see where they come from.
        if let (Some(least), Some(most)) = (last.first(), last.last()) {
            let room = 0.5 * (most - least);
            match panel.trim {
                Trim::Neither => {}
                Trim::Low => low = low.max(all[trimmed(TRIMMED)].min(least - room)),
                Trim::High => high = high.min(all[all.len() - 1 - trimmed(TRIMMED)].max(most + room)),
                Trim::Lowest(share) => low = all[trimmed(share)],
                Trim::Highest(share) => high = all[all.len() - 1 - trimmed(share)],
            }
        }
        let (low, high) = apart(low, high);
        let margin = 0.04 * (high - low);
        Self { scale: panel.scale, low: low - margin, high: high + margin, wanted: 5.0, finest: 0.0, from, to }
    }

    /// From `low` to `high`, linear.
    pub(super) fn between(low: f64, high: f64, from: f64, to: f64) -> Self {
        let (low, high) = apart(low, high);
        let margin = 0.04 * (high - low);
        Self { scale: Scale::Linear, low: low - margin, high: high + margin, wanted: 4.0, finest: 0.0, from, to }
    }

    pub(super) fn can_show(&self, value: f64) -> bool {
        value.is_finite() && (self.scale == Scale::Linear || value > 0.0)
    }

    /// The coordinate of `value`; far outside of the plot it stays within sight of it.
    pub(super) fn at(&self, value: f64) -> f64 {
        let number = match self.scale {
            Scale::Linear => value,
            // The lower edge of a band may be zero.
            Scale::Log => libm::log10(value.max(f64::MIN_POSITIVE)),
        };
        let share = (number - self.low) / (self.high - self.low);
        self.from + share.clamp(-20.0, 20.0) * (self.to - self.from)
    }

    /// Round numbers within the range.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let step = self.step();
                let first = (self.low / step).ceil() as i64;
                let last = (self.high / step).floor() as i64;
                (first..=last).map(|i| i as f64 * step).collect()
            }
            Scale::Log => {
                let decades = self.low.floor() as i32..=self.high.ceil() as i32;
                let stride = ((self.high - self.low) / 6.0).ceil().max(1.0) as i32;
                let factors: &[f64] = match self.high - self.low {
                    span if span < 0.7 => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
                    span if span < 2.0 => &[1.0, 2.0, 5.0],
                    _ => &[1.0],
                };
                let values = decades
                    .filter(|decade| decade.rem_euclid(stride) == 0)
                    .flat_map(|decade| factors.iter().map(move |factor| factor * libm::exp10(f64::from(decade))));
                values.filter(|value| (self.low..=self.high).contains(&libm::log10(*value))).collect()
            }
        }
    }

    /// A tick's label, with as many digits as tell it from its neighbors.
    pub(super) fn label(&self, tick: f64) -> String {
        match self.scale {
            Scale::Linear => {
                let digits = (-libm::log10(self.step()).floor()).max(0.0) as usize;
                if digits > MOST_DIGITS { exact(tick) } else { grouped(&format!("{tick:.digits$}")) }
            }
            Scale::Log if self.low >= -3.2 && self.high <= 4.2 => {
                grouped(format!("{tick:.4}").trim_end_matches('0').trim_end_matches('.'))
            }
            Scale::Log => power(tick),
        }
    }

    /// A tick's label with its sign, as of a difference.
    pub(super) fn signed(&self, tick: f64) -> String {
        let label = self.label(tick);
        if tick > 0.0 { format!("+{label}") } else { label }
    }

    /// The distance of ticks: 1, 2 or 5 times a power of ten.
    fn step(&self) -> f64 {
        let rough = (self.high - self.low) / self.wanted;
        let power = libm::exp10(libm::log10(rough).floor());
        let factor = match rough / power {
            small if small < 1.5 => 1.0,
            small if small < 3.5 => 2.0,
            large if large < 7.5 => 5.0,
            _ => 10.0,
        };
        (factor * power).max(self.finest)
    }
}

/// Centers close to `wanted` (sorted) for labels of the given heights that do not overlap, between
/// `top` and `bottom` as far as they fit.
pub(super) fn spread(wanted: &[f64], heights: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    /// Labels that touch each other, centered on the mean of what they want.
    struct Block {
        labels: usize,
        height: f64,
        /// Where the block's upper edge would be, summed over what each label wants.
        wishes: f64,
    }
    impl Block {
        fn upper(&self, top: f64, bottom: f64) -> f64 {
            (self.wishes / self.labels as f64).min(bottom - self.height).max(top)
        }
    }
    let mut blocks: Vec<Block> = Vec::new();
    for (wish, height) in wanted.iter().zip(heights) {
        let mut last = Block { labels: 1, height: *height, wishes: wish - height / 2.0 };
        while let Some(before) =
            blocks.pop_if(|before| before.upper(top, bottom) + before.height > last.upper(top, bottom))
        {
            last.wishes += before.wishes - before.height * last.labels as f64;
            last.labels += before.labels;
            last.height += before.height;
        }
        blocks.push(last);
    }
    let mut heights = heights.iter();
    let mut places = Vec::with_capacity(wanted.len());
    for block in &blocks {
        let mut edge = block.upper(top, bottom);
        for height in heights.by_ref().take(block.labels) {
            places.push(edge + height / 2.0);
            edge += height;
        }
    }
    places
}

/// First and last of sorted `values`, drawn apart where they are equal; 0 and 1 of nothing.
fn ends(values: &[f64]) -> (f64, f64) {
    match (values.first(), values.last()) {
        (Some(&low), Some(&high)) => apart(low, high),
        _ => (0.0, 1.0),
    }
}

/// Both ends of an axis with room between them: a flat curve stays flat, and ticks of its axis are told apart.
fn apart(low: f64, high: f64) -> (f64, f64) {
    // Within these, neither the range nor the distance of its ticks leaves what numbers can be.
    let [low, high] = [low, high].map(|end| end.clamp(-1e300, 1e300));
    let size = low.abs().max(high.abs());
    if high - low > (1e-9 * size).max(1e-300) {
        return (low, high);
    }
    let room = 0.5 * size.max(1.0);
    (low - room, high + room)
}

/// Commas between thousands, from 10,000 on, and a true minus.
fn grouped(number: &str) -> String {
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |rest| ("−", rest));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = if whole.len() > 4 { files::thousands(whole) } else { whole.to_owned() };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// A value as it is: four digits at least, whole numbers whole.
pub(super) fn exact(value: f64) -> String {
    let exponent = if value == 0.0 { 0.0 } else { libm::log10(value.abs()).floor() };
    if value.fract() == 0.0 && exponent < 15.0 {
        grouped(&value.to_string())
    } else if (-4.0..5.0).contains(&exponent) {
        let digits = (3.0 - exponent).max(0.0) as usize;
        grouped(&format!("{value:.digits$}"))
    } else {
        format!("{value:.3e}").replace('-', "−")
    }
}

/// `tick` as a factor and a power of ten.
fn power(tick: f64) -> String {
    let exponent = (libm::log10(tick) + 1e-9).floor();
    let factor = tick / libm::exp10(exponent);
    let raised: String = format!("{exponent}")
        .chars()
        .map(|digit| match digit {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            digit => digit.to_digit(10).and_then(|d| char::from_u32(0x2070 + d)).unwrap_or(digit),
        })
        .collect();
    if (factor - 1.0).abs() < 0.01 {
        format!("10{raised}")
    } else {
        format!("{}·10{raised}", (factor * 10.0).round() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn axis(scale: Scale, low: f64, high: f64) -> Axis {
        Axis { scale, low, high, wanted: 5.0, finest: 0.0, from: 0.0, to: 100.0 }
    }

    fn labels(axis: &Axis) -> String {
        axis.ticks().iter().map(|tick| axis.label(*tick)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&axis(Scale::Linear, 68.3, 89.4)), "70 75 80 85");
        assert_eq!(labels(&axis(Scale::Linear, -0.11, 0.32)), "−0.1 0.0 0.1 0.2 0.3");
        assert_eq!(labels(&axis(Scale::Linear, 0.0, 78_000.0)), "0 20,000 40,000 60,000");
        assert_eq!(labels(&axis(Scale::Log, -2.1, 0.2)), "0.01 0.1 1");
        assert_eq!(labels(&axis(Scale::Log, -0.4, 0.8)), "0.5 1 2 5");
        assert_eq!(labels(&axis(Scale::Log, -5.3, -1.2)), "10⁻⁵ 10⁻⁴ 10⁻³ 10⁻²");
        assert_eq!(labels(&axis(Scale::Log, -5.3, -3.9)), "10⁻⁵ 2·10⁻⁵ 5·10⁻⁵ 10⁻⁴");
    }

    /// All the same, the same but for rounding, and flat but for what a trim leaves out.
    #[test]
    fn flat_curves_have_an_axis() {
        let curves: [&[f64]; 5] = [
            &[1.0; 8],
            &[100.0, 100.0 + 1e-13, 100.0],
            &[0.0; 3],
            &[0.0, 0.0, 0.0, 1e-300],
            &[0.1, 100.0, 100.0, 100.0, 100.0],
        ];
        let trims = [Trim::Neither, Trim::Low, Trim::High, Trim::Lowest(0.3), Trim::Highest(0.3)];
        for (values, trim) in curves.iter().flat_map(|values| trims.map(|trim| (values, trim))) {
            for scale in [Scale::Linear, Scale::Log] {
                let points = values.iter().map(|y| crate::Point { x: 1.0, y: *y, low: *y, high: *y }).collect();
                let line = Line { label: String::new(), style: 0, joined: true, points };
                let (x, y) = (String::new(), String::new());
                let panel = Panel { y, x, x_scale: Scale::Linear, scale, trim, lines: vec![line] };
                let lines: Vec<&Line> = panel.lines.iter().collect();
                let axis = Axis::vertical(&panel, &lines, 100.0, 0.0);
                assert!(axis.high > axis.low && axis.high.is_finite(), "{values:?} {trim:?}");
                let labels = labels(&axis);
                assert!(labels.len() < 100, "{labels}");
            }
        }
    }

    #[test]
    fn values_have_four_digits() {
        let values = [0.0, 3.0, -12_345.0, 85.714_285, 1234.5678, 98_765.4, 0.01, 0.000_012_345, -2.5e7 - 0.5];
        let shown = values.map(exact);
        assert_eq!(shown, ["0", "3", "−12,345", "85.71", "1235", "98,765", "0.01000", "1.234e−5", "−2.500e7"]);
    }

    /// Numbers of every size, those that are none among them.
    fn numbers() -> impl Strategy<Value = f64> {
        let extreme = [0.0, 5e-324, 1e-310, 1e-300, 1e308, f64::MAX, f64::INFINITY, f64::NAN];
        let size = prop_oneof![prop::sample::select(extreme.to_vec()), 0.0..2.0_f64, any::<f64>()];
        (size, any::<bool>()).prop_map(|(size, negative)| if negative { -size } else { size })
    }

    proptest! {
        #[test]
        fn whatever_is_drawn_has_few_ticks_that_are_numbers(
            values in prop::collection::vec((numbers(), numbers(), numbers(), numbers()), 0..8),
            logs in any::<[bool; 2]>(),
        ) {
            let [x_scale, scale] = logs.map(|log| if log { Scale::Log } else { Scale::Linear });
            let points = values.into_iter().map(|(x, y, low, high)| crate::Point { x, y, low, high }).collect();
            let line = Line { label: String::new(), style: 0, joined: true, points };
            for trim in [Trim::Neither, Trim::Low, Trim::High, Trim::Lowest(0.3), Trim::Highest(0.3)] {
                let (x, y, lines) = (String::new(), String::new(), vec![line.clone()]);
                let panel = Panel { y, x, x_scale, scale, trim, lines };
                let lines: Vec<&Line> = panel.lines.iter().collect();
                for axis in [Axis::horizontal(&panel, 0.0, 100.0), Axis::vertical(&panel, &lines, 100.0, 0.0)] {
                    prop_assert!(axis.high > axis.low && (axis.high - axis.low).is_finite(), "{} {}", axis.low, axis.high);
                    let ticks = axis.ticks();
                    prop_assert!(ticks.len() < 40 && ticks.iter().all(|tick| tick.is_finite()), "{ticks:?}");
                    prop_assert!(ticks.iter().all(|tick| axis.at(*tick).is_finite() && !axis.label(*tick).contains("NaN")));
                }
            }
        }

        #[test]
        fn labels_keep_their_order_and_do_not_overlap(
            mut wanted in prop::collection::vec(0.0..100.0f64, 1..6),
        ) {
            wanted.sort_by(f64::total_cmp);
            let heights = vec![20.0; wanted.len()];
            let places = spread(&wanted, &heights, 0.0, 100.0);
            prop_assert!(places.windows(2).all(|pair| pair[1] - pair[0] > 20.0 - 1e-9), "{places:?}");
            prop_assert!(places[0] >= 10.0 && places[places.len() - 1] <= 90.0 + 1e-9, "{places:?}");
        }
    }
}
