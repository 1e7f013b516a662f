// Node's client for the compatibility matrix; jobs as support/clients.py describes them.
'use strict';
const fs = require('fs');
const tls = require('tls');
const http2 = require('http2');
const crypto = require('crypto');
const readline = require('readline');

const ca = fs.readFileSync(process.argv[2]);
const body = fs.readFileSync(process.argv[3]);
const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex');

// One connection and one request that ends it: {content, close, session}.
function visit(job, head, content, session) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let ticket;
    const socket = tls.connect({ host: '127.0.0.1', port: job.port, servername: 'localhost', ca, session,
                                 ALPNProtocols: ['http/1.1'] });
    socket.on('session', (s) => { ticket = s; });
    socket.on('secureConnect', () => {
      socket.write(head + 'Host: localhost\r\nConnection: close\r\n\r\n');
      if (content) socket.write(content);
    });
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('end', () => {
      const all = Buffer.concat(chunks);
      resolve({ content: all.subarray(all.indexOf('\r\n\r\n') + 4), session: ticket });
    });
  });
}

async function http1(job) {
  const down = await visit(job, `GET /down/${job.id} HTTP/1.1\r\n`);
  const up = await visit(job, `POST /up/${job.id} HTTP/1.1\r\nContent-Length: ${body.length}\r\n`, body, down.session);
  return { down: sha256(down.content), up: up.content.toString() };
}

function request(session, fields, content) {
  return new Promise((resolve, reject) => {
    const stream = session.request(fields);
    const chunks = [];
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('end', () => resolve(Buffer.concat(chunks)));
    stream.end(content);
  });
}

function overHttp2(job) {
  return new Promise((resolve, reject) => {
    const session = http2.connect(`https://localhost:${job.port}`, { ca, host: '127.0.0.1', servername: 'localhost' });
    session.on('error', reject);
    session.on('connect', async () => {
      try {
        const down = await request(session, { ':path': `/down/${job.id}` });
        const up = await request(session, { ':method': 'POST', ':path': `/up/${job.id}`, 'content-length': body.length }, body);
        session.close();
        resolve({ down: sha256(down), up: up.toString() });
      } catch (error) {
        reject(error);
      }
    });
  });
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [id, port, how] = line.split(' ');
    const job = { id, port: Number(port) };
    try {
      const seen = how === 'h2' ? await overHttp2(job) : await http1(job);
      console.log(JSON.stringify({ id, ...seen }));
    } catch (error) {
      console.log(JSON.stringify({ id, error: String(error.message || error) }));
    }
  }
}

main();
