//! Writes a synthetic day of ITCH 5.0 messages to a file. Each message stands behind its length of
//! 16 bits, big-endian, as in the venue's own day files.
//!
//! `cargo run --release --example itch_day -- 1000000 7 day.itch`

use feed::payload::itch50::SyntheticMarket;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};

/// Usage line for wrong arguments.
const USAGE: &str = "usage: itch_day MESSAGES SEED FILE";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [count, seed, file] = &args[..] else { return Err(USAGE.into()) };
    let count = count.parse()?;
    let market = SyntheticMarket::new(seed.parse()?, count);
    let mut out = BufWriter::new(File::create(file)?);
    for index in 0..count {
        let message = market.message(index);
        out.write_all(&u16::try_from(message.len())?.to_be_bytes())?;
        out.write_all(&message)?;
    }
    out.flush()?;
    Ok(())
}
