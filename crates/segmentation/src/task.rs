//! Semantic segmentation as a [`Task`].

use crate::config::{Config, ModelConfig};
use crate::loss::Loss;
use crate::metric::Confusion;
use crate::model::Segmenter;
use crate::tiles::{Tile, tiles};
use crate::values::with_values;
use crate::weights;
use anyhow::{Error, Result, bail};
use candle_core::{Device, Tensor};
use canvas::{Canvas, Color};
use data::augment::{Augmentation, Follow, Normalize, Transform, View};
use data::{Image, Mask, Root, Split, VOID};
use ops::{FeatureMap, Statistics};
use random::Rng;
use rayon::prelude::*;
use record::Scores;
use regularize::Params;
use settings::Mistake;
use std::collections::BTreeSet;
use std::ffi::OsString;
use train::{Headline, Task, stack};

/// See the crate's documentation.
pub struct SemanticSegmentation {
    config: Config,
    set: data::Segmentation,
    normalize: Normalize,
    augmentation: Augmentation,
    loss: Loss,
}

/// An image and the class of each of its pixels.
pub struct Example {
    image: Seen,
    mask: Mask,
}

/// What the network is to see of an image.
enum Seen {
    /// A window of it, normalized, `[h, w, c]`.
    Window(Vec<f32>),
    /// All of it, through as many windows as that takes.
    Whole(Image),
}

/// Images with the class of each pixel.
pub struct Batch {
    images: Images,
    masks: Vec<Mask>,
}

enum Images {
    /// Windows `[n, h, w, c]`, one an image.
    Windows(Tensor),
    /// Images of any size.
    Whole(Vec<Image>, Device),
}

impl Task for SemanticSegmentation {
    type Config = Config;
    type Label = Mask;
    type Example = Example;
    type Batch = Batch;
    type Model = Segmenter;
    /// A mask for each image.
    type Prediction = Vec<Mask>;
    type Meter = Confusion;

    const NAME: &'static str = "segmentation";
    const VERSION: u32 = 3;
    const HEADLINE: Headline =
        Headline { score: "mean_iou", title: "mean IoU %", scale: 100.0, higher_is_better: true, perfect: 1.0 };
    const PICTURES: Option<&'static str> = Some(
        "From left to right: the image, the classes that are true, the classes that were predicted. Black pixels have no \
         true class and are not judged.",
    );

    fn check(config: &Config) -> std::result::Result<(), Mistake> {
        config.check()
    }

    fn open(config: Config, root: &Root, dataset: &str) -> Result<Self> {
        let set = data::Segmentation::open(root, dataset, data::Options { examples: config.examples, resize: None })?;
        let exponent = config.loss.median_frequency as f32;
        let weights = match exponent > 0.0 {
            true => Some(weights::of_training(&set)?.into_iter().map(|weight| libm::powf(weight, exponent)).collect()),
            false => None,
        };
        let normalize = Normalize::new(set.mean(), set.std());
        let augmentation = config.augmentation.with_size(config.size).map_err(Error::msg)?;
        let loss = Loss::new(config.loss, weights);
        Ok(Self { config, set, normalize, augmentation, loss })
    }

    fn set(&self) -> &data::Set<Mask> {
        &self.set
    }

    fn model_line(&self) -> String {
        let [[height, width], [tile_height, tile_width]] = [self.config.size, self.config.tile()];
        let network = match &self.config.model {
            ModelConfig::Deeplab(config) => {
                format!("DeepLabv3+ on {}, {} channels", config.backbone(), config.channels)
            }
            ModelConfig::Unet { width, levels } => format!("U-Net of {levels} levels from width {width}"),
        };
        format!("{network}, windows of {width}×{height} pixels, in evaluation {tile_width}×{tile_height}")
    }

    fn augmentation_line(&self) -> String {
        self.augmentation.to_string()
    }

    /// As many pixels as training takes.
    fn evaluation_batch(&self, batch: usize) -> usize {
        self.set.evaluated_at_once(batch, self.config.size)
    }

    fn example(&self, split: Split, index: usize, rng: &mut Rng) -> Result<Example> {
        let example = self.set.example(split, index)?;
        match split {
            Split::Train => {
                let transform = self.augmentation.draw([example.image.height, example.image.width], rng);
                let mask = example.label.follow(&transform.view);
                Ok(Example { image: Seen::Window(transform.pixels(&example.image, &self.normalize)), mask })
            }
            Split::Validation | Split::Test => {
                let example = example.into_owned();
                Ok(Example { image: Seen::Whole(example.image), mask: example.label })
            }
        }
    }

    fn collate(&self, examples: Vec<Example>, device: &Device) -> Result<Batch> {
        let (mut windows, mut whole, mut masks) = (Vec::new(), Vec::new(), Vec::new());
        for Example { image, mask } in examples {
            masks.push(mask);
            match image {
                Seen::Window(pixels) => windows.push(pixels),
                Seen::Whole(image) => whole.push(image),
            }
        }
        let images = match (windows.is_empty(), whole.is_empty()) {
            (true, _) => Images::Whole(whole, device.clone()),
            (_, true) => Images::Windows(stack(&windows, self.config.size, self.normalize.channels(), device)?),
            _ => bail!("expected examples of one split in a batch, found some for training and some for evaluation"),
        };
        Ok(Batch { images, masks })
    }

    fn model(&self, params: &Params) -> Result<Segmenter> {
        Ok(Segmenter::new(params, self.normalize.channels(), self.set.classes().len(), &self.config.model)?)
    }

    fn loss(&self, model: &Segmenter, batch: &Batch) -> Result<Tensor> {
        match &batch.images {
            Images::Windows(images) => self.loss_of(model, images, &batch.masks, Statistics::Batch),
            Images::Whole(images, device) => {
                let (windows, masks) = self.windows(images, &batch.masks, device)?;
                self.loss_of(model, &windows, &masks, Statistics::Batch)
            }
        }
    }

    /// An image at a time: all windows of a batch may not fit the memory.
    fn evaluation_loss(&self, model: &Segmenter, batch: &Batch, _: &Vec<Mask>) -> Result<Option<f64>> {
        let loss = |windows: &Tensor, masks: &[Mask]| -> Result<f64> {
            Ok(f64::from(self.loss_of(model, windows, masks, Statistics::Running)?.to_scalar::<f32>()?))
        };
        let loss = match &batch.images {
            Images::Windows(images) => loss(images, &batch.masks)?,
            Images::Whole(images, device) => {
                let mut sum = 0.0;
                for (image, mask) in images.iter().zip(&batch.masks) {
                    let (windows, masks) =
                        self.windows(std::slice::from_ref(image), std::slice::from_ref(mask), device)?;
                    sum += loss(&windows, &masks)?;
                }
                sum / images.len() as f64
            }
        };
        Ok(Some(loss))
    }

    fn predict(&self, model: &Segmenter, batch: &Batch) -> Result<Vec<Mask>> {
        match &batch.images {
            Images::Windows(images) => {
                let [height, width] = self.config.size;
                let classes = most_probable(&model.forward(images, Statistics::Running)?)?;
                let masks = classes.chunks_exact(height * width);
                Ok(masks.map(|classes| Mask { height, width, classes: classes.to_vec() }).collect())
            }
            Images::Whole(images, device) => self.predict_whole(model, images, device),
        }
    }

    fn perfect_prediction(&self, batch: &Batch) -> Result<Vec<Mask>> {
        Ok(batch.masks.clone())
    }

    fn observe(&self, prediction: &Vec<Mask>, batch: &Batch, meter: &mut Confusion) -> Result<()> {
        for (predicted, truth) in prediction.iter().zip(&batch.masks) {
            if [predicted.height, predicted.width] != [truth.height, truth.width] {
                bail!("expected a predicted mask of the size of the true one, found {predicted:?} and {truth:?}");
            }
            meter.observe(&truth.classes, &predicted.classes);
        }
        Ok(())
    }

    fn scores(&self, meter: Confusion) -> Scores {
        meter.scores(self.set.classes())
    }

    fn picture(&self, split: Split, index: usize, _: &mut Rng, prediction: &Vec<Mask>) -> Result<Canvas> {
        let example = self.set.example(split, index)?;
        let Some(predicted) = prediction.first() else { bail!("expected the predicted mask of an image, found none") };
        let view = View::at_most([example.image.height, example.image.width], LARGEST_DRAWN);
        let image = Transform::from(view).image(&example.image);
        let masks = [&example.label, predicted]
            .map(|mask| mask.follow(&View::at_most([mask.height, mask.width], LARGEST_DRAWN)));
        let mut panels = vec![Canvas::of(&image)];
        panels.extend(masks.iter().map(|mask| Canvas::of(&colored(mask))));
        for (panel, caption) in panels.iter_mut().zip(["image", "truth", "prediction"]) {
            panel.caption(caption, Color::WHITE);
        }
        let occurring: BTreeSet<u8> = masks.iter().flat_map(|mask| mask.classes.iter().copied()).collect();
        let names: Vec<(Color, &str)> = occurring
            .into_iter()
            .map(|class| (color(class), self.set.classes().get(usize::from(class)).map_or("no class", String::as_str)))
            .collect();
        let mut picture = canvas::beside(&panels);
        picture.legend(&names);
        Ok(picture)
    }

    fn eval(arguments: &[OsString]) -> Result<String> {
        crate::eval::eval(arguments)
    }
}

/// Values that may be in memory at once in evaluation, unless a single window takes more: 512 MiB.
const AT_ONCE: usize = 1 << 27;
/// The longest side of an image that is drawn as it is.
const LARGEST_DRAWN: usize = 512;

impl SemanticSegmentation {
    fn loss_of(&self, model: &Segmenter, windows: &Tensor, masks: &[Mask], statistics: Statistics) -> Result<Tensor> {
        let one = masks.len() < 2 && matches!(statistics, Statistics::Batch);
        if one && matches!(self.config.model, ModelConfig::Deeplab(_)) {
            bail!("DeepLabv3+ takes statistics of one value an image: expected `train.batch` of at least 2, found 1");
        }
        let classes: Vec<u8> = masks.iter().flat_map(|mask| mask.classes.iter().copied()).collect();
        Ok(self.loss.of(&model.forward(windows, statistics)?, &classes)?)
    }

    /// The windows of `images`, each with its own part of the mask.
    fn windows(&self, images: &[Image], masks: &[Mask], device: &Device) -> Result<(Tensor, Vec<Mask>)> {
        let (mut windows, mut parts) = (Vec::new(), Vec::new());
        for (image, mask) in images.iter().zip(masks) {
            for Tile { view, .. } in self.tiles(image) {
                parts.push(mask.follow(&view));
                windows.push(Transform::from(view).pixels(image, &self.normalize));
            }
        }
        let windows = stack(&windows, self.config.tile(), self.normalize.channels(), device)?;
        Ok((windows, parts))
    }

    fn tiles(&self, image: &Image) -> Vec<Tile> {
        tiles([image.height, image.width], self.config.tile())
    }

    /// The masks of images of any size. How many windows go through the network at once depends on their size alone.
    fn predict_whole(&self, model: &Segmenter, images: &[Image], device: &Device) -> Result<Vec<Mask>> {
        let void = |image: &Image| Mask {
            height: image.height,
            width: image.width,
            classes: vec![VOID; image.height * image.width],
        };
        let mut masks: Vec<Mask> = images.iter().map(void).collect();
        let windows: Vec<(usize, Tile)> = images
            .iter()
            .enumerate()
            .flat_map(|(index, image)| self.tiles(image).into_iter().map(move |tile| (index, tile)))
            .collect();
        let size @ [height, width] = self.config.tile();
        let values = height * width * model.values_per_pixel(self.set.classes().len());
        let at_once = (AT_ONCE / values.max(1)).max(1);
        for windows in windows.chunks(at_once) {
            let pixels =
                |(image, tile): &(usize, Tile)| Transform::from(tile.view).pixels(&images[*image], &self.normalize);
            let pixels: Vec<Vec<f32>> = windows.par_iter().map(pixels).collect();
            let pixels = stack(&pixels, size, self.normalize.channels(), device)?;
            let found = most_probable(&model.forward(&pixels, Statistics::Running)?)?;
            for ((image, Tile { view, keep: [rows, columns] }), found) in
                windows.iter().zip(found.chunks_exact(height * width))
            {
                let [top, left] = view.offset.map(|offset| offset as usize);
                let mask = &mut masks[*image];
                for row in rows.clone() {
                    let found = &found[(row - top) * width + columns.start - left..][..columns.len()];
                    mask.classes[row * mask.width + columns.start..][..columns.len()].copy_from_slice(found);
                }
            }
        }
        Ok(masks)
    }
}

/// The class with the largest logit of each pixel, the first of equal ones; [`VOID`] where a logit is not a number.
fn most_probable(logits: &FeatureMap) -> Result<Vec<u8>> {
    let classes = logits.channels();
    let class = |pixel: &[f32]| {
        let mut best = 0;
        for (class, logit) in pixel.iter().enumerate() {
            if *logit > pixel[best] {
                best = class;
            }
        }
        if pixel.iter().any(|logit| logit.is_nan()) { VOID } else { best as u8 }
    };
    Ok(with_values(&logits.to_tensor()?, |logits| {
        logits.par_chunks_exact(classes.max(1)).with_min_len(1 << 12).map(class).collect()
    })?)
}

/// The color of a class, and of none.
fn color(class: u8) -> Color {
    if class == VOID { Color::BLACK } else { Color::of_class(usize::from(class)) }
}

/// A mask as an image.
fn colored(mask: &Mask) -> Image {
    let pixels = mask.classes.iter().flat_map(|class| color(*class).rgb()).collect();
    Image { height: mask.height, width: mask.width, channels: 3, pixels }
}
