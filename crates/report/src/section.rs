//! Generated parts of a page: paragraphs and tables.

use super::table::Table;

/// Parts of a page, with an empty line between them.
#[derive(Default)]
pub(crate) struct Section(Vec<Part>);

/// A paragraph, or whatever else is markdown; a table.
enum Part {
    Text(String),
    Table(Table),
}

impl Section {
    pub(crate) fn text(mut self, markdown: impl Into<String>) -> Self {
        self.0.push(Part::Text(markdown.into()));
        self
    }

    pub(crate) fn texts(self, markdown: impl IntoIterator<Item = String>) -> Self {
        markdown.into_iter().fold(self, Self::text)
    }

    pub(crate) fn table(mut self, table: Table) -> Self {
        self.0.push(Part::Table(table));
        self
    }

    pub(crate) fn sections(mut self, sections: impl IntoIterator<Item = Self>) -> Self {
        self.0.extend(sections.into_iter().flat_map(|section| section.0));
        self
    }

    pub(crate) fn markdown(&self) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(markdown) => markdown.clone(),
            Part::Table(table) => table.markdown().trim_end().to_owned(),
        });
        parts.collect::<Vec<_>>().join("\n\n") + "\n"
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.0.iter().filter_map(|part| match part {
            Part::Table(table) => Some(table),
            Part::Text(_) => None,
        })
    }
}
