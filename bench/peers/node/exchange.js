'use strict'
// An exchange in the plain style of the exercise's documents: packets in an array of objects, a
// buffer made and written for each. Where the documents' style would lose, it is put right: bytes
// are kept across reads, a packet is found by its place, and a resend call has four bytes for its
// sequence, so that more than 255 packets can be asked for.
//
//   node exchange.js PACKETS LOSS [tuned]
//
// `tuned` writes a stream in one piece, which is as far as the style goes.
const net = require('node:net')

const count = Number(process.argv[2])
const loss = Number(process.argv[3])
const tuned = process.argv[4] === 'tuned'

const packets = []
for (let i = 0; i < count; i++) {
  packets.push({
    symbol: 'SYMB',
    buySellIndicator: i % 2 === 0 ? 'B' : 'S',
    quantity: 100 + i,
    price: 1000 + 100 * i,
    sequence: i + 1
  })
}

function encode (packet) {
  const bytes = Buffer.allocUnsafe(17)
  bytes.write(packet.symbol, 0, 4, 'latin1')
  bytes.write(packet.buySellIndicator, 4, 1, 'latin1')
  bytes.writeInt32BE(packet.quantity, 5)
  bytes.writeInt32BE(packet.price, 9)
  bytes.writeInt32BE(packet.sequence, 13)
  return bytes
}

function stream (socket) {
  const kept = packets.filter(packet => packet.sequence === count || Math.random() >= loss)
  if (tuned) {
    socket.write(Buffer.concat(kept.map(encode)))
  } else {
    for (const packet of kept) socket.write(encode(packet))
  }
  socket.end()
}

const server = net.createServer({ noDelay: true }, socket => {
  let rest = Buffer.alloc(0)
  socket.on('data', data => {
    const bytes = rest.length === 0 ? data : Buffer.concat([rest, data])
    let at = 0
    while (bytes.length - at >= 2) {
      const type = bytes.readUInt8(at)
      if (type === 2) {
        if (bytes.length - at < 5) break
        const packet = packets[bytes.readUInt32BE(at + 1) - 1]
        if (packet) socket.write(encode(packet))
        at += 5
      } else {
        if (type === 1) stream(socket)
        at += 2
      }
    }
    rest = bytes.subarray(at)
  })
  socket.on('error', () => socket.destroy())
})

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`)
})
