// Refuses a dashboard that is not what Grafana's types say: `node check.mjs [FILE…]`, by default every dashboard beside this folder.
import { readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const here = dirname(fileURLToPath(import.meta.url));

const options = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  types: [],
};

/** What is wrong with dashboards (JSON, by name), as `name:line: what`; nothing when they are right. */
export function findings(dashboards) {
  // Each is the literal of its type, since only there TypeScript refuses a key that it does not know. It begins on the first
  // line, so that a finding's line is the file's.
  const literal = (json) => `import type { Dashboard } from './dashboard'; export const it: Dashboard = ${json}`;
  const sources = new Map(Object.entries(dashboards).map(([name, json]) => [join(here, `${name}.ts`), literal(json)]));

  const host = ts.createCompilerHost(options);
  const { fileExists, getSourceFile } = host;
  host.fileExists = (path) => sources.has(path) || fileExists(path);
  host.getSourceFile = (path, ...rest) =>
    sources.has(path) ? ts.createSourceFile(path, sources.get(path), options.target) : getSourceFile(path, ...rest);

  return ts.getPreEmitDiagnostics(ts.createProgram([...sources.keys()], options, host)).map((found) => {
    const what = ts.flattenDiagnosticMessageText(found.messageText, '\n  ');
    if (found.file === undefined) {
      return what;
    }
    const { line } = found.file.getLineAndCharacterOfPosition(found.start);
    return `${basename(found.file.fileName, '.ts')}:${line + 1}: ${what}`;
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const beside = readdirSync(dirname(here)).filter((name) => name.endsWith('.json'));
  const paths = process.argv.length > 2 ? process.argv.slice(2) : beside.map((name) => join(dirname(here), name));
  if (paths.length === 0) {
    console.error('no dashboard beside this folder: make them with cargo run -p dashboards');
    process.exit(1);
  }
  const wrong = findings(Object.fromEntries(paths.map((path) => [basename(path), readFileSync(path, 'utf8')])));
  console.log(wrong.length === 0 ? `${paths.length} dashboards are as @grafana/schema has them` : wrong.join('\n'));
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
