//! Everything that a run needs to go on, in one file.

use crate::error::Error;
use candle_core::{Device, Tensor};
use files::{FileError, hex, remove_if_present, write_atomic};
use record::{LogLine, RunFolder, RunId, Seconds};
use regularize::{Optimizer, Params};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Raise it when an older checkpoint would be misread, or would not give the same run.
///
/// | version | new in it |
/// |---|---|
/// | 4 | |
/// | 5 | [`Header::digest`], [`Header::log`]; [`Progress::faults`] |
const VERSION: u32 = 5;

/// The first version that is read. What is newer than it is an option, or has a default. A newer version than [`VERSION`] is
/// refused by its number, if its digest is right: so every version keeps `digest` and `version` in the header.
const FIRST: u32 = 4;

/// What is kept besides tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Steps taken.
    pub(crate) step: u64,
    /// Training loss summed over the steps since the last evaluation.
    pub(crate) loss_sum: f64,
    /// See [`record::Record::decay_efolds`].
    pub(crate) decay_efolds: Option<f64>,
    /// Lines of `log.jsonl` that belong to these steps.
    pub(crate) log_lines: usize,
    pub(crate) seconds: Seconds,
    /// When the run was first started.
    pub(crate) started: String,
    pub(crate) resumed: u64,
    /// See [`record::Provenance::faults`]; since version 5.
    #[serde(default)]
    pub(crate) faults: Vec<String>,
}

impl Progress {
    /// Of a run that starts now.
    pub(crate) fn new(started: String) -> Self {
        let (seconds, faults) = (Seconds::default(), Vec::new());
        Self { step: 0, loss_sum: 0.0, decay_efolds: None, log_lines: 0, seconds, started, resumed: 0, faults }
    }
}

const KEY: &str = "wrs-bench";

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    /// SHA-256 of the whole file, with [`NO_DIGEST`] in the digest's place; since version 5.
    digest: Option<String>,
    id: RunId,
    progress: Progress,
    /// SHA-256 of the lines of `log.jsonl` that belong to the checkpoint; since version 5.
    log: Option<String>,
}

/// As long as a digest, and none that occurs.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Writes the log, then the checkpoint: a log that is ahead of it is cut when the run goes on. The checkpoint before is
/// kept.
pub(crate) fn save(
    folder: &RunFolder,
    id: &RunId,
    progress: &Progress,
    log: &[LogLine],
    params: &Params,
    optimizer: &Optimizer,
) -> Result<(), Error> {
    let text = log_text(log)?;
    write_atomic(&folder.log(), text.as_bytes())?;
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    for parameter in params.all() {
        tensors.insert(format!("params/{}", parameter.name), parameter.var.as_tensor().clone());
    }
    tensors.extend(optimizer.state()?.into_iter().map(|(name, tensor)| (format!("optimizer/{name}"), tensor)));
    let header = Header {
        version: VERSION,
        digest: Some(NO_DIGEST.into()),
        id: id.clone(),
        progress: progress.clone(),
        log: Some(hex(&Sha256::digest(&text))),
    };
    let header = serde_json::to_string(&header).map_err(anyhow::Error::from)?;
    let metadata = HashMap::from([(KEY.to_owned(), header)]);
    let mut bytes = safetensors::serialize(tensors.iter(), Some(metadata)).map_err(anyhow::Error::from)?;
    let digest = hex(&Sha256::digest(&bytes));
    if let Some(place) = place_of(NO_DIGEST, &mut bytes) {
        place.copy_from_slice(digest.as_bytes());
    }
    keep_before(folder)?;
    Ok(write_atomic(&folder.checkpoint(), &bytes)?)
}

/// Where `digest` stands in the header of the safetensors file `bytes`.
fn place_of<'a>(digest: &str, bytes: &'a mut [u8]) -> Option<&'a mut [u8]> {
    let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let end = usize::try_from(length).ok()?.checked_add(8)?;
    let header = bytes.get(8..end)?;
    let start = 8 + header.windows(digest.len()).position(|part| part == digest.as_bytes())?;
    bytes.get_mut(start..start + digest.len())
}

/// Gives the checkpoint a second name, that of the one before. At each moment one of the names has a whole file.
fn keep_before(folder: &RunFolder) -> Result<(), Error> {
    let (now, before) = (folder.checkpoint(), folder.checkpoint_before());
    if !now.exists() {
        return Ok(());
    }
    remove_if_present(&before)?;
    if std::fs::hard_link(&now, &before).is_err() {
        // A file system without hard links; the next checkpoint takes the name again.
        #[expect(clippy::disallowed_methods, reason = "a whole file gets another name, and replaces none")]
        std::fs::rename(&now, &before).map_err(|e| FileError::new("rename", &now, e))?;
    }
    Ok(())
}

/// Whether a run that has its record was killed before it had cleared away.
pub(crate) fn is_left(folder: &RunFolder) -> bool {
    [folder.checkpoint(), folder.checkpoint_before(), folder.lock()].iter().any(|path| path.exists())
}

/// Removes the checkpoints of a run that has its record.
pub(crate) fn remove(folder: &RunFolder) -> Result<(), Error> {
    remove_if_present(&folder.checkpoint())?;
    Ok(remove_if_present(&folder.checkpoint_before())?)
}

/// Removes what a process that was killed had half-written of this run, whose lock this process holds.
pub(crate) fn remove_half_written(folder: &RunFolder) -> Result<(), Error> {
    for path in [folder.checkpoint(), folder.log(), folder.weights(), folder.record()] {
        for path in files::half_written(&path)? {
            remove_if_present(&path)?;
        }
    }
    Ok(())
}

/// What [`load`] restored, and what it could not read, in words.
pub(crate) struct Loaded {
    pub(crate) saved: Option<(Progress, Vec<LogLine>)>,
    pub(crate) faults: Vec<String>,
}

/// Restores what [`save`] wrote: the checkpoint, or the one before where it is damaged; nothing where there is none that
/// is whole.
///
/// # Errors
///
/// Where a whole checkpoint is of a newer version or another run, or a file cannot be read.
pub(crate) fn load(
    folder: &RunFolder,
    id: &RunId,
    params: &Params,
    optimizer: &mut Optimizer,
) -> Result<Loaded, Error> {
    let mut faults = Vec::new();
    for (name, path) in [("checkpoint", folder.checkpoint()), ("checkpoint before it", folder.checkpoint_before())] {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(FileError::new("read", &path, source).into()),
        };
        let whole = parse(bytes).and_then(|(header, bytes)| Ok((load_log(folder, &header)?, header, bytes)));
        let (log, header, bytes) = match whole {
            Ok(whole) => whole,
            Err(Unreadable::Damaged(fault)) => {
                faults.push(format!("the {name} could not be used: {fault}"));
                continue;
            }
            Err(Unreadable::Newer(message)) => return Err(Error::content(&path, message)),
        };
        let bad = |message: String| Error::content(&path, message);
        if header.id != *id {
            return Err(bad(format!("expected a checkpoint of run {id}, found one of run {}", header.id)));
        }
        let tensors =
            candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|e| bad(format!("damaged: {e}")))?;
        let part = |prefix: &str| -> HashMap<String, Tensor> {
            let named = tensors
                .iter()
                .filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone())));
            named.collect()
        };
        optimizer.load_state(&part("optimizer/")).map_err(|e| bad(e.to_string()))?;
        params.load(&part("params/")).map_err(|e| bad(e.to_string()))?;
        if let Some(fault) = faults.last_mut() {
            *fault += &format!("; went on from step {} of the {name}", header.progress.step);
        }
        return Ok(Loaded { saved: Some((header.progress, log)), faults });
    }
    if let Some(fault) = faults.last_mut() {
        *fault += "; trained from the start";
    }
    Ok(Loaded { saved: None, faults })
}

/// Why there is nothing to go on from in a file.
#[derive(Debug)]
enum Unreadable {
    Damaged(String),
    Newer(String),
}

/// The steps that a run had taken when the checkpoint `bytes` was written.
///
/// # Errors
///
/// What is wrong with it: it is damaged, or of a newer version.
pub fn checkpoint_step(bytes: Vec<u8>) -> Result<u64, String> {
    match parse(bytes) {
        Ok((header, _)) => Ok(header.progress.step),
        Err(Unreadable::Damaged(message) | Unreadable::Newer(message)) => Err(message),
    }
}

/// The header of a checkpoint whose digest is right, and the bytes; of arbitrary ones.
fn parse(mut bytes: Vec<u8>) -> Result<(Header, Vec<u8>), Unreadable> {
    let damaged = |message: String| Unreadable::Damaged(message);
    let (_, metadata) = SafeTensors::read_metadata(&bytes)
        .map_err(|e| damaged(format!("expected a whole safetensors file, found: {e}")))?;
    let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY)).cloned();
    let text = text.ok_or_else(|| damaged(format!("expected metadata `{KEY}`, found none")))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| damaged(format!("damaged metadata: {e}")))?;
    let version = value["version"].as_u64().unwrap_or_default();
    if let Some(digest) = value["digest"].as_str() {
        if digest.len() == NO_DIGEST.len()
            && let Some(place) = place_of(digest, &mut bytes)
        {
            place.copy_from_slice(NO_DIGEST.as_bytes());
        }
        let found = hex(&Sha256::digest(&bytes));
        if found != digest {
            return Err(damaged(format!("expected the digest {digest:.16}…, found {found:.16}…")));
        }
    } else if version > u64::from(FIRST) {
        return Err(damaged("expected a digest, found none".into()));
    }
    if version > u64::from(VERSION) {
        return Err(Unreadable::Newer(format!(
            "expected a checkpoint of version {FIRST} to {VERSION}, found version {version}: a newer version of the code wrote it"
        )));
    }
    if version < u64::from(FIRST) {
        return Err(damaged(format!("expected version {FIRST} to {VERSION}, found {version}, which is too old")));
    }
    let header = serde_json::from_str(&text).map_err(|e| damaged(format!("damaged metadata: {e}")))?;
    Ok((header, bytes))
}

fn log_text(log: &[LogLine]) -> Result<String, Error> {
    let mut text = String::new();
    for line in log {
        text.push_str(&serde_json::to_string(line).map_err(anyhow::Error::from)?);
        text.push('\n');
    }
    Ok(text)
}

/// The log as it was when the checkpoint was written, of one that may be ahead of it.
fn load_log(folder: &RunFolder, Header { progress, log: digest, .. }: &Header) -> Result<Vec<LogLine>, Unreadable> {
    let damaged = |message: String| Unreadable::Damaged(message);
    let text = std::fs::read_to_string(folder.log()).map_err(|e| damaged(format!("log.jsonl: {e}")))?;
    let lines = (1..).zip(text.lines().take(progress.log_lines)).map(|(line, text)| {
        serde_json::from_str(text).map_err(|e| damaged(format!("log.jsonl: line {line}: expected a log line: {e}")))
    });
    let mut log = lines.collect::<Result<Vec<LogLine>, Unreadable>>()?;
    if log.len() < progress.log_lines {
        return Err(damaged(format!("log.jsonl: expected at least {} lines, found {}", progress.log_lines, log.len())));
    }
    for line in &mut log {
        if let LogLine::Losses { first, losses } = line {
            losses.truncate(progress.step.saturating_sub(*first) as usize);
        }
    }
    let found = log_text(&log).map_err(|e| damaged(e.to_string()))?;
    if digest.as_ref().is_some_and(|digest| *digest != hex(&Sha256::digest(&found))) {
        return Err(damaged("log.jsonl: its lines are not those that the checkpoint was written with".into()));
    }
    Ok(log)
}

/// What else it takes to compute with weights what training did.
#[derive(Serialize)]
struct Notes<'a> {
    pixels: Pixels<'a>,
    /// See [`Params::reparametrized`].
    reparametrized: BTreeMap<String, &'static str>,
}

/// Of pixels from 0 to 1, for each channel what is subtracted, and what is divided by then.
#[derive(Serialize)]
pub(crate) struct Pixels<'a> {
    pub(crate) mean: &'a [f32],
    pub(crate) std: &'a [f32],
}

/// Writes parameters and buffers under their own names, and what else it takes to use them as one key of metadata: more
/// keys would be in another order each time.
pub(crate) fn write_weights(path: &Path, params: &Params, pixels: Pixels<'_>) -> Result<(), Error> {
    let tensors: BTreeMap<String, Tensor> =
        params.all().into_iter().map(|p| (p.name, p.var.as_tensor().clone())).collect();
    let notes = Notes { pixels, reparametrized: params.reparametrized() };
    let notes = serde_json::to_string(&notes).map_err(anyhow::Error::from)?;
    let metadata = HashMap::from([(KEY.to_owned(), notes)]);
    let bytes = safetensors::serialize(tensors.iter(), Some(metadata)).map_err(anyhow::Error::from)?;
    Ok(write_atomic(path, &bytes)?)
}

/// Reads what [`write_weights`] wrote.
pub(crate) fn read_weights(path: &Path, params: &Params) -> Result<(), Error> {
    let bad = |message: String| Error::content(path, message);
    let bytes = std::fs::read(path).map_err(|source| FileError::new("read", path, source))?;
    let tensors =
        candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|e| bad(format!("damaged: {e}")))?;
    params.load(&tensors).map_err(|e| bad(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: u32, change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
        let progress = Progress { step: 7, ..Progress::new("2026-01-01T00:00:00Z".into()) };
        let mut header = serde_json::json!({"version": version, "digest": NO_DIGEST, "id": "0123456789abcdef",
            "progress": progress, "log": hex(&Sha256::digest(""))});
        change(&mut header);
        let tensor = Tensor::new(&[1f32, -2.0], &Device::Cpu).unwrap();
        let metadata = HashMap::from([(KEY.to_owned(), header.to_string())]);
        let mut bytes = safetensors::serialize([("params/a", &tensor)], Some(metadata)).unwrap();
        let digest = hex(&Sha256::digest(&bytes));
        if let Some(place) = place_of(NO_DIGEST, &mut bytes) {
            place.copy_from_slice(digest.as_bytes());
        }
        bytes
    }

    #[test]
    fn an_older_checkpoint_is_read_and_a_newer_one_refused_by_its_version() {
        let (header, _) = parse(written(VERSION, |_| {})).unwrap();
        assert_eq!((header.progress.step, header.version), (7, VERSION));
        let (older, _) = parse(written(4, |header| {
            header.as_object_mut().unwrap().retain(|key, _| !["digest", "log"].contains(&key.as_str()));
            header["progress"].as_object_mut().unwrap().remove("faults");
        }))
        .unwrap();
        assert_eq!((older.progress.step, older.log, older.progress.faults), (7, None, Vec::new()));
        match parse(written(VERSION + 1, |header| header["progress"] = "of another form".into())) {
            Err(Unreadable::Newer(message)) => assert!(message.contains("found version 6"), "{message}"),
            other => panic!("{:?}", other.map(|(header, _)| header.version)),
        }
        let too_old = parse(written(3, |_| {})).map(|(header, _)| header.version);
        assert!(matches!(too_old, Err(Unreadable::Damaged(message)) if message.contains("too old")));
    }

    #[test]
    fn every_flipped_bit_and_every_missing_byte_is_seen() {
        let whole = written(VERSION, |_| {});
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(parse(flipped), Err(Unreadable::Damaged(_))), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(matches!(parse(whole[..length].to_vec()), Err(Unreadable::Damaged(_))), "{length} bytes");
        }
    }
}
