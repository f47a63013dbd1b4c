//! A kernel with its grid and arguments: what a device, and the tests' emulator, run.

/// The type of maps' values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// 4 bytes.
    F32,
    /// 2 bytes.
    Bf16,
}

impl Type {
    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// Values that one memory access of a thread moves where channels allow it.
    pub(crate) fn wide(self) -> usize {
        16 / self.bytes()
    }
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arg {
    /// An address, 0 for none.
    Address(u64),
    /// An `int`.
    Int(i32),
    /// A `long long`.
    Long(i64),
    /// A `float`.
    Float(f32),
}

impl Arg {
    /// Its bytes, at the lower end of eight.
    pub fn bits(self) -> u64 {
        match self {
            Self::Address(value) => value,
            Self::Int(value) => u64::from(value.cast_unsigned()),
            Self::Long(value) => value.cast_unsigned(),
            Self::Float(value) => u64::from(value.to_bits()),
        }
    }
}

/// One run of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Its arguments, in their order.
    pub args: Vec<Arg>,
}

impl Launch {
    /// `kernel` by blocks of `block` threads.
    pub(crate) fn new(kernel: &'static str, grid: [usize; 3], block: [usize; 3]) -> Self {
        Self { kernel, grid: grid.map(|n| n as u32), block: block.map(|n| n as u32), args: Vec::new() }
    }

    /// `kernel` with a thread for each of `n` items, or several items a thread where that would be too many.
    pub(crate) fn flat(kernel: &'static str, n: usize) -> Self {
        Self::new(kernel, [n.div_ceil(THREADS).clamp(1, BLOCKS), 1, 1], [THREADS, 1, 1])
    }

    pub(crate) fn address(mut self, address: u64) -> Self {
        self.args.push(Arg::Address(address));
        self
    }

    pub(crate) fn addresses(mut self, addresses: impl IntoIterator<Item = u64>) -> Self {
        self.args.extend(addresses.into_iter().map(Arg::Address));
        self
    }

    pub(crate) fn int(mut self, value: impl IntoArg) -> Self {
        self.args.push(Arg::Int(value.into_arg()));
        self
    }

    pub(crate) fn ints(mut self, values: impl IntoIterator<Item = usize>) -> Self {
        self.args.extend(values.into_iter().map(|value| Arg::Int(value as i32)));
        self
    }

    pub(crate) fn long(mut self, value: usize) -> Self {
        self.args.push(Arg::Long(value as i64));
        self
    }

    pub(crate) fn float(mut self, value: f32) -> Self {
        self.args.push(Arg::Float(value));
        self
    }
}

/// Threads of a block of most kernels.
pub(crate) const THREADS: usize = 256;
/// Blocks that fill any device several times; a constant, so that results depend on shapes alone.
pub(crate) const BLOCKS: usize = 4096;

/// What becomes an `int`.
pub(crate) trait IntoArg {
    /// The `int`.
    fn into_arg(self) -> i32;
}

impl IntoArg for usize {
    fn into_arg(self) -> i32 {
        self as i32
    }
}

impl IntoArg for i32 {
    fn into_arg(self) -> i32 {
        self
    }
}

impl IntoArg for bool {
    fn into_arg(self) -> i32 {
        i32::from(self)
    }
}
