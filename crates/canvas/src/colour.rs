//! The colours that are drawn with.

use embedded_graphics::pixelcolor::Rgb888;

/// Okabe and Ito's palette, which most colour-blind readers can tell apart, and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "colours are what they are called")]
pub enum Colour {
    Black,
    White,
    Orange,
    SkyBlue,
    Green,
    Yellow,
    Blue,
    Vermilion,
    Purple,
}

impl Colour {
    /// Red, green and blue.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Self::Black => [0x00, 0x00, 0x00],
            Self::White => [0xff, 0xff, 0xff],
            Self::Orange => [0xe6, 0x9f, 0x00],
            Self::SkyBlue => [0x56, 0xb4, 0xe9],
            Self::Green => [0x00, 0x9e, 0x73],
            Self::Yellow => [0xf0, 0xe4, 0x42],
            Self::Blue => [0x00, 0x72, 0xb2],
            Self::Vermilion => [0xd5, 0x5e, 0x00],
            Self::Purple => [0xcc, 0x79, 0xa7],
        }
    }

    pub(crate) fn pixel(self) -> Rgb888 {
        let [red, green, blue] = self.rgb();
        Rgb888::new(red, green, blue)
    }

    /// Black or white, whichever is easier to read on it: at least 4.5:1, the contrast that WCAG 2 asks for.
    pub(crate) fn ink(self) -> Self {
        if matches!(self, Self::Black | Self::Blue) { Self::White } else { Self::Black }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2's contrast of two colours.
    fn contrast(one: Colour, other: Colour) -> f64 {
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let luminance = |colour: Colour| {
            let [red, green, blue] = colour.rgb().map(linear);
            0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
        };
        let (one, other) = (luminance(one), luminance(other));
        one.max(other) / one.min(other)
    }

    #[test]
    fn text_can_be_read_on_every_colour() {
        use Colour::{Black, Blue, Green, Orange, Purple, SkyBlue, Vermilion, White, Yellow};
        for colour in [Black, White, Orange, SkyBlue, Green, Yellow, Blue, Vermilion, Purple] {
            assert!(contrast(colour, colour.ink()) >= 4.5, "{colour:?}");
        }
    }
}
