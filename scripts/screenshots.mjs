// Writes screenshots of the dashboard and the inspector of `wakala dev` to docs/images/, after some minutes of traffic.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { sampleBody } from '../src/providers/provider.ts';
import { providerNamed } from '../src/providers/registry.ts';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const IMAGES = path.join(ROOT, 'docs/images');
const SECONDS = Number(process.argv[2] ?? 540);
/** The first provider is called in every round, the second in every second round, and so on. */
const NAMES = ['mpesa', 'jpay', 'paypack', 'jeel'];
const CONFIG = `routes:\n${NAMES.map((name) => `  /${name}/*: { provider: ${name} }\n`).join('')}`;

const folder = mkdtempSync(path.join(tmpdir(), 'wakala-screenshots-'));
writeFileSync(path.join(folder, 'proxy.config.yaml'), CONFIG);
const cli = path.join(ROOT, 'src/cli.ts');
const dev = spawn(process.execPath, [cli, 'dev', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'], {
  cwd: folder,
  stdio: ['ignore', 'pipe', 'ignore'],
});
let browser;
try {
  const { proxy, admin } = await addresses();
  console.log(`proxy ${proxy}, admin ${admin}: ${SECONDS} s of traffic`);
  browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
  });
  await makeTraffic(proxy, admin);
  await takePictures(admin);
} finally {
  await browser?.close();
  dev.kill('SIGTERM');
  rmSync(folder, { recursive: true });
}

/** The addresses of the proxy and its admin listener, from the start screen. */
async function addresses() {
  let screen = '';
  for await (const text of dev.stdout.setEncoding('utf8')) {
    screen += text;
    const proxy = /^\s*proxy\s+(http:\S+)/m.exec(screen)?.[1];
    const admin = /^\s*(?:admin|dashboard)\s+(http:\S+)/m.exec(screen)?.[1];
    if (proxy !== undefined && admin !== undefined) return { proxy, admin: admin.replace(/\/$/, '') };
  }
  throw new Error(`wakala dev did not start:\n${screen}`);
}

async function makeTraffic(proxy, admin) {
  const until = Date.now() + SECONDS * 1000;
  const faults = [
    [0.4, 'mpesa', { expire_tokens: true }],
    [0.6, 'jpay', { expire_tokens: true }],
    [0.97, 'jeel', { token_endpoint: '500', expire_tokens: true }],
    [0.99, 'mpesa', { expire_tokens: true }],
  ];
  for (let n = 0; Date.now() < until; n++) {
    const passed = 1 - (until - Date.now()) / (SECONDS * 1000);
    if (passed > faults[0]?.[0]) await control(admin, ...faults.shift().slice(1));
    await Promise.all(NAMES.filter((_, i) => n % (i + 1) === 0).map((name) => call(proxy, name)));
    await setTimeout(90 + 250 * Math.abs(Math.sin(n / 60)));
  }
}

/** Posts controls to an emulator. */
async function control(admin, name, json) {
  const { routes } = await (await fetch(`${admin}/api/routes`)).json();
  const { upstream } = routes.find((route) => route.provider === name);
  await post(new URL('/_emulator', upstream), json);
}

/** Sends the provider's sample call. */
async function call(proxy, name) {
  const { samples } = providerNamed(name);
  const { method, path: target } = samples.call;
  if (method === 'POST') await post(`${proxy}/${name}${target}`, sampleBody({ samples }));
  else await (await fetch(`${proxy}/${name}${target}`)).arrayBuffer();
}

async function post(url, json) {
  const headers = { 'content-type': 'application/json' };
  await (await fetch(url, { method: 'POST', headers, body: JSON.stringify(json) })).arrayBuffer();
}

async function takePictures(admin) {
  mkdirSync(IMAGES, { recursive: true });
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  await page.goto(admin);
  await page.getByText('live', { exact: true }).waitFor();
  await page.screenshot({ path: path.join(IMAGES, 'dashboard.png'), fullPage: true });
  await page.goto(`${admin}/requests?token=replayed`);
  await page
    .getByRole('link', { name: /stkpush/ })
    .first()
    .click();
  await page.getByRole('heading', { name: 'Timing' }).waitFor();
  const clip = { x: 0, y: 0, width: 1280, height: 1100 };
  await page.screenshot({ path: path.join(IMAGES, 'inspector.png'), fullPage: true, clip });
}
