//! Reports as one HTML page that needs no other file and no network.
//!
//! The page is made from the report's markdown, so the two cannot contradict each other. Where that shows a figure or a
//! generated table, the page shows the same drawing, with variables for the colors of both schemes, or the same table, with
//! its numbers. Its content security policy forbids other scripts and all requests.

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
        let mut parsed = Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter();
        let mut events = Vec::new();
        while let Some((event, range)) = parsed.next() {
            // What follows up to the end of what `event` begins.
            let mut inside = |end: TagEnd| -> Vec<Event<'_>> {
                parsed.by_ref().map(|(event, _)| event).take_while(|event| *event != Event::End(end)).collect()
            };
            match event {
                Event::Start(Tag::Table(_)) => {
                    let inside = self.inlines(inside(TagEnd::Table))?;
                    let source = markdown.get(range).unwrap_or_default();
                    let generated = self.rendered.tables.get(&format!("{}\n", source.trim_end()));
                    let html = generated.map_or_else(|| written(inside), |table| table.html(&self.prefix));
                    events.push(Event::Html(html.into()));
                }
                Event::Start(Tag::HtmlBlock) => {
                    let lines = inside(TagEnd::HtmlBlock).into_iter().filter_map(|event| match event {
                        Event::Html(line) | Event::Text(line) => Some(line.into_string()),
                        _ => None,
                    });
                    let block: String = lines.collect();
                    events.push(Event::Html(self.raw(&block)?.into()));
                }
                Event::Start(Tag::Heading { level: level @ (HeadingLevel::H1 | HeadingLevel::H2), .. }) => {
                    let inside = self.inlines(inside(TagEnd::Heading(level)))?;
                    let id = format!("{}section-{}", self.prefix, self.sections.len() + 1);
                    self.sections.push(Section { level, id: id.clone(), title: text(&inside) });
                    events.push(Event::Html(format!("<{level} id=\"{id}\">{}</{level}>\n", rendered(inside)).into()));
                }
                Event::Start(Tag::Image { dest_url, .. }) => {
                    let inside = inside(TagEnd::Image);
                    events.push(Event::InlineHtml(self.image(&dest_url, &escape(&text(&inside)))?.into()));
                }
                event => events.push(self.inline(event)?),
            }
        }
        Ok(rendered(events))
    }

    fn inlines<'e>(&self, events: Vec<Event<'e>>) -> Result<Vec<Event<'e>>, ReportError> {
        events.into_iter().map(|event| self.inline(event)).collect()
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

/// A table that somebody wrote on the page, of `events`; all of its cells are words.
fn written(events: Vec<Event<'_>>) -> String {
    let table = std::iter::once(Event::Start(Tag::Table(Vec::new()))).chain(events);
    let table = table.chain([Event::End(TagEnd::Table)]).collect();
    format!("<div class=\"table\">{}</div>\n", rendered(table))
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
