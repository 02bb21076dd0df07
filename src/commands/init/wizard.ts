import { createInterface } from 'node:readline/promises';
import type { Environment, Provider } from '../../providers/provider.ts';
import { providers } from '../../providers/registry.ts';
import { DEFAULT_PLAN, type Plan, problemOf, providersNamed } from './plan.ts';

/** A dialog with the user at the terminal. */
export interface Dialog {
  /** Prints a text. */
  print(text: string): void;
  /**
   * Asks a question.
   * @returns the trimmed answer
   * @throws DialogEnded if the user leaves with Ctrl-C or Ctrl-D
   */
  ask(question: string): Promise<string>;
  close(): void;
}

/** The user left the dialog. */
export class DialogEnded extends Error {
  override readonly name = 'DialogEnded';
}

/** Opens a dialog on stdin and stderr. Undefined unless both are terminals. stdout is for the output of the command. */
export function terminalDialog(): (() => Dialog) | undefined {
  const { stdin: input, stderr: output } = process;
  if (!input.isTTY || !output.isTTY) return undefined;
  return () => {
    const lines = createInterface({ input, output, terminal: true });
    // The iterator keeps lines that were pasted before their question is asked.
    const answers = lines[Symbol.asyncIterator]();
    return {
      print: (text) => void output.write(text),
      ask: async (question) => {
        lines.setPrompt(question);
        lines.prompt();
        const { done, value } = await answers.next();
        if (done === true) throw new DialogEnded();
        return value.trim();
      },
      close: () => lines.close(),
    };
  };
}

/** The choices that the command line already makes. */
export interface Given {
  readonly providers: readonly Provider[];
  readonly environment: Environment | undefined;
}

/**
 * Asks for every choice that is not given.
 * @throws DialogEnded if the user leaves
 */
export async function askPlan(given: Given, dialog: Dialog): Promise<Plan> {
  const chosen = given.providers.length > 0 ? given.providers : await askProviders(dialog);
  const environment = given.environment ?? (await askEnvironment(dialog));
  let plan: Plan = { ...DEFAULT_PLAN, providers: chosen, environment };
  for (const { name } of chosen.filter(({ hosts }) => hosts === undefined)) {
    const before = plan;
    plan = await askUntilValid(dialog, `Base URL of the API behind \`${name}\` (https://...): `, (upstream) => ({
      ...before,
      upstreams: { ...before.upstreams, [name]: upstream },
    }));
  }
  return await askUntilValid(dialog, `Address to listen on [${DEFAULT_PLAN.listen}]: `, (listen) => ({
    ...plan,
    listen: listen === '' ? DEFAULT_PLAN.listen : listen,
  }));
}

async function askProviders(dialog: Dialog): Promise<readonly Provider[]> {
  const width = Math.max(...providers.map(({ name }) => name.length));
  const list = providers.map(({ name, title }) => `  ${name.padEnd(width)}  ${title}\n`);
  dialog.print(`Which providers does your app call?\n${list.join('')}`);
  for (;;) {
    const found = providersNamed([await dialog.ask('Names, separated by commas: ')]);
    if ('problem' in found) dialog.print(`  ${found.problem}\n`);
    else if (found.length > 0) return found;
  }
}

async function askEnvironment(dialog: Dialog): Promise<Environment> {
  for (;;) {
    const answer = await dialog.ask(`Environment, sandbox or production [${DEFAULT_PLAN.environment}]: `);
    if (answer === '') return DEFAULT_PLAN.environment;
    const found = (['sandbox', 'production'] as const).find((name) => name === answer.toLowerCase());
    if (found !== undefined) return found;
    dialog.print('  Type `sandbox` or `production`\n');
  }
}

/** Asks until `wakala check` has no problem with the plan of the answer. */
async function askUntilValid(dialog: Dialog, question: string, planWith: (answer: string) => Plan): Promise<Plan> {
  for (;;) {
    const plan = planWith(await dialog.ask(question));
    const problem = problemOf(plan);
    if (problem === undefined) return plan;
    dialog.print(`  ${problem}\n`);
  }
}
