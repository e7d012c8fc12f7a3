import { setTimeout as sleep } from 'node:timers/promises';

/** Asks again and again until there is an answer, and fails after `seconds`. */
export async function eventually(what, seconds, ask) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer) {
      return answer;
    }
    if (Date.now() > end) {
      throw new Error(`${what}: not within ${seconds} s`);
    }
    await sleep(50);
  }
}

/** Everything is on loopback and answers at once, or is not there. */
export async function get(url) {
  try {
    return await fetch(url, { signal: AbortSignal.timeout(5000) });
  } catch {
    return undefined;
  }
}
