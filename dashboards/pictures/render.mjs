// Renders each picture of `pictures.mjs` in headless Chromium, from what the recording's Prometheus answers, into docs/dashboards.
import { mkdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { answers, marks, range } from './ask.mjs';
import { here, program, recording, samples } from './paths.mjs';
import { pictures } from './pictures.mjs';
import { prometheus } from './record/prometheus.mjs';

const to = resolve(here, '../../docs/dashboards');
const WIDTH = 1280;
/** Nobody has this name: every request of the page is answered here. */
const ORIGIN = 'http://pictures.invalid/';
const PAGE =
  '<!doctype html><html lang="en"><head><link rel="stylesheet" href="page.css"></head><body><div id="root"></div></body></html>';

const require = createRequire(import.meta.url);
const folderOf = (name) => dirname(require.resolve(`${name}/package.json`));

const happened = JSON.parse(readFileSync(recording, 'utf8'));
const scripts = await bundle();
const server = await prometheus(samples);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? program('chromium'),
  args: [
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
  chromiumSandbox: false,
  env: { ...process.env, LANG: 'en_US.UTF-8' },
  timeout: 60_000,
});
try {
  mkdirSync(to, { recursive: true });
  for (const picture of pictures) {
    await render(picture);
    console.log(`docs/dashboards/${picture.file}`);
  }
} finally {
  await browser.close();
  await server.stop();
}

async function render(picture) {
  const context = await browser.newContext({
    viewport: { width: WIDTH, height: 800 },
    locale: 'en-US',
    timezoneId: 'UTC',
    reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(error.stack));
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && wrong.push(message.text()));
  await page.route('**', async (route) => {
    const body = await file(new URL(route.request().url())).catch(() => undefined);
    if (body === undefined) {
      wrong.push(`the page asks for ${route.request().url()}`);
      return route.abort();
    }
    return route.fulfill(body);
  });
  const data = await seen(picture);
  await page.addInitScript((seen) => {
    window.picture = seen;
    window.__grafana_public_path__ = '/public/';
  }, data);
  await page.goto(ORIGIN);
  await page.addScriptTag({ url: `${ORIGIN}page.js` });
  await page.waitForSelector('body[data-done]', { timeout: 60_000 }).catch((late) => wrong.push(late.message));
  await page.waitForLoadState('networkidle', { timeout: 30_000 });
  if (wrong.length > 0) {
    throw new Error(`${picture.file}:\n${wrong.join('\n')}`);
  }
  await page.locator('#root').screenshot({ path: join(to, picture.file) });
  await context.close();
}

/** The panels of the rows, and what Prometheus says to each of them. */
async function seen(picture) {
  const dashboard = JSON.parse(readFileSync(resolve(here, `../${picture.dashboard}.json`), 'utf8'));
  const instance = picture.instance?.(happened);
  const asked = (width) => ({ ...range(picture.range(happened), width), instance });
  const panels = rows(dashboard, picture.rows).map(async (panel) => ({
    panel,
    answers: await answers(server, panel, asked((panel.gridPos.w / 24) * WIDTH)),
  }));
  const whole = asked(WIDTH);
  return {
    title: dashboard.title,
    instance,
    ...whole,
    panels: await Promise.all(panels),
    marks: await marks(server, dashboard, whole),
  };
}

/** The rows of these titles, each with its panels. */
function rows(dashboard, titles) {
  let within;
  const chosen = dashboard.panels.filter((panel) => {
    within = panel.type === 'row' ? panel.title : within;
    return titles.includes(within);
  });
  const missing = titles.filter((title) => !chosen.some((panel) => panel.type === 'row' && panel.title === title));
  if (missing.length > 0) {
    throw new Error(`${dashboard.title} has no row ${missing.join(', ')}`);
  }
  return chosen;
}

async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [join(here, 'page/page.tsx')],
    outdir: here,
    bundle: true,
    write: false,
    format: 'iife',
    jsx: 'automatic',
    minify: true,
    target: 'es2022',
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    loader: { '.woff2': 'dataurl', '.svg': 'dataurl', '.ttf': 'dataurl', '.png': 'dataurl' },
    logLevel: 'error',
  });
  return Object.fromEntries(outputFiles.map(({ path, text }) => [path.slice(here.length + 1), text]));
}

/** What the page is answered: itself, and the icons and fonts that Grafana has under /public/. */
async function file({ pathname, protocol }) {
  if (protocol === 'data:') {
    return undefined;
  }
  if (pathname === '/') {
    return { body: PAGE, contentType: 'text/html' };
  }
  if (pathname === '/page.js' || pathname === '/page.css') {
    return { body: scripts[pathname.slice(1)] ?? '', contentType: pathname.endsWith('js') ? 'text/javascript' : 'text/css' };
  }
  const icon = pathname.match(/^\/public\/build\/img\/icons\/([\w/-]+\.svg)$/);
  if (icon) {
    return {
      body: await readFile(join(folderOf('@grafana/ui'), 'dist/public/img/icons', icon[1])),
      contentType: 'image/svg+xml',
    };
  }
  const font = pathname.match(/^\/public\/fonts\/inter\/([\w-]+\.woff2)$/);
  return font ? { body: await readFile(join(folderOf('inter-ui'), 'web', font[1])), contentType: 'font/woff2' } : undefined;
}
