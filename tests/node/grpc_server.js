// grpc_server.js [PORT]: a gRPC server of test.Echo without protoc: messages are the bytes that they are.
// Says {"port": N}, then a line for each thing that happens to a call: {"call": METHOD, "metadata": {...}, "deadline": MS},
// {"cancelled": METHOD}, {"ended": METHOD}, {"got": METHOD, "size": N}.
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');
const same = (b) => b;

const method = (name, requestStream, responseStream) => ({
  path: `/test.Echo/${name}`, requestStream, responseStream,
  requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same,
});

const service = {
  Unary: method('Unary', false, false),
  Collect: method('Collect', true, false),
  Repeat: method('Repeat', false, true),
  Chat: method('Chat', true, true),
};

function metadataOf(call) {
  const out = {};
  for (const [key, value] of Object.entries(call.metadata.getMap())) {
    out[key] = Buffer.isBuffer(value) ? { binary: value.toString('hex') } : value;
  }
  return out;
}

function began(call, name) {
  const deadline = call.getDeadline();
  say({ call: name, metadata: metadataOf(call), path: call.getPath(), host: call.getHost(),
        deadline: deadline === Infinity ? null : Number(deadline) - Date.now() });
  call.on('cancelled', () => say({ cancelled: name }));
  // What the caller asks for in its metadata.
  const wish = call.metadata.get('wish')[0] || '';
  const trailers = new grpc.Metadata();
  trailers.set('trail', 'behind');
  trailers.set('trail-bin', Buffer.from([0, 255, 1, 254]));
  const head = new grpc.Metadata();
  head.set('lead', 'before');
  head.set('lead-bin', Buffer.from([3, 2, 1, 0]));
  return { wish, trailers, head };
}

function failure(wish, trailers) {
  const [, code, text] = wish.split(':');
  return { code: Number(code), details: decodeURIComponent(text || ''), metadata: trailers };
}

const implementation = {
  Unary(call, callback) {
    const { wish, trailers, head } = began(call, 'Unary');
    if (wish === 'never') return;
    if (wish.startsWith('fail:')) return callback(failure(wish, trailers));
    call.sendMetadata(head);
    callback(null, call.request, trailers);
  },
  Collect(call, callback) {
    const { wish, trailers, head } = began(call, 'Collect');
    const parts = [];
    if (wish === 'early') { // the answer comes before the caller has ended
      call.once('data', (part) => callback(null, part, trailers));
      return;
    }
    call.on('data', (part) => parts.push(part));
    call.on('end', () => {
      call.sendMetadata(head);
      callback(null, Buffer.concat(parts), trailers);
    });
  },
  Repeat(call) {
    const { wish, trailers, head } = began(call, 'Repeat');
    call.sendMetadata(head);
    const count = Number((wish.match(/^count:(\d+)/) || [0, 1])[1]);
    let sent = 0;
    const more = () => {
      while (sent < count) {
        sent++;
        if (!call.write(call.request)) {
          call.once('drain', more);
          return;
        }
      }
      if (wish.endsWith(':open')) return;
      if (wish.includes(':fail:')) call.emit('error', failure(wish.slice(wish.indexOf('fail:')), trailers));
      else call.end(trailers);
    };
    call.on('cancelled', () => { sent = count; });
    more();
  },
  Chat(call) {
    const { trailers, head } = began(call, 'Chat');
    call.sendMetadata(head);
    call.on('data', (part) => {
      say({ got: 'Chat', size: part.length });
      call.write(part);
    });
    call.on('end', () => {
      say({ ended: 'Chat' });
      call.end(trailers);
    });
  },
};

const options = JSON.parse(process.argv[3] || '{}');
const server = new grpc.Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1, ...options.channel });
server.addService(service, implementation);
const credentials = options.key
  ? grpc.ServerCredentials.createSsl(null, [{ private_key: fs.readFileSync(options.key), cert_chain: fs.readFileSync(options.cert) }])
  : grpc.ServerCredentials.createInsecure();
server.bindAsync(`127.0.0.1:${process.argv[2] || 0}`, credentials, (error, port) => {
  if (error) throw error;
  say({ port });
});

// {"do": "drain"}: GOAWAY, and ends with the last call.
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  if (JSON.parse(line).do === 'drain') server.tryShutdown(() => { say({ drained: true }); process.exit(0); });
});
