import type { Environment, Provider } from '../../providers/provider.ts';
import { providers } from '../../providers/registry.ts';
import type { Dialog } from './dialog.ts';
import { type Plan, problemOf, providersNamed, UNASKED } from './plan.ts';

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
