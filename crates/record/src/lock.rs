//! The lock of a run, and how a file system is noticed whose locks do not hold between hosts.

use crate::store::{RunFolder, StoreError};
use files::{FileError, create_folder};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Holds a run against other processes until it is dropped, or until the process ends, however that ends.
///
/// The lock is the system's. What is written in the file tells who holds it, and changes every few seconds: so a process of
/// another host, where the lock does not hold, sees that somebody is there. Clocks are not compared.
#[derive(Debug)]
pub struct RunLock {
    path: PathBuf,
    file: File,
    /// Gone when the lock is dropped, which ends the thread.
    beats: Option<Sender<()>>,
    beating: Option<JoinHandle<()>>,
}

/// Between two changes of the file.
const BEAT: Duration = Duration::from_secs(5);

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    host: String,
    /// Of the system's start: locks hold between processes of one system.
    boot: String,
    pid: u32,
    /// How often the file was written.
    beats: u64,
}

impl Holder {
    fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let (host, boot) = (read("/proc/sys/kernel/hostname"), read("/proc/sys/kernel/random/boot_id"));
        Self { host, boot, pid: std::process::id(), beats: 0 }
    }

    /// The holder that `path` names; `None` where nobody does, or not in these words.
    fn read(path: &Path) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
    }

    fn write(&self, mut file: &File) -> std::io::Result<()> {
        // As long as before, so that it fits where the disk is full; a reader that sees half of it sees a change.
        let text = format!("{}\n", serde_json::to_string(self).map_err(std::io::Error::from)?);
        file.rewind()?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)?;
        file.sync_data()
    }
}

impl RunLock {
    /// Locks the run in `folder`, which is made where there is none; gives nothing where another process holds it.
    ///
    /// Where a process of another host held it last, and did not let go of it, waits some seconds whether it is still there.
    ///
    /// # Errors
    ///
    /// Where the folder or the file cannot be made, the file system has no locks, or they do not hold between hosts.
    pub fn try_take(folder: &RunFolder) -> Result<Option<Self>, StoreError> {
        Self::take(folder, &Holder::this(), BEAT)
    }

    fn take(folder: &RunFolder, own: &Holder, beat: Duration) -> Result<Option<Self>, StoreError> {
        create_folder(folder.path())?;
        let path = folder.lock();
        let fail = |source| FileError::new("lock", &path, source);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(fail(source).into()),
        }
        if let Some(other) = Holder::read(&path).filter(|holder| holder.boot != own.boot)
            && is_beating(&path, 4 * beat)
        {
            let Holder { host, pid, .. } = other;
            return Err(StoreError::Lock { path, host, pid });
        }
        // Who holds the lock is only for others to see: a disk that is full is found when there is a result.
        let _ = own.write(&file);
        let (beats, ended) = mpsc::channel::<()>();
        let mut holder = own.clone();
        let shared = file.try_clone().map_err(fail)?;
        let beating = std::thread::spawn(move || {
            while ended.recv_timeout(beat) == Err(RecvTimeoutError::Timeout) {
                holder.beats += 1;
                let _ = holder.write(&shared);
            }
        });
        Ok(Some(Self { path, file, beats: Some(beats), beating: Some(beating) }))
    }

    /// Removes the file, once the run has its record: who waits for the lock finds the record next, whichever file it locks.
    ///
    /// # Errors
    ///
    /// Where the file cannot be removed.
    pub fn remove(self) -> Result<(), FileError> {
        files::remove_if_present(&self.path)
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        self.beats = None;
        if let Some(beating) = self.beating.take() {
            let _ = beating.join();
        }
        // Nobody holds it.
        let _ = self.file.set_len(0);
    }
}

/// Whether the file at `path` changes within `time`.
fn is_beating(path: &Path, time: Duration) -> bool {
    let (began, before) = (Instant::now(), std::fs::read(path).ok());
    while began.elapsed() < time {
        std::thread::sleep(time.min(Duration::from_millis(100)));
        // Opened anew: a client of a network file system asks the server then.
        if std::fs::read(path).ok() != before {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    const BEAT: Duration = Duration::from_millis(20);

    fn holder(boot: &str) -> Holder {
        Holder { host: "one".into(), boot: boot.into(), pid: 12, beats: 0 }
    }

    fn folder() -> (tempfile::TempDir, RunFolder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(temporary.path().join("run"));
        (temporary, folder)
    }

    #[test]
    fn one_holds_it_at_a_time_and_nothing_is_left() {
        let (_temporary, folder) = folder();
        let lock = RunLock::try_take(&folder).unwrap().unwrap();
        assert!(RunLock::try_take(&folder).unwrap().is_none());
        assert_eq!(Holder::read(&folder.lock()).unwrap().pid, std::process::id());
        drop(lock);
        assert_eq!(Holder::read(&folder.lock()), None, "let go of");
        RunLock::try_take(&folder).unwrap().unwrap().remove().unwrap();
        assert!(!folder.lock().exists());
    }

    #[test]
    fn a_holder_of_another_host_is_noticed_while_it_is_there() {
        let (_temporary, folder) = folder();
        create_folder(folder.path()).unwrap();
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(folder.lock()).unwrap();
        holder("b").write(&file).unwrap();
        // Killed: it says nothing more.
        assert!(RunLock::take(&folder, &holder("a"), BEAT).unwrap().is_some());

        // Its lock does not hold here.
        let (stop, began) = (AtomicBool::new(false), AtomicBool::new(false));
        holder("b").write(&file).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut other = holder("b");
                while !stop.load(Ordering::Relaxed) {
                    other.beats += 1;
                    other.write(&file).unwrap();
                    began.store(true, Ordering::Relaxed);
                }
            });
            while !began.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            // A reader may meet the file while it is written, and then takes the lock: again, as a waiting process does.
            let error = (0..100).find_map(|_| RunLock::take(&folder, &holder("a"), 50 * BEAT).err());
            stop.store(true, Ordering::Relaxed);
            let message = error.unwrap().to_string();
            assert!(message.contains("process 12 on one") && message.contains("hint: "), "{message}");
        });
    }

    #[test]
    fn it_changes_while_it_is_held() {
        let (_temporary, folder) = folder();
        let lock = RunLock::take(&folder, &holder("a"), BEAT).unwrap().unwrap();
        assert!(is_beating(&folder.lock(), Duration::from_secs(60)));
        drop(lock);
    }
}
