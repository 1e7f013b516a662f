// grpc_client.js TARGET [CA]: calls of test.Echo, as told by lines of JSON on standard input; a line of JSON for each end.
//   {"id", "call": "Unary"|"Collect"|"Repeat"|"Chat", "metadata": {k: v | {binary: hex}}, "deadline": ms,
//    "size": of the message, "text": or its text, "times": so many calls beside each other (Unary), "messages": N of a stream,
//    "open": true: the stream is not ended, "cancel_after": messages | 0: at once}
// --> {"id", "code", "details", "size", "messages", "same", "metadata", "trailers", "ms"}; {"id", "message": N} for each of
//     Repeat and Chat with "talk": true; {"do": "send"|"end"|"cancel", "id"} speaks to an open Chat.
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');
const same = (b) => b;
const credentials = process.argv[3] ? grpc.credentials.createSsl(fs.readFileSync(process.argv[3])) : grpc.credentials.createInsecure();
const client = new grpc.Client(process.argv[2], credentials, {
  'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1, 'grpc.enable_retries': 0,
  ...JSON.parse(process.argv[4] || '{}'),
});
const open = new Map();

function metadataOf(from) {
  const out = {};
  for (const [key, value] of Object.entries((from && from.getMap()) || {})) {
    out[key] = Buffer.isBuffer(value) ? { binary: value.toString('hex') } : value;
  }
  return out;
}

function prepare(order) {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(order.metadata || {})) {
    metadata.set(key, value.binary ? Buffer.from(value.binary, 'hex') : value);
  }
  const options = order.deadline ? { deadline: Date.now() + order.deadline } : {};
  const message = order.text !== undefined ? Buffer.from(order.text) : Buffer.alloc(order.size || 0, 'unlade ');
  return { metadata, options, message };
}

function follow(order, call, message, began) {
  const seen = { id: order.id, messages: 0, size: 0, same: true };
  let status;
  call.on('metadata', (m) => { seen.metadata = metadataOf(m); });
  call.on('status', (s) => { status = s; });
  const finish = () => {
    open.delete(order.id);
    say({ ...seen, code: status.code, details: status.details, trailers: metadataOf(status.metadata), ms: Date.now() - began });
  };
  call.on('data', (part) => {
    seen.messages++;
    seen.size += part.length;
    seen.same = seen.same && part.equals(message);
    if (order.talk) say({ id: order.id, message: seen.messages });
    if (order.cancel_after === seen.messages) call.cancel();
  });
  call.on('error', () => {});
  call.on('status', finish);
}

function unary(order) {
  const { metadata, options, message } = prepare(order);
  const began = Date.now();
  const times = order.times || 1;
  const done = { id: order.id, calls: 0, wrong: 0 };
  for (let i = 0; i < times; i++) {
    const seen = { id: order.id };
    let status;
    let size = 0;
    let equal = false;
    const call = client.makeUnaryRequest('/test.Echo/Unary', same, same, message, metadata, options, (error, value) => {
      if (value) {
        size = value.length;
        equal = value.equals(message);
      }
      done.calls++;
      if (error || !equal) done.wrong++;
      if (times > 1 && done.calls === times) say({ ...done, ms: Date.now() - began });
    });
    call.on('metadata', (m) => { seen.metadata = metadataOf(m); });
    call.on('status', (s) => {
      status = s;
      if (times === 1) {
        setImmediate(() => say({ ...seen, code: status.code, details: status.details, size, same: equal,
                                 trailers: metadataOf(status.metadata), ms: Date.now() - began }));
      }
    });
    if (order.cancel_after === 0) setTimeout(() => call.cancel(), order.wait || 0);
    open.set(order.id, call);
  }
}

const calls = {
  Unary: unary,
  Collect(order) {
    const { metadata, options, message } = prepare(order);
    const began = Date.now();
    const seen = { id: order.id };
    let answer;
    const call = client.makeClientStreamRequest('/test.Echo/Collect', same, same, metadata, options, (error, value) => { answer = value; });
    call.on('metadata', (m) => { seen.metadata = metadataOf(m); });
    call.on('status', (s) => setImmediate(() => {
      open.delete(order.id);
      say({ ...seen, code: s.code, details: s.details, size: answer ? answer.length : 0, trailers: metadataOf(s.metadata), ms: Date.now() - began });
    }));
    call.on('error', () => {});
    for (let i = 0; i < (order.messages || 1); i++) call.write(message);
    if (!order.open) call.end();
    open.set(order.id, call);
  },
  Repeat(order) {
    const { metadata, options, message } = prepare(order);
    const call = client.makeServerStreamRequest('/test.Echo/Repeat', same, same, message, metadata, options);
    open.set(order.id, call);
    follow(order, call, message, Date.now());
    if (order.pause) call.pause();
  },
  Chat(order) {
    const { metadata, options, message } = prepare(order);
    const call = client.makeBidiStreamRequest('/test.Echo/Chat', same, same, metadata, options);
    open.set(order.id, call);
    call.message = message;
    follow(order, call, message, Date.now());
    for (let i = 0; i < (order.messages || 0); i++) call.write(message);
    if (!order.open) call.end();
  },
};

require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const order = JSON.parse(line);
  const call = open.get(order.id);
  if (order.call) calls[order.call](order);
  else if (order.do === 'send') call.write(call.message);
  else if (order.do === 'end') call.end();
  else if (order.do === 'cancel') call.cancel();
  else if (order.do === 'resume') call.resume();
}).on('close', () => process.exit(0));
