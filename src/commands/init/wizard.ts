import { createInterface } from 'node:readline/promises';
import type { Environment, Provider } from '../../providers/provider.ts';
import { providers } from '../../providers/registry.ts';
import { type Plan, problemOf, providersNamed, UNASKED } from './plan.ts';

/** Questions to whoever sits at the terminal. */
export interface Dialog {
  /** Shows text that is no question. */
  say(text: string): void;
  /** The answer, without blanks around it. Throws DialogEnded when the user leaves with Ctrl-C or Ctrl-D. */
  ask(question: string): Promise<string>;
  close(): void;
}

/** The user left without an answer. */
export class DialogEnded extends Error {
  override readonly name = 'DialogEnded';
}

/** Opens a dialog on stdin and stderr; undefined unless both are terminals. stdout is left to what was asked for. */
export function terminalDialog(): (() => Dialog) | undefined {
  const { stdin: input, stderr: output } = process;
  if (!input.isTTY || !output.isTTY) return undefined;
  return () => {
    const lines = createInterface({ input, output, terminal: true });
    // An iterator keeps lines that were pasted before their question.
    const answers = lines[Symbol.asyncIterator]();
    return {
      say: (text) => void output.write(text),
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

/** What options already said, and need not be asked. */
export interface Given {
  readonly providers: readonly Provider[];
  readonly environment: Environment | undefined;
}

/** Asks for whatever is not given. Throws DialogEnded when the user leaves. */
export async function askPlan(given: Given, dialog: Dialog): Promise<Plan> {
  const chosen = given.providers.length > 0 ? given.providers : await askProviders(dialog);
  const environment = given.environment ?? (await askEnvironment(dialog));
  let plan: Plan = { ...UNASKED, providers: chosen, environment };
  for (const { name } of chosen.filter(({ hosts }) => hosts === undefined)) {
    const before = plan;
    plan = await askGood(dialog, `Base URL of the API behind \`${name}\` (https://...): `, (upstream) => ({
      ...before,
      upstreams: { ...before.upstreams, [name]: upstream },
    }));
  }
  return await askGood(dialog, `Address to listen on [${UNASKED.listen}]: `, (listen) => ({
    ...plan,
    listen: listen === '' ? UNASKED.listen : listen,
  }));
}

async function askProviders(dialog: Dialog): Promise<readonly Provider[]> {
  const width = Math.max(...providers.map(({ name }) => name.length));
  const list = providers.map(({ name, title }) => `  ${name.padEnd(width)}  ${title}\n`);
  dialog.say(`Which providers does your app call?\n${list.join('')}`);
  for (;;) {
    const found = providersNamed([await dialog.ask('Names, separated by commas: ')]);
    if ('problem' in found) dialog.say(`  ${found.problem}\n`);
    else if (found.length > 0) return found;
  }
}

async function askEnvironment(dialog: Dialog): Promise<Environment> {
  for (;;) {
    const answer = await dialog.ask(`Environment, sandbox or production [${UNASKED.environment}]: `);
    if (answer === '') return UNASKED.environment;
    const found = (['sandbox', 'production'] as const).find((name) => name === answer.toLowerCase());
    if (found !== undefined) return found;
    dialog.say('  Write it out: `sandbox` or `production`\n');
  }
}

/** Asks until the plan that comes of the answer is one that `wakala check` has nothing against. */
async function askGood(dialog: Dialog, question: string, planWith: (answer: string) => Plan): Promise<Plan> {
  for (;;) {
    const plan = planWith(await dialog.ask(question));
    const problem = problemOf(plan);
    if (problem === undefined) return plan;
    dialog.say(`  ${problem}\n`);
  }
}
