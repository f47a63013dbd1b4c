//! Image classification as a [`Task`].

use crate::config::Config;
use anyhow::{Error, Result, anyhow};
use candle_core::{Device, Tensor};
use canvas::{Canvas, Color};
use data::augment::{Augmentation, Normalize};
use data::{Root, Split};
use ops::{CrossEntropy, Statistics};
use random::Rng;
use record::Scores;
use regularize::Params;
use settings::Mistake;
use train::{Headline, Task};
use vision::{Classifier, TopOne};

/// See the crate's documentation.
pub struct Classification {
    config: Config,
    set: data::Classification,
    /// Height, width and channels of every image.
    size: (usize, usize, usize),
    normalize: Normalize,
    augmentation: Augmentation,
}

/// A normalized image `[h, w, c]` and its class.
pub struct Example {
    pixels: Vec<f32>,
    label: u32,
}

/// Images `[n, h, w, c]` and their classes.
pub struct Batch {
    images: Tensor,
    labels: Vec<u32>,
}

impl Task for Classification {
    type Config = Config;
    type Label = u32;
    type Example = Example;
    type Batch = Batch;
    type Model = Classifier;
    type Prediction = Tensor;
    type Meter = TopOne;

    const NAME: &'static str = "classification";
    const VERSION: u32 = 5;
    const HEADLINE: Headline =
        Headline { score: "top1", title: "top-1 %", scale: 100.0, higher_is_better: true, perfect: 1.0 };
    const PICTURES: Option<&'static str> =
        Some("Below each image its class and the predicted one with its probability: blue is right, orange is wrong.");

    fn check(config: &Config) -> std::result::Result<(), Mistake> {
        config.check()
    }

    fn open(config: Config, root: &Root, dataset: &str) -> Result<Self> {
        let augmentation = Augmentation { padding: config.padding, flip: config.flip, ..Augmentation::default() };
        augmentation.check().map_err(Error::msg)?;
        let resize = config.size.map(|side| data::Resize::Cover([side, side]));
        let set = data::Classification::open(root, dataset, data::Options { examples: config.examples, resize })?;
        let size = set.uniform_size().map_err(|error| match config.size {
            None => anyhow!("{error}\n  hint: `size = 64` in the task's table makes all images 64×64"),
            Some(_) => error.into(),
        })?;
        let normalize = Normalize::new(set.mean(), set.std());
        Ok(Self { config, set, size, normalize, augmentation })
    }

    fn set(&self) -> &data::Set<u32> {
        &self.set
    }

    fn model_line(&self) -> String {
        self.config.model.backbone().to_string()
    }

    fn augmentation_line(&self) -> String {
        self.augmentation.to_string()
    }

    fn example(&self, split: Split, index: usize, rng: &mut Rng) -> Result<Example> {
        let example = self.set.example(split, index)?;
        let image = example.image.pixels.as_slice();
        let mut pixels = vec![0.0; image.len()];
        if split == Split::Train {
            let (height, width, _) = self.size;
            self.augmentation.draw([height, width], rng).apply(image, &self.normalize, &mut pixels);
        } else {
            self.normalize.apply(image, &mut pixels);
        }
        Ok(Example { pixels, label: example.label })
    }

    fn collate(&self, examples: Vec<Example>, device: &Device) -> Result<Batch> {
        let (height, width, channels) = self.size;
        let (pixels, labels): (Vec<_>, _) = examples.into_iter().map(|example| (example.pixels, example.label)).unzip();
        Ok(Batch { images: train::stack(&pixels, [height, width], channels, device)?, labels })
    }

    fn model(&self, params: &Params) -> Result<Classifier> {
        Ok(self.config.model.network(params, self.size.2, self.set.classes().len())?)
    }

    fn loss(&self, model: &Classifier, batch: &Batch) -> Result<Tensor> {
        let logits = model.forward(&batch.images, Statistics::Batch)?;
        Ok(ops::cross_entropy(&logits, &batch.labels, &CrossEntropy::default())?)
    }

    fn evaluation_loss(&self, _: &Classifier, batch: &Batch, logits: &Tensor) -> Result<Option<f64>> {
        let loss = ops::cross_entropy(logits, &batch.labels, &CrossEntropy::default())?;
        Ok(Some(f64::from(loss.to_scalar::<f32>()?)))
    }

    fn predict(&self, model: &Classifier, batch: &Batch) -> Result<Tensor> {
        Ok(model.forward(&batch.images, Statistics::Running)?)
    }

    fn perfect_prediction(&self, batch: &Batch) -> Result<Tensor> {
        let classes = self.set.classes().len();
        let one_hot = batch.labels.iter().flat_map(|label| (0..classes).map(move |c| f32::from(c == *label as usize)));
        let one_hot: Vec<f32> = one_hot.collect();
        Ok(Tensor::from_vec(one_hot, (batch.labels.len(), classes), batch.images.device())?)
    }

    fn observe(&self, prediction: &Tensor, batch: &Batch, meter: &mut TopOne) -> Result<()> {
        Ok(meter.observe(prediction, &batch.labels)?)
    }

    fn scores(&self, meter: TopOne) -> Scores {
        Scores::from([("top1".into(), meter.accuracy()), ("loss".into(), meter.loss())])
    }

    fn picture(&self, split: Split, index: usize, rng: &mut Rng, prediction: &Tensor) -> Result<Canvas> {
        let example = self.set.example(split, index)?;
        let (height, width, _) = self.size;
        let augmented =
            (split == Split::Train).then(|| self.augmentation.draw([height, width], rng).image(&example.image));
        let logits: Vec<f32> = prediction.flatten_all()?.to_vec1()?;
        let (predicted, probability) = most_probable(&logits);
        let class = |index: usize| self.set.classes().get(index).map_or("?", String::as_str);
        let truth = example.label as usize;
        let mut picture = Canvas::of(augmented.as_ref().unwrap_or(&example.image));
        picture.caption(class(truth), Color::WHITE);
        let color = if predicted == truth { Color::BLUE } else { Color::ORANGE };
        picture.caption(&format!("predicted {} {probability:.2}", class(predicted)), color);
        Ok(picture)
    }
}

/// The class with the largest of `logits`, the first of equal ones as in [`TopOne`], and its softmax.
fn most_probable(logits: &[f32]) -> (usize, f32) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let class = logits.iter().position(|logit| *logit == largest).unwrap_or(0);
    (class, 1.0 / logits.iter().map(|logit| libm::expf(logit - largest)).sum::<f32>())
}
