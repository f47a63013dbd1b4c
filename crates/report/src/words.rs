//! Numbers and names as a reader wants them.

use record::Headline;
use statistics::Interval;
use study::{Float, Row, Setting, last};

/// What stands where there is no number.
pub(super) const NOTHING: &str = "—";

/// Decimals of a number known to ± `half`: one more than the interval supports, but no more than
/// the headline's unit bears.
fn decimals(half: f64, headline: &Headline) -> usize {
    let most = if is_percentage(headline) { 2 } else { 4 };
    if half > 0.0 { (1.0 - libm::log10(half).floor()).clamp(0.0, most as f64) as usize } else { most }
}

/// Whether the headline is a share, printed in per cent.
pub(super) fn is_percentage(headline: &Headline) -> bool {
    headline.scale == 100.0
}

/// `91.23 ± 0.45`, or `91.2 ± —` where the interval is unknown.
pub(super) fn estimate(mean: f64, interval: Option<Interval>, headline: &Headline) -> String {
    match interval {
        Some(Interval { half, .. }) => {
            let digits = decimals(half, headline);
            format!("{} ± {half:.digits$}", fixed(mean, digits))
        }
        None => format!("{} ± {NOTHING}", point(mean, headline)),
    }
}

/// `91.2`, without a word on how well it is known.
pub(super) fn point(mean: f64, headline: &Headline) -> String {
    fixed(mean, if is_percentage(headline) { 1 } else { 2 })
}

/// `+0.42 [−0.10, +0.94]`.
pub(super) fn change(interval: Interval, headline: &Headline) -> String {
    let digits = decimals(interval.half, headline);
    let [mean, low, high] = [interval.mean, interval.low(), interval.high()].map(|value| signed(value, digits));
    format!("{mean} [{low}, {high}]")
}

pub(super) fn fixed(value: f64, digits: usize) -> String {
    format!("{value:.digits$}").replace('-', "−")
}

/// With its sign, unless it is rounded to zero.
fn signed(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let zero = text.chars().all(|digit| matches!(digit, '0' | '.'));
    let sign = if zero {
        ""
    } else if value < 0.0 {
        "−"
    } else {
        "+"
    };
    format!("{sign}{text}")
}

/// Three significant digits.
pub(super) fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    let exponent = libm::log10(value.abs()).floor();
    if (-4.0..5.0).contains(&exponent) {
        fixed(value, (2.0 - exponent).max(0.0) as usize)
    } else {
        format!("{value:.2e}").replace('-', "−")
    }
}

/// A p value with two significant digits, as far as they say something.
pub(super) fn probability(p: f64) -> String {
    match p {
        p if p < 0.001 => "< 0.001".to_owned(),
        p if p < 0.0995 => format!("{p:.3}"),
        p => format!("{p:.2}"),
    }
}

/// A hyper-parameter as one would write it in a configuration.
pub(super) fn number(value: Float) -> String {
    let size = value.0.abs();
    if size != 0.0 && !(1e-3..1e5).contains(&size) { format!("{:e}", value.0) } else { value.0.to_string() }
}

/// Commas between thousands.
pub(super) fn count(number: u64) -> String {
    files::thousands(&number.to_string())
}

/// `1 run`, `2 runs`.
pub(super) fn counted(number: usize, thing: &str) -> String {
    format!("{} {thing}{}", count(number as u64), if number == 1 { "" } else { "s" })
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed(items: &[String]) -> String {
    match items {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Text of a record where it may not act as markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace(['\n', '\r'], " ")
}

/// A link to a place of the page's appendix.
pub(super) fn link(text: &str, anchor: &str) -> String {
    if text == NOTHING { text.to_owned() } else { format!("[{text}](#{anchor})") }
}

/// `text` without emphasis and without links to places of the page, for a terminal.
pub(super) fn unmarked(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, (link, after))) = rest.split_once("](#").and_then(|(b, a)| Some((b, a.split_once(')')?))) {
        match before.rsplit_once('[') {
            Some((before, name)) => plain.extend([before, name]),
            None => plain.extend([before, "](#", link, ")"]),
        }
        rest = after;
    }
    (plain + rest).replace("**", "")
}

/// A place that a link can lead to.
pub(super) fn anchor(name: &str) -> String {
    format!("<a id=\"{name}\"></a>")
}

/// The hyper-parameters of `setting` that tell it from the row's others, or the method's own and the
/// learning rate where the row has but one.
pub(super) fn hyper(row: &Row<'_>, setting: &Setting<'_>) -> String {
    let searched = row.searched();
    let shown = |key: &str| {
        if searched.is_empty() { key.starts_with("method.") || key == "optimizer.lr" } else { searched.contains(&key) }
    };
    let shown: Vec<(&str, Float)> =
        setting.hyper.iter().filter(|(key, _)| shown(key)).map(|(key, value)| (key.as_str(), *value)).collect();
    let words = shown.iter().map(|(key, value)| {
        let ambiguous = shown.iter().filter(|(other, _)| last(other) == last(key)).count() > 1;
        format!("{} {}", if ambiguous { key } else { last(key) }, number(*value))
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "defaults".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_cent() -> Headline {
        Headline { score: "top1".into(), title: "top-1 %".into(), scale: 100.0, higher_is_better: true }
    }

    #[test]
    fn one_decimal_more_than_the_interval_supports() {
        let printed = |half| estimate(91.23456, Some(Interval { mean: 91.23456, half, n: 3 }), &per_cent());
        assert_eq!(printed(12.3), "91 ± 12");
        assert_eq!(printed(1.34), "91.2 ± 1.3");
        assert_eq!(printed(0.456), "91.23 ± 0.46");
        assert_eq!(printed(0.0456), "91.23 ± 0.05");
        assert_eq!(printed(0.0), "91.23 ± 0.00");
        assert_eq!(estimate(91.23456, None, &per_cent()), "91.2 ± —");
    }

    #[test]
    fn differences_have_signs() {
        let printed = |mean, half| change(Interval { mean, half, n: 3 }, &per_cent());
        assert_eq!(printed(0.42, 0.52), "+0.42 [−0.10, +0.94]");
        assert_eq!(printed(-2.0, 1.5), "−2.0 [−3.5, −0.5]");
        assert_eq!(printed(0.001, 0.5), "0.00 [−0.50, +0.50]");
    }

    #[test]
    fn a_terminal_shows_no_marks() {
        let note = "rows **differ**, in [all pairs](#pairs) [a, b] as `x` [here](#y).";
        assert_eq!(unmarked(note), "rows differ, in all pairs [a, b] as `x` here.");
        assert_eq!(unmarked("[0, 1] and [2"), "[0, 1] and [2");
    }

    #[test]
    fn probabilities_are_short() {
        let printed = [1e-9, 0.001, 0.0123, 0.04999, 0.0996, 0.5, 1.0].map(probability);
        assert_eq!(printed, ["< 0.001", "0.001", "0.012", "0.050", "0.10", "0.50", "1.00"]);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.1, 5e-4, 0.0, 30.0, 1e-7].map(|value| number(Float(value))), ["0.1", "5e-4", "0", "30", "1e-7"]);
        assert_eq!(
            [0.012345, 12.345, 1234.5, 0.0, 1.234e-6].map(significant),
            ["0.0123", "12.3", "1234", "0", "1.23e−6"]
        );
        assert_eq!([7, 1234, 1234567].map(count), ["7", "1,234", "1,234,567"]);
        assert_eq!(listed(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }
}
