import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, closeSync } from 'node:fs';
import { createServer } from 'node:net';
import { eventually } from './wait.mjs';

const running = new Set();
// Whatever ends this process, none of its children outlives it.
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => process.exit(1));
}

/** A child whose output goes to the file `log`. */
export function start(program, args, { log, ...options }) {
  const output = openSync(log, 'a');
  const child = spawn(program, args, { ...options, stdio: ['ignore', output, output] });
  closeSync(output);
  running.add(child);
  const gone = once(child, 'exit')
    .then(([code, signal]) => `code ${code ?? signal}`)
    .catch((error) => error.message) // there is no such program
    .finally(() => running.delete(child));
  return { child, gone, log };
}

/** Waits until a child is ready, or says how it ended instead. */
export async function untilReady(what, { gone, log }, isReady) {
  let ended;
  gone.then((how) => (ended = how));
  await eventually(`${what} is ready (its log is ${log})`, 30, async () => {
    if (ended !== undefined) {
      throw new Error(`${what} ended with ${ended} before it was ready: see ${log}`);
    }
    return isReady();
  });
}

/** Sends SIGTERM, and says how the child ended; it is killed `seconds` later. */
export async function stop({ child, gone }, seconds) {
  child.kill('SIGTERM');
  const impatience = setTimeout(() => child.kill('SIGKILL'), seconds * 1000);
  return gone.finally(() => clearTimeout(impatience));
}

let next = 12_000 + (process.pid % 100) * 120;

/**
 * A port of loopback that nobody listens on, from below the range that the kernel gives to outgoing connections: the load might
 * take it while its instance restarts.
 */
export async function freePort() {
  for (let tries = 0; tries < 1000; tries++) {
    const server = createServer();
    const port = next++;
    server.listen(port, '127.0.0.1');
    const free = await Promise.race([once(server, 'listening').then(() => true), once(server, 'error').then(() => false)]);
    if (free) {
      server.close();
      await once(server, 'close');
      return port;
    }
  }
  throw new Error('no port of a thousand is free');
}
