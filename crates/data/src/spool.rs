//! Encoded images of a set, one after the other.
//!
//! Sets that exceed the memory limit are copied, still encoded, into an unnamed file, because Parquet has no cheap
//! access to single rows. It takes the size of the set once more and disappears with the process.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use files::{FileError, create_folder};

use crate::Result;

/// Bytes that are written once and read often, anywhere: in memory as far as `limit` goes, then in a file without a
/// name, which is gone with the process however it ends.
#[derive(Debug)]
pub struct Spool {
    memory: Vec<u8>,
    limit: u64,
    folder: PathBuf,
    overflow: Option<(File, u64)>,
}

/// A place in a [`Spool`].
#[derive(Debug, Clone, Copy)]
pub struct Span {
    start: u64,
    len: usize,
}

impl Span {
    pub(crate) fn len(self) -> usize {
        self.len
    }
}

impl Spool {
    /// Nothing yet. What does not fit into `limit` bytes goes to a file in `folder`.
    pub(crate) fn new(limit: u64, folder: PathBuf) -> Self {
        Self { memory: Vec::new(), limit, folder, overflow: None }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Span> {
        let fits = self.memory.len() as u64 + bytes.len() as u64 <= self.limit;
        if self.overflow.is_none() && fits {
            let start = self.memory.len() as u64;
            self.memory.extend_from_slice(bytes);
            return Ok(Span { start, len: bytes.len() });
        }
        if self.overflow.is_none() {
            create_folder(&self.folder)?;
            let file = tempfile::tempfile_in(&self.folder).map_err(|cause| self.failed("write to", cause))?;
            self.overflow = Some((file, 0));
        }
        let Some((file, length)) = &mut self.overflow else { return Ok(Span { start: 0, len: 0 }) };
        let start = self.memory.len() as u64 + *length;
        let written = file.write_all(bytes);
        *length += bytes.len() as u64;
        written.map_err(|cause| self.failed("write to", cause))?;
        Ok(Span { start, len: bytes.len() })
    }

    pub(crate) fn get(&self, span: Span) -> Result<Cow<'_, [u8]>> {
        let (start, in_memory) = (span.start, self.memory.len() as u64);
        match &self.overflow {
            Some((file, _)) if start >= in_memory => {
                let mut bytes = vec![0; span.len];
                read_at(file, &mut bytes, start - in_memory).map_err(|cause| self.failed("read from", cause))?;
                Ok(Cow::Owned(bytes))
            }
            _ => Ok(Cow::Borrowed(&self.memory[start as usize..][..span.len])),
        }
    }

    fn failed(&self, verb: &'static str, cause: io::Error) -> FileError {
        FileError::new(verb, &self.folder.join("(a file without a name)"), cause)
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        at += read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_pushed_comes_back(lengths in prop::collection::vec(0_usize..40, 0..30), limit in 0_u64..400) {
            let folder = tempfile::tempdir().unwrap();
            let mut spool = Spool::new(limit, folder.path().join("new"));
            let texts: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(index, len)| vec![index as u8; *len]).collect();
            let spans: Vec<Span> = texts.iter().map(|text| spool.push(text).unwrap()).collect();
            for (text, span) in texts.iter().zip(spans).rev() {
                let found = spool.get(span).unwrap();
                prop_assert_eq!(found.as_ref(), text.as_slice());
            }
            prop_assert!(spool.memory.len() as u64 <= limit);
        }
    }
}
