//! Check of the page sizes in a Parquet file before pages are unpacked, because the decoder
//! reserves the memory that a page declares, and unpacks gzip, Brotli and LZ4 frames of any length.

use super::ReadError;
use super::bounded::{UNPACKED_MAX, VALUE_MAX};
use super::rows::BATCH;
use super::table::HEX;
use super::thrift;
use crate::storage::FileStorage;
use feed::storage::Storage;
use feed::wire::MESSAGE_MAX;
use parquet::basic::{Compression, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use std::io::{self, Read};

/// Maximum size in bytes of a page's header, with the statistics in it.
const HEADER_MAX: usize = 64 << 10;

/// Maximum number of bytes of a page besides its values: levels, dictionaries' keys and the
/// headers of encodings.
const PAGE_SLACK: u64 = 4 << 10;

/// Maximum memory in bytes that texts of one batch take where a few bytes stand for long ones: keys
/// of a dictionary, and texts that repeat the beginning of the one before.
const TEXTS_MAX: u64 = 64 << 20;

/// Number of bytes before each text of a page, which are its length.
const LENGTH_BYTES: usize = 4;

/// Encodings of a page's values, as its header has them.
const PLAIN_DICTIONARY: i64 = 2;
const DELTA_BYTE_ARRAY: i64 = 7;
const RLE_DICTIONARY: i64 = 8;

/// Types of pages.
const DATA: i64 = 0;
const DICTIONARY: i64 = 2;
const DATA_V2: i64 = 3;

/// Checks the pages of these columns, and returns how many rows can be read at one time.
pub(super) fn check(
    storage: &FileStorage,
    metadata: &ParquetMetaData,
    columns: &[usize],
) -> Result<usize, ReadError> {
    let groups = metadata.row_groups().iter();
    let chunks = groups.flat_map(|group| columns.iter().map(move |&at| group.column(at)));
    // Chunks that share their bytes would let a small file take for ever.
    let stored: u64 = chunks.map(|chunk| stored(chunk).1).fold(0, u64::saturating_add);
    if stored > storage.len()? {
        return Err(ReadError::Content("its parts are together larger than it is".to_owned()));
    }
    let mut longest = 1;
    for group in metadata.row_groups() {
        let mut held = 0u64;
        for &at in columns {
            let chunk = group.column(at);
            let pages = ParquetPages::of(storage, group, chunk)
                .map_err(|fault| in_column(&chunk.column_path().string(), fault))?;
            held = held.saturating_add(pages.held());
            longest = longest.max(pages.repeated);
        }
        if held > UNPACKED_MAX {
            return Err(ReadError::Content(format!(
                "its pages unpack to {held} bytes, more than the {UNPACKED_MAX} that are read at \
                 one time: write it in smaller pages"
            )));
        }
    }
    Ok(rows_at_once(longest))
}

/// Returns the number of rows to read at one time if one text may have this many bytes.
fn rows_at_once(longest: u64) -> usize {
    usize::try_from(TEXTS_MAX / longest.max(1)).unwrap_or(BATCH).clamp(1, BATCH)
}

fn in_column(name: &str, fault: ReadError) -> ReadError {
    match fault {
        ReadError::Content(reason) => ReadError::Content(format!("column {name}: {reason}")),
        other => other,
    }
}

/// Returns the offset and the length of the pages of a column chunk.
fn stored(chunk: &ColumnChunkMetaData) -> (u64, u64) {
    let first = chunk.dictionary_page_offset().unwrap_or(i64::MAX).min(chunk.data_page_offset());
    let from_i64 = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    (from_i64(first), from_i64(chunk.compressed_size()))
}

/// Memory for reading one column of a row group.
#[derive(Default)]
struct ParquetPages {
    /// Number of bytes of the dictionary, and of the largest other page.
    dictionary: u64,
    largest: u64,
    /// Maximum length in bytes of a value that a few bytes stand for.
    repeated: u64,
}

impl ParquetPages {
    fn held(&self) -> u64 {
        self.dictionary.saturating_add(self.largest)
    }

    fn of(
        storage: &FileStorage,
        group: &RowGroupMetaData,
        chunk: &ColumnChunkMetaData,
    ) -> Result<Self, ReadError> {
        let ((mut at, len), file_len) = (stored(chunk), storage.len()?);
        let end = at.checked_add(len).filter(|&end| end <= file_len);
        let end = end.ok_or_else(|| ReadError::Content("it is cut off".to_owned()))?;
        let (mut pages, mut values) = (Self::default(), 0u64);
        let value_max = match chunk.column_path().parts() {
            [name] if name == HEX => LENGTH_BYTES + 2 * MESSAGE_MAX,
            _ => VALUE_MAX,
        };
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        let text = [Type::BYTE_ARRAY, Type::FIXED_LEN_BYTE_ARRAY].contains(&chunk.column_type());
        // The decoder stops at the last row, too.
        while at < end && values < rows {
            let page = ParquetPage::at(storage, at, end)?;
            page.check(storage, chunk.compression(), value_max)?;
            let held = page.packed.saturating_add(page.unpacked);
            match page.kind {
                DICTIONARY => pages.dictionary = pages.dictionary.max(held),
                _ => {
                    values = values.saturating_add(page.values);
                    pages.largest = pages.largest.max(held);
                }
            }
            // In these encodings a few bytes stand for a whole value, which can be as long as the
            // page, and each row can repeat it.
            if text && (page.kind == DICTIONARY || page.encoding == DELTA_BYTE_ARRAY) {
                pages.repeated = pages.repeated.max(page.unpacked);
            }
            at = page.body.saturating_add(page.packed);
        }
        Ok(pages)
    }
}

/// Page, as its header describes it.
struct ParquetPage {
    kind: i64,
    encoding: i64,
    values: u64,
    unpacked: u64,
    packed: u64,
    /// Offset of the page's bytes behind its header.
    body: u64,
    /// Number of bytes at the page's beginning that are not compressed.
    plain: u64,
    compressed: bool,
}

impl ParquetPage {
    fn at(storage: &FileStorage, at: u64, end: u64) -> Result<Self, ReadError> {
        let most = usize::try_from(end - at).unwrap_or(HEADER_MAX).min(HEADER_MAX);
        let mut bytes = vec![0; most];
        storage.read_at(at, &mut bytes)?;
        let damaged = || ReadError::Content("the header of a page is damaged".to_owned());
        let (header, header_len) = thrift::read(&bytes).ok_or_else(damaged)?;
        let size = |key| header.get(&key).and_then(|&size| u64::try_from(size).ok());
        let kind = *header.get(&(0, 1)).ok_or_else(damaged)?;
        // Where the header has what is of this type of page.
        let (inner, encoding) = match kind {
            DATA => (5, 2),
            DICTIONARY => (7, 2),
            DATA_V2 => (8, 4),
            _ => return Err(ReadError::Content(format!("it has a page of type {kind}"))),
        };
        let plain = match kind {
            DATA_V2 => size((8, 5)).unwrap_or(0).saturating_add(size((8, 6)).unwrap_or(0)),
            _ => 0,
        };
        let page = Self {
            kind,
            encoding: header.get(&(inner, encoding)).copied().unwrap_or(0),
            values: size((inner, 1)).ok_or_else(damaged)?,
            unpacked: size((0, 2)).ok_or_else(damaged)?,
            packed: size((0, 3)).ok_or_else(damaged)?,
            body: at + header_len as u64,
            plain,
            compressed: kind != DATA_V2 || header.get(&(8, 7)) != Some(&0),
        };
        match page.body.checked_add(page.packed).is_some_and(|after| after <= end) {
            true => Ok(page),
            false => Err(ReadError::Content("a page is cut off".to_owned())),
        }
    }

    fn check(
        &self,
        storage: &FileStorage,
        codec: Compression,
        value_max: usize,
    ) -> Result<(), ReadError> {
        let Self { values, unpacked, .. } = *self;
        // A value of a dictionary has a byte at least, and room is made for all of them at once.
        let crowded = self.kind == DICTIONARY && values > unpacked;
        let keys = [PLAIN_DICTIONARY, RLE_DICTIONARY].contains(&self.encoding);
        let value_max = if keys && self.kind != DICTIONARY { 8 } else { value_max as u64 };
        let most = values.saturating_mul(value_max).saturating_add(PAGE_SLACK);
        if crowded || unpacked > most {
            return Err(ReadError::Content(format!(
                "a page says that {values} values take {unpacked} bytes: values of messages are \
                 shorter"
            )));
        }
        let endless = |codec| {
            matches!(codec, Compression::GZIP(_) | Compression::BROTLI(_) | Compression::LZ4)
        };
        // What is larger than may be held is refused once all columns are known.
        if !self.compressed || !endless(codec) || self.packed > UNPACKED_MAX {
            return Ok(());
        }
        let mut bytes = vec![0; usize::try_from(self.packed).unwrap_or(0)];
        storage.read_at(self.body, &mut bytes)?;
        let packed = usize::try_from(self.plain).ok().and_then(|plain| bytes.get(plain..));
        let unpacked = unpacked.saturating_sub(self.plain);
        match packed.is_none_or(|packed| unpacks_within(packed, unpacked, codec)) {
            true => Ok(()),
            false => {
                Err(ReadError::Content(format!("a page unpacks to more than {unpacked} bytes")))
            }
        }
    }
}

/// Returns whether bytes unpack to at most this many. Damaged bytes count up to the damage, because
/// the decoder also stops there.
fn unpacks_within(packed: &[u8], most: u64, codec: Compression) -> bool {
    fn count(unpacking: impl Read, most: u64) -> bool {
        let mut unpacking = unpacking.take(most.saturating_add(1));
        io::copy(&mut unpacking, &mut io::sink()).is_ok_and(|count| count > most)
    }
    let exceeds = match codec {
        Compression::GZIP(_) => count(flate2::read::MultiGzDecoder::new(packed), most),
        Compression::BROTLI(_) => count(brotli::Decompressor::new(packed, 4096), most),
        Compression::LZ4 => count(lz4_flex::frame::FrameDecoder::new(packed), most),
        _ => false,
    };
    !exceeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_unpacks_to_more_than_it_says_is_noticed() {
        let plain = vec![7; 100_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&plain).unwrap();
        let mut twice = gzip.finish().unwrap();
        twice.extend_from_slice(&twice.clone());
        let mut brotli = Vec::new();
        brotli::CompressorWriter::new(&mut brotli, 4096, 5, 22).write_all(&plain).unwrap();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&plain).unwrap();
        let lz4 = lz4.finish().unwrap();
        for (codec, packed, len) in [
            (Compression::GZIP(parquet::basic::GzipLevel::default()), twice, 200_000),
            (Compression::BROTLI(parquet::basic::BrotliLevel::default()), brotli, 100_000),
            (Compression::LZ4, lz4, 100_000),
        ] {
            assert!(packed.len() < 10_000);
            assert!(unpacks_within(&packed, len, codec), "{codec}");
            assert!(!unpacks_within(&packed, len - 1, codec), "{codec}");
            assert!(unpacks_within(&packed[..packed.len() / 2], len, codec), "{codec}");
            assert!(unpacks_within(b"no such thing", 5, codec), "{codec}");
        }
    }

    fn page(values: u64, unpacked: u64, kind: i64, encoding: i64) -> ParquetPage {
        let (packed, body, plain, compressed) = (0, 0, 0, true);
        ParquetPage { kind, encoding, values, unpacked, packed, body, plain, compressed }
    }

    #[test]
    fn pages_are_as_large_as_their_values_and_no_larger() {
        let storage = FileStorage::of(tempfile::tempfile().unwrap()).unwrap();
        let checked =
            |page: ParquetPage| page.check(&storage, Compression::SNAPPY, VALUE_MAX).is_ok();
        let most = |values: u64, each: u64| PAGE_SLACK + values * each;
        for (kind, encoding, each) in [
            (DATA, 0, VALUE_MAX as u64),
            (DATA_V2, DELTA_BYTE_ARRAY, VALUE_MAX as u64),
            (DATA, RLE_DICTIONARY, 8),
            (DATA, PLAIN_DICTIONARY, 8),
            (DICTIONARY, PLAIN_DICTIONARY, VALUE_MAX as u64),
        ] {
            assert!(checked(page(1000, most(1000, each), kind, encoding)), "{kind} {encoding}");
            assert!(!checked(page(1000, most(1000, each) + 1, kind, encoding)), "{kind}");
        }
        assert!(checked(page(1000, 1000, DICTIONARY, 0)));
        assert!(!checked(page(1001, 1000, DICTIONARY, 0)));
        assert!(checked(page(i32::MAX as u64, 10, DATA, RLE_DICTIONARY)));
    }

    #[test]
    fn a_page_that_unpacks_to_more_than_it_says_is_refused() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&[0; 100_000]).unwrap();
        let packed = gzip.finish().unwrap();
        // Levels stand before it, as in a page of the second version.
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[&[0; 10][..], &packed].concat()).unwrap();
        let storage = FileStorage::of(file).unwrap();
        let codec = Compression::GZIP(parquet::basic::GzipLevel::default());
        let checked = |unpacked: u64, compressed: bool| {
            let packed = 10 + packed.len() as u64;
            let page =
                ParquetPage { packed, plain: 10, compressed, ..page(1000, unpacked, DATA_V2, 0) };
            page.check(&storage, codec, VALUE_MAX)
        };
        assert!(checked(100_010, true).is_ok());
        assert!(checked(100_009, false).is_ok());
        let Err(ReadError::Content(reason)) = checked(100_009, true) else { panic!() };
        assert_eq!(reason, "a page unpacks to more than 99999 bytes");
    }

    #[test]
    fn parts_that_share_their_bytes_are_refused() {
        use crate::format::Format;
        use crate::format::testing::{odd, write_file};
        use parquet::file::metadata::ParquetMetaDataReader;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        write_file(&path, Format::Parquet, &odd());
        let file = std::fs::File::open(&path).unwrap();
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
        let storage = FileStorage::of(file).unwrap();
        let all = [0, 1, 2, 3, 4, 5, 6];
        assert_eq!(check(&storage, &metadata, &all).unwrap(), BATCH);
        let group = metadata.row_group(0).clone();
        let twice = metadata.into_builder().add_row_group(group).build();
        let Err(ReadError::Content(reason)) = check(&storage, &twice, &all) else { panic!() };
        assert_eq!(reason, "its parts are together larger than it is");
    }

    #[test]
    fn the_header_of_a_page_and_texts_are_bounded() {
        let batch = BATCH as u64;
        for (longest, rows) in [
            (0, BATCH),
            (TEXTS_MAX / batch, BATCH),
            (TEXTS_MAX / (batch - 1) + 1, BATCH - 2),
            (TEXTS_MAX, 1),
            (u64::MAX, 1),
        ] {
            assert_eq!(rows_at_once(longest), rows, "{longest}");
        }
        // A data page of no bytes, and statistics that fill its header.
        let header = |len: usize| {
            let (start, end) = (&[0x15, 0, 0x15, 0, 0x15, 0, 0x2c, 0x15, 2, 0x18][..], [0, 0]);
            let filled = len - start.len() - end.len() - 3;
            let [a, b, c] = [filled & 0x7f | 0x80, filled >> 7 & 0x7f | 0x80, filled >> 14];
            let digits = [a, b, c].map(|digit| u8::try_from(digit).unwrap());
            let bytes = [start, &digits, &vec![7; filled], &end].concat();
            assert_eq!(bytes.len(), len);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            ParquetPage::at(&FileStorage::of(file).unwrap(), 0, len as u64)
        };
        let page = header(HEADER_MAX).unwrap();
        assert_eq!((page.kind, page.values, page.body), (DATA, 1, HEADER_MAX as u64));
        assert!(header(HEADER_MAX + 1).is_err());
    }
}
