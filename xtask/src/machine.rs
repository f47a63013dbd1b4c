//! What this process may use of the machine, which is not what the machine has.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Cores, by affinity and by the quota of the control group.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Bytes of memory that are free, by the system and by the limit of each control group above this process; `None` where
/// neither can be told.
pub(crate) fn free_memory() -> Option<u64> {
    let of_system = meminfo("MemAvailable");
    of_system.into_iter().chain(group_limits().filter_map(|(limit, used)| limit.checked_sub(used))).min()
}

/// Bytes of memory that this process may use at most; `None` where it cannot be told.
pub(crate) fn memory() -> Option<u64> {
    meminfo("MemTotal").into_iter().chain(group_limits().map(|(limit, _)| limit)).min()
}

/// A line of `/proc/meminfo`, in bytes.
fn meminfo(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The memory limits of the control groups of this process, with what the group uses without its cache.
fn group_limits() -> impl Iterator<Item = (u64, u64)> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/').to_owned());
        let (root, files) = match controllers {
            "" => ("/sys/fs/cgroup", ["memory.max", "memory.current"]),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", ["memory.limit_in_bytes", "memory.usage_in_bytes"])
            }
            _ => return None,
        };
        Some((PathBuf::from(root), path, files))
    };
    let found: Vec<_> = groups
        .lines()
        .filter_map(of_line)
        .flat_map(|(root, path, files)| {
            let ancestors: Vec<PathBuf> = Path::new(&path).ancestors().map(|part| root.join(part)).collect();
            ancestors.into_iter().filter_map(move |folder| {
                // `max` is no number: there is no limit.
                let number = |file: &str| std::fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
                let (limit, used) = (number(files[0])?, number(files[1]).unwrap_or_default());
                Some((limit, used.saturating_sub(cache(&folder))))
            })
        })
        .collect();
    found.into_iter()
}

/// What a group holds of files only, which gives way.
fn cache(group: &Path) -> u64 {
    let text = std::fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let value = |line: &str| line.strip_prefix("inactive_file ")?.parse::<u64>().ok();
    text.lines().find_map(value).unwrap_or_default()
}

/// Cores of the machine, whoever may use them; `None` where it cannot be told.
pub(crate) fn all_cores() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    Some(text.lines().filter(|line| line.starts_with("processor")).count()).filter(|cores| *cores > 0)
}

/// Bytes of all files in `folder` and below; links are not followed.
pub(crate) fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let of_entry = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(file) if file.is_dir() => size(&entry.path()),
        Ok(file) => file.len(),
        Err(_) => 0,
    };
    entries.map(of_entry).sum()
}

/// A number of bytes as people say it.
pub(crate) fn in_words(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.into_iter().find(|(_, power)| bytes >> power > 0);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(unit, power)| format!("{:.1} {unit}", bytes as f64 / (1u64 << power) as f64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_used_is_no_more_than_there_is() {
        let (all, free) = (memory().unwrap(), free_memory().unwrap());
        assert!(free <= all && all <= meminfo("MemTotal").unwrap());
        assert!(cores() <= all_cores().unwrap());
        assert_eq!([in_words(17), in_words(1536), in_words(5 << 30)], ["17 B", "1.5 KiB", "5.0 GiB"]);
    }
}
