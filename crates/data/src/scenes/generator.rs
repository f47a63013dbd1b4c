//! From garments to scenes.

use rand::RngExt;
use random::Rng;

use super::garment::Garment;
use super::ground::{Color, color, ground};
use super::scene::Scene;
use super::{LEAST_VISIBLE, Scenes, WrongSetting, between};
use crate::error::Tasks;
use crate::{Classification, Error, Example, Image, Label, Options, Result, Root, Split};

/// How often a place is looked for before an object is left out.
const TRIES: usize = 20;

/// Makes the scenes of a set.
#[derive(Debug)]
pub struct Generator {
    name: String,
    pub(crate) scenes: Scenes,
    garments: Classification,
    /// For each split and each class of scenes, the indices of its garments.
    members: [Vec<Vec<usize>>; 3],
}

impl Generator {
    /// Reads the garments for the set `name`.
    ///
    /// # Errors
    ///
    /// Where `scenes` makes no sense, or the garments cannot be read, or are not what it says.
    pub fn open(root: &Root, name: &str, scenes: &Scenes) -> Result<Self> {
        let failed = |wrong| Error::Scenes { name: name.to_owned(), wrong };
        scenes.check().map_err(failed)?;
        scenes.source_files(root, name)?;
        let garments = Classification::open(root, &scenes.from, Options::default())?;
        let wrong = |key, expected: String, found: String| Err(failed(WrongSetting::new(key, expected, found)));
        let (height, width, channels) = garments.uniform_size()?;
        if channels != 1 {
            let found = format!("{:?}, whose images are {}", scenes.from, garments.channels());
            return wrong("from", "a set of gray images".to_owned(), found);
        }
        let largest = [height, width].map(|side| scaled(side, scenes.scale[1]));
        if largest.iter().zip(scenes.size).any(|(garment, scene)| *garment > scene) {
            let expected = format!("at least {largest:?}, which garments can have");
            return wrong("size", expected, format!("{:?}", scenes.size));
        }
        for class in scenes.classes.iter().flat_map(|class| &class.of) {
            if !garments.classes().contains(class) {
                let expected = format!("classes of {:?} ({})", scenes.from, garments.classes().join(", "));
                return wrong("classes", expected, format!("{class:?}"));
            }
        }
        let mut members: [Vec<Vec<usize>>; 3] = Default::default();
        for (split, members) in Split::ALL.into_iter().zip(&mut members) {
            for class in &scenes.classes {
                let of = |index: &usize| class.of.contains(&garments.classes()[garments.label(split, *index) as usize]);
                let found: Vec<usize> = (0..garments.len(split)).filter(of).collect();
                if found.is_empty() {
                    return wrong("classes", format!("a {split} garment of {:?}", class.name), "none".to_owned());
                }
                members.push(found);
            }
        }
        Ok(Self { name: name.to_owned(), scenes: scenes.clone(), garments, members })
    }

    /// Scene `index` of `split`, whatever the number of its examples.
    ///
    /// # Errors
    ///
    /// Where a garment cannot be read.
    pub fn scene(&self, split: Split, index: usize) -> Result<Scene> {
        let Scenes { size, objects: [least, most], scale, seed, .. } = self.scenes;
        let mut rng = random::stream(seed, "scene", &[split as u64, index as u64]);
        let mut pixels = ground(size, &mut rng);
        let mut scene = Scene {
            image: Image { height: size[0], width: size[1], channels: 3, pixels: Vec::new() },
            classes: Vec::new(),
            owners: vec![0; size[0] * size[1]],
            areas: Vec::new(),
        };
        let mut visible: Vec<usize> = Vec::new();
        for _ in 0..rng.random_range(least..=most) {
            let members = &self.members[split as usize];
            let class = rng.random_range(0..members.len() as u32);
            let members = &members[class as usize];
            let index = members[rng.random_range(0..members.len() as u32) as usize];
            let factor = between(scale[0], scale[1], &mut rng);
            let mirrored = rng.random();
            let image = &self.garments.example(split, index)?.image;
            let garment = Garment::cut(image.height, image.width, &image.pixels).resized(
                scaled(image.height, factor),
                scaled(image.width, factor),
                mirrored,
            );
            let area = garment.shape.iter().filter(|inside| **inside).count();
            let tint = color(&mut rng);
            let Some((place, hidden)) = place(&garment, &scene, &visible, &mut rng) else { continue };
            scene.classes.push(class);
            scene.areas.push(area);
            visible.iter_mut().zip(hidden).for_each(|(visible, hidden)| *visible -= hidden);
            visible.push(area);
            for (at, gray) in covered(&garment, place, size[1]) {
                scene.owners[at] = scene.classes.len() as u8;
                pixels[at] = shaded(tint, gray);
            }
        }
        scene.image.pixels = developed(&pixels, &mut rng);
        Ok(scene)
    }

    /// The same with one kind of label.
    pub(crate) fn example<L: Label>(&self, split: Split, index: usize) -> Result<Example<L>> {
        let scene = self.scene(split, index)?;
        match L::of_scene(&scene) {
            Some(label) => Ok(Example { image: scene.image, label }),
            None => {
                let found = Tasks(Scenes::TASKS.to_vec());
                Err(Error::Task { name: self.name.clone(), expected: L::TASK, found })
            }
        }
    }
}

/// A place for `garment` in which enough of every object stays visible, and how many pixels of each it hides there.
fn place(garment: &Garment, scene: &Scene, visible: &[usize], rng: &mut Rng) -> Option<([usize; 2], Vec<usize>)> {
    let Image { height, width, .. } = scene.image;
    let room = [height.checked_sub(garment.height)?, width.checked_sub(garment.width)?];
    if garment.shape.is_empty() {
        return None;
    }
    (0..TRIES).find_map(|_| {
        let place = room.map(|room| rng.random_range(0..=room as u32) as usize);
        let mut hidden = vec![0; visible.len()];
        for (at, _) in covered(garment, place, width) {
            if let Some(object) = usize::from(scene.owners[at]).checked_sub(1) {
                hidden[object] += 1;
            }
        }
        let stays = |((visible, hidden), area): ((&usize, &usize), &usize)| {
            (visible - hidden) as f64 >= LEAST_VISIBLE * *area as f64
        };
        visible.iter().zip(&hidden).zip(&scene.areas).all(stays).then_some((place, hidden))
    })
}

/// The places in a scene of `width` columns that `garment` takes at `place`, and its gray values there.
fn covered(garment: &Garment, [top, left]: [usize; 2], width: usize) -> impl Iterator<Item = (usize, u8)> {
    let inside = garment.shape.iter().zip(&garment.gray).enumerate().filter(|(_, (inside, _))| **inside);
    inside.map(move |(at, (_, gray))| ((top + at / garment.width) * width + left + at % garment.width, *gray))
}

/// A side of a garment's image in a scene.
fn scaled(side: usize, factor: f32) -> usize {
    ((side as f32 * factor + 0.5) as usize).max(1)
}

/// What is left of a color where the garment is gray: of black ones a part too, or they would have no color.
fn shaded(tint: Color, gray: u8) -> Color {
    tint.map(|channel| channel * (0.25 + 0.75 / 255.0 * f32::from(gray)))
}

/// Bytes, with noise of a strength that is drawn.
fn developed(pixels: &[Color], rng: &mut Rng) -> Vec<u8> {
    let strength = between(0.0, 12.0, rng);
    let mut noise = vec![0_u8; pixels.len() * 3];
    rng.fill(noise.as_mut_slice());
    let channels = pixels.iter().flatten().zip(noise);
    // Conversion to bytes cuts off what is below 0 or above 255.
    channels.map(|(value, noise)| (value + strength * (f32::from(noise) / 127.5 - 1.0) + 0.5) as u8).collect()
}
