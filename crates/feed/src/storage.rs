//! Storage of a tape file: a file, memory, or a simulated disk that crashes.
//!
//! A program implements [`Storage`] for its medium; `betacrew::storage` has the one for files.

/// Append-only medium: bytes can be read at any offset and written only at the end.
pub trait Storage {
    /// Error of the medium.
    type Error: core::error::Error + 'static;

    /// Returns the number of bytes stored.
    ///
    /// # Errors
    /// Errors of the medium.
    fn len(&self) -> Result<u64, Self::Error>;

    /// Returns true if no bytes are stored.
    ///
    /// # Errors
    /// Errors of the medium.
    fn is_empty(&self) -> Result<bool, Self::Error> {
        self.len().map(|len| len == 0)
    }

    /// Reads bytes from `offset` into `out`. Returns the number of bytes read, which is smaller
    /// than `out` only at the end.
    ///
    /// # Errors
    /// Errors of the medium.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<usize, Self::Error>;

    /// Appends bytes at the end. After an error, any part of them may have been appended.
    ///
    /// # Errors
    /// Errors of the medium, such as a full disk.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Waits until all appended bytes would survive a loss of power.
    ///
    /// # Errors
    /// Errors of the medium; bytes appended before may then be lost.
    fn sync(&mut self) -> Result<(), Self::Error>;

    /// Returns the CRC-32C of bytes. A medium may implement it faster, with the same result.
    fn checksum(bytes: &[u8]) -> u32 {
        crc32c(bytes)
    }
}

/// Returns the CRC-32C (Castagnoli) of bytes, as iSCSI and ext4 use it, computed with tables.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(u32::MAX, |sum, word| {
        let sum = sum.to_le_bytes();
        let tables = TABLES.iter().rev();
        word.iter().enumerate().zip(tables).fold(0, |next, ((i, byte), table)| {
            let byte = byte ^ sum.get(i).copied().unwrap_or(0);
            next ^ table[usize::from(byte)]
        })
    });
    let step = |sum: u32, byte: &u8| {
        let [low, ..] = sum.to_le_bytes();
        (sum >> 8) ^ TABLES[0][usize::from(low ^ byte)]
    };
    !rest.iter().fold(sum, step)
}

/// Contribution of a byte to the checksum after n more bytes: `TABLES[n][byte]`.
static TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
            bit += 1;
        }
        tables[0][byte] = sum;
        byte += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut byte = 0;
        while byte < 256 {
            let sum = tables[n - 1][byte];
            tables[n][byte] = (sum >> 8) ^ tables[0][(sum & 255) as usize];
            byte += 1;
        }
        n += 1;
    }
    tables
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        // RFC 3720, B.4, and the check value of the catalogue of CRCs.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let rising: [u8; 32] = core::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(crc32c(&rising), 0x46dd_794e);
        assert_eq!(crc32c(b""), 0);
    }
}
