import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Clients of all instances until `stop`, each with one request at a time. Most come through a balancer, which gives them an
 * instance that is ready; some hold on to theirs for as long as it takes connections.
 */
export function load(instances) {
  const agents = new Map(instances.map((instance) => [instance, new Agent({ keepAlive: true })]));
  const tally = { answered: 0, repeated: 0, lost: 0 };
  let ready = instances;
  let stopped = false;

  async function balancer() {
    while (!stopped) {
      const answers = await Promise.all(instances.map((instance) => instance.isReady()));
      ready = instances.filter((_, i) => answers[i]);
      await sleep(500);
    }
  }

  async function client(number, holdsOn, next, pause) {
    for (let turn = 0; !stopped; turn++) {
      const own = instances[number % instances.length];
      const what = next(turn);
      let instance = holdsOn ? own : pick(ready, number + turn);
      let answer = await ask(agents, instance, what);
      for (let tries = 0; answer === AGAIN && tries < 20; tries++) {
        tally.repeated++;
        await sleep(50);
        const others = ready.filter((other) => other !== instance);
        instance = pick(others, number + tries);
        answer = await ask(agents, instance, what);
      }
      answer === ANSWERED ? tally.answered++ : tally.lost++;
      await sleep(pause);
    }
  }

  const short = (turn) =>
    pick(
      [{ path: '/hello' }, { path: `/work/${20 + (turn % 9) * 20}` }, order(), { path: '/stream?chunks=4&every_ms=20' }],
      turn
    );
  // Longer than the lame duck lasts: these are what a drain waits for. Each is in another rhythm than its neighbours.
  const long = (number) => (turn) => ({ path: `/work/${pick([9, 14, 11, 13, 10, 12, 8], number * 5 + turn * 3) * 1000}` });
  const clients = [
    ...Array.from({ length: 18 }, (_, number) => client(number, false, short, 40)),
    ...Array.from({ length: 6 }, (_, number) => client(number, true, short, 60)),
    ...Array.from({ length: 14 }, (_, number) => client(number, false, long(number), 200)),
  ];
  const all = Promise.all([balancer(), ...clients]);
  return {
    /** Sends requests to one instance that take so many seconds each. */
    async keepBusy(instance, seconds) {
      const answers = await Promise.all(seconds.map((length) => ask(agents, instance, { path: `/work/${length * 1000}` })));
      answers.forEach((answer) => (answer === ANSWERED ? tally.answered++ : tally.lost++));
    },
    async stop() {
      stopped = true;
      await all;
      agents.forEach((agent) => agent.destroy());
      return tally;
    },
  };
}

const pick = (list, number) => list[number % list.length];

const order = () => ({
  path: '/orders',
  method: 'POST',
  body: '{"item":"tea","quantity":2}',
  headers: { 'idempotency-key': crypto.randomUUID() },
});

const ANSWERED = 'answered';
/** Nothing was processed, whoever says so: it may be asked again, elsewhere. */
const AGAIN = 'again';
const LOST = 'lost';

/** What became of a request: LOST when it was sent and failed, or no whole answer came. */
function ask(agents, instance, { path, method, body, headers }) {
  if (instance === undefined) {
    return AGAIN; // the balancer has none that is ready
  }
  const agent = agents.get(instance);
  return new Promise((resolve) => {
    const sent = request(`http://${instance.http}${path}`, { agent, method, headers, timeout: 30_000 }, (response) => {
      const { statusCode } = response;
      const answer = [408, 503].includes(statusCode) ? AGAIN : statusCode < 300 ? ANSWERED : LOST;
      response.resume();
      response.on('close', () => resolve(response.complete ? answer : LOST));
      response.on('error', () => {}); // "close" follows
    });
    sent.on('timeout', () => sent.destroy());
    sent.on('error', (error) => resolve(error.code === 'ECONNREFUSED' ? AGAIN : LOST));
    sent.end(body);
  });
}
