//! A short text that is filled from its end to its beginning, because that is the order in which a
//! number gives its digits. So nothing in it is moved or measured before it is written.

/// The longest text of a packet: its names, and each of its values at its longest.
const MOST: usize = 256;

pub(super) struct Line {
    bytes: [u8; MOST],
    /// Where it begins so far.
    at: usize,
}

/// `00`, `01` and so on.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number: u8 = 0;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

impl Line {
    pub(super) fn new() -> Self {
        Self { bytes: [0; MOST], at: MOST }
    }

    pub(super) fn clear(&mut self) {
        self.at = MOST;
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Puts a part before what is there.
    #[inline(always)]
    pub(super) fn put(&mut self, part: &[u8]) {
        let end = self.at;
        self.at -= part.len();
        self.bytes[self.at..end].copy_from_slice(part);
    }

    #[inline(always)]
    pub(super) fn number(&mut self, number: u32) {
        let mut rest = number;
        while rest >= 100 {
            self.put(&PAIRS[(rest % 100) as usize]);
            rest /= 100;
        }
        match PAIRS[rest as usize] {
            [b'0', digit] => self.put(&[digit]),
            pair => self.put(&pair),
        }
    }

    #[inline(always)]
    pub(super) fn signed(&mut self, number: i32) {
        self.number(number.unsigned_abs());
        if number < 0 {
            self.put(b"-");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_the_library_makes_of_them() {
        let mut rng = feed::rng::Rng::new(9);
        let random = (0..20_000).map(|_| (rng.bits() >> 32 >> (rng.bits() % 32)) as u32);
        let edges = (0..10).flat_map(|power| [10_u32.pow(power) - 1, 10_u32.pow(power)]);
        for number in random.chain(edges).chain([u32::MAX]) {
            let (mut line, signed) = (Line::new(), number.cast_signed());
            line.put(b" ]");
            line.number(number);
            line.put(b", ");
            line.signed(signed);
            assert_eq!(line.text(), format!("{signed}, {number} ]").as_bytes());
        }
    }
}
