//! The decoder of calls: any bytes, cut anywhere, are the same calls; and calls encode to bytes
//! that mean the same.

use feed::wire::{Call, CallDecoder};

fn decode(decoder: CallDecoder, bytes: &[u8], sizes: &[u8]) -> Vec<Call> {
    let (mut decoder, mut rest, mut calls) = (decoder, bytes, Vec::new());
    for size in sizes.iter().map(|&size| usize::from(size % 12)).chain([usize::MAX]) {
        let (mut piece, after) = rest.split_at(size.min(rest.len()));
        calls.extend(std::iter::from_fn(|| decoder.next(&mut piece)));
        assert!(piece.is_empty(), "bytes were left");
        rest = after;
    }
    calls
}

pub(crate) fn run(input: (bool, Vec<u8>, &[u8])) {
    let (original, sizes, bytes) = input;
    let decoder = if original { CallDecoder::original() } else { CallDecoder::new() };
    let calls = decode(decoder.clone(), bytes, &[]);
    assert_eq!(decode(decoder.clone(), bytes, &sizes), calls, "cut at {sizes:?}");
    // A sequence 0 is written as the beginning of a longer call.
    if !calls.contains(&Call::Resend(0)) {
        let mut again = Vec::new();
        calls.iter().for_each(|call| call.encode(&mut again));
        assert_eq!(decode(decoder, &again, &sizes), calls);
    }
}
