//! What computes.

use candle_core::Device;
use serde::{Deserialize, Serialize};

/// What the arithmetic of a run is done by, `engine` in `[train]`.
///
/// Bits depend on it, so it is a part of the spec. Within one engine the same spec gives the same bits on any machine:
/// which of its kernels were used is provenance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The processor, by the kernels of [`ops`].
    #[default]
    Cpu,
}

impl Engine {
    /// All that there are.
    pub const ALL: [Self; 1] = [Self::Cpu];

    /// Where parameters and batches lie.
    pub fn device(self) -> Device {
        match self {
            Self::Cpu => Device::Cpu,
        }
    }

    /// The name in specs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
        }
    }
}
