//! A device: one stream of work, memory, events and captured graphs.

use crate::error::{Error, Result, driver};
use crate::memory::{Block, Pool};
use cudarc::driver::sys::{CUdevice_attribute, CUevent_flags, CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaContext, CudaEvent, CudaGraph, CudaStream, result, sys};
use std::sync::Arc;

/// A device with one stream that all work goes through, in order.
pub struct Device {
    // Dropped first: freeing needs the context.
    pool: Arc<Pool>,
    stream: Arc<CudaStream>,
    context: Arc<CudaContext>,
}

/// The oldest driver: what the kernels' PTX and the graphs need.
const DRIVER: i32 = 13_000;

impl Device {
    /// Whether the driver's library is there; no call is made.
    pub fn driver_is_installed() -> bool {
        // SAFETY: loads a library and drops it.
        unsafe { sys::is_culib_present() }
    }

    /// Opens `cuda:<ordinal>`.
    ///
    /// # Errors
    ///
    /// Where there is no driver, it is too old, or there is no such device.
    pub fn open(ordinal: usize) -> Result<Arc<Self>> {
        if !Self::driver_is_installed() {
            let advice = "install NVIDIA's driver, or train with `--device cpu`";
            return Err(Error::Missing { library: "libcuda.so.1", advice });
        }
        driver("cuInit", result::init())?;
        let found = driver_version()?;
        if found < DRIVER {
            let advice = "install NVIDIA's driver 580 or newer";
            let found = format!("{}.{}", found / 1000, found % 1000 / 10);
            return Err(Error::Version { library: "driver", expected: "13.0", found, advice });
        }
        let count = driver("cuDeviceGetCount", CudaContext::device_count())? as usize;
        if ordinal >= count {
            return Err(Error::NoDevice { ordinal, count });
        }
        let context = driver("cuDevicePrimaryCtxRetain", CudaContext::new(ordinal))?;
        // SAFETY: there is one stream, so events between streams have nothing to order; they could not be captured.
        unsafe { context.disable_event_tracking() };
        let stream = driver("cuStreamCreate", context.new_stream())?;
        Ok(Arc::new(Self { pool: Arc::default(), stream, context }))
    }

    /// The device's name, as `nvidia-smi` writes it.
    ///
    /// # Errors
    ///
    /// Where the driver does not say.
    pub fn name(&self) -> Result<String> {
        driver("cuDeviceGetName", self.context.name())
    }

    /// Compute capability, 90 for 9.0.
    ///
    /// # Errors
    ///
    /// Where the driver does not say.
    pub fn arch(&self) -> Result<i32> {
        let (major, minor) = driver("cuDeviceGetAttribute", self.context.compute_capability())?;
        Ok(10 * major + minor)
    }

    /// An attribute of the device.
    ///
    /// # Errors
    ///
    /// Where the driver does not say.
    pub fn attribute(&self, attribute: CUdevice_attribute) -> Result<i32> {
        driver("cuDeviceGetAttribute", self.context.attribute(attribute))
    }

    /// The driver's version, 13000 for 13.0.
    ///
    /// # Errors
    ///
    /// Where the driver does not say.
    pub fn driver_version(&self) -> Result<i32> {
        driver_version()
    }

    /// Memory of at least `bytes`, aligned to 256, with arbitrary contents.
    ///
    /// # Errors
    ///
    /// Where the device has not as much left.
    pub fn alloc(&self, bytes: usize) -> Result<Block> {
        self.bind()?;
        self.pool.alloc(bytes)
    }

    /// Memory of at least `bytes` zeros.
    ///
    /// # Errors
    ///
    /// Where the device has not as much left.
    pub fn zeros(&self, bytes: usize) -> Result<Block> {
        let block = self.alloc(bytes)?;
        self.fill_bytes(&block, 0)?;
        Ok(block)
    }

    /// Sets every byte of `block`.
    ///
    /// # Errors
    ///
    /// Where the driver fails.
    pub fn fill_bytes(&self, block: &Block, byte: u8) -> Result<()> {
        self.bind()?;
        // SAFETY: the block has as many bytes.
        let call = unsafe { result::memset_d8_async(block.address(), byte, block.bytes(), self.stream.cu_stream()) };
        driver("cuMemsetD8Async", call)
    }

    /// Copies `values` to `block`, from byte `offset`; returns when `values` may change.
    ///
    /// # Errors
    ///
    /// Where `block` is too small or the driver fails.
    pub fn upload<T: Copy>(&self, block: &Block, offset: usize, values: &[T]) -> Result<()> {
        within("upload", block, offset, size_of_val(values))?;
        self.bind()?;
        let to = block.address() + offset as u64;
        // SAFETY: the block reaches that far, and the copy is over before `values` is given back.
        driver("cuMemcpyHtoDAsync", unsafe { result::memcpy_htod_async(to, values, self.stream.cu_stream()) })?;
        self.synchronize()
    }

    /// `count` values of `block` from byte `offset`, when all work before is done.
    ///
    /// # Errors
    ///
    /// Where `block` is too small or the driver fails.
    pub fn download<T: Copy + Default>(&self, block: &Block, offset: usize, count: usize) -> Result<Vec<T>> {
        let mut values = vec![T::default(); count];
        within("download", block, offset, size_of_val(values.as_slice()))?;
        self.bind()?;
        let from = block.address() + offset as u64;
        // SAFETY: the block reaches that far, and the copy is over before `values` is read.
        let call = unsafe { result::memcpy_dtoh_async(&mut values, from, self.stream.cu_stream()) };
        driver("cuMemcpyDtoHAsync", call)?;
        self.synchronize()?;
        Ok(values)
    }

    /// Copies the first `bytes` bytes of `from` to `to`.
    ///
    /// # Errors
    ///
    /// Where a block is too small or the driver fails.
    pub fn copy(&self, from: &Block, to: &Block, bytes: usize) -> Result<()> {
        within("copy", from, 0, bytes)?;
        within("copy", to, 0, bytes)?;
        self.bind()?;
        let (to, from, stream) = (to.address(), from.address(), self.stream.cu_stream());
        // SAFETY: both blocks reach that far.
        driver("cuMemcpyDtoDAsync", unsafe { result::memcpy_dtod_async(to, from, bytes, stream) })
    }

    /// Waits for all work.
    ///
    /// # Errors
    ///
    /// Where work failed.
    pub fn synchronize(&self) -> Result<()> {
        driver("cuStreamSynchronize", self.stream.synchronize())
    }

    /// The most bytes of [`Device::alloc`] that were in use at once.
    pub fn peak(&self) -> usize {
        self.pool.peak()
    }

    /// An event at the work that is enqueued so far.
    ///
    /// # Errors
    ///
    /// Where the driver fails.
    pub fn event(&self) -> Result<Event> {
        let event = self.context.new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        let event = driver("cuEventCreate", event)?;
        driver("cuEventRecord", event.record(&self.stream))?;
        Ok(Event(event))
    }

    /// The work that `enqueue` enqueues, as a graph to be launched again and again; it is not done now. Memory that it uses
    /// must live as long as the graph.
    ///
    /// # Errors
    ///
    /// Where `enqueue` fails or does what cannot be captured.
    pub fn capture(&self, enqueue: impl FnOnce() -> Result<()>) -> Result<Graph> {
        self.synchronize()?;
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        driver("cuStreamBeginCapture", self.stream.begin_capture(mode))?;
        let enqueued = enqueue();
        // Ends the capture also where enqueuing failed.
        let graph = driver("cuStreamEndCapture", self.stream.end_capture(CUgraphInstantiate_flags(0)));
        enqueued?;
        let Some(graph) = graph? else {
            return Err(Error::Argument { primitive: "capture", expected: "work", found: "none".into() });
        };
        driver("cuGraphUpload", graph.upload())?;
        Ok(Graph(graph))
    }

    pub(crate) fn stream(&self) -> sys::CUstream {
        self.stream.cu_stream()
    }

    pub(crate) fn bind(&self) -> Result<()> {
        driver("cuCtxSetCurrent", self.context.bind_to_thread())
    }
}

fn driver_version() -> Result<i32> {
    let mut version = 0;
    // SAFETY: writes one integer.
    driver("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&raw mut version) }.result())?;
    Ok(version)
}

fn within(primitive: &'static str, block: &Block, offset: usize, bytes: usize) -> Result<()> {
    if offset.checked_add(bytes).is_none_or(|end| end > block.bytes()) {
        let found = format!("{bytes} bytes from {offset} of a block of {}", block.bytes());
        return Err(Error::Argument { primitive, expected: "bytes within the block", found });
    }
    Ok(())
}

/// A point in a device's work.
pub struct Event(CudaEvent);

impl Event {
    /// Milliseconds from this event to `later`, when both are done.
    ///
    /// # Errors
    ///
    /// Where work failed.
    pub fn milliseconds(&self, later: &Self) -> Result<f32> {
        driver("cuEventElapsedTime", self.0.elapsed_ms(&later.0))
    }
}

/// Captured work.
pub struct Graph(CudaGraph);

impl Graph {
    /// Enqueues the work.
    ///
    /// # Errors
    ///
    /// Where the driver fails.
    pub fn launch(&self) -> Result<()> {
        driver("cuGraphLaunch", self.0.launch())
    }
}
