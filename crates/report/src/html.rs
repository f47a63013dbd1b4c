//! Reports as one HTML page that needs no other file and no network.
//!
//! The page is made from the report's markdown, so the two cannot contradict each other. Figures are drawn once; the
//! page replaces their colors with variables for both color schemes. Its content security policy forbids other
//! scripts and all requests.

use super::{Rendered, ReportError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plot::Medium;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// The page of `reports`, each with the markdown of its page ([`splice`](super::splice)): what that shows, with tables
/// that can be sorted and figures that say their values. `read` is asked for the bytes of the other images that a page
/// shows, by their path as seen from the page.
///
/// Errors where an image cannot be read, is of a kind that browsers do not show, or has no path in double quotes.
pub fn html(
    reports: &[(Rendered, String)],
    read: &dyn Fn(&str) -> std::io::Result<Vec<u8>>,
) -> Result<String, ReportError> {
    let title = match reports {
        [(rendered, _)] => rendered.title.as_str(),
        _ => "Reports",
    };
    let several = reports.len() > 1;
    let mut sections = Vec::new();
    let mut articles = String::new();
    for (rendered, markdown) in reports {
        let prefix = if several { format!("{}-", rendered.name) } else { String::new() };
        let mut article = Article { rendered, prefix, read, figures: 0, sections: Vec::new() };
        let body = article.convert(markdown)?;
        articles += &format!("<article>\n{body}</article>\n");
        let level = if several { HeadingLevel::H1 } else { HeadingLevel::H2 };
        sections.extend(article.sections.into_iter().filter(|section| section.level == level));
    }
    let links: String = sections
        .iter()
        .map(|section| format!("<a href=\"#{}\">{}</a>\n", section.id, escape(&section.title)))
        .collect();
    let style = format!(":root {{\n{}}}\n{STYLE}", plot::palette());
    let digest = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        digest(&style),
        digest(SCRIPT)
    );
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{}</title>\n<style>{style}</style>\n</head>\n<body>\n\
         <nav aria-label=\"Sections\">\n{links}</nav>\n<main>\n{articles}</main>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n",
        escape(title)
    ))
}

/// A heading that the page's navigation may lead to.
struct Section {
    level: HeadingLevel,
    id: String,
    title: String,
}

/// A report on its way to HTML.
struct Article<'a> {
    rendered: &'a Rendered,
    /// Of ids, where reports share a page.
    prefix: String,
    read: &'a dyn Fn(&str) -> std::io::Result<Vec<u8>>,
    /// How many were drawn.
    figures: usize,
    sections: Vec<Section>,
}

impl Article<'_> {
    fn convert(&mut self, markdown: &str) -> Result<String, ReportError> {
        let mut parsed = Parser::new_ext(markdown, Options::ENABLE_TABLES);
        let mut events = Vec::new();
        while let Some(event) = parsed.next() {
            match event {
                Event::Start(Tag::Table(_)) => {
                    let inside = parsed.by_ref().take_while(|event| *event != Event::End(TagEnd::Table));
                    let inside = inside.map(|event| self.inline(event)).collect::<Result<Vec<_>, _>>()?;
                    events.push(Event::Html(table(inside).into()));
                }
                Event::Start(Tag::HtmlBlock) => {
                    let inside = parsed.by_ref().take_while(|event| *event != Event::End(TagEnd::HtmlBlock));
                    let lines = inside.filter_map(|event| match event {
                        Event::Html(line) | Event::Text(line) => Some(line.into_string()),
                        _ => None,
                    });
                    let block: String = lines.collect();
                    events.push(Event::Html(self.raw(&block)?.into()));
                }
                Event::Start(Tag::Heading { level: level @ (HeadingLevel::H1 | HeadingLevel::H2), .. }) => {
                    let inside = parsed.by_ref().take_while(|event| *event != Event::End(TagEnd::Heading(level)));
                    let inside = inside.map(|event| self.inline(event)).collect::<Result<Vec<_>, _>>()?;
                    let id = format!("{}section-{}", self.prefix, self.sections.len() + 1);
                    self.sections.push(Section { level, id: id.clone(), title: text(&inside) });
                    events.push(Event::Html(format!("<{level} id=\"{id}\">{}</{level}>\n", rendered(inside)).into()));
                }
                Event::Start(Tag::Image { dest_url, .. }) => {
                    let inside: Vec<Event<'_>> =
                        parsed.by_ref().take_while(|event| *event != Event::End(TagEnd::Image)).collect();
                    events.push(Event::InlineHtml(self.image(&dest_url, &escape(&text(&inside)))?.into()));
                }
                event => events.push(self.inline(event)?),
            }
        }
        Ok(rendered(events))
    }

    /// What `event` is on this page, where it stands for itself.
    fn inline<'e>(&self, event: Event<'e>) -> Result<Event<'e>, ReportError> {
        Ok(match event {
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest_url = match dest_url.strip_prefix('#') {
                    Some(anchor) => CowStr::from(format!("#{}{anchor}", self.prefix)),
                    None => dest_url,
                };
                Event::Start(Tag::Link { link_type, dest_url, title, id })
            }
            Event::InlineHtml(tag) if tag.starts_with("<!--") => Event::InlineHtml("".into()),
            Event::InlineHtml(tag) if tag.starts_with("<a id=\"") => {
                Event::InlineHtml(tag.replacen("<a id=\"", &format!("<a id=\"{}", self.prefix), 1).into())
            }
            Event::InlineHtml(tag) if tag.starts_with("<img") => return Err(self.misplaced(&tag)),
            Event::Start(Tag::Image { .. }) => return Err(self.misplaced("one in a table or a heading")),
            event => event,
        })
    }

    /// A block of HTML without comments and with its images inside.
    fn raw(&mut self, block: &str) -> Result<String, ReportError> {
        let block = without_comments(block);
        let mut out = String::new();
        let mut rest = block.as_str();
        while let Some(start) = [rest.find("<picture"), rest.find("<img")].into_iter().flatten().min() {
            let (before, element) = rest.split_at(start);
            let end = if element.starts_with("<picture") {
                element.find("</picture>").map(|at| at + "</picture>".len())
            } else {
                tag_end(element)
            };
            let (element, after) = element.split_at(end.unwrap_or(element.len()));
            let image = element.find("<img").and_then(|at| element.get(at..)).unwrap_or_default();
            let path = attribute(image, "src").ok_or_else(|| {
                self.error(format!("expected an image with its path as src=\"…\", found {}", element.trim()))
            })?;
            out += before;
            out += &self.image(path, attribute(image, "alt").unwrap_or_default())?;
            rest = after;
        }
        Ok(out + rest)
    }

    /// The image at `path`, as seen from the page, as a part of it; `alt` is escaped.
    fn image(&mut self, path: &str, alt: &str) -> Result<String, ReportError> {
        let stem = path.strip_prefix("figures/").and_then(|file| file.strip_suffix("-light.svg"));
        if let Some(drawing) = stem.and_then(|stem| self.rendered.drawings.get(stem)) {
            self.figures += 1;
            let prefix = format!("{}figure-{}-", self.prefix, self.figures);
            return Ok(format!("<div class=\"figure\">\n{}</div>\n", drawing.svg(Medium::Page(&prefix))));
        }
        let kind = match path.rsplit_once('.') {
            Some((_, "png")) => "png",
            Some((_, "jpg" | "jpeg")) => "jpeg",
            Some((_, "svg")) => "svg+xml",
            _ => return Err(self.error(format!("expected images to be png, jpg or svg, found {path}"))),
        };
        let bytes = (self.read)(path).map_err(|cause| {
            self.error(format!(
                "cannot read {path}, which the page shows: {cause}\n  hint: it must be a file beside the page"
            ))
        })?;
        Ok(format!("<img alt=\"{alt}\" src=\"data:image/{kind};base64,{}\">\n", STANDARD.encode(bytes)))
    }

    fn misplaced(&self, what: &str) -> ReportError {
        let hint = "put it between empty lines";
        self.error(format!("expected images in paragraphs of their own, found {what}\n  hint: {hint}"))
    }

    fn error(&self, problem: String) -> ReportError {
        ReportError::Image { name: self.rendered.name.clone(), problem }
    }
}

/// A table in a box of its own, which scrolls where the page is too narrow. Cells that begin with a number have it as
/// `data-number`, to be sorted by; columns of numbers are aligned at the right.
fn table(events: Vec<Event<'_>>) -> String {
    let mut rows: Vec<Vec<(String, String)>> = Vec::new();
    let mut events = events.into_iter();
    while let Some(event) = events.next() {
        match event {
            Event::Start(Tag::TableHead | Tag::TableRow) => rows.push(Vec::new()),
            Event::Start(Tag::TableCell) => {
                let inside = events.by_ref().take_while(|event| *event != Event::End(TagEnd::TableCell));
                let inside: Vec<Event<'_>> = inside.collect();
                if let Some(row) = rows.last_mut() {
                    row.push((text(&inside), rendered(inside)));
                }
            }
            _ => {}
        }
    }
    let Some((header, rows)) = rows.split_first() else { return String::new() };
    let of_numbers = |column: usize| {
        let cells = || rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.trim());
        let filled = || cells().filter(|text| !matches!(*text, "" | "—"));
        filled().next().is_some() && filled().all(|text| number(text).is_some_and(|(_, rest)| rest.is_empty()))
    };
    let class: Vec<&str> =
        (0..header.len()).map(|column| if of_numbers(column) { " class=\"number\"" } else { "" }).collect();
    let mut out = "<div class=\"table\"><table>\n<thead><tr>".to_owned();
    for ((_, html), class) in header.iter().zip(&class) {
        out += &format!("<th scope=\"col\"{class}>{html}</th>");
    }
    out += "</tr></thead>\n<tbody>\n";
    for row in rows {
        out += "<tr>";
        for ((text, html), class) in row.iter().zip(&class) {
            let number = number(text).map(|(value, _)| format!(" data-number=\"{value}\"")).unwrap_or_default();
            out += &format!("<td{class}{number}>{html}</td>");
        }
        out += "</tr>\n";
    }
    out + "</tbody>\n</table></div>\n"
}

/// The number that `text` begins with, and what follows it: `−1.3 [−2.4, −0.2]` is −1.3, `10,800` is 10800, but a date,
/// a digest or a list does not begin with a number.
fn number(text: &str) -> Option<(f64, &str)> {
    let text = text.trim().trim_start_matches(['±', '≥', '≤', '>', '<', '≈', ' ']);
    let (list, text) = text.strip_prefix(['[', '(']).map_or((false, text), |text| (true, text));
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let sign = |text: &str| text.chars().next().filter(|c| matches!(c, '+' | '-' | '−')).map_or(0, char::len_utf8);
    let mut end = sign(text);
    let whole = digits(&text[end..]);
    end += whole;
    while whole > 0 && text[end..].starts_with(',') && digits(&text[end + 1..]) == 3 {
        end += 4;
    }
    if text[end..].starts_with('.') {
        end += 1 + digits(&text[end + 1..]);
    }
    if text[end..].starts_with(['e', 'E']) {
        let from = end + 1 + sign(&text[end + 1..]);
        let exponent = digits(&text[from..]);
        end = if exponent > 0 { from + exponent } else { end };
    }
    let (number, rest) = text.split_at(end);
    let ends = rest.is_empty() || rest.starts_with([' ', '%', '/', '±', '×', '[', '(', ')', ']']) || list;
    let value: f64 = number.replace(',', "").replace('−', "-").parse().ok()?;
    (ends && value.is_finite()).then_some((value, rest.trim()))
}

fn rendered(events: Vec<Event<'_>>) -> String {
    let mut out = String::new();
    pulldown_cmark::html::push_html(&mut out, events.into_iter());
    out
}

/// The words of `events`, without markup.
fn text(events: &[Event<'_>]) -> String {
    let words = events.iter().filter_map(|event| match event {
        Event::Text(words) | Event::Code(words) => Some(words.as_ref()),
        Event::SoftBreak | Event::HardBreak => Some(" "),
        _ => None,
    });
    words.collect()
}

fn without_comments(block: &str) -> String {
    let mut out = String::new();
    let mut rest = block;
    while let Some((before, comment)) = rest.split_once("<!--") {
        out += before;
        rest = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    out + rest
}

/// Where the tag that `text` begins with ends: after the first `>` outside of quotes.
fn tag_end(text: &str) -> Option<usize> {
    let mut quoted = false;
    let end = text.char_indices().find(|(_, character)| {
        quoted ^= *character == '"';
        *character == '>' && !quoted
    });
    end.map(|(at, _)| at + 1)
}

/// The value of an attribute of the tag that `text` begins with, escaped as it is.
fn attribute<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let tag = text.get(..tag_end(text)?)?;
    let (_, value) = tag.split_once(&format!(" {name}=\""))?;
    Some(value.split_once('"')?.0)
}

fn escape(text: &str) -> String {
    super::words::escape(text).replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
