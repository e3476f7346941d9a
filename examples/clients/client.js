// A client that records a whole session. No dependencies.
//
//     node client.js [HOST] [PORT]
//
// Writes output.json. Exit codes: 0 complete, 3 incomplete (nothing is written), 5 unreachable.
'use strict';

const fs = require('node:fs');
const net = require('node:net');

const HOST = process.argv[2] ?? process.env.BETACREW_HOST ?? '127.0.0.1';
const PORT = Number(process.argv[3] ?? process.env.BETACREW_PORT ?? 3000);
const OUTPUT = 'output.json';

const PACKET = 17; // bytes
const RESEND_MAX = 127; // the sequence of a resend call is one byte, which some read signed
const SILENCE = 2500; // ms without a byte: the exchange has forgotten us
const ATTEMPTS = 6; // connections that nobody answers, or streams that bring nothing new, in a row
const DOUBT = 1e-4; // how likely may a packet beyond the last one be?

const packets = new Map(); // by sequence
let highest = 0;

/** Keeps a packet if it is one and new. The first copy stays. */
function keep(bytes) {
  const side = bytes.toString('latin1', 4, 5);
  const sequence = bytes.readInt32BE(13);
  if ((side !== 'B' && side !== 'S') || sequence < 1 || packets.has(sequence)) return;
  packets.set(sequence, {
    symbol: bytes.toString('latin1', 0, 4).trimEnd(),
    buySellIndicator: side,
    quantity: bytes.readInt32BE(5),
    price: bytes.readInt32BE(9),
    sequence,
  });
  highest = Math.max(highest, sequence);
}

function missing() {
  const gaps = [];
  for (let sequence = 1; sequence < highest; sequence++) {
    if (!packets.has(sequence)) gaps.push(sequence);
  }
  return gaps;
}

/**
 * One connection: sends the calls, keeps the packets, and is over when `enough` says so or when
 * the exchange ends it. Resolves to how many packets came, or null if nobody answered.
 */
function talk(calls, enough) {
  return new Promise((resolve) => {
    let count = null;
    // Half a packet belongs to its connection, and is gone with it.
    let held = Buffer.alloc(0);
    const socket = net.connect({ host: HOST, port: PORT });
    socket.setTimeout(SILENCE, () => socket.destroy());
    socket.on('connect', () => {
      count = 0;
      socket.write(calls);
    });
    socket.on('data', (chunk) => {
      // A read is not a packet: it may bring a part of one, or many.
      held = Buffer.concat([held, chunk]);
      for (; held.length >= PACKET; held = held.subarray(PACKET)) {
        keep(held);
        count++;
      }
      // Everything was read, so this closes without a reset.
      if (enough()) socket.end();
    });
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => resolve(count));
  });
}

/** Asks for what is missing, all at once on one connection, as long as that brings something. */
async function fill() {
  const askable = () => missing().filter((sequence) => sequence <= RESEND_MAX);
  for (let before = -1; askable().length > 0 && packets.size > before; ) {
    before = packets.size;
    const calls = askable().flatMap((sequence) => [2, sequence]);
    await talk(Buffer.from(calls), () => askable().length === 0);
  }
}

/** Streams until nothing is missing and a later packet, dropped from every stream, is unlikely. */
async function record() {
  let streamed = 0;
  let unreachable = 0;
  for (let pass = 1, dry = 0; dry < ATTEMPTS; ) {
    const before = packets.size;
    const count = await talk(Buffer.from([1, 0]), () => false);
    if (count === null) {
      if (++unreachable === ATTEMPTS) return packets.size > 0 ? 3 : 5;
      await new Promise((resolve) => setTimeout(resolve, 500));
      continue;
    }
    unreachable = 0;
    streamed += count;
    await fill();
    dry = packets.size > before ? 0 : dry + 1;
    // The share of packets that streams lose, seen pessimistically; each loses its own.
    const sent = pass * highest;
    const loss = (Math.max(sent - streamed, 0) + 1) / (sent + 2);
    if (missing().length === 0 && loss ** pass < DOUBT) return 0;
    pass++;
  }
  // Streams bring nothing more: that is all there is.
  return missing().length === 0 ? 0 : 3;
}

async function main() {
  const code = await record();
  if (code === 0) {
    const sorted = [...packets.values()].sort((a, b) => a.sequence - b.sequence);
    // Absent, old or whole, whenever somebody looks.
    fs.writeFileSync(`${OUTPUT}.partial`, `${JSON.stringify(sorted, null, 2)}\n`);
    fs.renameSync(`${OUTPUT}.partial`, OUTPUT);
    console.log(`complete: ${sorted.length} packets in ${OUTPUT}`);
  } else if (code === 3) {
    console.error(`incomplete: ${missing().join(', ') || 'the end'} cannot be had`);
  } else {
    console.error(`unreachable: no exchange answers at ${HOST}:${PORT}`);
  }
  process.exitCode = code;
}

main();
