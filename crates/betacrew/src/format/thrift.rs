//! Compact protocol of Thrift, as far as the page headers of Parquet need it: integers of a struct
//! and of the structs in it.

use std::collections::BTreeMap;

/// Integers and truth values by the numbers of their fields: of the outer struct's field, or zero,
/// and of the field itself.
pub(super) type Integers = BTreeMap<(i64, i64), i64>;

/// Maximum depth of structs in one another; headers of pages have two.
const DEPTH_MAX: u32 = 8;

/// Reads a struct at the beginning of these bytes; returns it and its length, or `None` if it is
/// incomplete.
pub(super) fn read(bytes: &[u8]) -> Option<(Integers, usize)> {
    let mut reading = ThriftReader { rest: bytes, found: Integers::new() };
    reading.structure(0, 0)?;
    Some((reading.found, bytes.len() - reading.rest.len()))
}

struct ThriftReader<'a> {
    rest: &'a [u8],
    found: Integers,
}

impl ThriftReader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn integer(&mut self) -> Option<i64> {
        let zigzag = self.varint()?;
        Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// Reads the fields of a struct that is the field `outer` of another.
    fn structure(&mut self, outer: i64, depth: u32) -> Option<()> {
        let mut id = 0i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            id = match head >> 4 {
                0 => self.integer()?,
                more => id.checked_add(more.into())?,
            };
            let value = self.value(head & 0xf, id, depth)?;
            if let (Some(value), 0..=1) = (value, depth) {
                self.found.insert((outer, id), value);
            }
        }
    }

    /// Reads a value of this type; integers and truth values are returned.
    fn value(&mut self, kind: u8, id: i64, depth: u32) -> Option<Option<i64>> {
        // Types of Thrift's compact protocol: 1 and 2 are true and false, 3 a byte, 4 to 6
        // integers, 7 a double, 8 bytes, 9 and 10 lists and sets, 12 a structure.
        match kind {
            1 => return Some(Some(1)),
            2 => return Some(Some(0)),
            3 => self.skip(1)?,
            4..=6 => return self.integer().map(Some),
            7 => self.skip(8)?,
            8 => {
                let len = self.varint()?;
                self.skip(len)?;
            }
            9 | 10 => self.list(depth)?,
            12 if depth < DEPTH_MAX => self.structure(id, depth + 1)?,
            // No header of a page has a map.
            _ => return None,
        }
        Some(None)
    }

    fn list(&mut self, depth: u32) -> Option<()> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => count.into(),
        };
        for _ in 0..count {
            match head & 0xf {
                // In a list a truth value has a byte.
                1..=3 => self.skip(1)?,
                9 | 10 | 12 if depth >= DEPTH_MAX => return None,
                kind => {
                    self.value(kind, -1, depth + 1)?;
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_found_and_the_rest_is_passed_over() {
        let header = [
            0x15, 0x06, // 1: i32 3
            0x15, 0x80, 0x01, // 2: i32 64
            0x2c, // 4: struct
            0x15, 0x01, // 1: i32 -1
            0x18, 0x02, b'h', b'i', // 2: binary
            0x11, // 3: true
            0x1c, 0x15, 0x02, 0x00, // 4: struct, too deep to be told
            0x12, // 5: false
            0x19, 0x25, 0x02, 0x04, // 6: list of two i32
            0x17, 1, 2, 3, 4, 5, 6, 7, 8, // 7: double
            0x05, 0xc8, 0x01, 0x0a, // 100: i32 5
            0x00, 0x00, 0xff,
        ];
        let (found, len) = read(&header).unwrap();
        assert_eq!(len, header.len() - 1);
        let expected = [((0, 1), 3), ((0, 2), 64), ((4, 1), -1), ((4, 3), 1), ((4, 5), 0)];
        assert_eq!(found, expected.into_iter().chain([((4, 100), 5)]).collect());
        for cut in 0..header.len() - 1 {
            assert!(read(&header[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn no_bytes_do_harm() {
        let nested =
            |depth: u32| [vec![0x1c; depth as usize], vec![0; depth as usize + 1]].concat();
        assert!(read(&nested(DEPTH_MAX)).is_some());
        assert!(read(&nested(DEPTH_MAX + 1)).is_none());
        // Structs without an end, lists of lists, a length of 2^63.
        assert!(read(&[0x1c; 5000]).is_none());
        assert!(read(&[&[0x19][..], &[0x19; 5000]].concat()).is_none());
        assert!(read(&[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).is_none());
        assert!(
            read(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_none()
        );
        let mut rng = feed::base::rng::Rng::new(3);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..rng.below(60)).map(|_| rng.bits().to_le_bytes()[0]).collect();
            let _ = read(&bytes);
        }
    }
}
