//! Whether the file system of the store has locks, and whether they hold between hosts.

use super::Finding;
use crate::workspace::Workspace;
use std::fs::{OpenOptions, TryLockError};
use std::path::Path;

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let runs = workspace.root.join("runs");
    let folder = if runs.is_dir() { &runs } else { &workspace.root };
    let local = match has_locks(folder) {
        Ok(true) => None,
        Ok(false) => Some("a lock of one process does not keep out another".to_owned()),
        Err(error) => Some(format!("files cannot be locked: {error}")),
    };
    let what = "locks";
    if let Some(found) = local {
        let hint = "have the folder on another file system, or mount it with locks (NFS without `nolock`, Lustre with `flock`)";
        return vec![Finding::error(what, found, hint)];
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let path = folder.canonicalize().unwrap_or_else(|_| folder.clone());
    let Some(mount) = Mount::of(&path, &mounts) else {
        return vec![Finding::well(what, "processes of this host keep each other out")];
    };
    let found = format!("{} is {}", mount.point, mount.kind);
    vec![match mount.holds_between_hosts() {
        None => Finding::well(what, format!("{found}, of this host")),
        Some(true) => Finding::well(what, format!("{found}, whose locks hold between hosts")),
        Some(false) => Finding::warning(
            what,
            format!("{found} ({}), whose locks do not hold between hosts", mount.options),
            "start each run on one host only (`bench --partition`), or mount it with locks that all hosts share",
        ),
    }]
}

/// Whether two handles of a file exclude each other.
fn has_locks(folder: &Path) -> std::io::Result<bool> {
    let file = tempfile::Builder::new().prefix(".writing-doctor-").tempfile_in(folder)?;
    file.as_file().try_lock().map_err(|error| match error {
        TryLockError::Error(error) => error,
        TryLockError::WouldBlock => std::io::ErrorKind::WouldBlock.into(),
    })?;
    let other = OpenOptions::new().write(true).open(file.path())?;
    Ok(matches!(other.try_lock(), Err(TryLockError::WouldBlock)))
}

/// A mounted file system.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// The one that `path` is on, by the text of `/proc/self/mountinfo`.
    fn of(path: &Path, mounts: &'a str) -> Option<Self> {
        let parse = |line: &'a str| {
            let (left, right) = line.split_once(" - ")?;
            let mut right = right.split(' ');
            let (kind, options) = (right.next()?, right.nth(1)?);
            Some(Self { point: left.split(' ').nth(4)?, kind, options })
        };
        let above = mounts.lines().filter_map(parse).filter(|mount| path.starts_with(mount.point));
        // Of two on one another, the later one is seen.
        above.enumerate().max_by_key(|(index, mount)| (mount.point.len(), *index)).map(|(_, mount)| mount)
    }

    /// `None` of a file system that other hosts do not see.
    fn holds_between_hosts(&self) -> Option<bool> {
        let has = |names: &[&str]| self.options.split(',').any(|option| names.contains(&option));
        match self.kind {
            "nfs" | "nfs4" => Some(!has(&["nolock", "local_lock=flock", "local_lock=all"])),
            "lustre" => Some(has(&["flock"])),
            "ceph" | "gpfs" | "beegfs" => Some(true),
            "cifs" | "smb3" | "9p" | "virtiofs" => Some(false),
            kind if kind.starts_with("fuse.") => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro
36 22 0:31 / /home rw,relatime shared:1 - nfs4 server:/home rw,vers=4.2,local_lock=none
37 22 0:32 / /scratch rw - lustre mgs:/scratch rw,localflock
38 22 0:33 / /home/me/old rw - nfs server:/old rw,vers=3,nolock,local_lock=all
39 22 0:34 / /bucket rw - fuse.s3fs s3fs rw
";

    #[test]
    fn locks_hold_between_hosts_as_the_mount_says() {
        let holds = |path: &str| Mount::of(Path::new(path), MOUNTS).unwrap().holds_between_hosts();
        assert_eq!(holds("/var/runs"), None);
        assert_eq!(holds("/homework"), None);
        assert_eq!(holds("/home/me/runs"), Some(true));
        assert_eq!(holds("/home/me/old/runs"), Some(false));
        assert_eq!(holds("/scratch"), Some(false));
        assert_eq!(holds("/bucket/a"), Some(false));
        assert_eq!(Mount::of(Path::new("/"), ""), None);
    }

    #[test]
    fn this_file_system_has_locks() {
        assert!(has_locks(&std::env::temp_dir()).unwrap());
    }
}
