import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, start, stop, untilReady } from './process.mjs';
import { get } from './wait.mjs';

/** One instance of the service, from life to life at the same addresses and with the same files. */
export class Instance {
  static async at(folder, name) {
    const instance = new Instance();
    instance.name = name;
    instance.folder = join(folder, name);
    mkdirSync(instance.folder, { recursive: true });
    instance.http = `127.0.0.1:${await freePort()}`;
    instance.admin = `127.0.0.1:${await freePort()}`;
    return instance;
  }

  /** Starts it with the times that it has by default, and waits until it is ready. */
  async start(binary) {
    const file = (name) => join(this.folder, name);
    const env = {
      HTTP_ADDR: this.http,
      ADMIN_ADDR: this.admin,
      SHUTDOWN_REPORT: file('report.json'),
      DATABASE_URL: `sqlite:${file('orders.db')}`,
    };
    this.process = start(binary, [], { log: file('log'), cwd: this.folder, env });
    await untilReady(this.name, this.process, () => this.isReady());
  }

  async isReady() {
    return (await get(`http://${this.admin}/readyz`))?.ok;
  }

  /** Stops it, as a supervisor does that grants the 30 s of the default grace period. */
  async stop() {
    const ended = await stop(this.process, 30);
    if (ended !== 'code 0') {
      throw new Error(`${this.name} ended with ${ended}, code 0 is expected: see ${this.process.log}`);
    }
  }
}
