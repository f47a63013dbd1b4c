//! Everything that a run needs to go on, in one file.

use crate::error::Error;
use candle_core::{Device, Tensor};
use record::fs::write_atomic;
use record::{LogLine, RunFolder, RunId, Seconds};
use regularize::{Optimizer, Params};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Raise it when an older checkpoint cannot be read, or would not give the same run.
const VERSION: u32 = 4;

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
}

const KEY: &str = "wrs-bench";

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    id: RunId,
    progress: Progress,
}

/// Writes the log, then the checkpoint: a log that is ahead of it is cut when the run goes on.
pub(crate) fn save(
    folder: &RunFolder,
    id: &RunId,
    progress: &Progress,
    log: &[LogLine],
    params: &Params,
    optimizer: &Optimizer,
) -> Result<(), Error> {
    let mut text = String::new();
    for line in log {
        text.push_str(&serde_json::to_string(line).map_err(anyhow::Error::from)?);
        text.push('\n');
    }
    write_atomic(&folder.log(), text.as_bytes())?;
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    for parameter in params.all() {
        tensors.insert(format!("params/{}", parameter.name), parameter.var.as_tensor().clone());
    }
    tensors.extend(optimizer.state()?.into_iter().map(|(name, tensor)| (format!("optimizer/{name}"), tensor)));
    let header = Header { version: VERSION, id: id.clone(), progress: progress.clone() };
    let header = serde_json::to_string(&header).map_err(anyhow::Error::from)?;
    let metadata = HashMap::from([(KEY.to_owned(), header)]);
    let bytes = safetensors::serialize(tensors.iter(), Some(metadata)).map_err(anyhow::Error::from)?;
    Ok(write_atomic(&folder.checkpoint(), &bytes)?)
}

/// Restores what [`save`] wrote; `None` where there is no checkpoint.
pub(crate) fn load(
    folder: &RunFolder,
    id: &RunId,
    params: &Params,
    optimizer: &mut Optimizer,
) -> Result<Option<(Progress, Vec<LogLine>)>, Error> {
    let path = &folder.checkpoint();
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(record::fs::FileError::new("read", path, source).into()),
    };
    let bad = |message: String| Error::content(path, message);
    let (_, metadata) =
        SafeTensors::read_metadata(&bytes).map_err(|e| bad(format!("expected a whole safetensors file: {e}")))?;
    let header = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let header = header.ok_or_else(|| bad(format!("expected a checkpoint, found no metadata `{KEY}`")))?;
    let version = serde_json::from_str::<serde_json::Value>(header).map(|header| header["version"].clone());
    match version {
        Ok(version) if version == VERSION => {}
        Ok(version) => return Err(bad(format!("expected a checkpoint of version {VERSION}, found version {version}"))),
        Err(error) => return Err(bad(format!("damaged metadata: {error}"))),
    }
    let header: Header = serde_json::from_str(header).map_err(|e| bad(format!("damaged metadata: {e}")))?;
    if header.id != *id {
        return Err(bad(format!("expected a checkpoint of run {id}, found one of run {}", header.id)));
    }
    let tensors =
        candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|e| bad(format!("damaged: {e}")))?;
    let part = |prefix: &str| -> HashMap<String, Tensor> {
        let named =
            tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone())));
        named.collect()
    };
    let log = load_log(folder, &header.progress)?;
    optimizer.load_state(&part("optimizer/")).map_err(|e| bad(e.to_string()))?;
    params.load(&part("params/")).map_err(|e| bad(e.to_string()))?;
    Ok(Some((header.progress, log)))
}

/// The log as it was when the checkpoint was written, of one that may be ahead of it.
fn load_log(folder: &RunFolder, progress: &Progress) -> Result<Vec<LogLine>, Error> {
    let mut log = folder.read_log()?;
    if log.len() < progress.log_lines {
        let message = format!("expected at least {} lines, found {}", progress.log_lines, log.len());
        return Err(Error::content(&folder.log(), message));
    }
    log.truncate(progress.log_lines);
    for line in &mut log {
        if let LogLine::Losses { first, losses } = line {
            losses.truncate(progress.step.saturating_sub(*first) as usize);
        }
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
    let bytes = std::fs::read(path).map_err(|source| record::fs::FileError::new("read", path, source))?;
    let tensors =
        candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|e| bad(format!("damaged: {e}")))?;
    params.load(&tensors).map_err(|e| bad(e.to_string()))
}
