//! MAT files: a writer of what the releases have, and the parser against it and against scipy.

use std::io::Write;

use formats::mat::{DECOMPRESSED_LIMIT, Value, parse};

/// How a file is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub(crate) big: bool,
    pub(crate) compressed: bool,
}

pub(crate) const PLAIN: Form = Form { big: false, compressed: false };

impl Form {
    fn word(self, word: u32) -> [u8; 4] {
        if self.big { word.to_be_bytes() } else { word.to_le_bytes() }
    }

    fn element(self, kind: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = [self.word(kind), self.word(data.len() as u32)].concat();
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn words(self, words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|&word| self.word(word)).collect()
    }

    fn matrix(self, class: u32, dims: &[u32], name: &str, rest: &[Vec<u8>]) -> Vec<u8> {
        let mut data = self.element(6, &self.words(&[class, 0]));
        data.extend(self.element(5, &self.words(dims)));
        // A name of up to 4 letters is in the tag itself.
        if !name.is_empty() && name.len() <= 4 {
            data.extend(self.word((name.len() as u32) << 16 | 1));
            let mut small = name.as_bytes().to_vec();
            small.resize(4, 0);
            data.extend(small);
        } else {
            data.extend(self.element(1, name.as_bytes()));
        }
        data.extend(rest.concat());
        self.element(14, &data)
    }

    pub(crate) fn doubles(self, name: &str, dims: &[u32], values: &[f64]) -> Vec<u8> {
        let bytes = values.iter().flat_map(|value| if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        self.matrix(6, dims, name, &[self.element(9, &bytes.collect::<Vec<_>>())])
    }

    pub(crate) fn cell(self, name: &str, items: &[Vec<u8>]) -> Vec<u8> {
        self.matrix(1, &[1, items.len() as u32], name, items)
    }

    pub(crate) fn structure(self, name: &str, fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let names: Vec<u8> = fields
            .iter()
            .flat_map(|(name, _)| {
                let mut name = name.as_bytes().to_vec();
                name.resize(32, 0);
                name
            })
            .collect();
        let mut rest = vec![self.element(5, &self.words(&[32])), self.element(1, &names)];
        rest.extend(fields.iter().map(|(_, value)| value.clone()));
        self.matrix(2, &[1, 1], name, &rest)
    }

    pub(crate) fn file(self, variables: &[Vec<u8>]) -> Vec<u8> {
        let mut file = vec![b' '; 124];
        file.extend(if self.big { *b"\x01\x00MI" } else { *b"\x00\x01IM" });
        for variable in variables {
            if self.compressed {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(variable).unwrap();
                let data = encoder.finish().unwrap();
                file.extend([self.word(15), self.word(data.len() as u32)].concat());
                file.extend(data);
            } else {
                file.extend(variable);
            }
        }
        file
    }

    /// A file as ShanghaiTech has it.
    pub(crate) fn shanghaitech(self, points: &[[f64; 2]]) -> Vec<u8> {
        let location = self.columns("", points);
        let number = self.doubles("", &[1, 1], &[points.len() as f64]);
        let info = self.structure("", &[("location", location), ("number", number)]);
        self.file(&[self.cell("image_info", &[info])])
    }

    /// A file as UCF-QNRF has it.
    pub(crate) fn ucf_qnrf(self, points: &[[f64; 2]]) -> Vec<u8> {
        self.file(&[self.columns("annPoints", points)])
    }

    fn columns(self, name: &str, points: &[[f64; 2]]) -> Vec<u8> {
        let values: Vec<f64> =
            [0, 1].into_iter().flat_map(|axis| points.iter().map(move |point| point[axis])).collect();
        self.doubles(name, &[points.len() as u32, 2], &values)
    }
}

#[test]
fn files_of_scipy_are_read() {
    let points = vec![[1.5, 2.25], [30.0, 4.0], [7.125, 11.0]];
    let compressed = include_bytes!("../fixtures/shanghaitech.mat");
    assert_eq!(formats::crowd::shanghaitech(compressed), Ok(points.clone()));
    assert_eq!(formats::crowd::ucf_qnrf(include_bytes!("../fixtures/ucf_qnrf.mat")), Ok(points));

    let variables = parse(include_bytes!("../fixtures/all_classes.mat")).unwrap();
    let value = |name: &str| &variables.iter().find(|variable| variable.name == name).unwrap().value;
    let numbers = |name: &str| match value(name) {
        Value::Numeric { values, .. } => values.clone(),
        other => panic!("{other}"),
    };
    assert_eq!(*value("text"), Value::Char("héllo".to_owned()));
    assert_eq!(numbers("flag"), [1.0, 0.0]);
    assert_eq!(numbers("complex"), [1.0, 3.0], "the real part");
    assert_eq!(numbers("empty"), [0.0; 0]);
    assert_eq!(value("small").number(), Some(7.0));
    assert_eq!(numbers("large"), [-1_099_511_627_776.0, 1_099_511_627_776.0]);
    assert_eq!(numbers("single"), [0.5, -0.25]);
    // Column by column: the last dimension is the slowest.
    assert_eq!(numbers("cube"), [0.0, 4.0, 2.0, 6.0, 1.0, 5.0, 3.0, 7.0]);
    assert_eq!(*value("sparse"), Value::Other("sparse"));
    assert_eq!(value("records").to_string(), "struct 1×2 {x, name}");
    assert_eq!(value("many").to_string(), "cell 1×3 of char");
}

#[test]
fn every_form_says_the_same() {
    let points = [[3.0, 4.5], [0.5, 700.25]];
    for big in [false, true] {
        for compressed in [false, true] {
            let form = Form { big, compressed };
            assert_eq!(formats::crowd::shanghaitech(&form.shanghaitech(&points)).unwrap(), points, "{form:?}");
            assert_eq!(formats::crowd::ucf_qnrf(&form.ucf_qnrf(&points)).unwrap(), points, "{form:?}");
            assert_eq!(formats::crowd::ucf_qnrf(&form.ucf_qnrf(&[])).unwrap(), [[0.0; 2]; 0], "{form:?}");
            // A name of up to 4 letters is a small element.
            let variables = parse(&form.file(&[form.doubles("tiny", &[1, 1], &[2.0])])).unwrap();
            assert_eq!((variables[0].name.as_str(), variables[0].value.number()), ("tiny", Some(2.0)));
        }
    }
}

#[test]
fn claims_are_not_believed() {
    let packed = Form { compressed: true, ..PLAIN };
    // A bomb: zeros after the variable, a thousand times smaller when compressed.
    let bomb = vec![0; DECOMPRESSED_LIMIT as usize + 1];
    let complaint = |file: &[u8]| parse(file).unwrap_err().to_string();
    assert!(complaint(&packed.file(&[bomb])).contains("holds more than 16777216 bytes"));
    // Four thousand million items in no bytes.
    let cells = PLAIN.matrix(1, &[0xffff_ffff], "c", &[]);
    assert!(complaint(&PLAIN.file(&[cells])).contains("expected 4294967295 items, found 0 bytes"));
    let huge = PLAIN.matrix(6, &[0xffff_ffff, 0xffff_ffff, 2], "d", &[]);
    assert!(complaint(&PLAIN.file(&[huge])).contains("dimensions that can be multiplied"));
    let mut deep = PLAIN.doubles("", &[1, 1], &[1.0]);
    for _ in 0..20 {
        deep = PLAIN.cell("", &[deep]);
    }
    assert!(complaint(&PLAIN.file(&[deep])).contains("nested at most 16 deep"));
}
