//! What runs kernels in tests: the emulator in both orders of threads, or a device where a driver is installed.

use cuda::{Device, Kernels, Launch, NAMES, Type};
use libloading::{Library, Symbol};
use std::ffi::c_void;
use std::fmt::Write;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A machine for maps of one type.
pub(crate) enum Machine {
    Emulator { library: &'static Library, backward: bool },
    Device { device: Arc<Device>, kernels: Box<Kernels> },
}

/// Memory of a machine.
pub(crate) enum Memory {
    /// Aligned as the kernels' widest accesses.
    Host(Vec<u128>),
    Device(cuda::Block),
}

impl Memory {
    pub(crate) fn address(&self) -> u64 {
        match self {
            Self::Host(words) => words.as_ptr() as u64,
            Self::Device(block) => block.address(),
        }
    }
}

/// Two machines whose results must have equal bits; none, with a message, where there is neither driver nor compiler.
pub(crate) fn machines(maps: Type) -> Vec<Machine> {
    if Device::driver_is_installed() {
        let machine = || {
            let device = Device::open(0).unwrap();
            let kernels = Box::new(Kernels::load_cached(&device, maps, &std::env::temp_dir()).unwrap());
            Machine::Device { device, kernels }
        };
        return vec![machine(), machine()];
    }
    static LIBRARIES: [OnceLock<Option<Library>>; 2] = [OnceLock::new(), OnceLock::new()];
    let library = LIBRARIES[usize::from(maps == Type::Bf16)].get_or_init(|| compile(maps));
    let Some(library) = library else {
        eprintln!("skipped: a C++ compiler, `c++` or what CXX names, is needed to emulate kernels");
        return Vec::new();
    };
    [false, true].map(|backward| Machine::Emulator { library, backward }).into()
}

/// The kernels as a library of functions `emulate_<kernel>`.
fn compile(maps: Type) -> Option<Library> {
    let folder = tempfile::tempdir().unwrap();
    let mut source = String::from("#include \"emulator.h\"\n") + &cuda::source();
    for name in NAMES {
        writeln!(
            source,
            "extern \"C\" void emulate_{name}(void** args, const unsigned* grid, const unsigned* block, bool backward) {{\n  \
             emulator::launch([](void** a) {{ emulator::call({name}, a); }}, args, grid, block, backward);\n}}"
        )
        .unwrap();
    }
    std::fs::write(folder.path().join("emulator.h"), include_str!("emulator.h")).unwrap();
    std::fs::write(folder.path().join("kernels.cpp"), source).unwrap();
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut command = Command::new(compiler);
    command.current_dir(folder.path()).args(["-std=c++17", "-O1", "-fno-strict-aliasing", "-ffp-contract=off", "-w"]);
    if maps == Type::Bf16 {
        command.arg("-DBF16");
    }
    let output = command.args(["-shared", "-fPIC", "-o", "kernels.so", "kernels.cpp"]).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // SAFETY: the library has no initializers that do more than construct globals.
    Some(unsafe { Library::new(folder.path().join("kernels.so")) }.unwrap())
}

impl Machine {
    pub(crate) fn upload<T: Copy>(&self, values: &[T]) -> Memory {
        let bytes = size_of_val(values);
        match self {
            Self::Emulator { .. } => {
                let mut words = vec![0_u128; bytes.div_ceil(16) + 1];
                // SAFETY: there is room for as many bytes, and every pattern of them is a word.
                unsafe {
                    std::ptr::copy_nonoverlapping(values.as_ptr().cast::<u8>(), words.as_mut_ptr().cast(), bytes);
                };
                Memory::Host(words)
            }
            Self::Device { device, .. } => {
                let block = device.alloc(bytes).unwrap();
                device.upload(&block, 0, values).unwrap();
                Memory::Device(block)
            }
        }
    }

    pub(crate) fn download<T: Copy + Default>(&self, memory: &Memory, count: usize) -> Vec<T> {
        match (self, memory) {
            (Self::Device { device, .. }, Memory::Device(block)) => device.download(block, 0, count).unwrap(),
            (_, Memory::Host(words)) => {
                assert!(count * size_of::<T>() <= size_of_val(words.as_slice()));
                // SAFETY: there are as many bytes, and tests ask for numbers only.
                unsafe { std::slice::from_raw_parts(words.as_ptr().cast::<T>(), count) }.to_vec()
            }
            _ => unreachable!("memory of another machine"),
        }
    }

    pub(crate) fn run(&self, launches: &[Launch]) {
        for launch in launches {
            match self {
                Self::Device { kernels, .. } => {
                    // SAFETY: tests upload memory of the shapes that they name.
                    unsafe { kernels.run(launch) }.unwrap();
                }
                Self::Emulator { library, backward } => emulate(library, *backward, launch),
            }
        }
    }
}

/// The emulator has one grid at a time.
static EMULATOR: Mutex<()> = Mutex::new(());

fn emulate(library: &Library, backward: bool, launch: &Launch) {
    type Emulate = unsafe extern "C" fn(*mut *mut c_void, *const u32, *const u32, bool);
    let _alone = EMULATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let mut bits: Vec<u64> = launch.args.iter().map(|arg| arg.bits()).collect();
    let mut args: Vec<*mut c_void> = bits.iter_mut().map(|bits| std::ptr::from_mut(bits).cast()).collect();
    // SAFETY: the library was compiled with a function of this type for each kernel; it reads as many arguments as the kernel
    // has, each from eight bytes, and the memory that tests name.
    unsafe {
        let run: Symbol<'_, Emulate> = library.get(format!("emulate_{}", launch.kernel)).unwrap();
        run(args.as_mut_ptr(), launch.grid.as_ptr(), launch.block.as_ptr(), backward);
    }
}

/// Values of a map: what a type of map can hold, and its bits.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    pub values: Vec<f64>,
    f32s: Vec<f32>,
    bf16s: Vec<u16>,
}

impl Map {
    pub(crate) fn new(maps: Type, values: &[f32]) -> Self {
        let bf16s: Vec<u16> = values.iter().map(|value| round(*value)).collect();
        let values: Vec<f64> = match maps {
            Type::F32 => values.iter().map(|value| f64::from(*value)).collect(),
            Type::Bf16 => bf16s.iter().map(|bits| f64::from(widen(*bits))).collect(),
        };
        let f32s = values.iter().map(|value| *value as f32).collect();
        Self { values, f32s, bf16s }
    }

    pub(crate) fn upload(&self, machine: &Machine, maps: Type) -> Memory {
        match maps {
            Type::F32 => machine.upload(&self.f32s),
            Type::Bf16 => machine.upload(&self.bf16s),
        }
    }
}

/// A map of `count` values that no kernel left alone may keep.
pub(crate) fn poisoned(machine: &Machine, maps: Type, count: usize) -> Memory {
    Map::new(maps, &vec![f32::NAN; count]).upload(machine, maps)
}

pub(crate) fn read(machine: &Machine, maps: Type, memory: &Memory, count: usize) -> Vec<f64> {
    match maps {
        Type::F32 => floats(machine, memory, count),
        Type::Bf16 => machine.download::<u16>(memory, count).into_iter().map(|bits| f64::from(widen(bits))).collect(),
    }
}

pub(crate) fn floats(machine: &Machine, memory: &Memory, count: usize) -> Vec<f64> {
    machine.download::<f32>(memory, count).into_iter().map(f64::from).collect()
}

fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

fn round(value: f32) -> u16 {
    if value.is_nan() {
        return 0x7fff;
    }
    let bits = value.to_bits();
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// Values in [−1, 1) that differ from test to test by `seed`.
pub(crate) fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Runs a case on all machines for both types: results of two machines have equal bits, and are near `expected`.
pub(crate) fn check(
    name: &str,
    case: impl Fn(&Machine, Type) -> Vec<Vec<f64>>,
    expected: impl Fn(Type) -> Vec<Vec<f64>>,
) {
    for maps in [Type::F32, Type::Bf16] {
        let results: Vec<_> = machines(maps).iter().map(|machine| case(machine, maps)).collect();
        let Some(first) = results.first() else { return };
        for result in &results {
            let bits = |all: &[Vec<f64>]| all.iter().flatten().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert!(bits(result) == bits(first), "{name} {maps:?}: bits depend on the order of threads");
        }
        let tolerance = if maps == Type::F32 { 1e-5 } else { 1e-2 };
        let expected = expected(maps);
        assert_eq!(expected.len(), first.len(), "{name}");
        for (index, (found, expected)) in first.iter().zip(&expected).enumerate() {
            assert_eq!(found.len(), expected.len(), "{name} {maps:?}, result {index}");
            let largest = expected.iter().fold(1e-6_f64, |most, value| most.max(value.abs()));
            for (i, (a, b)) in found.iter().zip(expected).enumerate() {
                let near = (a - b).abs() <= tolerance * largest;
                assert!(
                    near,
                    "{name} {maps:?}, result {index}, value {i}: expected {b}, found {a} (largest {largest})"
                );
            }
        }
    }
}
