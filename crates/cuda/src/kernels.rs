//! The kernels' source, compiled by NVRTC when a device is opened.

use crate::device::Device;
use crate::error::{Error, Result, driver};
use crate::launch::{Launch, Type};
use cudarc::driver::{result, sys};
use cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};
use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::path::Path;
use std::sync::Arc;

/// Source files, the shared part first.
const FILES: [&str; 8] = [
    include_str!("../kernels/prelude.cuh"),
    include_str!("../kernels/norm.cu"),
    include_str!("../kernels/elementwise.cu"),
    include_str!("../kernels/augment.cu"),
    include_str!("../kernels/pool.cu"),
    include_str!("../kernels/resize.cu"),
    include_str!("../kernels/loss.cu"),
    include_str!("../kernels/step.cu"),
];

/// The source of all kernels, one translation unit.
pub fn source() -> String {
    FILES.concat()
}

/// PTX of all kernels for maps of one type.
#[derive(Debug, Clone)]
pub struct Compute {
    ptx: String,
}

impl Compute {
    /// Compiles for `arch`, 90 for compute capability 9.0. Needs NVRTC, but no device.
    ///
    /// # Errors
    ///
    /// Where NVRTC is missing or the kernels do not compile.
    pub fn compile(arch: i32, maps: Type) -> Result<Self> {
        // SAFETY: loads a library and drops it.
        if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
            let advice = "install NVRTC 13 (`pip install nvidia-cuda-nvrtc`, or CUDA's toolkit) and name its folder in LD_LIBRARY_PATH";
            return Err(Error::Missing { library: "libnvrtc.so.13", advice });
        }
        let mut options = vec![format!("--gpu-architecture=compute_{arch}"), "--std=c++17".into()];
        if maps == Type::Bf16 {
            options.push("-DBF16".into());
        }
        let options = CompileOptions { options, ..Default::default() };
        let ptx = compile_ptx_with_opts(source(), options).map_err(|error| {
            let log = match error {
                CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
                other => other.to_string(),
            };
            Error::Compile { arch: format!("compute_{arch}"), log }
        })?;
        Ok(Self { ptx: Ptx::to_src(&ptx) })
    }

    /// As [`Compute::compile`], kept in `folder` for the next time.
    ///
    /// # Errors
    ///
    /// As [`Compute::compile`]; that a file could not be written is none.
    #[allow(clippy::disallowed_methods, reason = "a file that nobody misses, and it is renamed when it is whole")]
    pub fn cached(folder: &Path, arch: i32, maps: Type) -> Result<Self> {
        let key = source()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let path = folder.join(format!("kernels-{key:016x}-{arch}-{maps:?}.ptx"));
        if let Ok(ptx) = std::fs::read_to_string(&path) {
            return Ok(Self { ptx });
        }
        let compute = Self::compile(arch, maps)?;
        let thread = std::thread::current().id();
        let unfinished = folder.join(format!("kernels-{key:016x}-{}-{thread:?}", std::process::id()));
        if std::fs::write(&unfinished, &compute.ptx).is_ok() {
            let _ = std::fs::rename(&unfinished, &path);
        }
        Ok(compute)
    }

    /// The PTX.
    pub fn ptx(&self) -> &str {
        &self.ptx
    }
}

/// Kernels for maps of one type, loaded on a device.
pub struct Kernels {
    functions: BTreeMap<&'static str, sys::CUfunction>,
    module: sys::CUmodule,
    maps: Type,
    device: Arc<Device>,
}

/// Names of all kernels.
pub const NAMES: [&str; 35] = [
    "add",
    "add_bias",
    "augment",
    "avg_pool",
    "avg_pool_gradient",
    "column_sums",
    "copy_channels",
    "count_step",
    "cross_entropy",
    "differences",
    "focal",
    "from_f32",
    "giou",
    "global_pool",
    "global_pool_gradient",
    "max_pool",
    "max_pool_gradient",
    "moments",
    "norm_apply",
    "norm_finish",
    "norm_gradients",
    "norm_input",
    "norm_reduce",
    "norm_running",
    "relu",
    "resize",
    "resize_gradient",
    "standardize",
    "standardize_gradient",
    "step_adam",
    "step_sgd",
    "sum_all",
    "sum_parts",
    "target_weight",
    "to_f32",
];

impl Kernels {
    /// Compiles and loads the kernels for maps of type `maps`.
    ///
    /// # Errors
    ///
    /// Where NVRTC is missing or the device refuses them.
    pub fn load(device: &Arc<Device>, maps: Type) -> Result<Self> {
        Self::loaded(device, maps, Compute::compile(device.arch()?, maps)?)
    }

    /// As [`Kernels::load`], with what was compiled kept in `folder` for the next time.
    ///
    /// # Errors
    ///
    /// As [`Kernels::load`].
    pub fn load_cached(device: &Arc<Device>, maps: Type, folder: &Path) -> Result<Self> {
        Self::loaded(device, maps, Compute::cached(folder, device.arch()?, maps)?)
    }

    fn loaded(device: &Arc<Device>, maps: Type, compute: Compute) -> Result<Self> {
        device.bind()?;
        let Ok(ptx) = CString::new(compute.ptx) else {
            return Err(Error::Compile { arch: String::new(), log: "PTX with a zero byte".into() });
        };
        // SAFETY: a text that ends with a zero byte and lives until the call returns.
        let module = driver("cuModuleLoadData", unsafe { result::module::load_data(ptx.as_ptr().cast()) })?;
        let mut kernels = Self { functions: BTreeMap::new(), module, maps, device: device.clone() };
        for name in NAMES {
            let Ok(symbol) = CString::new(name) else { continue };
            // SAFETY: the module lives as long as `kernels`.
            let function = unsafe { result::module::get_function(module, symbol) };
            kernels.functions.insert(name, driver("cuModuleGetFunction", function)?);
        }
        Ok(kernels)
    }

    /// The type of maps.
    pub fn maps(&self) -> Type {
        self.maps
    }

    /// Enqueues `launch`.
    ///
    /// # Safety
    ///
    /// Its addresses must reach as far as the primitive that made it says, and live until the work is done.
    ///
    /// # Errors
    ///
    /// Where there is no such kernel or the driver fails.
    pub unsafe fn run(&self, launch: &Launch) -> Result<()> {
        let Some(function) = self.functions.get(launch.kernel) else {
            let found = launch.kernel.into();
            return Err(Error::Argument { primitive: "kernels", expected: "a kernel of this crate", found });
        };
        self.device.bind()?;
        let mut bits: Vec<u64> = launch.args.iter().map(|arg| arg.bits()).collect();
        let mut pointers: Vec<*mut c_void> = bits.iter_mut().map(|bits| std::ptr::from_mut(bits).cast()).collect();
        let ([gx, gy, gz], [bx, by, bz], stream) = (launch.grid, launch.block, self.device.stream());
        // SAFETY: each argument is in eight bytes of its own; the driver copies as many as the kernel's signature says.
        // What the addresses point to is the caller's promise.
        let call = unsafe { result::launch_kernel(*function, (gx, gy, gz), (bx, by, bz), 0, stream, &mut pointers) };
        driver("cuLaunchKernel", call)
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        // SAFETY: no function of the module is used after this. A failure cannot be reported here.
        let _ = unsafe { result::module::unload(self.module) };
    }
}
