//! Parsers get bytes that are almost right: they answer, whatever it is.

use data::{coco, text};
use formats::{cifar, crowd, idx, mat, voc, yolo};
use proptest::prelude::*;

use crate::detection::xml;
use crate::mat::Form;

/// Some bytes replaced, a piece left out or put twice, the end cut off.
#[derive(Debug, Clone)]
struct Damage {
    bytes: Vec<(prop::sample::Index, u8)>,
    piece: Option<(prop::sample::Index, usize, bool)>,
    cut: Option<prop::sample::Index>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    let piece = prop::option::of((any::<prop::sample::Index>(), 1..40_usize, any::<bool>()));
    (bytes, piece, prop::option::of(any::<prop::sample::Index>())).prop_map(|(bytes, piece, cut)| Damage {
        bytes,
        piece,
        cut,
    })
}

impl Damage {
    fn of(&self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for (at, byte) in &self.bytes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if let Some((at, length, twice)) = &self.piece {
            let start = at.index(bytes.len());
            let piece: Vec<u8> = bytes[start..].iter().copied().take(*length).collect();
            bytes.splice(start..start + piece.len(), if *twice { piece.repeat(2) } else { Vec::new() });
        }
        if let Some(at) = &self.cut {
            bytes.truncate(at.index(bytes.len().max(1)));
        }
        bytes
    }
}

fn form() -> impl Strategy<Value = Form> {
    (any::<bool>(), any::<bool>()).prop_map(|(big, compressed)| Form { big, compressed })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn points_read_back(form in form(), points in prop::collection::vec([-1e6..1e6_f64, -1e6..1e6_f64], 0..20)) {
        prop_assert_eq!(crowd::shanghaitech(&form.shanghaitech(&points)).unwrap(), points.clone());
        prop_assert_eq!(crowd::ucf_qnrf(&form.ucf_qnrf(&points)).unwrap(), points);
    }

    #[test]
    fn damaged_mat_files(form in form(), damage in damage()) {
        let _ = crowd::shanghaitech(&damage.of(&form.shanghaitech(&[[1.0, 2.0], [3.0, 4.0]])));
        for good in [include_bytes!("../fixtures/all_classes.mat").as_slice(), include_bytes!("../fixtures/ucf_qnrf.mat")] {
            if let Ok(variables) = mat::parse(&damage.of(good)) {
                variables.iter().for_each(|variable| drop(variable.value.to_string()));
            }
        }
    }

    #[test]
    fn damaged_texts(damage in damage()) {
        let text = |good: &str| String::from_utf8_lossy(&damage.of(good.as_bytes())).into_owned();
        let _ = voc::parse(&text(&xml(&[("cat", [1.0, 2.0, 3.0, 4.5], true)])));
        let _ = yolo::parse_labels(&text("0 0.5 0.5 0.25 0.25\n1 1 1 1e-3 0\n"));
        for yaml in ["names: [a, 'b', \"c\"]\n", "x: 1 # y\nnames:\n  0: a\n  1: 'b c'\n", "names:\n- a\n- b\n"] {
            let _ = yolo::parse_yaml(&text(yaml));
        }
        let json = r#"{"images":[{"id":1,"file_name":"a","width":4,"height":3}],"categories":[{"id":1,"name":"x"}],
            "annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[0,1,2,3.5],"area":3,"iscrowd":0}]}"#;
        let _ = coco::instances(&damage.of(json.as_bytes()));
        let _ = text::decode(&damage.of("\u{feff}cat\n".as_bytes()));
        let _ = text::decode_xml(&damage.of(b"<?xml version='1.0' encoding='GBK'?><a>\xc3\xa8</a>"));
    }

    #[test]
    fn damaged_arrays(damage in damage()) {
        let _ = idx::parse(&damage.of(&[0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 5, 6]), 2);
        let _ = cifar::parse(&damage.of(&[3; 3073]), 1);
    }
}
