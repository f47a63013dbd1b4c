//! What a convolution computes: sizes, arithmetic and direction.

use crate::launch::Type as Values;
use std::fmt;

/// How a convolution multiplies; sums are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arithmetic {
    /// f32.
    F32,
    /// f32 rounded to 10 bits of fraction.
    Tf32,
    /// bf16 maps and weights.
    Bf16,
}

impl Arithmetic {
    /// The type of maps.
    pub fn maps(self) -> Values {
        match self {
            Self::F32 | Self::Tf32 => Values::F32,
            Self::Bf16 => Values::Bf16,
        }
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }

    /// By name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::F32, Self::Tf32, Self::Bf16].into_iter().find(|arithmetic| arithmetic.name() == name)
    }
}

/// Which of a convolution's three products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// y of x and w.
    Forward,
    /// dx of dy and w.
    Input,
    /// dw of x and dy, of the maps' type.
    Weight,
}

impl Direction {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Input => "input",
            Self::Weight => "weight",
        }
    }

    /// By name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Forward, Self::Input, Self::Weight].into_iter().find(|direction| direction.name() == name)
    }
}

/// A convolution of maps `[n, h, w, c]` with `k` filters `[size, size, c]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Conv {
    /// Images.
    pub n: usize,
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Filters.
    pub k: usize,
    /// Side of a filter.
    pub size: usize,
    /// Pixels between neighboring windows.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
    /// Pixels between neighboring taps.
    pub dilation: usize,
}

impl fmt::Display for Conv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, h, w, c, k, size, stride, padding, dilation } = self;
        write!(f, "{n} {h} {w} {c} {k} {size} {stride} {padding} {dilation}")
    }
}

impl Conv {
    /// From nine numbers in the order of the fields.
    pub fn from_numbers(numbers: &[usize]) -> Option<Self> {
        let &[n, h, w, c, k, size, stride, padding, dilation] = numbers else { return None };
        let conv = Self { n, h, w, c, k, size, stride, padding, dilation };
        let fits = |side: usize| side + 2 * padding > dilation * size.saturating_sub(1);
        let positive = [n, h, w, c, k, size, stride, dilation].iter().all(|number| *number > 0);
        (positive && fits(h) && fits(w)).then_some(conv)
    }

    /// Height and width of the result.
    pub fn output(&self) -> [usize; 2] {
        let reach = self.dilation * (self.size - 1) + 1;
        [self.h, self.w].map(|side| (side + 2 * self.padding - reach) / self.stride + 1)
    }

    /// Values of the input, the weight and the result.
    pub fn lens(&self) -> [usize; 3] {
        let [oh, ow] = self.output();
        [self.n * self.h * self.w * self.c, self.k * self.size * self.size * self.c, self.n * oh * ow * self.k]
    }

    /// Multiplications and additions of one direction.
    pub fn flops(&self) -> f64 {
        2.0 * self.lens()[2] as f64 * (self.size * self.size * self.c) as f64
    }
}
