//! What a set can be for.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The tasks that a set can be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// One class for each image.
    Classification,
    /// Boxes, each of a class.
    Detection,
    /// A class for each pixel.
    Segmentation,
    /// Points to be counted.
    CrowdCounting,
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Classification => "classification",
            Self::Detection => "detection",
            Self::Segmentation => "segmentation",
            Self::CrowdCounting => "crowd-counting",
        })
    }
}
