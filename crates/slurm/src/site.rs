//! `slurm.toml`, in the project's folder: what a site wants to be told. It is the user's, and of no comparison.

use files::FileError;
use serde::Deserialize;
use settings::Mistake;
use std::path::Path;

/// Why `slurm.toml` is not used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// What is wrong in it.
    #[error("slurm.toml: {0}")]
    Wrong(String),
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// All keys may be left out; the site's defaults hold then.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    /// Limit of a run, as Slurm writes it: `8:00:00`. A run that takes longer goes on in another job.
    pub(super) time: Option<String>,
    pub(super) partition: Option<String>,
    pub(super) account: Option<String>,
    /// Cores of a run.
    pub(super) cpus: Option<u32>,
    /// Memory of a run, as Slurm writes it: `4G`.
    pub(super) memory: Option<String>,
    /// Generic resources, such as `gpu:1`.
    pub(super) gres: Option<String>,
    /// Runs at a time; all that fit where it is not given.
    pub(super) jobs: Option<usize>,
    /// How often a run that was interrupted is queued again by itself.
    pub(super) requeues: u32,
    /// Further lines of the script: `#SBATCH --qos=long`, `module load gcc`.
    pub(super) lines: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time: None,
            partition: None,
            account: None,
            cpus: None,
            memory: None,
            gres: None,
            jobs: None,
            requeues: 100,
            lines: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads `slurm.toml` in `root`; the site's defaults where there is none.
    pub(super) fn read(root: &Path) -> Result<Self, SettingsError> {
        let text = files::read_text_if_present(&root.join("slurm.toml"))?.unwrap_or_default();
        Self::parse(&text).map_err(SettingsError::Wrong)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for (key, value) in settings.texts() {
            if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c.is_control()) {
                let expected = format!("one word, as `sbatch --{}` takes it", option(key));
                return Err(Mistake::new(key, expected, format!("{value:?}")).to_string());
            }
        }
        for (key, value) in [("cpus", settings.cpus.map(|cpus| cpus as usize)), ("jobs", settings.jobs)] {
            if value == Some(0) {
                return Err(Mistake::new(key, "at least 1", 0).to_string());
            }
        }
        if let Some(line) = settings.lines.iter().find(|line| line.contains(['\n', '\r'])) {
            return Err(Mistake::new("lines", "one line in each text", format!("{line:?}")).to_string());
        }
        Ok(settings)
    }

    fn texts(&self) -> Vec<(&'static str, &str)> {
        let Self { time, partition, account, memory, gres, .. } = self;
        let texts =
            [("time", time), ("partition", partition), ("account", account), ("memory", memory), ("gres", gres)];
        texts.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))).collect()
    }

    /// The options of `sbatch`.
    pub(super) fn options(&self) -> Vec<String> {
        let texts = self.texts().into_iter().map(|(key, value)| format!("--{}={value}", option(key)));
        texts.chain(self.cpus.map(|cpus| format!("--cpus-per-task={cpus}"))).collect()
    }
}

/// What `sbatch` calls a key.
fn option(key: &'static str) -> &'static str {
    if key == "memory" { "mem" } else { key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_options() {
        assert_eq!(Settings::parse("").unwrap().options(), Vec::<String>::new());
        let text =
            "time = '8:00:00'\npartition = 'cpu'\naccount = 'lab'\ncpus = 4\nmemory = '4G'\ngres = 'gpu:1'\njobs = 8";
        let options = Settings::parse(text).unwrap().options().join(" ");
        assert_eq!(options, "--time=8:00:00 --partition=cpu --account=lab --mem=4G --gres=gpu:1 --cpus-per-task=4");
    }

    #[test]
    fn mistakes_are_explained() {
        let problem = |text: &str| Settings::parse(text).unwrap_err();
        insta::assert_snapshot!(problem("time = '1 day'"), @r#"`time`: expected one word, as `sbatch --time` takes it, found "1 day""#);
        insta::assert_snapshot!(problem("memory = ''"), @r#"`memory`: expected one word, as `sbatch --mem` takes it, found """#);
        insta::assert_snapshot!(problem("cpus = 0"), @"`cpus`: expected at least 1, found 0");
        insta::assert_snapshot!(problem("lines = [\"a\\nb\"]"), @r#"`lines`: expected one line in each text, found "a\nb""#);
        assert!(problem("tiem = '1'").contains("unknown field `tiem`"));
    }
}
