//! The colors of drawings.

use crate::MOST_LINES;

/// Colors for a page's background; the drawing itself has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    fn text(self) -> &'static str {
        if self == Self::Light { "#1f2328" } else { "#f0f6fc" }
    }

    fn faint(self) -> &'static str {
        if self == Self::Light { "#59636e" } else { "#a6adb5" }
    }

    fn grid(self) -> &'static str {
        if self == Self::Light { "#d1d9e0" } else { "#3d444d" }
    }

    /// Okabe and Ito's palette, which most color-blind readers can tell apart, without the
    /// colors that vanish on the background.
    fn line(self, style: usize) -> &'static str {
        let colors: [&str; MOST_LINES] = match self {
            Self::Light => ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1f2328", "#8b949e"],
            Self::Dark => ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#f0e442", "#f0f6fc", "#8b949e"],
        };
        colors[style % colors.len()]
    }
}

/// What a drawing is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium<'a> {
    /// A file, in the colors of one theme; it cannot answer a pointer.
    File(Theme),
    /// A part of a page, whose ids begin so. Its colors are the variables of [`palette`], and its points say their values.
    Page(&'a str),
}

impl Medium<'_> {
    pub(crate) fn text(self) -> &'static str {
        self.color("var(--text)", Theme::text)
    }

    pub(crate) fn faint(self) -> &'static str {
        self.color("var(--faint)", Theme::faint)
    }

    pub(crate) fn grid(self) -> &'static str {
        self.color("var(--grid)", Theme::grid)
    }

    pub(crate) fn line(self, style: usize) -> &'static str {
        const VARIABLES: [&str; MOST_LINES] = [
            "var(--line-0)",
            "var(--line-1)",
            "var(--line-2)",
            "var(--line-3)",
            "var(--line-4)",
            "var(--line-5)",
            "var(--line-6)",
            "var(--line-7)",
        ];
        self.color(VARIABLES[style % MOST_LINES], |theme| theme.line(style))
    }

    fn color(self, variable: &'static str, of: impl Fn(Theme) -> &'static str) -> &'static str {
        match self {
            Self::File(theme) => of(theme),
            Self::Page(_) => variable,
        }
    }

    /// The id of the drawing's part `name`.
    pub(crate) fn id(self, name: &str) -> String {
        match self {
            Self::File(_) => name.to_owned(),
            Self::Page(prefix) => format!("{prefix}{name}"),
        }
    }

    pub(crate) fn has_pointer(self) -> bool {
        matches!(self, Self::Page(_))
    }
}

/// The colors of drawings as CSS variables, for both schemes of a page: `--text`, `--faint`, `--grid`, `--line-0`, ….
pub fn palette() -> String {
    let of = |name: &str, color: &dyn Fn(Theme) -> &'static str| {
        format!("  --{name}: light-dark({}, {});\n", color(Theme::Light), color(Theme::Dark))
    };
    let fixed = [of("text", &Theme::text), of("faint", &Theme::faint), of("grid", &Theme::grid)];
    let lines = (0..MOST_LINES).map(|style| of(&format!("line-{style}"), &|theme: Theme| theme.line(style)));
    fixed.into_iter().chain(lines).collect()
}
