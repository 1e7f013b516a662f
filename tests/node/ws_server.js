// A WebSocket server on 127.0.0.1: node ws_server.js PORT [deflate|plain [CERTIFICATE KEY]]
// With a certificate it speaks TLS, and HTTP/2 where ALPN leads to that: there it answers requests with their version.
// Sends back what it gets. A text message that is JSON asks for more: {"pause": true} stops reading until the line
// {"do": "resume"} comes on standard input, {"close": CODE} closes, {"flood": BYTES, "piece": BYTES} sends that much.
// Says {"port"}, then for each socket {"open": {path, protocol, headers}} and {"closed": {code, reason}}.
const { WebSocketServer } = require('ws');
const readline = require('readline');
const http2 = require('http2');
const fs = require('fs');
const [port, deflate, certificate, key] = process.argv.slice(2);
const say = (x) => console.log(JSON.stringify(x));
const paused = [];
const secure = certificate && http2.createSecureServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key), allowHTTP1: true },
  (request, response) => response.end(request.httpVersion));
const server = new WebSocketServer({
  ...(secure ? { server: secure } : { host: '127.0.0.1', port: Number(port) }), perMessageDeflate: deflate === 'deflate', maxPayload: 1 << 30,
  handleProtocols: (protocols) => (protocols.has('chat') ? 'chat' : false),
  verifyClient: (info) => !info.req.url.startsWith('/refused'),
});
server.on('listening', () => say({ port: Number(port) }));
if (secure) secure.listen(Number(port), '127.0.0.1');
server.on('connection', (socket, request) => {
  say({ open: { path: request.url, protocol: socket.protocol, extensions: socket.extensions, headers: request.headers } });
  socket.on('error', () => {});
  socket.on('close', (code, reason) => say({ closed: { code, reason: reason.toString() } }));
  socket.on('message', (data, isBinary) => {
    let asked = {};
    if (!isBinary) { try { asked = JSON.parse(data.toString()); } catch { asked = {}; } }
    if (asked.pause) { socket.pause(); paused.push(socket); say({ paused: true }); return; }
    if (asked.close) { socket.close(asked.close, 'as asked'); return; }
    if (asked.flood) {
      for (let left = asked.flood; left > 0; left -= asked.piece) socket.send(Buffer.alloc(Math.min(left, asked.piece), left & 255));
      return;
    }
    socket.send(data, { binary: isBinary });
  });
});
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  if (JSON.parse(line).do === 'resume') paused.splice(0).forEach((socket) => socket.resume());
});
