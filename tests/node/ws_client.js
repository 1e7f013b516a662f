// A WebSocket client: node ws_client.js URL PORT CA [PROTOCOL]
// The URL's host is 127.0.0.1:PORT. A line each on standard input: {"text": T}, {"bytes": N} (N patterned bytes as one
// message), {"ping": true}, {"close": CODE}, {"terminate": true}, {"pause": true}, {"resume": true}.
// Says {"open": {protocol, extensions}}, {"text": T}, {"bytes": N, "sha256": H}, {"pong": true}, {"refused": STATUS},
// {"error": TEXT}, {"closed": {code, reason}}.
const WebSocket = require('ws');
const { createHash } = require('crypto');
const fs = require('fs');
const readline = require('readline');
const [url, port, ca, protocol] = process.argv.slice(2);
const say = (x) => console.log(JSON.stringify(x));
const at = new URL(url);
const host = at.hostname;
at.port = port;
const socket = new WebSocket(at, protocol ? [protocol] : [], {
  ca: fs.readFileSync(ca), servername: host, lookup: (name, options, done) => (options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)),
  maxPayload: 1 << 30,
});
const hash = (data) => createHash('sha256').update(data).digest('hex');
socket.on('open', () => say({ open: { protocol: socket.protocol, extensions: socket.extensions } }));
socket.on('message', (data, isBinary) => say(isBinary ? { bytes: data.length, sha256: hash(data) } : { text: data.toString() }));
socket.on('pong', () => say({ pong: true }));
socket.on('unexpected-response', (request, response) => { say({ refused: response.statusCode }); process.exit(0); });
socket.on('error', (error) => say({ error: error.message }));
socket.on('close', (code, reason) => { say({ closed: { code, reason: reason.toString() } }); process.exit(0); });
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const asked = JSON.parse(line);
  if (asked.text !== undefined) socket.send(asked.text);
  if (asked.bytes) {
    const data = Buffer.alloc(asked.bytes);
    for (let i = 0; i < data.length; i += 4) data.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
    say({ sending: hash(data) });
    socket.send(data);
  }
  if (asked.ping) socket.ping();
  if (asked.close) socket.close(asked.close, 'as asked');
  if (asked.terminate) socket.terminate();
  if (asked.pause) socket.pause();
  if (asked.resume) socket.resume();
});
