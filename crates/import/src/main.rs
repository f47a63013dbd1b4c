//! Imports an official release of a data set; `cargo xtask import` starts it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser};
use data::{Fault, Resize, Root};
use import::layout::LAYOUTS;
use import::{Options, import};

/// The longest side that images can get.
const LONGEST: i64 = 1 << 14;

#[derive(Parser)]
#[command(
    name = "cargo xtask import",
    bin_name = "cargo xtask import",
    about = "Converts an official release into a data set: datasets/.cache/NAME, and datasets/NAME.toml if there is none",
    after_help = "JPEG and PNG images keep the bytes of their files; WebP, BMP, GIF and TIFF images become PNG of the same \
                  pixels. Resizing applies to boxes, masks and points, too; resized JPEG images are encoded with quality 95, \
                  others as PNG. Points in MATLAB files, which count pixels from 1, are kept as they are."
)]
struct Cli {
    /// Name of the set
    name: String,
    /// The release: a folder, or a .zip, .tar or .tar.gz of one
    dir: PathBuf,
    #[command(flatten)]
    size: SizeArguments,
    /// The structure of the release, if it is not recognized
    #[arg(long, value_parser = PossibleValuesParser::new(LAYOUTS.iter().map(|layout| layout.name)))]
    format: Option<String>,
    /// Leave out and count these faults: image, box, mask, point. An existing manifest takes precedence
    #[arg(long, value_delimiter = ',', value_name = "FAULT,…", value_parser = fault)]
    tolerate: Vec<Fault>,
    /// Number of the first pixel in Pascal VOC annotations: 1 in official releases, 0 in the output of some programs
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    first_pixel: Option<u8>,
    /// Folder of the project
    #[arg(long, default_value = ".", hide = true)]
    project: PathBuf,
}

#[derive(Args)]
#[group(multiple = false)]
struct SizeArguments {
    /// Resize all images to this size, whatever their shape
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<[usize; 2]>,
    /// Resize so that the shorter side has N pixels
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=LONGEST))]
    shorter: Option<u32>,
    /// Resize so that the longer side has N pixels
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=LONGEST))]
    longer: Option<u32>,
}

impl SizeArguments {
    fn resize(&self) -> Option<Resize> {
        let shorter = self.shorter.map(|side| Resize::Shorter(side as usize));
        let longer = self.longer.map(|side| Resize::Longer(side as usize));
        self.size.map(Resize::Exact).or(shorter).or(longer)
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let mistake = error.downcast_ref::<import::Error>().is_some_and(import::Error::is_mistake);
            ExitCode::from(if mistake { 2 } else { 1 })
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let root = Root::from_env(&cli.project);
    let manifests = root.manifests();
    if !manifests.is_dir() {
        anyhow::bail!("there is no folder {}\n  hint: run this in a clone of the repository", manifests.display());
    }
    let options = Options {
        format: cli.format.clone(),
        resize: cli.size.resize(),
        tolerate: cli.tolerate.clone(),
        first_pixel: cli.first_pixel,
        ..Options::default()
    };
    let summary = import(&root, &cli.name, &cli.dir, &options)?;
    use std::io::Write;
    writeln!(std::io::stdout(), "{summary}").context("cannot write to standard output")
}

/// Height and width.
fn size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=LONGEST as usize).contains(side));
    let sides = text.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
    let (width, height) = sides.ok_or_else(|| format!("expected WxH such as 640x480, each from 1 to {LONGEST}"))?;
    Ok([height, width])
}

fn fault(text: &str) -> Result<Fault, String> {
    let all = [Fault::Image, Fault::Box, Fault::Mask, Fault::Point];
    let found = all.into_iter().find(|fault| fault.to_string() == text);
    found.ok_or_else(|| "expected image, box, mask or point".to_owned())
}
