//! Tables of typed cells, as markdown, as HTML and as plain text.

use super::words::{NOTHING, anchor, escape};

/// A table of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// A cell of a [`Table`]: texts in a row, and the number that they show.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Cell {
    /// What rows are sorted by; words are sorted as words.
    value: Option<f64>,
    texts: Vec<Text>,
}

/// A text, without markup.
#[derive(Debug, Clone, PartialEq, Default)]
struct Text {
    words: String,
    style: Style,
    /// The id of the place where it stands, to which links may lead.
    place: Option<String>,
    /// Where it leads: `#place` of the page, or another page.
    link: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Style {
    #[default]
    Plain,
    Strong,
    Code,
}

impl Cell {
    pub(crate) fn text(words: impl Into<String>) -> Self {
        Self { value: None, texts: vec![Text { words: words.into(), ..Text::default() }] }
    }

    pub(crate) fn code(words: impl Into<String>) -> Self {
        Self { value: None, texts: vec![Text { words: words.into(), style: Style::Code, ..Text::default() }] }
    }

    /// A number as `shown` writes it; a dash where there is none.
    pub(crate) fn number(value: impl Into<Option<f64>>, shown: impl FnOnce(f64) -> String) -> Self {
        Self::measured(value.into(), |value| (value, shown(value)))
    }

    /// What `shown` reads off `of`: a number and how it is written; a dash where there is nothing.
    pub(crate) fn measured<T>(of: Option<T>, shown: impl FnOnce(T) -> (f64, String)) -> Self {
        let Some((value, words)) = of.map(shown) else { return Self::text(NOTHING) };
        Self { value: Some(value).filter(|value| value.is_finite()), ..Self::text(words) }
    }

    pub(crate) fn count(count: u64) -> Self {
        Self::number(count as f64, |_| count.to_string())
    }

    /// `count/of`, sorted by the share.
    pub(crate) fn share(count: usize, of: usize) -> Self {
        Self::number(count as f64 / of as f64, |_| format!("{count}/{of}"))
    }

    /// `cells` with commas between them.
    pub(crate) fn listed(cells: impl IntoIterator<Item = Self>) -> Self {
        let all = cells.into_iter().reduce(|before, cell| before.and(Self::text(", ")).and(cell));
        all.unwrap_or_default()
    }

    /// Followed by `next`.
    pub(crate) fn and(mut self, next: Self) -> Self {
        self.texts.extend(next.texts);
        self
    }

    pub(crate) fn strong(mut self) -> Self {
        self.texts.iter_mut().for_each(|text| text.style = Style::Strong);
        self
    }

    /// Leads to `place` of the page, if there is anything to read.
    pub(crate) fn link(self, place: &str) -> Self {
        self.link_to(format!("#{place}"))
    }

    /// Leads to `destination`, if there is anything to read.
    pub(crate) fn link_to(mut self, destination: String) -> Self {
        for text in self.texts.iter_mut().filter(|text| text.words != NOTHING) {
            text.link = Some(destination.clone());
        }
        self
    }

    /// A place that a link can lead to.
    pub(crate) fn at(mut self, place: String) -> Self {
        if let Some(text) = self.texts.first_mut() {
            text.place = Some(place);
        }
        self
    }

    fn markdown(&self, folder: &str) -> String {
        let cell: String = self.texts.iter().map(|text| text.markdown(folder)).collect();
        one_line(&cell)
    }

    fn plain(&self) -> String {
        self.texts.iter().map(|text| text.words.as_str()).collect()
    }

    fn is_empty(&self) -> bool {
        self.texts.iter().all(|text| text.words.is_empty() || text.words == NOTHING)
    }
}

impl Text {
    fn markdown(&self, folder: &str) -> String {
        // Before a space, `<` begins no tag.
        let words = escape(&self.words).replace("&lt; ", "< ");
        let text = match self.style {
            Style::Plain => words,
            Style::Strong => format!("**{words}**"),
            Style::Code => format!("`{}`", self.words.replace('`', "'")),
        };
        let linked = match &self.link {
            Some(link) if link.starts_with('#') => format!("[{text}]({link})"),
            Some(link) => format!("[{text}]({folder}{link})"),
            None => text,
        };
        self.place.as_deref().map(anchor).unwrap_or_default() + &linked
    }

    fn html(&self, prefix: &str) -> String {
        let text = escape(&self.words).replace('"', "&quot;");
        let text = match self.style {
            Style::Plain => text,
            Style::Strong => format!("<strong>{text}</strong>"),
            Style::Code => format!("<code>{text}</code>"),
        };
        let linked = match self.link.as_deref().map(|link| link.strip_prefix('#').ok_or(link)) {
            Some(Ok(place)) => format!("<a href=\"#{prefix}{place}\">{text}</a>"),
            Some(Err(page)) => format!("<a href=\"{page}\">{text}</a>"),
            None => text,
        };
        self.place.as_ref().map_or(String::new(), |place| anchor(&format!("{prefix}{place}"))) + &linked
    }
}

impl Table {
    pub(crate) fn new<H: Into<String>>(
        header: impl IntoIterator<Item = H>,
        rows: impl IntoIterator<Item = Vec<Cell>>,
    ) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: rows.into_iter().collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// `|` in a cell is escaped, and a line break becomes a space.
    pub(crate) fn markdown(&self) -> String {
        self.markdown_from("")
    }

    /// For a page from which the pages that cells lead to are in `folder`.
    pub(crate) fn markdown_from(&self, folder: &str) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let header = self.header.iter().map(|name| one_line(&escape(name))).collect();
        let rows = self.rows.iter().map(|row| line(row.iter().map(|cell| cell.markdown(folder)).collect()));
        format!("{}|{}\n{}", line(header), "---|".repeat(self.header.len()), rows.collect::<String>())
    }

    /// Columns aligned at the left, without markup.
    pub(crate) fn plain(&self) -> String {
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(Cell::plain).collect()).collect();
        files::plain(&self.header, &rows)
    }

    /// A table in a box of its own, which scrolls where the page is too narrow. A cell's number is its `data-number`, to be
    /// sorted by; columns of numbers are aligned at the right. Ids of places begin with `prefix`.
    pub(crate) fn html(&self, prefix: &str) -> String {
        let of_numbers = |column: usize| {
            let filled = || self.rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty());
            filled().next().is_some() && filled().all(|cell| cell.value.is_some())
        };
        let columns = 0..self.header.len();
        let class: Vec<&str> =
            columns.map(|column| if of_numbers(column) { " class=\"number\"" } else { "" }).collect();
        let names = self.header.iter().zip(&class);
        let names: String =
            names.map(|(name, class)| format!("<th scope=\"col\"{class}>{}</th>", escape(name))).collect();
        let row = |row: &Vec<Cell>| {
            let cells = row.iter().zip(&class).map(|(cell, class)| {
                let number = cell.value.map(|value| format!(" data-number=\"{value}\"")).unwrap_or_default();
                let words: String = cell.texts.iter().map(|text| text.html(prefix)).collect();
                format!("<td{class}{number}>{words}</td>")
            });
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let rows: String = self.rows.iter().map(row).collect();
        format!(
            "<div class=\"table\"><table>\n<thead><tr>{names}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
        )
    }
}

/// What stays in its cell.
fn one_line(cell: &str) -> String {
    cell.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let rows = [
            vec![Cell::text("x|y").link("row-1"), Cell::number(-1234.5, |_| "−1,234.5 ± 0.1".into()).link("row-1")],
            vec![
                Cell::text("two\nlines").strong().at("row-1".into()),
                Cell::number(None, |_| "unseen".into()).link("x"),
            ],
            vec![Cell::text("0: ").and(Cell::code("`<b>`")), Cell::number(0.001, |_| "< 0.001".into())],
            vec![Cell::listed([Cell::text("<i>"), Cell::text("a & b").link_to("page.md#x".into())]), Cell::default()],
        ];
        Table::new(["method", "score"], rows)
    }

    #[test]
    fn a_cell_cannot_break_the_table() {
        insta::assert_snapshot!(table().markdown_from("reports/"), @r##"
        | method | score |
        |---|---|
        | [x\|y](#row-1) | [−1,234.5 ± 0.1](#row-1) |
        | <a id="row-1"></a>**two lines** | — |
        | 0: `'<b>'` | < 0.001 |
        | &lt;i>, [a &amp; b](reports/page.md#x) |  |
        "##);
    }

    #[test]
    fn numbers_stay_numbers_on_a_page() {
        insta::assert_snapshot!(table().html("of-1-"), @r##"
        <div class="table"><table>
        <thead><tr><th scope="col">method</th><th scope="col" class="number">score</th></tr></thead>
        <tbody>
        <tr><td><a href="#of-1-row-1">x|y</a></td><td class="number" data-number="-1234.5"><a href="#of-1-row-1">−1,234.5 ± 0.1</a></td></tr>
        <tr><td><a id="of-1-row-1"></a><strong>two lines</strong></td><td class="number">—</td></tr>
        <tr><td>0: <code>`&lt;b>`</code></td><td class="number" data-number="0.001">&lt; 0.001</td></tr>
        <tr><td>&lt;i>, <a href="page.md#x">a &amp; b</a></td><td class="number"></td></tr>
        </tbody>
        </table></div>
        "##);
    }

    #[test]
    fn a_terminal_shows_words_alone() {
        let rows =
            [vec![Cell::text("a").link("b"), Cell::count(3)], vec![Cell::text("long").strong(), Cell::share(1, 2)]];
        insta::assert_snapshot!(Table::new(["x", "y"], rows).plain(), @r"
        x     y
        a     3
        long  1/2
        ");
    }
}
