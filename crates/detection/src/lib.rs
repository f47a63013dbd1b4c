//! Object detection: boxes of objects in images, ranked by COCO's average precision.

pub mod metric;
