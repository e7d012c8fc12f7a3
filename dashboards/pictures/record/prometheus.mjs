import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, start, stop, untilReady } from './process.mjs';
import { get } from './wait.mjs';
import { program } from '../paths.mjs';

/** Prometheus over the samples in `folder`, on loopback, until `stop`. It scrapes what `scrapes` says, as its configuration has it. */
export async function prometheus(folder, scrapes = []) {
  mkdirSync(folder, { recursive: true });
  const configuration = join(folder, 'prometheus.yml');
  // JSON is YAML, too.
  writeFileSync(configuration, JSON.stringify({ global: { scrape_interval: '1s' }, scrape_configs: scrapes }));
  const address = `127.0.0.1:${await freePort()}`;
  const server = start(
    process.env.PROMETHEUS ?? program('prometheus'),
    [`--config.file=${configuration}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=${address}`],
    { log: join(folder, 'log') }
  );
  await untilReady('prometheus', server, async () => (await get(`http://${address}/-/ready`))?.ok);
  return {
    /** What it answers under `/api/v1/`. */
    async ask(path, parameters) {
      const response = await get(`http://${address}/api/v1/${path}?${new URLSearchParams(parameters)}`);
      const answer = await response?.json();
      if (answer?.status !== 'success') {
        throw new Error(`${path} ${JSON.stringify(parameters)}: ${answer?.error ?? 'no answer'}`);
      }
      return answer.data;
    },
    /** Whether there is something that `expression`, as PromQL filters say it, lets through. */
    async holds(expression) {
      return (await this.ask('query', { query: expression })).result.length > 0;
    },
    stop: () => stop(server, 30),
  };
}
