// Three instances of the real service under load and a rolling restart of them, as a real Prometheus sees it. Its samples stay in
// target/pictures for `render.mjs`.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Instance } from './record/instance.mjs';
import { load } from './record/load.mjs';
import { prometheus } from './record/prometheus.mjs';
import { eventually } from './record/wait.mjs';
import { here, recording, samples } from './paths.mjs';

const binary = resolve(process.env.SERVICE ?? resolve(here, '../../target/release/service'));
const folder = resolve(recording, '..');

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const instances = await Promise.all(['orders-0', 'orders-1', 'orders-2'].map((name) => Instance.at(folder, name)));
const server = await prometheus(samples, [
  {
    job_name: 'orders',
    static_configs: instances.map(({ name, admin }) => ({ targets: [admin], labels: { instance: name } })),
  },
]);
const seconds = () => Date.now() / 1000;
const say = (what) => console.log(`${new Date().toISOString().slice(11, 19)}  ${what}`);

/** As slowly as a supervisor that has much to do: Prometheus has to miss the instance once. */
const isMissed = ({ name }) => eventually(`${name} is missed`, 30, () => server.holds(`up{instance="${name}"} == 0`));

/** Waits until Prometheus has seen that an instance has run for so long. */
const runs = ({ name }, atLeast) =>
  eventually(`${name} runs for ${atLeast} s`, 60, () =>
    server.holds(
      `lifecycle_phase{phase="running", instance="${name}"} == 1 and on (instance) time() - process_start_time_seconds >= ${atLeast}`
    )
  );

say('three instances start');
await Promise.all(instances.map((instance) => instance.start(binary)));
const clients = load(instances);
const began = seconds();
await Promise.all(instances.map((instance) => runs(instance, 20)));

for (const instance of instances) {
  say(`${instance.name} restarts`);
  await instance.stop();
  await isMissed(instance);
  await instance.start(binary);
  await runs(instance, 5);
}
const rolledOut = seconds();

const [, last] = instances;
await runs(last, 30);
const busy = clients.keepBusy(last, [8, 9, 10, 11, 12, 13]);
await eventually(`${last.name} is busy`, 10, () => server.holds(`http_server_active_requests{instance="${last.name}"} >= 6`));
say(`${last.name} stops once more`);
const stopping = seconds();
const stop = last.stop();
await eventually(`${last.name} drains`, 30, () =>
  server.holds(`shutdown_phase_duration_seconds{phase="drain", instance="${last.name}"} >= 3`)
);
const draining = seconds();
await Promise.all([stop, busy]);
await isMissed(last);
const gone = seconds();
await last.start(binary);
await runs(last, 5);
const ended = seconds();

const tally = await clients.stop();
say(`${tally.answered} requests answered, ${tally.repeated} times told to ask again, ${tally.lost} lost`);
if (tally.lost > 0) {
  throw new Error(`${tally.lost} requests were lost: the pictures would be of a fault`);
}
await Promise.all(instances.map((instance) => instance.stop()));
await server.stop();
writeFileSync(recording, JSON.stringify({ began, rolledOut, stopping, draining, gone, ended, stopped: last.name }, null, 2));
