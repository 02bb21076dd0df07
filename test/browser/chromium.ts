import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];

/** Starts the installed Chromium. @throws Error that says how to install it */
export async function launchChromium(...args: string[]): Promise<Browser> {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter);
  const candidates = NAMES.flatMap((name) => folders.map((folder) => path.join(folder, name)));
  const executablePath = candidates.find(isExecutable);
  if (executablePath === undefined) {
    throw new Error(
      'No Chromium was found on PATH. Install one to run the tests of the dashboard: `apt-get install chromium` on ' +
        'Debian and Ubuntu, `brew install --cask chromium` on macOS.',
    );
  }
  // Chromium's sandbox needs permissions that containers lack. The pages belong to this project.
  return chromium.launch({ executablePath, args: ['--no-sandbox', ...args] });
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
