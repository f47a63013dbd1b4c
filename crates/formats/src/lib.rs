//! The files that official releases of data sets consist of: from bytes to values.
//!
//! A parser ([`mat`], [`crowd`], [`voc`], [`yolo`], [`cifar`], [`idx`], [`archive`]) neither panics nor uses much memory for a
//! small input, whatever the bytes; `fuzz` has a target for each. What the values mean in a release, and which file is what,
//! `import` knows, whose tests have small releases of every kind. COCO's files are read in [`data::coco`], as they are
//! predictions as well.

pub mod archive;
pub mod cifar;
pub mod crowd;
pub mod idx;
pub mod mat;
pub mod voc;
pub mod yolo;
