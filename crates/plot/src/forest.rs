//! Forest plots: differences with their intervals, a row each.

use super::axis::{Axis, exact};
use super::{FONT, Medium, VALUES, begin, escape, in_two, line, text};
use std::fmt::Write;

const LEFT: f64 = 232.0;
const RIGHT: f64 = 566.0;
/// Of a panel: above the rows, a row, below the rows.
const ABOVE: f64 = 40.0;
const ROW: f64 = 40.0;
const BELOW: f64 = 78.0;
/// Widths of the arrow at an interval that leaves the plot.
const ARROW: f64 = 7.0;

/// One or more panels, one above the other, each with its own axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    /// Text alternative, short.
    pub title: String,
    /// Text alternative, long.
    pub description: String,
    /// Top first.
    pub panels: Vec<Effects>,
}

/// Differences in one unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Effects {
    /// Above the rows.
    pub heading: String,
    /// What is to the right, below the axis.
    pub unit: String,
    /// Whether smaller is better; better is always at the right.
    pub reversed: bool,
    /// Differences up to this do not matter.
    pub margin: Option<f64>,
    /// A row each, top first.
    pub effects: Vec<Effect>,
}

/// A difference with its interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// Of the row.
    pub label: String,
    /// The difference.
    pub mean: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
    /// Beside the interval.
    pub verdict: String,
    /// Color of the interval and the verdict.
    pub tone: Tone,
}

/// The color of a verdict, which its words say as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Better than the reference.
    Better,
    /// Worse than the reference.
    Worse,
    /// No difference that matters.
    Equivalent,
    /// None of these.
    Undecided,
}

impl Tone {
    fn color(self, medium: Medium<'_>) -> &'static str {
        match self {
            Self::Better => medium.line(0),
            Self::Worse => medium.line(1),
            Self::Equivalent => medium.line(2),
            Self::Undecided => medium.faint(),
        }
    }
}

impl Effects {
    fn height(&self) -> f64 {
        ABOVE + ROW * self.effects.len() as f64 + BELOW
    }

    /// The axis: with all differences and the margin, and with the intervals unless one is far wider than the others.
    fn axis(&self) -> Axis {
        let sizes = |of: fn(&Effect) -> f64| self.effects.iter().map(of).filter(|size| size.is_finite());
        let mut reaches: Vec<f64> = sizes(|effect| effect.low.abs().max(effect.high.abs())).collect();
        reaches.sort_by(f64::total_cmp);
        let usual = reaches.get(reaches.len() / 2).copied().unwrap_or(0.0);
        let needed = sizes(|effect| effect.mean.abs()).fold(self.margin.unwrap_or(0.0), f64::max);
        let most = (1.5 * needed).max(2.5 * usual);
        let low = sizes(|effect| effect.low).chain(self.margin.map(|margin| -margin)).fold(0.0, f64::min).max(-most);
        let high = sizes(|effect| effect.high).chain(self.margin).fold(0.0, f64::max).min(most);
        let ends = if self.reversed { (RIGHT, LEFT) } else { (LEFT, RIGHT) };
        Axis::between(low, high, ends.0, ends.1)
    }
}

/// The drawing as SVG; on a page with an invisible target for each difference that says its values.
pub(super) fn svg(forest: &Forest, medium: Medium<'_>) -> String {
    let height: f64 = forest.panels.iter().map(Effects::height).sum();
    let mut out = begin(&forest.title, &forest.description, height, medium);
    let mut top = 0.0;
    for panel in &forest.panels {
        draw(&mut out, panel, top, medium);
        top += panel.height();
    }
    out + "</svg>\n"
}

fn draw(out: &mut String, panel: &Effects, top: f64, medium: Medium<'_>) {
    let axis = panel.axis();
    let (first, last) = (top + ABOVE, top + ABOVE + ROW * panel.effects.len() as f64);
    text(out, 4.0, top + 22.0, "start", medium.text(), &panel.heading);
    if let Some(margin) = panel.margin {
        let [one, other] = [axis.at(-margin), axis.at(margin)];
        let (x, width) = (one.min(other), (one - other).abs());
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{first:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{}\" fill-opacity=\"0.55\"/>",
            last - first,
            medium.grid()
        );
    }
    line(out, (axis.at(0.0), first), (axis.at(0.0), last), medium.text(), 1.0, "");
    line(out, (LEFT, last), (RIGHT, last), medium.faint(), 1.0, "");
    for tick in axis.ticks() {
        let at = axis.at(tick);
        line(out, (at, last), (at, last + 5.0), medium.faint(), 1.0, "");
        text(out, at, last + 23.0, "middle", medium.faint(), &axis.signed(tick));
    }
    text(out, (LEFT + RIGHT) / 2.0, last + 44.0, "middle", medium.faint(), &panel.unit);
    text(out, LEFT, last + 44.0, "end", medium.faint(), "← worse");
    text(out, RIGHT, last + 44.0, "start", medium.faint(), "better →");
    for (place, effect) in panel.effects.iter().enumerate() {
        row(out, effect, &axis, first + ROW * (place as f64 + 0.5), medium);
    }
    if !medium.has_pointer() {
        return;
    }
    let _ = write!(out, "{VALUES} fill=\"none\" pointer-events=\"all\">");
    for (place, effect) in panel.effects.iter().enumerate() {
        let (x, y) = (axis.at(effect.mean), first + ROW * (place as f64 + 0.5));
        let title = [
            format!("{}: {}", effect.label, effect.verdict),
            format!("difference {}", exact(effect.mean)),
            format!("interval {} to {}", exact(effect.low), exact(effect.high)),
        ];
        let title = title.map(|words| escape(&words.replace(['\n', '\r'], " "))).join("&#10;");
        let _ = write!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"><title>{title}</title></circle>");
    }
    out.push_str("</g>\n");
}

fn row(out: &mut String, effect: &Effect, axis: &Axis, y: f64, medium: Medium<'_>) {
    let parts = in_two(&effect.label);
    for (i, part) in parts.iter().enumerate() {
        let color = if i == 0 { medium.text() } else { medium.faint() };
        let shift = FONT * 1.1 * (i as f64 - (parts.len() - 1) as f64 / 2.0);
        text(out, 4.0, y + 5.5 + shift, "start", color, part);
    }
    let color = effect.tone.color(medium);
    let [low, mean, high] = [effect.low, effect.mean, effect.high].map(|value| axis.at(value));
    let (from, to) = (low.min(high), low.max(high));
    line(out, (from.clamp(LEFT, RIGHT), y), (to.clamp(LEFT, RIGHT), y), color, 3.0, "");
    for (end, edge, inwards) in [(from, LEFT, ARROW), (to, RIGHT, -ARROW)] {
        if (end - edge) * inwards < 0.0 {
            let (x, up, down) = (edge + inwards, y - 5.0, y + 5.0);
            let _ = writeln!(out, "<path d=\"M{edge:.1} {y:.1}L{x:.1} {up:.1}L{x:.1} {down:.1}Z\" fill=\"{color}\"/>");
        } else {
            line(out, (end, y - 5.0), (end, y + 5.0), color, 1.5, "");
        }
    }
    let _ = writeln!(out, "<circle cx=\"{mean:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{color}\"/>");
    text(out, RIGHT + 10.0, y + 5.5, "start", medium.text(), &effect.verdict);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(reversed: bool, effects: Vec<(f64, f64)>) -> Effects {
        let effect = |(mean, half): (f64, f64)| Effect {
            label: "a (b)".into(),
            mean,
            low: mean - half,
            high: mean + half,
            verdict: "undecided".into(),
            tone: Tone::Undecided,
        };
        Effects {
            heading: "h".into(),
            unit: "u".into(),
            reversed,
            margin: Some(0.5),
            effects: effects.into_iter().map(effect).collect(),
        }
    }

    #[test]
    fn better_is_at_the_right() {
        for (reversed, sign) in [(false, 1.0), (true, -1.0)] {
            let axis = panel(reversed, vec![(1.0, 0.5), (-1.0, 0.5)]).axis();
            assert!(sign * (axis.at(1.0) - axis.at(-1.0)) > 0.0);
        }
    }

    #[test]
    fn an_interval_that_is_far_wider_leaves_the_plot_with_an_arrow() {
        let draw = |effects: Vec<(f64, f64)>| {
            let forest = Forest { title: "t".into(), description: "d".into(), panels: vec![panel(false, effects)] };
            svg(&forest, Medium::Page("a-"))
        };
        let wide = draw(vec![(0.1, 0.4), (0.2, 0.5), (0.0, 50.0)]);
        assert_eq!(wide.matches("Z\" fill=").count(), 2, "{wide}");
        assert!(
            wide.contains("interval −50 to 50") && wide.contains("<title>a (b): undecided&#10;difference 0.1000"),
            "{wide}"
        );
        for flat in [draw(vec![(0.0, 0.0)]), draw(vec![(0.3, 0.0), (0.0, f64::INFINITY)]), draw(vec![])] {
            assert!(!flat.contains("NaN") && !flat.contains("=\"inf"), "{flat}");
        }
    }
}
