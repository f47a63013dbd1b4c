//! Annotations of Pascal VOC: an XML file an image.

use roxmltree::{Document, Node, ParsingOptions};

use data::Malformed;

/// The most attributes that a file may have.
const ATTRIBUTE_LIMIT: usize = 4096;

/// What is in an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Width and height, where they are given and not 0.
    pub size: Option<(u32, u32)>,
    /// In the order of the file.
    pub objects: Vec<Object>,
}

/// An object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Name of the class.
    pub class: String,
    /// Left, top, right, bottom. The official releases count pixels from 1 and include the last.
    pub corners: [f64; 4],
    /// Whether detections of it are not judged.
    pub difficult: bool,
}

/// The annotation in `text`. Entities cannot be defined in it: a document type is refused.
///
/// # Errors
///
/// Where it is no such XML. The message has the line or the object, counted from 1.
pub fn parse(text: &str) -> Result<Annotation, Malformed> {
    // The parser compares each attribute of an element with all others, which Pascal VOC has none of.
    if text.bytes().filter(|&byte| byte == b'=').count() > ATTRIBUTE_LIMIT {
        let expected = format!("XML of Pascal VOC, with at most {ATTRIBUTE_LIMIT} attributes");
        return Err(Malformed::new("", expected, "more"));
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit: 1 << 20, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|cause| Malformed::new("", "XML of Pascal VOC", cause.to_string()))?;
    let root = document.root_element();
    if !root.has_tag_name("annotation") {
        return Err(Malformed::new("", "`<annotation>`", format!("`<{}>`", root.tag_name().name())));
    }
    let side = |size: Node<'_, '_>, name| child(size, name).and_then(|text| text.parse::<u32>().ok());
    let size = element(root, "size").and_then(|size| Some((side(size, "width")?, side(size, "height")?)));
    let objects = root.children().filter(|node| node.has_tag_name("object")).enumerate();
    Ok(Annotation {
        size: size.filter(|&(width, height)| width > 0 && height > 0),
        objects: objects.map(|(index, node)| object(node, index + 1)).collect::<Result<_, _>>()?,
    })
}

/// The names in a list of `ImageSets/Main`: the first word of each line.
pub fn parse_list(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

fn object(node: Node<'_, '_>, number: usize) -> Result<Object, Malformed> {
    let at = || format!("object {number}");
    let missing = |name: &str| Malformed::new(at(), format!("`<{name}>`"), "none");
    let class = child(node, "name").ok_or_else(|| missing("name"))?;
    let corners = element(node, "bndbox").ok_or_else(|| missing("bndbox"))?;
    let corner = |name: &str| {
        let text = child(corners, name).ok_or_else(|| missing(name))?;
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| Malformed::new(at(), format!("a number in `<{name}>`"), format!("{text:?}")))
    };
    let corners = [corner("xmin")?, corner("ymin")?, corner("xmax")?, corner("ymax")?];
    let difficult = match child(node, "difficult") {
        None | Some("0") => false,
        Some("1") => true,
        Some(other) => return Err(Malformed::new(at(), "0 or 1 in `<difficult>`", format!("{other:?}"))),
    };
    Ok(Object { class: class.to_owned(), corners, difficult })
}

fn element<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn child<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    Some(element(node, name)?.text()?.trim()).filter(|text| !text.is_empty())
}
