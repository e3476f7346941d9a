'use strict'
// A client in the plain style of the exercise's documents: streams, looks for what is missing, asks
// for it on a second connection, one packet after the other, and writes all of them as JSON. Where
// the documents' style would lose, it is put right: packets are put together across reads, and a
// resend call has four bytes for its sequence.
//
//   node client.js PORT OUTPUT [tuned]
//
// `tuned` sends all resend calls at once, which is as far as the style goes.
const net = require('node:net')
const fs = require('node:fs')

const port = Number(process.argv[2])
const output = process.argv[3]
const tuned = process.argv[4] === 'tuned'

const packets = []

function decode (bytes, at) {
  return {
    symbol: bytes.toString('latin1', at, at + 4).trimEnd(),
    buySellIndicator: String.fromCharCode(bytes[at + 4]),
    quantity: bytes.readInt32BE(at + 5),
    price: bytes.readInt32BE(at + 9),
    sequence: bytes.readInt32BE(at + 13)
  }
}

// Hands on each packet that a socket brings.
function receive (socket, each) {
  let rest = Buffer.alloc(0)
  socket.on('data', data => {
    const bytes = rest.length === 0 ? data : Buffer.concat([rest, data])
    let at = 0
    for (; bytes.length - at >= 17; at += 17) each(decode(bytes, at))
    rest = bytes.subarray(at)
  })
  socket.on('error', error => { throw error })
}

function call (sequence) {
  const bytes = Buffer.allocUnsafe(5)
  bytes.writeUInt8(2, 0)
  bytes.writeUInt32BE(sequence, 1)
  return bytes
}

function recover () {
  const missing = []
  for (let i = 0; i < packets.length; i++) if (packets[i] === undefined) missing.push(i + 1)
  if (missing.length === 0) return finish()
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true }, () => {
    if (tuned) socket.write(Buffer.concat(missing.map(call)))
    else socket.write(call(missing[0]))
  })
  let answered = 0
  receive(socket, packet => {
    packets[packet.sequence - 1] = packet
    answered++
    if (answered === missing.length) {
      socket.end()
      finish()
    } else if (!tuned) {
      socket.write(call(missing[answered]))
    }
  })
}

function finish () {
  fs.writeFileSync(output, JSON.stringify(packets, null, 2))
}

const socket = net.connect({ port, host: '127.0.0.1', noDelay: true }, () => {
  socket.write(Buffer.from([1, 0]))
})
receive(socket, packet => { packets[packet.sequence - 1] = packet })
socket.on('end', recover)
