//! The colors that are drawn with.

use embedded_graphics::pixelcolor::Rgb888;

/// A color, of those that are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color([u8; 3]);

/// Okabe and Ito's palette, which most color-blind readers can tell apart, and white.
#[expect(missing_docs, reason = "colors are what they are called")]
impl Color {
    pub const BLACK: Self = Self([0x00, 0x00, 0x00]);
    pub const WHITE: Self = Self([0xff, 0xff, 0xff]);
    pub const ORANGE: Self = Self([0xe6, 0x9f, 0x00]);
    pub const SKY_BLUE: Self = Self([0x56, 0xb4, 0xe9]);
    pub const GREEN: Self = Self([0x00, 0x9e, 0x73]);
    pub const YELLOW: Self = Self([0xf0, 0xe4, 0x42]);
    pub const BLUE: Self = Self([0x00, 0x72, 0xb2]);
    pub const VERMILION: Self = Self([0xd5, 0x5e, 0x00]);
    pub const PURPLE: Self = Self([0xcc, 0x79, 0xa7]);
}

/// The colors of classes: gray, the palette above, and others that lie far from all that come before.
const CLASSES: [Color; 12] = [
    Color([0xd9, 0xd9, 0xd9]),
    Color::BLUE,
    Color::ORANGE,
    Color::GREEN,
    Color::YELLOW,
    Color::SKY_BLUE,
    Color::VERMILION,
    Color::PURPLE,
    Color([0x94, 0x00, 0xe6]),
    Color([0x4d, 0x26, 0x00]),
    Color([0x00, 0x3c, 0x86]),
    Color([0x9f, 0x01, 0x62]),
];

impl Color {
    /// The color of a class. The first twelve differ for readers with any of the three color-blindnesses; later ones are
    /// the same in a darker and then a lighter shade, and from the 36th on they repeat: a legend must name them.
    pub fn of_class(class: usize) -> Self {
        let Self(rgb) = CLASSES[class % CLASSES.len()];
        Self(match class / CLASSES.len() % 3 {
            0 => rgb,
            1 => rgb.map(|value| value / 2 + value / 16),
            _ => rgb.map(|value| 128 + value / 2),
        })
    }

    /// Red, green and blue.
    pub fn rgb(self) -> [u8; 3] {
        self.0
    }

    pub(crate) fn pixel(self) -> Rgb888 {
        let [red, green, blue] = self.0;
        Rgb888::new(red, green, blue)
    }

    /// Black or white, whichever is easier to read on it: at least 4.5:1, the contrast that WCAG 2 asks for.
    pub(crate) fn ink(self) -> Self {
        // Where black and white have the same contrast.
        if self.luminance() > 0.179 { Self::BLACK } else { Self::WHITE }
    }

    /// WCAG 2's relative luminance, 0 to 1.
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

/// The intensity of a channel of sRGB, 0 to 1.
fn linear(value: u8) -> f64 {
    let value = f64::from(value) / 255.0;
    if value <= 0.04045 { value / 12.92 } else { libm::pow((value + 0.055) / 1.055, 2.4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_be_read_on_every_color() {
        let ours = [Color::BLACK, Color::WHITE].into_iter().chain((0..36).map(Color::of_class));
        for color in ours {
            let [one, other] = [color, color.ink()].map(|color| color.luminance() + 0.05);
            assert!(one.max(other) / one.min(other) >= 4.5, "{color:?}");
        }
    }

    /// What readers who lack one kind of cones see: Machado, Oliveira and Fernandes (2009), severity 1, applied to linear
    /// intensities. Rows give red, green and blue.
    const BLINDNESSES: [[[f64; 3]; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ];

    /// CIE L*a*b* of linear sRGB under D65.
    fn lab(rgb: [f64; 3]) -> [f64; 3] {
        let row = |weights: [f64; 3], white: f64| {
            let t = weights.iter().zip(rgb).map(|(weight, value)| weight * value.clamp(0.0, 1.0)).sum::<f64>() / white;
            if t > 0.008856 { libm::cbrt(t) } else { 7.787 * t + 16.0 / 116.0 }
        };
        let x = row([0.4124, 0.3576, 0.1805], 0.9505);
        let y = row([0.2126, 0.7152, 0.0722], 1.0);
        let z = row([0.0193, 0.1192, 0.9505], 1.089);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn colors_of_twelve_classes_differ_for_color_blind_readers() {
        for blindness in BLINDNESSES {
            let seen = |color: Color| {
                let rgb = color.rgb().map(linear);
                lab(blindness.map(|row| row.iter().zip(rgb).map(|(weight, value)| weight * value).sum()))
            };
            let colors: Vec<_> = std::iter::once(Color::BLACK).chain((0..12).map(Color::of_class)).collect();
            for (index, one) in colors.iter().enumerate() {
                for other in &colors[..index] {
                    let distance =
                        seen(*one).iter().zip(seen(*other)).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
                    assert!(distance > 15.0, "{one:?} and {other:?} are {distance} apart with {blindness:?}");
                }
            }
        }
    }

    #[test]
    fn colors_of_36_classes_differ() {
        let all: std::collections::BTreeSet<_> = (0..36).map(|class| Color::of_class(class).rgb()).collect();
        assert_eq!(all.len(), 36);
    }
}
