//! A slice that many tasks write at once, each its own part.
#![allow(unsafe_code, reason = "parts of a map that are not contiguous cannot be split with safe slices")]

use std::marker::PhantomData;

/// A mutable slice as a pointer. Making one is safe; using what [`SharedMut::at_mut`] returns is not.
pub(crate) struct SharedMut<'a> {
    start: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for an exclusively borrowed slice of plain values; those who write through it from
// several threads promise that their parts are disjoint.
unsafe impl Send for SharedMut<'_> {}
// SAFETY: as above; its methods only compute addresses.
unsafe impl Sync for SharedMut<'_> {}

impl<'a> SharedMut<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The address of value `index`, which is bounded by the caller (in debug builds checked here, too).
    #[inline(always)]
    pub(crate) fn at_mut(&self, index: usize) -> *mut f32 {
        debug_assert!(index <= self.len, "outside the slice");
        self.start.wrapping_add(index)
    }

    /// The same, for reading.
    #[inline(always)]
    pub(crate) fn at(&self, index: usize) -> *const f32 {
        self.at_mut(index)
    }
}
