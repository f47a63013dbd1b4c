//! A project with a manifest, and a hub that has its set.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use data::{Lock, Root};
use files::{Part, write_atomic};
use hub::{Progress, Result, Settings};
use sha2::{Digest, Sha256};

use crate::loopback::Loopback;

pub(crate) const TRAIN: &str = "data/train-0.parquet";
pub(crate) const TEST: &str = "data/test-0.parquet";

const MANIFEST: &str = r#"title = "Pets"
task = "classification"
licence = "MIT"
citation = "nobody"
home = "https://example.org/pets"
classes = ["cat", "dog"]

[columns]
image = "image"
label = "label"

[splits]
train = "train"
validation = { from = "train", fraction = 0.25, seed = 0 }
test = "test"
"#;

/// A project in a temporary folder, whose set `pets` is `owner/pets` of a hub.
pub(crate) struct Project {
    folder: tempfile::TempDir,
    files: Vec<(String, Vec<u8>)>,
    pub(crate) hub: Loopback,
}

impl Project {
    /// Two training files, a small test file, and a text.
    pub(crate) fn new() -> Self {
        let train = [(TRAIN, bytes(300_000)), ("data/train-1.parquet", bytes(70_001))];
        Self::with(&[train.as_slice(), &[(TEST, bytes(1000)), ("README.md", bytes(10))]].concat(), None)
    }

    pub(crate) fn with(files: &[(&str, Vec<u8>)], token: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            write_atomic(&folder.path().join("hub/owner/pets").join(path), bytes).unwrap();
        }
        let hub = Loopback::start(&folder.path().join("hub"), token, 3).unwrap();
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.clone())).collect();
        let project = Self { folder, files, hub };
        project.write("datasets/pets.toml", &format!("{MANIFEST}{}", hub_table("main")));
        std::fs::create_dir_all(project.path("configs")).unwrap();
        project
    }

    /// Has the manifest name every file of the patterns, and the commit.
    pub(crate) fn pin(self) -> Self {
        let mut text = format!("{MANIFEST}{}", hub_table(&self.hub.commit("owner/pets")));
        for (source, bytes) in &self.files {
            if let Some(path) = local(source) {
                let sha256 = sha256(bytes);
                text += &format!(
                    "\n[[files]]\npath = {path:?}\nsource = {source:?}\nsize = {}\nsha256 = {sha256:?}\n",
                    bytes.len()
                );
            }
        }
        self.write("datasets/pets.toml", &text);
        self
    }

    /// A change of the manifest's text.
    pub(crate) fn change(&self, from: &str, to: &str) {
        let manifest = self.read("datasets/pets.toml");
        assert!(manifest.contains(from), "{from}");
        self.write("datasets/pets.toml", &manifest.replace(from, to));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("project").join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        write_atomic(&self.path(name), text.as_bytes()).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn root(&self) -> Root {
        Root { folder: self.path(""), external: None, memory: data::MEMORY }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            endpoint: self.hub.endpoint(),
            token: None,
            cache: Some(self.path("cache/hub")),
            offline: false,
            timeout: Duration::from_secs(20),
            back_off: Duration::from_millis(1),
        }
    }

    pub(crate) fn fetch(&self) -> Result<PathBuf> {
        self.fetch_with(&self.settings())
    }

    pub(crate) fn fetch_with(&self, settings: &Settings) -> Result<PathBuf> {
        hub::fetch(&self.root(), "pets", settings, &Progress::hidden())
    }

    /// Where the file of the repository at `source` is put.
    pub(crate) fn local(&self, source: &str) -> PathBuf {
        self.path("datasets/.cache/pets/default").join(local(source).unwrap())
    }

    pub(crate) fn part(&self, source: &str) -> PathBuf {
        Part::beside(&self.local(source))
    }

    pub(crate) fn bytes(&self, source: &str) -> &[u8] {
        &self.files.iter().find(|(path, _)| path == source).unwrap().1
    }

    /// All files of the set are there, bit by bit, nothing else is, and the lock or the manifest has their digests.
    pub(crate) fn assert_complete(&self) {
        let mut expected = Vec::new();
        for (source, bytes) in &self.files {
            if let Some(path) = local(source) {
                assert!(std::fs::read(self.local(source)).unwrap() == *bytes, "{source} has other bytes");
                expected.push(path);
            }
        }
        expected.sort();
        assert_eq!(self.downloads(), expected);
        let manifest = self.root().manifest("pets").unwrap();
        let stored = manifest.stored().unwrap();
        let mut listed: Vec<&String> = stored.files.iter().map(|file| &file.path).collect();
        listed.sort();
        assert_eq!(listed, expected.iter().collect::<Vec<_>>());
        for file in &stored.files {
            let found = std::fs::read(self.path("datasets/.cache/pets/default").join(&file.path)).unwrap();
            assert_eq!(file.sha256.as_ref().unwrap(), &sha256(&found));
        }
    }

    /// No file is seen, and there is no lock.
    pub(crate) fn assert_nothing_visible(&self) {
        let files = self.downloads();
        assert!(files.iter().all(|file| file.ends_with(".part")), "{files:?}");
        assert!(Lock::read(&self.path("datasets/pets.lock")).unwrap().is_none());
    }

    /// Names of all files in the folder of the downloads, sorted.
    pub(crate) fn downloads(&self) -> Vec<String> {
        let folder = self.path("datasets/.cache/pets/default");
        let splits = std::fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        let files = splits.flat_map(|split| std::fs::read_dir(split).unwrap()).map(|entry| entry.unwrap().path());
        let mut names: Vec<String> =
            files.map(|file| file.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// `hub` with `arguments`, with nothing of this machine's settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hub"));
        command.args(arguments).current_dir(self.path("")).env_clear().env("HF_HOME", self.path("cache"));
        command.env("HF_ENDPOINT", self.hub.endpoint()).stdin(Stdio::null());
        command
    }

    /// What differs from run to run, replaced.
    pub(crate) fn tidy(&self, text: &str) -> String {
        let commit = self.hub.commit("owner/pets");
        let text = text.replace(&*self.path("").to_string_lossy(), "~/").replace(&commit, "COMMIT");
        let text = text.replace(&self.hub.endpoint(), "http://hub");
        let digits = |c: char| c.is_ascii_digit();
        let mut words = text.split("http://127.0.0.1:");
        let first = words.next().unwrap().to_owned();
        words.fold(first, |text, rest| text + "http://elsewhere" + rest.trim_start_matches(digits))
    }
}

/// Where `[hub]` of the manifest puts the file of the repository at `source`.
fn local(source: &str) -> Option<String> {
    let name = Path::new(source).file_name()?.to_str()?;
    let split = ["train", "test"].into_iter().find(|split| name.starts_with(split))?;
    Some(format!("{split}/{name}"))
}

fn hub_table(revision: &str) -> String {
    format!(
        "\n[hub]\nrepository = \"owner/pets\"\nrevision = \"{revision}\"\n\n[hub.files]\n\
         train = \"data/train*.parquet\"\ntest = \"data/test-*.parquet\"\n"
    )
}

/// `length` bytes that are nowhere the same.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    (0..length.div_ceil(32)).flat_map(|block| Sha256::digest(block.to_le_bytes())).take(length).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    files::hex(&Sha256::digest(bytes))
}
