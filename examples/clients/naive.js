const net = require('net');
const fs = require('fs');

const HOST = process.env.BETACREW_HOST || 'localhost';
const PORT = process.env.BETACREW_PORT || 3000;

const packets = [];
const missing = new Set();

function request(callType, resendSeq = 0) {
  const buffer = Buffer.alloc(2);
  buffer.writeUInt8(callType, 0);
  buffer.writeUInt8(resendSeq, 1);
  return buffer;
}

function parsePacket(data) {
  return {
    symbol: data.toString('ascii', 0, 4),
    buysellindicator: data.toString('ascii', 4, 5),
    quantity: data.readInt32BE(5),
    price: data.readInt32BE(9),
    packetSequence: data.readInt32BE(13),
  };
}

function save() {
  packets.sort((a, b) => a.packetSequence - b.packetSequence);
  fs.writeFileSync('output.json', JSON.stringify(packets, null, 2));
  console.log('saved', packets.length, 'packets');
}

function resendMissing() {
  if (missing.size === 0) {
    save();
    return;
  }
  const client = net.createConnection(PORT, HOST, () => {
    missing.forEach((seq) => client.write(request(2, seq)));
  });
  client.on('data', (data) => {
    const packet = parsePacket(data);
    packets.push(packet);
    missing.delete(packet.packetSequence);
    if (missing.size === 0) {
      save();
      client.end();
    }
  });
}

const client = net.createConnection(PORT, HOST, () => {
  console.log('connected');
  client.write(request(1));
});

client.on('data', (data) => {
  const packet = parsePacket(data);
  if (packets.length > 0) {
    const last = packets[packets.length - 1].packetSequence;
    for (let seq = last + 1; seq < packet.packetSequence; seq++) missing.add(seq);
  }
  packets.push(packet);
});

client.on('end', resendMissing);
client.on('error', (error) => console.log('error:', error.message));
