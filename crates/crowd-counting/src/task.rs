//! Crowd counting as a [`Task`].

use crate::config::Config;
use crate::density::{Map, density, dots, spreads};
use crate::loss::{Loss, People, Scale};
use crate::metric::{Counts, game};
use crate::model::Counter;
use anyhow::{Error, Result, bail};
use candle_core::{Device, Tensor};
use canvas::{Canvas, Color};
use data::augment::{Augmentation, Follow, Normalize, Transform, View};
use data::{Image, Point, Root, Source, Split};
use ops::Statistics;
use random::Rng;
use rayon::prelude::*;
use record::Scores;
use regularize::Params;
use settings::Mistake;
use std::ffi::OsString;
use train::{Headline, Task};

/// See the crate's documentation.
pub struct CrowdCounting {
    config: Config,
    set: data::CrowdCounting,
    normalize: Normalize,
    augmentation: Augmentation,
    training: Training,
    loss: Loss,
}

/// What is known of the training images.
struct Training {
    scale: Scale,
    /// Of the numbers of people in an image.
    mean: f64,
    median: f64,
}

/// A normalized image `[h, w, c]`, and the people in it.
pub struct Example {
    pixels: Vec<f32>,
    size: [usize; 2],
    people: People,
}

/// Images of any size, with the people in them.
pub struct Batch {
    /// Neighbors of one size.
    groups: Vec<Group>,
}

struct Group {
    /// `[n, h, w, c]`
    images: Tensor,
    people: Vec<People>,
}

/// What evaluation accumulates.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    counts: Counts,
    /// Sum of [`game`] at each level.
    games: [f64; 4],
}

impl Task for CrowdCounting {
    type Config = Config;
    type Label = Vec<Point>;
    type Example = Example;
    type Batch = Batch;
    type Model = Counter;
    /// A map for each image.
    type Prediction = Vec<Map>;
    type Meter = Meter;

    const NAME: &'static str = "crowd-counting";
    const VERSION: u32 = 3;
    const HEADLINE: Headline =
        Headline { score: "mae", title: "MAE", scale: 1.0, higher_is_better: false, perfect: 0.0 };
    const PICTURES: Option<&'static str> = Some(
        "Left: the image, a dot on each one to be counted. Right: where the network counts them, brighter where they stand \
         denser. Below: how many there are, and how many it counts.",
    );

    fn check(config: &Config) -> std::result::Result<(), Mistake> {
        config.check()
    }

    fn open(config: Config, root: &Root, dataset: &str) -> Result<Self> {
        let resize = config.longest.map(data::Resize::AtMost);
        let set = data::CrowdCounting::open(root, dataset, data::Options { examples: config.examples, resize })?;
        let normalize = Normalize::new(set.mean(), set.std());
        let stride = config.model.stride();
        let training = Training::of(&set, &config)?;
        let loss = Loss::new(config.loss, training.scale, stride);
        let augmentation = config.augmentation.with_size(config.size).map_err(Error::msg)?;
        Ok(Self { config, set, normalize, augmentation, training, loss })
    }

    fn set(&self) -> &data::Set<Vec<Point>> {
        &self.set
    }

    /// What is not people is not called a crowd.
    fn title(&self) -> Option<String> {
        matches!(self.set.manifest().source, Source::Scenes(_)).then(|| "Derived object counting".to_owned())
    }

    fn model_line(&self) -> String {
        let [height, width] = self.config.size;
        format!("{}, windows of {width}×{height} pixels, in evaluation whole images", self.config.model)
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
        let source = [example.image.height, example.image.width];
        let transform = match split {
            Split::Train => self.augmentation.draw(source, rng),
            Split::Validation | Split::Test => View::padded(source, self.config.model.stride()).into(),
        };
        let people = self.people(&example.label, &transform.view);
        let pixels = transform.pixels(&example.image, &self.normalize);
        Ok(Example { pixels, size: transform.view.size, people })
    }

    fn collate(&self, mut examples: Vec<Example>, device: &Device) -> Result<Batch> {
        let channels = self.normalize.channels();
        let group = |examples: &mut [Example]| {
            let size = examples.first().map_or([0, 0], |example| example.size);
            let pixels: Vec<Vec<f32>> =
                examples.iter_mut().map(|example| std::mem::take(&mut example.pixels)).collect();
            let people = examples.iter_mut().map(|example| std::mem::take(&mut example.people)).collect();
            Ok(Group { images: train::stack(&pixels, size, channels, device)?, people })
        };
        let groups = examples.chunk_by_mut(|one, next| one.size == next.size).map(group);
        Ok(Batch { groups: groups.collect::<Result<_>>()? })
    }

    fn model(&self, params: &Params) -> Result<Counter> {
        let (config, unit) = (&self.config, self.training.scale.cell);
        Ok(Counter::new(params, self.normalize.channels(), config.model, config.loss.sign(), unit)?)
    }

    fn loss(&self, model: &Counter, batch: &Batch) -> Result<Tensor> {
        self.loss_with(model, batch, Statistics::Batch)
    }

    fn evaluation_loss(&self, model: &Counter, batch: &Batch, _: &Vec<Map>) -> Result<Option<f64>> {
        let loss = self.loss_with(model, batch, Statistics::Running)?;
        Ok(Some(f64::from(loss.to_scalar::<f32>()?)))
    }

    fn predict(&self, model: &Counter, batch: &Batch) -> Result<Vec<Map>> {
        let mut maps = Vec::new();
        for Group { images, people } in &batch.groups {
            let predicted = model.forward(images, Statistics::Running)?;
            let (_, height, width) = predicted.dims3()?;
            let values: Vec<f32> = predicted.flatten_all()?.to_vec1()?;
            let of_image = |index: usize| values[index * height * width..][..height * width].iter();
            maps.extend((0..people.len()).map(|index| Map {
                height,
                width,
                values: of_image(index).copied().map(f64::from).collect(),
            }));
        }
        Ok(maps)
    }

    fn perfect_prediction(&self, batch: &Batch) -> Result<Vec<Map>> {
        Ok(batch.groups.iter().flat_map(|group| self.dots(group)).collect())
    }

    fn observe(&self, prediction: &Vec<Map>, batch: &Batch, meter: &mut Meter) -> Result<()> {
        for (predicted, truth) in prediction.iter().zip(batch.groups.iter().flat_map(|group| self.dots(group))) {
            if [predicted.height, predicted.width] != [truth.height, truth.width] {
                let cells = |map: &Map| format!("{}×{}", map.height, map.width);
                bail!("expected a map of {} cells as the image has, found {}", cells(&truth), cells(predicted));
            }
            meter.counts.observe(truth.sum(), predicted.sum());
            for (level, sum) in (0..).zip(&mut meter.games) {
                *sum += game(&truth, predicted, level);
            }
        }
        Ok(())
    }

    fn scores(&self, Meter { counts, games }: Meter) -> Scores {
        let mut scores = counts.scores();
        let images = counts.summary().images;
        if images > 0 {
            scores.extend((0..).zip(games).map(|(level, sum)| (format!("game{level}"), sum / images as f64)));
        }
        let guesses = [("training mean", self.training.mean), ("training median", self.training.median)];
        let of_guess = |(name, guess)| Some((format!("{}{name}", record::BASELINE), counts.mae_of_guess(guess)?));
        scores.extend(guesses.into_iter().filter_map(of_guess));
        scores
    }

    fn picture(&self, split: Split, index: usize, _: &mut Rng, prediction: &Vec<Map>) -> Result<Canvas> {
        let example = self.set.example(split, index)?;
        let Some(predicted) = prediction.first() else { bail!("expected the map of an image, found none") };
        let view = View::at_most([example.image.height, example.image.width], LARGEST_DRAWN);
        let image = Transform::from(view).image(&example.image);
        let mut truth = Canvas::of(&image);
        for point in example.label.follow(&view) {
            truth.dot(point, Color::ORANGE);
        }
        truth.caption(&format!("there are {}", example.label.len()), Color::WHITE);
        let pixels_a_cell = self.config.model.stride() as f64 * view.size[1] as f64 / view.source[1] as f64;
        let mut counted = Canvas::of(&lit(&image, predicted, pixels_a_cell));
        // Of a little less than nobody, no sign is left.
        counted.caption(&format!("counted {:.1}", (10.0 * predicted.sum()).round() / 10.0 + 0.0), Color::WHITE);
        Ok(canvas::beside(&[truth, counted]))
    }

    fn eval(arguments: &[OsString]) -> Result<String> {
        crate::eval::eval(arguments)
    }
}

/// The longest side of an image that is drawn as it is.
const LARGEST_DRAWN: usize = 512;

impl CrowdCounting {
    /// The loss of a batch, each image with the same weight.
    fn loss_with(&self, model: &Counter, batch: &Batch, statistics: Statistics) -> Result<Tensor> {
        let all: usize = batch.groups.iter().map(|group| group.people.len()).sum();
        let mut sum: Option<Tensor> = None;
        for Group { images, people } in &batch.groups {
            let loss = self.loss.of(&model.forward(images, statistics)?, people)?;
            let loss = (loss * (people.len() as f64 / all as f64))?;
            sum = Some(match sum {
                Some(sum) => (sum + loss)?,
                None => loss,
            });
        }
        sum.ok_or_else(|| anyhow::anyhow!("expected a batch of at least one image, found none"))
    }

    /// What of `points` is seen, with the spreads that they have in the whole image.
    fn people(&self, points: &[Point], view: &View) -> People {
        let of_axis = |axis: usize| view.scaled[axis] as f64 / view.source[axis] as f64;
        let spreads = spreads(points, Loss::spread(self.config.loss), (of_axis(0) * of_axis(1)).sqrt());
        let seen = |(point, spread): (&Point, f64)| Some((vec![*point].follow(view).pop()?, spread));
        let (points, spreads) = points.iter().zip(spreads).filter_map(seen).unzip();
        People { points, spreads }
    }

    /// A map of each image, with each person in one cell.
    fn dots(&self, group: &Group) -> Vec<Map> {
        let dims = group.images.dims();
        group.people.iter().map(|people| dots(&people.points, [dims[1], dims[2]], self.config.model.stride())).collect()
    }
}

impl Training {
    fn of(set: &data::CrowdCounting, config: &Config) -> Result<Self> {
        let stride = config.model.stride();
        // Sum of the squares of the cells, their number, and the people.
        let of_image = |index: usize| {
            let example = set.example(Split::Train, index)?;
            let size = [example.image.height, example.image.width];
            let spreads = spreads(&example.label, Loss::spread(config.loss), 1.0);
            let map = density(&example.label, &spreads, size, stride);
            let squares: f64 = map.values.iter().map(|value| value * value).sum();
            Ok([squares, (size[0] * size[1]) as f64, example.label.len() as f64])
        };
        let of_images: Vec<Result<[f64; 3]>> = (0..set.len(Split::Train)).into_par_iter().map(of_image).collect();
        // In order, so that neither sums nor the error depend on the number of threads.
        let of_images = of_images.into_iter().collect::<Result<Vec<_>>>()?;
        let [squares, pixels, people] = [0, 1, 2].map(|of| of_images.iter().map(|image| image[of]).sum::<f64>());
        let counts: Vec<f64> = of_images.iter().map(|image| image[2]).collect();
        // Sums of whole numbers do not depend on their order.
        let [mean, median] = [statistics::mean, statistics::median].map(|of| of(&counts).unwrap_or(0.0));
        // Without anybody there is nothing to scale.
        let or_one = |value: f64| if value > 0.0 { value } else { 1.0 };
        let scale = Scale {
            cell: or_one((squares * (stride * stride) as f64 / pixels).sqrt()),
            pixel: if people > 0.0 { people / pixels } else { 1.0 },
        };
        Ok(Self { scale, mean, median })
    }
}

/// `image` darkened and without colors, lit where `map` has people: yellow in its densest cell. A cell is
/// `side` pixels wide and high.
fn lit(image: &Image, map: &Map, side: f64) -> Image {
    let densest = map.values.iter().copied().fold(0.0, f64::max);
    let light = |row: usize, column: usize| {
        let cell = |at: usize| (at as f64 / side) as usize;
        let (row, column) = (cell(row).min(map.height - 1), cell(column).min(map.width - 1));
        if densest > 0.0 { (map.values[row * map.width + column].max(0.0) / densest).sqrt() } else { 0.0 }
    };
    let pixel = |index: usize| {
        let light = light(index / image.width, index % image.width);
        let values = &image.pixels[index * image.channels..][..image.channels];
        let gray = values.iter().copied().map(f64::from).sum::<f64>() / (2 * image.channels) as f64;
        Color::YELLOW.rgb().map(|channel| (gray + light * (f64::from(channel) - gray)) as u8)
    };
    let pixels = (0..image.height * image.width).flat_map(pixel).collect();
    Image { height: image.height, width: image.width, channels: 3, pixels }
}
