//! Errors, and what to do about them.

use cudarc::driver::DriverError;

/// What can go wrong on the way to a device and on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A library is not installed, or the loader does not find it.
    #[error("{library} was not found: {advice}")]
    Missing {
        /// The library's file.
        library: &'static str,
        /// What to install or set.
        advice: &'static str,
    },
    /// A library is too old.
    #[error("{library}: expected version {expected} or newer, found {found}; {advice}")]
    Version {
        /// The library.
        library: &'static str,
        /// The oldest version that works.
        expected: &'static str,
        /// The version that is installed.
        found: String,
        /// What to install.
        advice: &'static str,
    },
    /// There is no such device.
    #[error("cuda:{ordinal}: there are {count} devices; `nvidia-smi` lists them")]
    NoDevice {
        /// The device that was asked for.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// The device's memory does not suffice.
    #[error(
        "cuda: no {bytes} bytes of memory on the device, {held} are in use by this process; take a smaller batch or bf16, or end other processes on the device"
    )]
    Memory {
        /// What was asked for.
        bytes: usize,
        /// What this process holds.
        held: usize,
    },
    /// A call to the driver failed.
    #[error("cuda: {call} failed: {source}")]
    Driver {
        /// What was called.
        call: &'static str,
        /// What the driver said.
        source: DriverError,
    },
    /// A call to cuDNN failed.
    #[error("cuDNN: {call} failed with status {status}: {message}")]
    Cudnn {
        /// What was called.
        call: String,
        /// cuDNN's status.
        status: u32,
        /// What cuDNN said.
        message: String,
    },
    /// cuDNN has no engine for a convolution.
    #[error("cuDNN {version}: no deterministic engine for the convolution `{conv}`")]
    NoEngine {
        /// The convolution, as a table of plans writes it.
        conv: String,
        /// cuDNN's version.
        version: usize,
    },
    /// Kernels did not compile.
    #[error("kernels for {arch} did not compile:\n{log}")]
    Compile {
        /// The architecture.
        arch: String,
        /// The compiler's log.
        log: String,
    },
    /// A table of plans is not one.
    #[error("{table}, line {line}: expected {expected}, found `{found}`")]
    Plans {
        /// The table's name.
        table: String,
        /// The line, from 1.
        line: usize,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// An argument is not what a primitive takes.
    #[error("{primitive}: expected {expected}, found {found}")]
    Argument {
        /// The primitive.
        primitive: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What it got.
        found: String,
    },
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// Names the call that a driver's error came from.
pub(crate) fn driver<T>(call: &'static str, result: std::result::Result<T, DriverError>) -> Result<T> {
    result.map_err(|source| Error::Driver { call, source })
}
