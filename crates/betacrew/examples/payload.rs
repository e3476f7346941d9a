//! Gives messages a meaning of your own: readings of sensors, stored in a tape file as a session of
//! any protocol is, and read back.
//!
//! `cargo run --example payload`

use betacrew::storage::FileStorage;
use feed::base::seq::FIRST_SEQ;
use feed::ledger::{Origin, Source};
use feed::tape::file::{FileHead, TapeFile};
use feed::wire::{Framing, Run, SessionId};
use std::error::Error;

/// Reading of a sensor, a message of six bytes: number of the sensor, then thousandths of a degree.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Reading {
    sensor: u16,
    millidegrees: i32,
}

impl Reading {
    fn encode(self) -> Vec<u8> {
        [&self.sensor.to_be_bytes()[..], &self.millidegrees.to_be_bytes()].concat()
    }

    fn decode(message: &[u8]) -> Option<Self> {
        let (sensor, millidegrees) = message.split_first_chunk()?;
        Some(Self {
            sensor: u16::from_be_bytes(*sensor),
            millidegrees: i32::from_be_bytes(millidegrees.try_into().ok()?),
        })
    }
}

/// Runs the example.
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let readings = [21_500, 21_750, -3_250].map(|t| Reading { sensor: 7, millidegrees: t });
    // A run is consecutive messages, each behind its length.
    let mut bytes = Vec::new();
    for message in readings.map(Reading::encode) {
        bytes.extend(u16::try_from(message.len())?.to_be_bytes());
        bytes.extend(message);
    }
    let run = Run::new(FIRST_SEQ, Framing::Length, &bytes).ok_or("not whole messages")?;

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sensors.tape");
    let head = FileHead { session: Some(SessionId::new(*b"SENSORS   ")), created: 0, salt: 1 };
    let mut tape = TapeFile::create(FileStorage::write(&path)?, head)?;
    tape.append(Origin { line: 0, source: Source::Stream { pass: 1 } }, 0, run)?;
    tape.finish(0)?;

    let mut read = Vec::new();
    let mut reading = tape.in_order(FIRST_SEQ);
    while let Some(piece) = reading.next()? {
        for (sequence, message) in piece.messages.iter() {
            let reading = Reading::decode(message).ok_or("not a reading")?;
            println!("#{sequence} {reading:?}");
            read.push(reading);
        }
    }
    assert_eq!(read, readings);
    Ok(())
}
