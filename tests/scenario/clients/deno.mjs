// Deno's client for the compatibility matrix (rustls, through fetch); jobs as support/clients.py describes them.

const [caFile, bodyFile] = Deno.args;
const caCerts = [await Deno.readTextFile(caFile)];
const body = await Deno.readFile(bodyFile);

async function sha256(response) {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await response.arrayBuffer()));
  return Array.from(hash, (b) => b.toString(16).padStart(2, '0')).join('');
}

// Over HTTP/1.1 no connection is kept, so that the second request needs a new one, which offers the first one's session.
async function run(id, port, how) {
  const protocol = how === 'h2' ? { http1: false, http2: true } : { http1: true, http2: false, poolMaxIdlePerHost: 0 };
  const client = Deno.createHttpClient({ caCerts, ...protocol });
  try {
    const down = await sha256(await fetch(`https://localhost:${port}/down/${id}`, { client }));
    const up = await fetch(`https://localhost:${port}/up/${id}`, { client, method: 'POST', body });
    return { id, down, up: await up.text() };
  } catch (error) {
    return { id, error: [error, error.cause].map(String).join(': ') };
  } finally {
    client.close();
  }
}

const lines = (await new Response(Deno.stdin.readable).text()).trim().split('\n');
for (const [id, port, how] of lines.map((line) => line.split(' '))) {
  console.log(JSON.stringify(await run(id, port, how)));
}
