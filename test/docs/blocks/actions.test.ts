import { registerHooks } from 'node:module';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { placeOf } from '../documents.ts';
import { blocksFor } from './runners.ts';

/** A whole workflow; a block may be one, its jobs, or steps of a job. */
function workflowOf(text: string): string {
  const read: unknown = parse(text);
  if (Array.isArray(read))
    return workflowOf(stringify({ jobs: { one: { 'runs-on': 'ubuntu-latest', steps: read as unknown[] } } }));
  return text.includes('\non:') || text.startsWith('on:') ? text : `on: push\n${text}`;
}

// Its modules import JSON in a way that Node wants to be told of.
const json = registerHooks({
  load: (url, context, next) =>
    next(url, url.endsWith('.json') ? { ...context, importAttributes: { type: 'json' } } : context),
});
const { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } =
  await import('@actions/workflow-parser').finally(() => json.deregister());

/** What GitHub's own parser says against a workflow. */
async function faultsOf(text: string): Promise<string[]> {
  const { context, value } = parseWorkflow(
    { name: 'block.yaml', content: workflowOf(text) },
    new NoOperationTraceWriter(),
  );
  if (value !== undefined) await convertWorkflowTemplate(context, value);
  return context.errors.getErrors().map(({ message }) => message);
}

describe('every yaml block for GitHub Actions', () => {
  it('is taken by its parser', async () => {
    for (const block of blocksFor('actions')) expect(await faultsOf(block.text), placeOf(block)).toEqual([]);
  });

  it('would fail with a key that there is not', async () => {
    expect(await faultsOf('- { run: wakala check, shel: bash }\n')).toEqual([expect.stringContaining('shel')]);
    expect(await faultsOf('- { run: wakala check }\n')).toEqual([]);
  });
});
