//! How far a preparation is; written by the threads that work, read by whoever asks.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counters of one preparation.
#[derive(Debug, Default)]
pub struct Progress {
    bytes_done: AtomicU64,
    bytes_total: AtomicU64,
    layers_done: AtomicU32,
    layers_total: AtomicU32,
    waiting: Mutex<Option<String>>,
}

impl Progress {
    /// The manifest is known: so many bytes are to be fetched for so many layers.
    pub fn announce(&self, bytes: u64, layers: u32) {
        self.bytes_total.store(bytes, Ordering::Relaxed);
        self.layers_total.store(layers, Ordering::Release);
    }

    /// Bytes have arrived.
    pub fn fetched(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that had arrived are thrown away and fetched again.
    pub fn lost(&self, bytes: u64) {
        self.bytes_done.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A layer is converted, or was there already.
    pub fn layer_done(&self) {
        self.layers_done.fetch_add(1, Ordering::Relaxed);
    }

    /// What it waits for, e.g. a registry that asked for patience; `None`: it goes on.
    pub fn waits_for(&self, what: Option<String>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// Bytes fetched.
    pub fn bytes_done(&self) -> u64 {
        self.bytes_done.load(Ordering::Relaxed)
    }

    /// Bytes of all layers; `None` until the manifest is known.
    pub fn bytes_total(&self) -> Option<u64> {
        let known = self.layers_total.load(Ordering::Acquire) > 0;
        known.then(|| self.bytes_total.load(Ordering::Relaxed))
    }

    /// Layers converted.
    pub fn layers_done(&self) -> u32 {
        self.layers_done.load(Ordering::Relaxed)
    }

    /// Layers of the image; `None` until the manifest is known.
    pub fn layers_total(&self) -> Option<u32> {
        Some(self.layers_total.load(Ordering::Acquire)).filter(|layers| *layers > 0)
    }

    /// What it waits for.
    pub fn waiting_for(&self) -> Option<String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
