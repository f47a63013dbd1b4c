//! Byte order marks, UTF-16, and what XML declares.

use import::Options;

use super::{assert_has, complaint};
use crate::crowd::shanghaitech;
use crate::detection::{coco, objects, voc, yolo};
use crate::images::camvid;
use crate::project::{Project, Release};

const MARK: &[u8] = b"\xef\xbb\xbf";

fn utf16(text: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap();
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// How a text is written anew.
type Write = fn(&[u8]) -> Vec<u8>;

/// With all its texts as `write` has them.
fn with_texts(mut release: Release, write: Write) -> Release {
    for (name, bytes) in &mut release.0 {
        if [".json", ".yaml", ".txt", ".xml"].iter().any(|extension| name.ends_with(extension)) {
            *bytes = write(bytes);
        }
    }
    release
}

#[test]
fn texts_may_have_a_mark_or_be_utf_16() {
    let lists = yolo().without("data.yaml").with("classes.txt", "cat\nhot dog\n");
    for (case, release) in [("coco", coco()), ("yolo", yolo()), ("lists", lists), ("voc", voc()), ("camvid", camvid())]
    {
        let project = Project::new();
        let plain = project.import("plain", &release, &Options::default()).unwrap();
        let written: [Write; 2] = [|text| [MARK, text].concat(), utf16];
        for (name, write) in ["marked", "utf-16"].into_iter().zip(written) {
            let summary = project.import(name, &with_texts(release.clone(), write), &Options::default()).unwrap();
            assert_eq!(summary.splits, plain.splits, "{case}");
            assert_eq!(project.read_manifest(name).classes, project.read_manifest("plain").classes, "{case}");
            for (split, ..) in &plain.splits {
                let [a, b] = ["plain", name].map(|name| std::fs::read(project.file(name, split)).unwrap());
                assert_eq!(a, b, "{case}, {split}");
            }
        }
    }
}

const FILE: &str = "VOCdevkit/VOC2007/Annotations/000001.xml";

fn declared(encoding: &str, name: &[u8]) -> Release {
    let release = voc();
    let text = String::from_utf8(release.0[FILE].clone()).unwrap();
    let (before, after) = text.split_once("cat").unwrap();
    let head = format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>\n");
    release.with(FILE, [head.as_bytes(), before.as_bytes(), name, after.as_bytes()].concat())
}

#[test]
fn xml_is_in_the_encoding_that_it_declares() {
    for (encoding, name, class) in
        [("GBK", b"\xc3\xa8".as_slice(), "猫"), ("iso-8859-1", b"K\xe4fer", "Käfer"), ("UTF-8", "猫".as_bytes(), "猫")]
    {
        let project = Project::new();
        project.import("set", &declared(encoding, name), &Options::default()).unwrap();
        let classes = project.read_manifest("set").classes;
        let index = classes.iter().position(|known| known == class).unwrap_or_else(|| panic!("{class} in {classes:?}"));
        assert_eq!(objects(&project, "set", "train")[0].1, [index as i64]);
    }
    let unknown = complaint(&declared("EBCDIC", b"cat"));
    assert_has(&unknown, &["000001.xml: ", "found encoding=\"EBCDIC\"", "hint: save the file in UTF-8"]);
    assert_has(&complaint(&declared("GBK", b"\xff\xff")), &["000001.xml: expected text in GBK as the file declares"]);
    assert_has(
        &complaint(&declared("utf-8", b"\xe8")),
        &["000001.xml: line ", "expected text in utf-8 as the file declares, found the byte 0xe8"],
    );
}

#[test]
fn other_texts_are_named() {
    let windows = yolo().without("data.yaml").with("classes.txt", b"cat\nk\xe4fer\n".to_vec());
    assert_has(&complaint(&windows), &["classes.txt: line 2, byte 5: expected text in UTF-8, found the byte 0xe4"]);
    let unmarked: Vec<u8> = "names: [cat]\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_has(
        &complaint(&yolo().with("data.yaml", unmarked)),
        &["data.yaml: ", "found UTF-16 without a byte order mark"],
    );
    let json = "annotations/instances_train2017.json";
    for (bytes, expected) in [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n".as_slice(), "found a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "found a web page (HTML)"),
        (b"", "found an empty file"),
    ] {
        assert_has(&complaint(&coco().with(json, bytes)), &[json, expected, "\n  hint: "]);
    }
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
    assert_has(&complaint(&voc().with(FILE, pointer)), &["000001.xml: ", "found a Git LFS pointer", "`git lfs pull`"]);
    let mat = "train_data/ground-truth/GT_IMG_1.mat";
    for (bytes, expected) in [(pointer, "found a Git LFS pointer"), ("<html></html>", "found a web page (HTML)")] {
        assert_has(&complaint(&shanghaitech("", "ground-truth").with(mat, bytes)), &[mat, expected, "\n  hint: "]);
    }
}
