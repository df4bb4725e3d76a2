//! Columns of enums: mostly the same as before.
//!
//! Promise: a variant is told by its place in the enum, as postcard does, so that variants appended to an enum later need
//! no other form of chunk; an older end refuses what it does not know.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ColumnsFault;
use super::range_coder::{Coder, Likelihood};

/// Bits of a variant's place.
const VARIANT_BITS: u32 = 7;

/// A column of enums without fields, of at most 128 variants.
#[derive(Debug)]
pub(super) struct Enumeration<T> {
    is_same: Likelihood,
    last: T,
}

impl<T: Copy + PartialEq + Serialize + DeserializeOwned> Enumeration<T> {
    /// A column that is expected to begin with `first`.
    pub(super) const fn new(first: T) -> Self {
        Self { is_same: Likelihood::of(15, 16), last: first }
    }

    /// The one before.
    pub(super) const fn last(&self) -> T {
        self.last
    }

    /// Passes the next one.
    ///
    /// # Errors
    /// In decoding: a variant that this build does not know.
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, variant: T) -> Result<T, ColumnsFault> {
        if !coder.decide(&mut self.is_same, variant == self.last) {
            let mut place = [0; 1];
            postcard::to_slice(&variant, &mut place).map_err(|_| ColumnsFault::Variant)?;
            let place = coder.plain(VARIANT_BITS, u64::from(place[0]));
            self.last =
                postcard::from_bytes(&[u8::try_from(place).unwrap_or(u8::MAX)]).map_err(|_| ColumnsFault::Variant)?;
        }
        Ok(self.last)
    }
}
