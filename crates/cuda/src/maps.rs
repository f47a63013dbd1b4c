//! Element by element, pooling, resizing, joining and augmenting of maps.

use crate::launch::Launch;
use crate::norm::Rows;

/// `y = a + b` of `n` values, then a ReLU where `relu` says so.
pub fn add(a: u64, b: u64, y: u64, n: usize, relu: bool) -> Launch {
    Launch::flat("add", n.div_ceil(4)).addresses([a, b, y]).long(n).int(relu)
}

/// A ReLU of `n` values with a negative slope; with `dy` other than 0 its gradient at x.
pub fn relu(x: u64, dy: u64, y: u64, n: usize, slope: f32) -> Launch {
    Launch::flat("relu", n.div_ceil(4)).addresses([x, dy, y]).long(n).float(slope)
}

/// f32 to the maps' type.
pub fn from_f32(x: u64, y: u64, n: usize) -> Launch {
    Launch::flat("from_f32", n).addresses([x, y]).long(n)
}

/// The maps' type to f32.
pub fn to_f32(x: u64, y: u64, n: usize) -> Launch {
    Launch::flat("to_f32", n).addresses([x, y]).long(n)
}

/// `count` channels of x `[rows, from.0]`, from channel `from.1`, to y `[rows, to.0]` from channel `to.1`: joining maps and,
/// the other way round, its gradient.
pub fn copy_channels(x: u64, y: u64, rows: usize, from: (usize, usize), to: (usize, usize), count: usize) -> Launch {
    let launch = Launch::flat("copy_channels", (rows * count).div_ceil(4)).addresses([x, y]).long(rows);
    launch.ints([from.0, from.1, to.0, to.1, count])
}

/// x `[rows, c]` plus a bias a channel, in place.
pub fn add_bias(x: u64, bias: u64, rows: usize, c: usize) -> Launch {
    Launch::flat("add_bias", rows * c).addresses([x, bias]).long(rows).int(c)
}

/// y `[c]`, f32, the sum of each channel's values; `part` has [`Rows::part_len`] values.
pub fn column_sums(rows: &Rows, x: u64, part: u64, y: u64) -> [Launch; 2] {
    let sums = rows.shape(rows.launch("column_sums").addresses([x, part]));
    [sums, Launch::flat("sum_parts", rows.c).address(part).ints([rows.slabs(), rows.c]).address(y)]
}

/// `y[0] = factor · Σ x` of `n` values of f32.
pub fn sum_all(x: u64, n: usize, factor: f32, y: u64) -> Launch {
    Launch::new("sum_all", [1, 1, 1], [1024, 1, 1]).address(x).int(n).float(factor).address(y)
}

/// How many of `words` words of 4 bytes differ in a and b: a count of f32 for each block of the launch's grid in `part`,
/// which has [`DIFFERENCES`] values.
pub fn differences(a: u64, b: u64, words: usize, part: u64) -> Launch {
    Launch::flat("differences", words.div_ceil(4)).addresses([a, b]).long(words).address(part)
}

/// The most counts of [`differences`].
pub const DIFFERENCES: usize = crate::launch::BLOCKS;

/// Addresses and sizes of an upload's augmentation.
#[derive(Debug, Clone, Copy)]
pub struct Augment {
    /// Bytes `[n, size, c]`.
    pub images: u64,
    /// Top, left and flip of each image, `int`.
    pub places: u64,
    /// Mean of each channel, of values 0 to 1.
    pub mean: u64,
    /// 1/σ of each channel.
    pub inv_std: u64,
    /// The result `[n, out, channels]`.
    pub y: u64,
    /// Images.
    pub n: usize,
    /// Height and width of the images.
    pub size: [usize; 2],
    /// Channels of the images.
    pub c: usize,
    /// Height and width of the result.
    pub out: [usize; 2],
    /// Channels of the result; those past the images' are 0.
    pub channels: usize,
}

/// Windows of images, mirrored where asked, normalized; black outside of the image.
pub fn augment(a: &Augment) -> Launch {
    let Augment { images, places, mean, inv_std, y, n, size, c, out, channels } = *a;
    let launch = Launch::flat("augment", n * out[0] * out[1]).addresses([images, places, mean, inv_std, y]);
    launch.ints([n, size[0], size[1], c, out[0], out[1], channels])
}

/// Geometry of a pooling of maps `[n, h, w, c]`.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Images, height, width, channels.
    pub dims: [usize; 4],
    /// Side of a window, 1 to 15.
    pub kernel: usize,
    /// Pixels between windows.
    pub stride: usize,
    /// Padding on each side, at most half the kernel.
    pub padding: usize,
}

impl Window {
    /// Height and width of the result.
    pub fn output(&self) -> [usize; 2] {
        let side = |side: usize| (side + 2 * self.padding).saturating_sub(self.kernel) / self.stride + 1;
        [side(self.dims[1]), side(self.dims[2])]
    }

    fn shape(&self, launch: Launch) -> Launch {
        let [oh, ow] = self.output();
        launch.ints(self.dims).ints([oh, ow, self.kernel, self.stride, self.padding])
    }

    fn items(&self, [h, w]: [usize; 2], vector: usize) -> usize {
        self.dims[0] * h * w * self.dims[3].div_ceil(vector)
    }
}

/// The largest value of each window, and which it is: `taps`, a byte a value of the result.
pub fn max_pool(w: &Window, x: u64, y: u64, taps: u64) -> Launch {
    w.shape(Launch::flat("max_pool", w.items(w.output(), 4)).addresses([x, y, taps]))
}

/// The input gradient of [`max_pool`].
pub fn max_pool_gradient(w: &Window, dy: u64, taps: u64, dx: u64) -> Launch {
    let [_, height, width, _] = w.dims;
    w.shape(Launch::flat("max_pool_gradient", w.items([height, width], 4)).addresses([dy, taps, dx]))
}

/// The mean of each window; with `include_pad` padding counts as pixels.
pub fn avg_pool(w: &Window, x: u64, y: u64, include_pad: bool) -> Launch {
    w.shape(Launch::flat("avg_pool", w.items(w.output(), 1)).addresses([x, y])).int(include_pad)
}

/// The input gradient of [`avg_pool`].
pub fn avg_pool_gradient(w: &Window, dy: u64, dx: u64, include_pad: bool) -> Launch {
    let [_, height, width, _] = w.dims;
    w.shape(Launch::flat("avg_pool_gradient", w.items([height, width], 1)).addresses([dy, dx])).int(include_pad)
}

/// The mean over the pixels: x `[n, pixels, c]` to y `[n, c]`.
pub fn global_pool(x: u64, y: u64, [n, pixels, c]: [usize; 3]) -> Launch {
    Launch::new("global_pool", [c.div_ceil(32), n, 1], [32, 8, 1]).addresses([x, y]).ints([pixels, c])
}

/// The input gradient of [`global_pool`].
pub fn global_pool_gradient(dy: u64, dx: u64, [n, pixels, c]: [usize; 3]) -> Launch {
    Launch::flat("global_pool_gradient", n * pixels * c).addresses([dy, dx]).ints([n, pixels, c])
}

/// What rows or columns of a resized map read, as tables for the device.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Taps {
    /// For each output: `low`, `high` and the bits of `high`'s share.
    pub taps: Vec<[i32; 3]>,
    /// For each input: the first output that reads it and the one behind the last.
    pub readers: Vec<[i32; 2]>,
}

impl Taps {
    /// `output` rows or columns from `input` ones, to the nearest or else linear, in torch's rounding.
    pub fn new(input: usize, output: usize, nearest: bool, align_corners: bool) -> Self {
        let ratio = input as f32 / output as f32;
        let tap = |i: usize| {
            let point = match (nearest, align_corners) {
                (true, _) => (i as f32 * ratio).floor(),
                (_, false) => (ratio * (i as f32 + 0.5) - 0.5).max(0.0),
                _ if output == 1 => 0.0,
                _ => (input - 1) as f32 / (output - 1) as f32 * i as f32,
            };
            let low = (point as usize).min(input - 1);
            let share = if low == input - 1 { 0.0 } else { (point - low as f32).clamp(0.0, 1.0) };
            [low as i32, low as i32 + i32::from(share > 0.0), share.to_bits().cast_signed()]
        };
        let taps: Vec<[i32; 3]> = (0..output).map(tap).collect();
        let reader = |from: i32| {
            let first = taps.partition_point(|[_, high, _]| *high < from);
            [first as i32, taps.partition_point(|[low, ..]| *low <= from) as i32]
        };
        Self { readers: (0..input as i32).map(reader).collect(), taps }
    }
}

/// Addresses of a resizing's tables, and its sizes.
#[derive(Debug, Clone, Copy)]
pub struct Resize {
    /// [`Taps::taps`] of the rows and of the columns.
    pub taps: [u64; 2],
    /// [`Taps::readers`] of the rows and of the columns.
    pub readers: [u64; 2],
    /// Images, height, width, channels.
    pub dims: [usize; 4],
    /// Height and width of the result.
    pub output: [usize; 2],
}

/// Resizes maps.
pub fn resize(r: &Resize, x: u64, y: u64) -> Launch {
    let items = r.dims[0] * r.output[0] * r.output[1] * r.dims[3].div_ceil(4);
    Launch::flat("resize", items).addresses([x, y]).addresses(r.taps).ints(r.dims).ints(r.output)
}

/// The input gradient of [`resize`].
pub fn resize_gradient(r: &Resize, dy: u64, dx: u64) -> Launch {
    let items = r.dims.iter().product::<usize>().div_ceil(4);
    let launch = Launch::flat("resize_gradient", items).addresses([dy, dx]).addresses(r.taps).addresses(r.readers);
    launch.ints(r.dims).ints(r.output)
}
