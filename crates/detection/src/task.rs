//! Object detection as a [`Task`].

use crate::config::Config;
use crate::detect::detect;
use crate::loss::loss;
use crate::metric::{AveragePrecision, Detection};
use crate::model::Detector;
use anyhow::{Error, Result};
use candle_core::{Device, Tensor};
use canvas::{Canvas, Color, Line};
use data::augment::{Augmentation, Follow, Normalize, Transform, View};
use data::{Object, Root, Split};
use ops::Statistics;
use random::Rng;
use record::Scores;
use regularize::Params;
use settings::Mistake;
use std::ffi::OsString;
use train::{Headline, Task};

/// See the crate's documentation.
pub struct ObjectDetection {
    config: Config,
    set: data::Detection,
    normalize: Normalize,
    augmentation: Augmentation,
}

/// A normalized image `[h, w, c]` and its objects.
pub struct Example {
    pixels: Vec<f32>,
    /// In pixels of what the network sees.
    seen: Vec<Object>,
    original: Original,
}

/// Images `[n, h, w, c]` and their objects.
pub struct Batch {
    images: Tensor,
    seen: Vec<Vec<Object>>,
    originals: Vec<Original>,
}

/// The image as it is in the data set.
struct Original {
    view: View,
    objects: Vec<Object>,
}

impl Original {
    /// Detections in what the network saw as detections in the image itself; those outside of it are dropped.
    fn detections(&self, mut detections: Vec<Detection>) -> Vec<Detection> {
        let View { source, scaled, offset, size, flip } = self.view;
        let place = |axis: usize, at: f32| {
            let at = (at + offset[axis] as f32) * (source[axis] as f32 / scaled[axis] as f32);
            at.clamp(0.0, source[axis] as f32)
        };
        for detection in &mut detections {
            let [left, top, right, bottom] = detection.corners;
            let (left, right) = if flip { (size[1] as f32 - right, size[1] as f32 - left) } else { (left, right) };
            detection.corners = [place(1, left), place(0, top), place(1, right), place(0, bottom)];
        }
        detections.retain(|Detection { corners: [left, top, right, bottom], .. }| right > left && bottom > top);
        detections
    }
}

impl Task for ObjectDetection {
    type Config = Config;
    type Label = Vec<Object>;
    type Example = Example;
    type Batch = Batch;
    type Model = Detector;
    /// Of each image, in its own pixels.
    type Prediction = Vec<Vec<Detection>>;
    type Meter = AveragePrecision;

    const NAME: &'static str = "detection";
    const VERSION: u32 = 3;
    const HEADLINE: Headline =
        Headline { score: "AP", title: "AP %", scale: 100.0, higher_is_better: true, perfect: 1.0 };
    const PICTURES: Option<&'static str> = Some(
        "Blue and solid: what is there. Orange and dashed: what was found with a score of at least 0.5, the score beside \
         the class.",
    );

    fn check(config: &Config) -> std::result::Result<(), Mistake> {
        config.check()
    }

    fn open(config: Config, root: &Root, dataset: &str) -> Result<Self> {
        let set = data::Detection::open(root, dataset, data::Options { examples: config.examples, resize: None })?;
        let normalize = Normalize::new(set.mean(), set.std());
        let augmentation = config.augmentation.with_size(config.size).map_err(Error::msg)?;
        Ok(Self { augmentation, config, set, normalize })
    }

    fn set(&self) -> &data::Set<Vec<Object>> {
        &self.set
    }

    fn model_line(&self) -> String {
        let model = &self.config.model;
        let [height, width] = self.config.size;
        format!(
            "FCOS on {}, {} levels of {} channels from stride {}, {width}×{height} pixels{}",
            model.backbone(),
            model.levels,
            model.channels,
            model.stride,
            if model.freeze_norms { ", frozen batch norms" } else { "" }
        )
    }

    fn augmentation_line(&self) -> String {
        self.augmentation.to_string()
    }

    fn example(&self, split: Split, index: usize, rng: &mut Rng) -> Result<Example> {
        let example = self.set.example(split, index)?;
        let source = [example.image.height, example.image.width];
        let transform = match split {
            Split::Train => self.augmentation.draw(source, rng),
            Split::Validation | Split::Test => View::fit(source, self.config.size).into(),
        };
        let pixels = transform.pixels(&example.image, &self.normalize);
        let Transform { view, .. } = transform;
        let original = Original { view, objects: example.label.clone() };
        Ok(Example { pixels, seen: example.label.follow(&view), original })
    }

    fn collate(&self, examples: Vec<Example>, device: &Device) -> Result<Batch> {
        let (mut pixels, mut seen, mut originals) = (Vec::new(), Vec::new(), Vec::new());
        for example in examples {
            pixels.push(example.pixels);
            seen.push(example.seen);
            originals.push(example.original);
        }
        let images = train::stack(&pixels, self.config.size, self.normalize.channels(), device)?;
        Ok(Batch { images, seen, originals })
    }

    fn model(&self, params: &Params) -> Result<Detector> {
        Ok(Detector::new(params, self.normalize.channels(), self.set.classes().len(), self.config.model)?)
    }

    fn loss(&self, model: &Detector, batch: &Batch) -> Result<Tensor> {
        Ok(loss(&model.forward(&batch.images, Statistics::Batch)?, &batch.seen)?)
    }

    fn evaluation_loss(&self, model: &Detector, batch: &Batch, _: &Vec<Vec<Detection>>) -> Result<Option<f64>> {
        let loss = loss(&model.forward(&batch.images, Statistics::Running)?, &batch.seen)?;
        Ok(Some(f64::from(loss.to_scalar::<f32>()?)))
    }

    fn predict(&self, model: &Detector, batch: &Batch) -> Result<Vec<Vec<Detection>>> {
        let levels = model.forward(&batch.images, Statistics::Running)?;
        let found = detect(&levels, batch.originals.len(), self.config.size, self.config.suppression)?;
        Ok(found.into_iter().zip(&batch.originals).map(|(found, original)| original.detections(found)).collect())
    }

    fn perfect_prediction(&self, batch: &Batch) -> Result<Vec<Vec<Detection>>> {
        let detection = |object: &Object| Detection { class: object.class, score: 1.0, corners: object.corners };
        let of = |original: &Original| original.objects.iter().filter(|o| !o.ignore).map(detection).collect();
        Ok(batch.originals.iter().map(of).collect())
    }

    fn observe(&self, prediction: &Vec<Vec<Detection>>, batch: &Batch, meter: &mut AveragePrecision) -> Result<()> {
        for (detections, original) in prediction.iter().zip(&batch.originals) {
            meter.observe(detections, &original.objects);
        }
        Ok(())
    }

    fn scores(&self, meter: AveragePrecision) -> Scores {
        meter.scores()
    }

    fn picture(&self, split: Split, index: usize, _: &mut Rng, prediction: &Vec<Vec<Detection>>) -> Result<Canvas> {
        let example = self.set.example(split, index)?;
        let class = |index: u32| self.set.classes().get(index as usize).map_or("?", String::as_str);
        let mut picture = Canvas::of(&example.image);
        for object in &example.label {
            let label = if object.ignore { "ignored" } else { class(object.class) };
            picture.rectangle(object.corners, Color::BLUE, Line::Solid, label);
        }
        // The best last, on top of the others.
        for Detection { class: index, score, corners } in prediction.iter().flatten().rev() {
            if *score >= DRAWN {
                picture.rectangle(*corners, Color::ORANGE, Line::Dashed, &format!("{} {score:.2}", class(*index)));
            }
        }
        Ok(picture)
    }

    fn eval(arguments: &[OsString]) -> Result<String> {
        crate::eval::eval(arguments)
    }
}

/// Detections of lower scores are not drawn.
const DRAWN: f32 = 0.5;
