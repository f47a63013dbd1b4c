//! cuDNN's backend API: descriptors that are set, finalized and asked.

use crate::device::Device;
use crate::error::{Error, Result};
use cudarc::cudnn::sys::{
    self, cudnnBackendAttributeName_t as Name, cudnnBackendAttributeType_t as Kind,
    cudnnBackendDescriptorType_t as Type,
};
use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;

/// The oldest cuDNN for CUDA 13 that has all that is called here.
const OLDEST: usize = 91_200;

/// cuDNN's version, 91900 for 9.19.0.
///
/// # Errors
///
/// Where cuDNN is not installed or too old.
pub fn version() -> Result<usize> {
    // SAFETY: loads a library and drops it.
    if !unsafe { sys::is_culib_present() } {
        let advice =
            "install cuDNN 9 for CUDA 13 (`pip install nvidia-cudnn-cu13`) and name its folder in LD_LIBRARY_PATH";
        return Err(Error::Missing { library: "libcudnn.so.9", advice });
    }
    // SAFETY: takes nothing; the library is there.
    let version = unsafe { sys::cudnnGetVersion() };
    if version < OLDEST {
        let found = format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100);
        let advice = "`pip install nvidia-cudnn-cu13` has a newer one";
        return Err(Error::Version { library: "cuDNN", expected: "9.12.0", found, advice });
    }
    Ok(version)
}

/// Turns a status into an error that says what was called.
pub(crate) fn check(call: impl FnOnce() -> String, status: sys::cudnnStatus_t) -> Result<()> {
    if status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS {
        return Ok(());
    }
    let mut text: [c_char; 512] = [0; 512];
    // SAFETY: writes at most as many characters, the last one 0.
    let message = unsafe {
        sys::cudnnGetLastErrorString(text.as_mut_ptr(), text.len());
        CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
    };
    Err(Error::Cudnn { call: call(), status: status as u32, message })
}

/// cuDNN on a device's stream. For one thread at a time.
pub struct Handle {
    handle: sys::cudnnHandle_t,
    _device: Arc<Device>,
}

// SAFETY: cuDNN allows a handle to move between threads; only sharing is not allowed.
unsafe impl Send for Handle {}

impl Handle {
    /// Loads cuDNN on `device`.
    ///
    /// # Errors
    ///
    /// Where cuDNN is not installed, too old or does not fit the driver.
    pub fn new(device: &Arc<Device>) -> Result<Self> {
        version()?;
        device.bind()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: writes the handle, which is destroyed once.
        check(|| "cudnnCreate".into(), unsafe { sys::cudnnCreate(&raw mut handle) })?;
        let this = Self { handle, _device: device.clone() };
        // SAFETY: the stream lives as long as the device.
        check(|| "cudnnSetStream".into(), unsafe { sys::cudnnSetStream(handle, device.stream().cast()) })?;
        Ok(this)
    }

    pub(crate) fn raw(&self) -> sys::cudnnHandle_t {
        self.handle
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: created once, not used after this. A failure cannot be reported here.
        let _ = unsafe { sys::cudnnDestroy(self.handle) };
    }
}

/// The properties of a device that cuDNN plans for, there or not.
pub struct Properties(pub(crate) Descriptor);

impl Properties {
    /// From JSON as [`Properties::json`] writes it.
    ///
    /// # Errors
    ///
    /// Where cuDNN is missing or does not take it.
    pub fn from_json(json: &str) -> Result<Self> {
        version()?;
        let mut text = json.as_bytes().to_vec();
        text.push(0);
        let mut descriptor = Descriptor::new(Type::CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)?;
        descriptor.set(Name::CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, Kind::CUDNN_TYPE_CHAR, &text)?;
        Ok(Self(descriptor.finalize()?))
    }

    /// The properties of the device of `handle`.
    ///
    /// # Errors
    ///
    /// Where cuDNN fails.
    pub fn of(handle: &Handle) -> Result<Self> {
        let mut descriptor = Descriptor::new(Type::CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)?;
        descriptor.set(Name::CUDNN_ATTR_DEVICEPROP_HANDLE, Kind::CUDNN_TYPE_HANDLE, &[handle.raw()])?;
        Ok(Self(descriptor.finalize()?))
    }

    /// As JSON.
    ///
    /// # Errors
    ///
    /// Where cuDNN fails.
    pub fn json(&self) -> Result<String> {
        let name = Name::CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION;
        let bytes: Vec<u8> = self.0.get(name, Kind::CUDNN_TYPE_CHAR, 1 << 16)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
    }
}

/// A descriptor, destroyed when dropped.
#[derive(Debug)]
pub(crate) struct Descriptor(sys::cudnnBackendDescriptor_t);

// SAFETY: a descriptor belongs to no thread.
unsafe impl Send for Descriptor {}

impl Descriptor {
    pub(crate) fn new(kind: Type) -> Result<Self> {
        let mut descriptor = std::ptr::null_mut();
        // SAFETY: writes the descriptor, which is destroyed once.
        let status = unsafe { sys::cudnnBackendCreateDescriptor(kind, &raw mut descriptor) };
        check(|| format!("creating {kind:?}"), status)?;
        Ok(Self(descriptor))
    }

    /// Sets an attribute; `T` is the C type of `kind`.
    pub(crate) fn set<T>(&mut self, name: Name, kind: Kind, values: &[T]) -> Result<()> {
        let (count, from) = (values.len() as i64, values.as_ptr().cast::<c_void>());
        // SAFETY: there are `count` values of the type that `kind` names.
        let status = unsafe { sys::cudnnBackendSetAttribute(self.0, name, kind, count, from) };
        check(|| format!("setting {name:?}"), status)
    }

    pub(crate) fn with<T>(mut self, name: Name, kind: Kind, values: &[T]) -> Result<Self> {
        self.set(name, kind, values)?;
        Ok(self)
    }

    pub(crate) fn with_long(self, name: Name, values: &[i64]) -> Result<Self> {
        self.with(name, Kind::CUDNN_TYPE_INT64, values)
    }

    pub(crate) fn with_descriptors(self, name: Name, values: &[&Self]) -> Result<Self> {
        let raw: Vec<_> = values.iter().map(|descriptor| descriptor.0).collect();
        self.with(name, Kind::CUDNN_TYPE_BACKEND_DESCRIPTOR, &raw)
    }

    pub(crate) fn finalize(self) -> Result<Self> {
        // SAFETY: the descriptor lives.
        check(|| "finalizing a descriptor".into(), unsafe { sys::cudnnBackendFinalize(self.0) })?;
        Ok(self)
    }

    /// At most `most` values of an attribute; `T` is the C type of `kind`, and any bytes are one.
    pub(crate) fn get<T: Copy + Default>(&self, name: Name, kind: Kind, most: usize) -> Result<Vec<T>> {
        let mut values = vec![T::default(); most];
        let mut count = 0;
        let to = values.as_mut_ptr().cast::<c_void>();
        // SAFETY: there is room for `most` values.
        let status = unsafe { sys::cudnnBackendGetAttribute(self.0, name, kind, most as i64, &raw mut count, to) };
        check(|| format!("getting {name:?}"), status)?;
        values.truncate(count.max(0) as usize);
        Ok(values)
    }

    /// At most `most` descriptors of an attribute.
    pub(crate) fn get_descriptors(&self, name: Name, of: Type, most: usize) -> Result<Vec<Self>> {
        let mut descriptors = (0..most).map(|_| Self::new(of)).collect::<Result<Vec<_>>>()?;
        let mut raw: Vec<_> = descriptors.iter().map(|descriptor| descriptor.0).collect();
        let (kind, mut count) = (Kind::CUDNN_TYPE_BACKEND_DESCRIPTOR, 0);
        let to = raw.as_mut_ptr().cast::<c_void>();
        // SAFETY: there are `most` descriptors of the type to be filled.
        let status = unsafe { sys::cudnnBackendGetAttribute(self.0, name, kind, most as i64, &raw mut count, to) };
        check(|| format!("getting {name:?}"), status)?;
        descriptors.truncate(count.max(0) as usize);
        Ok(descriptors)
    }

    /// How many values an attribute has.
    pub(crate) fn count(&self, name: Name, kind: Kind) -> Result<usize> {
        let mut count = 0;
        // SAFETY: asks for no values.
        let status =
            unsafe { sys::cudnnBackendGetAttribute(self.0, name, kind, 0, &raw mut count, std::ptr::null_mut()) };
        check(|| format!("counting {name:?}"), status)?;
        Ok(count.max(0) as usize)
    }

    pub(crate) fn raw(&self) -> sys::cudnnBackendDescriptor_t {
        self.0
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: created once, not used after this. A failure cannot be reported here.
        let _ = unsafe { sys::cudnnBackendDestroyDescriptor(self.0) };
    }
}
