//! The colours of drawings.

use crate::MOST_LINES;

/// Colours for a page's background; the drawing itself has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    pub(crate) fn text(self) -> &'static str {
        if self == Self::Light { "#1f2328" } else { "#f0f6fc" }
    }

    pub(crate) fn faint(self) -> &'static str {
        if self == Self::Light { "#59636e" } else { "#a6adb5" }
    }

    pub(crate) fn grid(self) -> &'static str {
        if self == Self::Light { "#d1d9e0" } else { "#3d444d" }
    }

    /// Okabe and Ito's palette, which most colour-blind readers can tell apart, without the
    /// colours that vanish on the background.
    pub(crate) fn line(self, style: usize) -> &'static str {
        let colours: [&str; MOST_LINES] = match self {
            Self::Light => ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1f2328", "#8b949e"],
            Self::Dark => ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#f0e442", "#f0f6fc", "#8b949e"],
        };
        colours[style % colours.len()]
    }
}

/// The colours of drawings as CSS variables, for both schemes of a page: `--text`, `--faint`, `--grid`, `--line-0`, ….
pub fn palette() -> String {
    colours().into_iter().map(|(name, light, dark)| format!("  --{name}: light-dark({light}, {dark});\n")).collect()
}

/// Name, light and dark of each colour.
pub(crate) fn colours() -> Vec<(String, &'static str, &'static str)> {
    let of = |name: &str, colour: &dyn Fn(Theme) -> &'static str| {
        (name.to_owned(), colour(Theme::Light), colour(Theme::Dark))
    };
    let fixed = [of("text", &Theme::text), of("faint", &Theme::faint), of("grid", &Theme::grid)];
    let lines = (0..MOST_LINES).map(|style| of(&format!("line-{style}"), &|theme: Theme| theme.line(style)));
    fixed.into_iter().chain(lines).collect()
}
