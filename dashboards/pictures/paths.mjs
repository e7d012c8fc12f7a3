import { accessSync, constants } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = dirname(fileURLToPath(import.meta.url));

/** What Prometheus has seen, and when what happened, in seconds since 1970. */
export const samples = resolve(here, '../../target/pictures/prometheus');
export const recording = resolve(here, '../../target/pictures/recording.json');

/** The file of a program that can be called by its name. */
export function program(name) {
  const places = process.env.PATH.split(delimiter).map((folder) => join(folder, name));
  const found = places.find((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (found === undefined) {
    throw new Error(`there is no ${name} on the PATH: install it, or say in ${name.toUpperCase()} where it is`);
  }
  return found;
}
