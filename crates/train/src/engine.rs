//! What computes.

use candle_core::Device;
use files::did_you_mean;
use serde::{Deserialize, Serialize};

/// What the arithmetic of a run is done by, `engine` in `[train]`.
///
/// Bits depend on it, so it is a part of the spec. Within one engine the same spec gives the same bits on any machine:
/// which of its kernels were used is provenance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

impl From<Engine> for String {
    fn from(engine: Engine) -> Self {
        engine.name().into()
    }
}

impl TryFrom<String> for Engine {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name);
        Self::ALL.into_iter().find(|engine| engine.name() == name).ok_or_else(|| {
            let near = did_you_mean(&name, names.into_iter());
            format!("unknown engine `{name}`{near}; known are {}", names.join(", "))
        })
    }
}
