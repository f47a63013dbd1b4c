//! Settings, data, network and loss.

use crate::meter::Meter;
use anyhow::Result;
use candle_core::{Device, Tensor};
use canvas::{Canvas, Color};
use data::augment::{Augmentation, Normalize};
use data::{Object, Root, Split};
use ops::Statistics;
use random::Rng;
use record::Scores;
use regularize::Params;
use serde::{Deserialize, Serialize};
use settings::Mistake;
use train::{Headline, Task};
use vision::{BackboneConfig, Classifier};

/// The `[task]` table of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Layers of the ResNet: 8, 14, 20, …
    pub depth: usize,
    /// Channels of its first stage.
    pub width: usize,
    /// Whether half of the training images are mirrored.
    pub flip: bool,
    /// Training examples to use; all of them where it is not given.
    pub examples: Option<usize>,
}

impl Config {
    fn backbone(&self) -> BackboneConfig {
        BackboneConfig::SmallResNet { depth: self.depth, width: self.width }
    }
}

/// See the crate's documentation.
pub struct ExampleTask {
    config: Config,
    set: data::Detection,
    /// Height, width and channels of every image.
    size: (usize, usize, usize),
    normalize: Normalize,
    augmentation: Augmentation,
}

/// A normalized image `[h, w, c]`, and for each class 1 where it occurs, else 0.
pub struct Example {
    pixels: Vec<f32>,
    occurs: Vec<f32>,
}

/// Images `[n, h, w, c]`, and which classes occur in them, `[n, classes]`.
pub struct Batch {
    images: Tensor,
    occurs: Tensor,
}

impl Task for ExampleTask {
    type Config = Config;
    type Label = Vec<Object>;
    type Example = Example;
    type Batch = Batch;
    type Model = Classifier;
    /// Logits `[n, classes]`: a class above 0 was found.
    type Prediction = Tensor;
    type Meter = Meter;

    const NAME: &'static str = "example-task";
    const VERSION: u32 = 1;
    const HEADLINE: Headline =
        Headline { score: "f1", title: "macro F1 %", scale: 100.0, higher_is_better: true, perfect: 1.0 };
    const PICTURES: Option<&'static str> =
        Some("Below each image the classes that were found, in blue where they occur, and in orange what is wrong.");

    fn check(config: &Config) -> std::result::Result<(), Mistake> {
        config.backbone().check()
    }

    fn open(config: Config, root: &Root, dataset: &str) -> Result<Self> {
        let set = data::Detection::open(root, dataset, data::Options { examples: config.examples, resize: None })?;
        let (size, normalize) = (set.uniform_size()?, Normalize::new(set.mean(), set.std()));
        let augmentation = Augmentation { flip: config.flip, ..Augmentation::default() };
        Ok(Self { config, set, size, normalize, augmentation })
    }

    fn set(&self) -> &data::Set<Vec<Object>> {
        &self.set
    }

    fn model_line(&self) -> String {
        self.config.backbone().to_string()
    }

    fn augmentation_line(&self) -> String {
        self.augmentation.to_string()
    }

    fn example(&self, split: Split, index: usize, rng: &mut Rng) -> Result<Example> {
        let example = self.set.example(split, index)?;
        let image = example.image.pixels.as_slice();
        let mut pixels = vec![0.0; image.len()];
        if split == Split::Train {
            self.augmentation.draw([self.size.0, self.size.1], rng).apply(image, &self.normalize, &mut pixels);
        } else {
            self.normalize.apply(image, &mut pixels);
        }
        let mut occurs = vec![0.0; self.set.classes().len()];
        example.label.iter().for_each(|object| occurs[object.class as usize] = 1.0);
        Ok(Example { pixels, occurs })
    }

    fn collate(&self, examples: Vec<Example>, device: &Device) -> Result<Batch> {
        let (n, classes, (height, width, channels)) = (examples.len(), self.set.classes().len(), self.size);
        let (pixels, occurs): (Vec<_>, Vec<_>) =
            examples.into_iter().map(|example| (example.pixels, example.occurs)).unzip();
        let images = train::stack(&pixels, [height, width], channels, device)?;
        Ok(Batch { images, occurs: Tensor::from_vec(occurs.concat(), (n, classes), device)? })
    }

    fn model(&self, params: &Params) -> Result<Classifier> {
        let backbone = self.config.backbone().build(params, self.size.2)?;
        Ok(Classifier::new(backbone, &params.pp("fc"), self.set.classes().len())?)
    }

    fn loss(&self, model: &Classifier, batch: &Batch) -> Result<Tensor> {
        let logits = model.forward(&batch.images, Statistics::Batch)?;
        Ok(ops::binary_cross_entropy_with_logits(&logits, &batch.occurs)?)
    }

    fn predict(&self, model: &Classifier, batch: &Batch) -> Result<Tensor> {
        Ok(model.forward(&batch.images, Statistics::Running)?)
    }

    fn perfect_prediction(&self, batch: &Batch) -> Result<Tensor> {
        Ok((&batch.occurs - 0.5)?)
    }

    fn observe(&self, prediction: &Tensor, batch: &Batch, meter: &mut Meter) -> Result<()> {
        let (logits, occurs) = (prediction.to_vec2::<f32>()?, batch.occurs.to_vec2::<f32>()?);
        for (logits, occurs) in logits.iter().zip(&occurs) {
            let classes = logits.iter().zip(occurs).map(|(logit, occurs)| (*logit > 0.0, *occurs > 0.0));
            meter.observe(&classes.collect::<Vec<_>>());
        }
        Ok(())
    }

    fn scores(&self, meter: Meter) -> Scores {
        meter.scores(self.set.classes())
    }

    fn picture(&self, split: Split, index: usize, rng: &mut Rng, prediction: &Tensor) -> Result<Canvas> {
        let example = self.set.example(split, index)?;
        let augment = || self.augmentation.draw([self.size.0, self.size.1], rng).image(&example.image);
        let augmented = (split == Split::Train).then(augment);
        let logits: Vec<f32> = prediction.flatten_all()?.to_vec1()?;
        let mut picture = Canvas::of(augmented.as_ref().unwrap_or(&example.image));
        for ((class, name), logit) in self.set.classes().iter().enumerate().zip(logits) {
            match (logit > 0.0, example.label.iter().any(|object| object.class as usize == class)) {
                (true, true) => picture.caption(name, Color::BLUE),
                (true, false) => picture.caption(&format!("{name}: not there"), Color::ORANGE),
                (false, true) => picture.caption(&format!("{name}: missed"), Color::ORANGE),
                (false, false) => {}
            }
        }
        Ok(picture)
    }
}
