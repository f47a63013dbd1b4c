//! Where a number comes from.

use crate::Result;
use record::Provenance;

/// Now, in RFC 3339 to the second, UTC.
pub(crate) fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// Worker threads of the kernels.
pub(crate) fn threads() -> usize {
    rayon::current_num_threads()
}

/// What a record says of this process.
///
/// # Errors
///
/// Where `OPS_KERNELS` names kernels that there are not.
pub(crate) fn provenance(dataset_digest: &str, started: String, resumed: u64, faults: &[String]) -> Result<Provenance> {
    Ok(Provenance {
        commit: record::commit::of_binary(),
        dataset_digest: dataset_digest.into(),
        cpu: cpu(),
        kernels: Some(ops::Kernels::current()?.name().into()),
        threads: threads() as u64,
        precision: "f32".into(),
        started,
        ended: now(),
        resumed,
        memory: peak_memory(),
        faults: (!faults.is_empty()).then(|| faults.to_vec()),
    })
}

/// The most memory that this process has held, in bytes.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))?;
    Some(peak.parse::<u64>().ok()? * 1024)
}

fn cpu() -> String {
    let named = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    named.unwrap_or_else(|| std::env::consts::ARCH.into())
}
