//! The exchange and the client that an engineer writes in a day, and writes well: tokio, buffered
//! reads and writes, a map of structs, one resend after the other, `serde_json` into a buffered
//! file. A resend call has four bytes for its sequence, so that more than 255 can be asked for.
//!
//! `plain exchange PACKETS LOSS`, `plain client ADDR OUTPUT`.

use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::error::Error;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufWriter, ErrorKind, Write};
use std::sync::Arc;
use tokio::io::{self, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Packet {
    symbol: String,
    buy_sell_indicator: char,
    quantity: i32,
    price: i32,
    sequence: u32,
}

impl Packet {
    fn encode(&self) -> [u8; 17] {
        let mut bytes = [b' '; 17];
        bytes[..self.symbol.len()].copy_from_slice(self.symbol.as_bytes());
        bytes[4] = if self.buy_sell_indicator == 'B' { b'B' } else { b'S' };
        bytes[5..9].copy_from_slice(&self.quantity.to_be_bytes());
        bytes[9..13].copy_from_slice(&self.price.to_be_bytes());
        bytes[13..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; 17]) -> Self {
        let field = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        Self {
            symbol: String::from_utf8_lossy(&bytes[..4]).trim_end().to_owned(),
            buy_sell_indicator: char::from(bytes[4]),
            quantity: i32::from_be_bytes(field(5)),
            price: i32::from_be_bytes(field(9)),
            sequence: u32::from_be_bytes(field(13)),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["exchange", packets, loss] => exchange(packets.parse()?, loss.parse()?).await,
        ["client", address, output] => client(address, output).await,
        _ => Err("usage: plain exchange PACKETS LOSS | plain client ADDR OUTPUT".into()),
    }
}

async fn exchange(count: u32, loss: f64) -> Result<()> {
    let packets: Arc<Vec<Packet>> = Arc::new((0..count).map(packet).collect());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        let packets = Arc::clone(&packets);
        tokio::spawn(async move {
            // A client that breaks off is its own affair.
            let _ = serve(socket, &packets, loss).await;
        });
    }
}

fn packet(index: u32) -> Packet {
    let i = i32::try_from(index).unwrap_or(0);
    Packet {
        symbol: "SYMB".to_owned(),
        buy_sell_indicator: if i % 2 == 0 { 'B' } else { 'S' },
        quantity: 100 + i,
        price: 1000 + 100 * i,
        sequence: index + 1,
    }
}

async fn serve(socket: TcpStream, packets: &[Packet], loss: f64) -> Result<()> {
    socket.set_nodelay(true)?;
    let (input, output) = socket.into_split();
    let mut input = BufReader::new(input);
    let mut output = io::BufWriter::new(output);
    let mut chance = Chance::new(loss);
    loop {
        // What is asked for together is answered together.
        if input.buffer().is_empty() {
            output.flush().await?;
        }
        let call = match input.read_u8().await {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            call => call?,
        };
        if call == 2 {
            let sequence = input.read_u32().await?;
            if let Some(packet) = packets.get((sequence as usize).wrapping_sub(1)) {
                output.write_all(&packet.encode()).await?;
            }
            continue;
        }
        input.read_u8().await?;
        if call == 1 {
            for packet in packets {
                if packet.sequence as usize == packets.len() || !chance.strikes() {
                    output.write_all(&packet.encode()).await?;
                }
            }
            break;
        }
    }
    output.shutdown().await?;
    // Until the client closes: closing earlier could destroy what is on its way.
    io::copy(&mut input, &mut io::sink()).await?;
    Ok(())
}

/// Random loss: xorshift, as quick as any library's.
struct Chance {
    state: u64,
    below: u64,
}

impl Chance {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the 32-bit numbers"
    )]
    fn new(loss: f64) -> Self {
        let below = (loss.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u64;
        Self { state: RandomState::new().build_hasher().finish() | 1, below }
    }

    fn strikes(&mut self) -> bool {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state >> 32 < self.below
    }
}

async fn client(address: &str, output: &str) -> Result<()> {
    let mut packets = BTreeMap::new();
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&[1, 0]).await?;
    let mut stream = BufReader::new(stream);
    let mut bytes = [0; 17];
    loop {
        match stream.read_exact(&mut bytes).await {
            Ok(_) => {
                let packet = Packet::decode(&bytes);
                packets.insert(packet.sequence, packet);
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error.into()),
        }
    }
    let last = packets.last_key_value().map_or(0, |(&sequence, _)| sequence);
    let missing: Vec<u32> = (1..=last).filter(|seq| !packets.contains_key(seq)).collect();
    if !missing.is_empty() {
        let mut resends = TcpStream::connect(address).await?;
        resends.set_nodelay(true)?;
        for sequence in missing {
            let [a, b, c, d] = sequence.to_be_bytes();
            resends.write_all(&[2, a, b, c, d]).await?;
            resends.read_exact(&mut bytes).await?;
            packets.insert(sequence, Packet::decode(&bytes));
        }
    }
    let mut file = BufWriter::new(File::create(output)?);
    serde_json::to_writer_pretty(&mut file, &packets.values().collect::<Vec<_>>())?;
    Ok(file.flush()?)
}
