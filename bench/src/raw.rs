//! Raw speed, the upper bound of all programs: ready bytes are sent, drained, written and copied.

use crate::Result;
use feed::wire::RawFrame;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// Bytes moved at once. More is no faster on any machine that we have seen.
pub(crate) const CHUNK: usize = 256 * 1024;

/// Bytes of a stream call.
pub(crate) const STREAM: [u8; 2] = [1, 0];

/// Reads a stream to its end; returns how many bytes came.
pub(crate) fn drain(
    stream: &mut TcpStream,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(total),
            count => {
                total += count as u64;
                each(&buffer[..count])?;
            }
        }
    }
}

/// Calls for the stream and drains it.
pub(crate) fn stream(exchange: SocketAddr) -> Result<u64> {
    let mut stream = TcpStream::connect(exchange)?;
    stream.write_all(&STREAM)?;
    drain(&mut stream, |_| Ok(()))
}

/// Answers any call with the same bytes, for as long as the process lives.
pub(crate) fn sender(bytes: Arc<Vec<u8>>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that breaks off fails by itself.
            let _ = send(stream, &bytes);
        }
    });
    Ok(address)
}

fn send(mut stream: TcpStream, bytes: &[u8]) -> Result<()> {
    let mut call = [0; 2];
    stream.read_exact(&mut call)?;
    for chunk in bytes.chunks(CHUNK) {
        stream.write_all(chunk)?;
    }
    stream.shutdown(Shutdown::Write)?;
    while stream.read(&mut call)? > 0 {}
    Ok(())
}

/// Writes bytes that are ready to a new file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path)?;
    bytes.chunks(CHUNK).try_for_each(|chunk| file.write_all(chunk))?;
    Ok(())
}

/// Packets as the bytes that they are.
pub(crate) fn bytes_of(frames: &[RawFrame]) -> Arc<Vec<u8>> {
    Arc::new(frames.as_flattened().to_vec())
}

/// The floor's exchange, as a process: sends `wire` bytes to each that calls. It never ends.
pub(crate) fn floor_exchange(wire: usize) -> Result<()> {
    let address = sender(Arc::new(vec![b'A'; wire]))?;
    println!("listening on {address}");
    loop {
        std::thread::park();
    }
}

/// The floor's client, as a process: drains, and writes `len` bytes from a buffer that stays in
/// the cache.
pub(crate) fn floor_client(exchange: &str, len: usize, path: &Path) -> Result<()> {
    stream(exchange.parse()?)?;
    let text = vec![b'A'; CHUNK];
    let mut file = File::create(path)?;
    let mut left = len;
    while left > 0 {
        let count = left.min(CHUNK);
        file.write_all(&text[..count])?;
        left -= count;
    }
    Ok(())
}
