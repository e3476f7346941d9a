//! Simulated disk: it can stop at any byte or operation, lose bytes that were not synced, and tear
//! a write.

use crate::base::rng::Rng;
use crate::storage::Storage;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

/// Error of a failing disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskFailed;

impl fmt::Display for DiskFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated disk has failed")
    }
}

impl core::error::Error for DiskFailed {}

/// Disk in memory.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Disk {
    bytes: Vec<u8>,
    synced: usize,
    /// Number of bytes that the disk still takes before it fails; `None` if unlimited.
    room: Option<u64>,
    /// Number of appends and syncs that the disk still carries out; `None` if unlimited.
    writes: Option<u32>,
    /// Number of reads that the disk still carries out; `None` if unlimited.
    reads: Cell<Option<u32>>,
}

impl Disk {
    /// Creates an empty disk that does not fail.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a disk with bytes that are all synced.
    #[must_use]
    pub fn with(bytes: Vec<u8>) -> Self {
        Self { synced: bytes.len(), bytes, ..Self::default() }
    }

    /// Makes the disk fail inside the append that exceeds `room` more bytes; `None` lifts the
    /// limit.
    pub fn limit(&mut self, room: Option<u64>) {
        self.room = room;
    }

    /// Returns the number of bytes that the disk still takes; `None` if unlimited.
    #[must_use]
    pub fn room(&self) -> Option<u64> {
        self.room
    }

    /// Makes the disk stop at an append or sync after `writes` more of them. If it is an append, up
    /// to `torn` bytes of it are written.
    pub fn stop_after(&mut self, writes: u32, torn: u64) {
        self.writes = Some(writes);
        self.room = Some(torn);
    }

    /// Makes reads fail after `reads` more of them; `None` lifts the limit.
    pub fn fail_reads_after(&self, reads: Option<u32>) {
        self.reads.set(reads);
    }

    /// Returns the bytes on the disk.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns true if all bytes would survive a loss of power.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.synced == self.bytes.len()
    }

    /// Returns the disk after a loss of power. Synced bytes stay. Of the others, a part at the
    /// beginning stays, perhaps with places never written (zeros) or written wrongly.
    #[must_use]
    pub fn power_loss(&self, rng: &mut Rng) -> Self {
        let mut bytes = self.bytes.clone();
        let unsynced = u32::try_from(bytes.len() - self.synced).unwrap_or(u32::MAX - 1);
        // The length often survives while the content does not.
        let left = if rng.below(2) == 0 { unsynced } else { rng.between(0, unsynced) };
        bytes.truncate(self.synced + left as usize);
        let torn = u32::try_from(bytes.len() - self.synced).unwrap_or(0);
        if torn > 0 && rng.below(4) > 0 {
            let from = self.synced + rng.below(torn) as usize;
            // A sector, or a few bytes, so that only a checksum can show the damage.
            let most = if rng.below(2) == 0 { 5 } else { 4096 };
            let to = (from + rng.between(1, most) as usize).min(bytes.len());
            let zeros = rng.below(2) == 0;
            for byte in &mut bytes[from..to] {
                *byte = if zeros { 0 } else { rng.bits().to_le_bytes()[0] };
            }
        }
        Self::with(bytes)
    }
}

fn countdown(left: Option<u32>) -> Result<Option<u32>, DiskFailed> {
    left.map(|left| left.checked_sub(1).ok_or(DiskFailed)).transpose()
}

impl Storage for Disk {
    type Error = DiskFailed;

    fn len(&self) -> Result<u64, DiskFailed> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<usize, DiskFailed> {
        self.reads.set(countdown(self.reads.get())?);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
        let count = out.len().min(self.bytes.len() - offset);
        out[..count].copy_from_slice(&self.bytes[offset..offset + count]);
        Ok(count)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), DiskFailed> {
        if let Some(more) = self.writes.and_then(|writes| writes.checked_sub(1)) {
            self.writes = Some(more);
            self.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        let room = self.room.unwrap_or(u64::MAX);
        let count = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..count]);
        self.room = self.room.map(|room| room - count as u64);
        if count < bytes.len() || self.writes.is_some() { Err(DiskFailed) } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), DiskFailed> {
        self.writes = countdown(self.writes)?;
        if self.room == Some(0) && self.writes.is_none() {
            return Err(DiskFailed);
        }
        self.synced = self.bytes.len();
        Ok(())
    }
}
