//! Line charts and forest plots as SVG.
//!
//! Our own writer, because the figures are committed and compared byte by byte: the plotting crate
//! that comes closest, kuva 0.6, puts its version into each file, so that an update of a dependency
//! makes every figure stale; a file of its has no text alternative as a whole; and lines are not
//! labeled at their ends, which readers who cannot tell the colors apart need. What is needed
//! here is small.

mod axis;
mod forest;
mod theme;

pub use forest::{Effect, Effects, Forest, Tone};
pub use theme::{Medium, Theme, palette};

use axis::Axis;
use std::fmt::Write;

/// Units of the drawing; text of 16 of them stays legible on a phone, where half of them fit.
const WIDTH: f64 = 720.0;
const LEFT: f64 = 66.0;
/// Of a panel: above the plot, the plot, below the plot.
const ABOVE: f64 = 44.0;
const PLOT: f64 = 262.0;
const BELOW: f64 = 58.0;
const FONT: f64 = 16.0;
/// Mean width of a character, in units of the font size.
const CHARACTER: f64 = 0.55;
/// From the plot to the label: a leader, then a sample of the line.
const LEADER: f64 = 16.0;
const SAMPLE: f64 = 26.0;
/// Lines of a panel: with more, neither would labels at the ends fit, nor could colors be told apart.
pub const MOST_LINES: usize = 8;
/// More points are not told apart on a curve of this size, and make files large.
const MOST_POINTS: usize = 120;
/// Curves of so many points show them.
const MOST_DOTS: usize = 16;
const FONTS: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
const DASHES: [&str; 4] = ["", "9 4", "2 4", "12 4 2 4"];

/// One or more panels, one above the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Text alternative, short.
    pub title: String,
    /// Text alternative, long.
    pub description: String,
    /// Top first.
    pub panels: Vec<Panel>,
    /// Whether a height is the same value in each panel.
    pub same_height: bool,
}

/// A plot with its axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What is up, above the plot.
    pub y: String,
    /// What is to the right, below the plot.
    pub x: String,
    /// Of the horizontal axis.
    pub x_scale: Scale,
    /// Of the vertical axis.
    pub scale: Scale,
    /// Of the vertical axis.
    pub trim: Trim,
    /// The curves.
    pub lines: Vec<Line>,
}

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// Points at or below zero are not drawn.
    Log,
}

/// Which outliers may leave the plot so that the rest can be told apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trim {
    /// The lowest, but not the last point of a line.
    Low,
    /// The highest, but not the last point of a line.
    High,
    /// None.
    Neither,
    /// This share of the points, the lowest, wherever they are on their lines.
    Lowest(f64),
    /// This share of the points, the highest.
    Highest(f64),
}

/// A curve with a band around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// At the end of the curve.
    pub label: String,
    /// Color and dashes; the same number looks the same in every figure.
    pub style: usize,
    /// Whether points are joined: where neighbors differ in more than `x`, there is nothing between them.
    pub joined: bool,
    /// Sorted by `x`.
    pub points: Vec<Point>,
}

/// A point of a curve, with its band.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Along the horizontal axis.
    pub x: f64,
    /// Along the vertical axis.
    pub y: f64,
    /// Lower end of the band.
    pub low: f64,
    /// Upper end of the band.
    pub high: f64,
}

/// How a line of a drawing begins that holds the values of a curve.
const VALUES: &str = "<g class=\"values\"";

/// What a report shows as a picture.
#[derive(Debug, Clone, PartialEq)]
pub enum Drawing {
    /// Line charts.
    Figure(Figure),
    /// Forest plots.
    Forest(Forest),
}

impl Drawing {
    /// Text alternative, short.
    pub fn title(&self) -> &str {
        match self {
            Self::Figure(figure) => &figure.title,
            Self::Forest(forest) => &forest.title,
        }
    }

    /// Text alternative, long.
    pub fn description(&self) -> &str {
        match self {
            Self::Figure(figure) => &figure.description,
            Self::Forest(forest) => &forest.description,
        }
    }

    /// As SVG; on a page with an invisible target for each point that says its values.
    pub fn svg(&self, medium: Medium<'_>) -> String {
        match self {
            Self::Figure(figure) => svg(figure, medium),
            Self::Forest(forest) => forest::svg(forest, medium),
        }
    }
}

/// What a drawing of `height` begins with.
fn begin(title: &str, description: &str, height: f64, medium: Medium<'_>) -> String {
    let [name, text] = ["title", "desc"].map(|name| medium.id(name));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{name} {text}\" \
         font-family=\"{FONTS}\" font-size=\"{FONT}\" fill=\"{}\">\n\
         <title id=\"{name}\">{}</title>\n<desc id=\"{text}\">{}</desc>\n",
        medium.text(),
        escape(title),
        escape(description),
    )
}

fn svg(figure: &Figure, medium: Medium<'_>) -> String {
    let height = (ABOVE + PLOT + BELOW) * figure.panels.len() as f64;
    let mut out = begin(&figure.title, &figure.description, height, medium);
    let right = WIDTH - labels_width(figure);
    let all: Vec<&Line> = figure.panels.iter().flat_map(|panel| &panel.lines).collect();
    for (number, panel) in figure.panels.iter().enumerate() {
        let top = ABOVE + (ABOVE + PLOT + BELOW) * number as f64;
        let own: Vec<&Line> = panel.lines.iter().collect();
        let y = Axis::vertical(panel, if figure.same_height { &all } else { &own }, top + PLOT, top);
        let curves = draw(&mut out, panel, &y, number, (top, right), medium);
        labels(&mut out, panel, &curves, (top, right), medium);
        if medium.has_pointer() {
            values(&mut out, panel, &y, (top, right));
        }
    }
    out + "</svg>\n"
}

/// The points of a curve that can be drawn, as `[x, y, low, high]` in units of the drawing.
type Curve = Vec<[f64; 4]>;

/// Draws `panel` with the plot's top right corner at `(top, right)`, and returns its curves.
fn draw(
    out: &mut String,
    panel: &Panel,
    y: &Axis,
    number: usize,
    (top, right): (f64, f64),
    medium: Medium<'_>,
) -> Vec<Curve> {
    let x = Axis::horizontal(panel, LEFT, right);

    text(out, 4.0, top - 22.0, "start", medium.text(), &panel.y);
    for tick in y.ticks() {
        let at = y.at(tick);
        line(out, (LEFT, at), (right, at), medium.grid(), 1.0, "");
        text(out, LEFT - 8.0, at + 5.5, "end", medium.faint(), &y.label(tick));
    }
    for tick in x.ticks() {
        let at = x.at(tick);
        line(out, (at, top + PLOT), (at, top + PLOT + 5.0), medium.faint(), 1.0, "");
        text(out, at, top + PLOT + 23.0, "middle", medium.faint(), &x.label(tick));
    }
    line(out, (LEFT, top + PLOT), (right, top + PLOT), medium.faint(), 1.0, "");
    text(out, (LEFT + right) / 2.0, top + PLOT + 44.0, "middle", medium.faint(), &panel.x);

    let plot = medium.id(&format!("plot{number}"));
    // Dots and strokes may stand out at each side.
    let _ = writeln!(
        out,
        "<clipPath id=\"{plot}\"><rect x=\"{}\" y=\"{}\" width=\"{:.1}\" height=\"{}\"/></clipPath>\n\
         <g clip-path=\"url(#{plot})\">",
        LEFT - 4.0,
        top - 4.0,
        right - LEFT + 8.0,
        PLOT + 5.0
    );
    let curves: Vec<Curve> = panel.lines.iter().map(|line| project(line, &x, y)).collect();
    for (line, curve) in panel.lines.iter().zip(&curves) {
        band(out, curve, medium.line(line.style));
    }
    // The first line, which is the best, comes last and so on top.
    for (line, curve) in panel.lines.iter().zip(&curves).rev() {
        let dots = if curve.len() <= MOST_DOTS || !line.joined { curve.as_slice() } else { &[] };
        for [x, y, ..] in dots {
            dot(out, *x, *y, medium.line(line.style));
        }
        if !line.joined {
            continue;
        }
        let path = curve.iter().map(|[x, y, ..]| format!("{x:.1} {y:.1}")).collect::<Vec<_>>().join("L");
        let _ = writeln!(
            out,
            "<path d=\"M{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2.5\" stroke-linejoin=\"round\"{}/>",
            medium.line(line.style),
            dashes(line.style)
        );
    }
    out.push_str("</g>\n");
    curves
}

fn project(line: &Line, x: &Axis, y: &Axis) -> Curve {
    let place = |point: &Point| [x.at(point.x), y.at(point.y), y.at(point.low), y.at(point.high)];
    drawn(line, y).into_iter().map(place).collect()
}

/// The points of `line` that a curve goes through.
fn drawn<'l>(line: &'l Line, y: &Axis) -> Vec<&'l Point> {
    let visible: Vec<&Point> = line.points.iter().filter(|point| point.x.is_finite() && y.can_show(point.y)).collect();
    let stride = visible.len().div_ceil(MOST_POINTS).max(1);
    let last = visible.len().saturating_sub(1);
    let chosen = visible.iter().enumerate().filter(|(i, _)| i % stride == 0 || *i == last);
    chosen.map(|(_, point)| *point).collect()
}

/// A line of the text for each curve of `panel`: invisible targets at its points within the plot, each titled with what
/// the point is.
fn values(out: &mut String, panel: &Panel, y: &Axis, (top, right): (f64, f64)) {
    let x = Axis::horizontal(panel, LEFT, right);
    for line in &panel.lines {
        let _ = write!(out, "{VALUES} fill=\"none\" pointer-events=\"all\">");
        for point in drawn(line, y) {
            let (across, down) = (x.at(point.x), y.at(point.y));
            if !(top - 1.0..=top + PLOT + 1.0).contains(&down) {
                continue;
            }
            let [place, value, low, high] = [point.x, point.y, point.low, point.high].map(axis::exact);
            let range = if low == high { String::new() } else { format!(", {low} to {high}") };
            let title = [&line.label, &format!("{} {place}", panel.x), &format!("{} {value}{range}", panel.y)];
            // A line break of a label's would end the line of the text.
            let title = title.map(|words| escape(&words.replace(['\n', '\r'], " "))).join("&#10;");
            let _ = write!(out, "<circle cx=\"{across:.1}\" cy=\"{down:.1}\" r=\"6\"><title>{title}</title></circle>");
        }
        out.push_str("</g>\n");
    }
}

fn band(out: &mut String, points: &[[f64; 4]], color: &str) {
    if points.iter().all(|[_, _, low, high]| (low - high).abs() < 0.1) {
        return;
    }
    let upper = points.iter().map(|[x, _, _, high]| format!("{x:.1} {high:.1}"));
    let lower = points.iter().rev().map(|[x, _, low, _]| format!("{x:.1} {low:.1}"));
    let path = upper.chain(lower).collect::<Vec<_>>().join("L");
    let _ = writeln!(out, "<path d=\"M{path}Z\" fill=\"{color}\" fill-opacity=\"0.18\"/>");
}

/// Labels at the ends of the lines, moved apart where they would overlap.
fn labels(out: &mut String, panel: &Panel, curves: &[Curve], (top, right): (f64, f64), medium: Medium<'_>) {
    let ends =
        panel.lines.iter().zip(curves).filter_map(|(line, curve)| curve.last().map(|end| (line, end[0], end[1])));
    let mut ends: Vec<(&Line, f64, f64)> = ends.collect();
    ends.sort_by(|one, other| one.2.total_cmp(&other.2));
    let heights: Vec<f64> = ends.iter().map(|(curve, ..)| 19.0 * in_two(&curve.label).len() as f64 + 4.0).collect();
    let wanted: Vec<f64> = ends.iter().map(|(.., y)| y.clamp(top, top + PLOT)).collect();
    let places = axis::spread(&wanted, &heights, top - ABOVE + 4.0, top + PLOT + BELOW - 4.0);
    for ((curve, x, y), place) in ends.into_iter().zip(places) {
        let color = medium.line(curve.style);
        let sample = right + LEADER;
        // A line that left the plot has no end to lead from.
        if curve.joined && (top - 1.0..=top + PLOT + 1.0).contains(&y) {
            line(out, (x + 2.0, y), (sample, place), color, 1.0, "");
        }
        if curve.joined {
            line(out, (sample, place), (sample + SAMPLE, place), color, 2.5, &dashes(curve.style));
        } else {
            dot(out, sample + SAMPLE - 5.0, place, color);
        }
        let parts = in_two(&curve.label);
        let first = place + 5.5 - 9.5 * (parts.len() - 1) as f64;
        for (i, part) in parts.iter().enumerate() {
            let color = if i == 0 { medium.text() } else { medium.faint() };
            text(out, sample + SAMPLE + 7.0, first + 19.0 * i as f64, "start", color, part);
        }
    }
}

/// A label's name and what is in parentheses, which go on two lines.
fn in_two(label: &str) -> Vec<&str> {
    match label.split_once(" (") {
        Some((name, rest)) => vec![name, rest.strip_suffix(')').unwrap_or(rest)],
        None => vec![label],
    }
}

fn labels_width(figure: &Figure) -> f64 {
    let parts = figure.panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| in_two(&line.label));
    let longest = parts.map(|part| part.chars().count()).max().unwrap_or(0);
    (LEADER + SAMPLE + 12.0 + FONT * CHARACTER * longest as f64).min(WIDTH / 2.0)
}

fn dashes(style: usize) -> String {
    match DASHES[style % DASHES.len()] {
        "" => String::new(),
        dashes => format!(" stroke-dasharray=\"{dashes}\""),
    }
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), color: &str, width: f64, more: &str) {
    let _ = writeln!(
        out,
        "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"{color}\" stroke-width=\"{width}\"{more}/>",
        from.0, from.1, to.0, to.1
    );
}

fn dot(out: &mut String, x: f64, y: f64, color: &str) {
    let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{color}\"/>");
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, color: &str, words: &str) {
    let words = escape(words);
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{color}\">{words}</text>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure() -> Figure {
        let points = |band: f64| [1.0, 2.0].map(|x| Point { x, y: x / 3.0, low: x / 3.0 - band, high: x / 3.0 + band });
        let line =
            |label: &str, style, band| Line { label: label.into(), style, joined: true, points: points(band).into() };
        let panel = |lines| Panel {
            y: "accuracy %".into(),
            x: "epoch".into(),
            x_scale: Scale::Linear,
            scale: Scale::Linear,
            trim: Trim::Neither,
            lines,
        };
        Figure {
            title: "A title".into(),
            description: "What is drawn".into(),
            panels: vec![panel(vec![line("one", 0, 0.0)]), panel(vec![line("a\n<b id=\"x\"> & c", 6, 0.1)])],
            same_height: false,
        }
    }

    #[test]
    fn each_point_says_what_it_is() {
        let drawing = svg(&figure(), Medium::Page("f1-"));
        let titles: Vec<&str> =
            drawing.split("<title>").skip(1).filter_map(|rest| Some(rest.split_once("</title>")?.0)).collect();
        assert_eq!(
            titles,
            [
                "one&#10;epoch 1&#10;accuracy % 0.3333",
                "one&#10;epoch 2&#10;accuracy % 0.6667",
                "a &lt;b id=&quot;x&quot;&gt; &amp; c&#10;epoch 1&#10;accuracy % 0.3333, 0.2333 to 0.4333",
                "a &lt;b id=&quot;x&quot;&gt; &amp; c&#10;epoch 2&#10;accuracy % 0.6667, 0.5667 to 0.7667",
            ]
        );
        let file = svg(&figure(), Medium::File(Theme::Light));
        assert!(!file.contains("values") && !file.contains("epoch 1"), "{file}");
        assert!(drawing.len() > file.len() && file.ends_with("</svg>\n"));
    }

    #[test]
    fn a_drawing_on_a_page_has_ids_of_its_own_and_no_colors() {
        let inline = svg(&figure(), Medium::Page("f1-"));
        for markup in [
            "aria-labelledby=\"f1-title f1-desc\"",
            "<title id=\"f1-title\">",
            "<desc id=\"f1-desc\">",
            "<clipPath id=\"f1-plot1\">",
            "clip-path=\"url(#f1-plot1)\"",
            "stroke=\"var(--line-0)\"",
            "fill=\"var(--text)\"",
        ] {
            assert!(inline.contains(markup), "{markup} in {inline}");
        }
        assert!(!inline.contains("\"#"), "{inline}");
        assert!(inline.contains("&lt;b id=&quot;x&quot;&gt;"), "a label is no markup: {inline}");
    }

    #[test]
    fn the_palette_has_both_schemes() {
        assert!(palette().starts_with("  --text: light-dark(#1f2328, #f0f6fc);\n"), "{}", palette());
        assert_eq!(palette().lines().count(), 3 + MOST_LINES);
    }
}
