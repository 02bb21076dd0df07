import type { Provider } from '../providers/provider.ts';
import {
  type DerivedValue,
  type DerivedValues,
  DIGESTS,
  HMACS,
  type ProviderSignRule,
  SIGNATURES,
  type SignRule,
} from '../providers/sign-rule.ts';
import { placeholdersIn } from '../providers/template.ts';
import type { Secret } from '../secret.ts';
import type { Templates } from './interpolate.ts';
import type { DerivedValueInput, SignInput } from './schema-sign.ts';
import type { Path } from './source.ts';

/** The keys of a value that are templates. */
const TEMPLATE_KEYS: ReadonlySet<string> = new Set([
  'text',
  ...DIGESTS,
  ...HMACS,
  ...SIGNATURES,
  'rsa_encrypt',
  'aes_256_cbc',
  'key',
  'iv',
  'item',
] satisfies (keyof DerivedValue)[]);

const TARGETS = ['json', 'form', 'query', 'headers'] as const;

/** The value at `path`, with each `${...}` in its templates as a credential. */
export function readDerivedValue(path: Path, input: DerivedValueInput, templates: Templates): DerivedValue {
  const entries = Object.entries(input).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    entries.map(([key, value]) => {
      const isTemplate = typeof value === 'string' && TEMPLATE_KEYS.has(key);
      return [key, isTemplate ? templates.signText([...path, key], value) : value];
    }),
  );
}

/** The values below `path`. */
export function readDerivedValues(
  path: Path,
  input: Readonly<Record<string, DerivedValueInput>>,
  templates: Templates,
): DerivedValues {
  const entries = Object.entries(input);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, readDerivedValue([...path, name], value, templates)]),
  );
}

/** The rules that a route adds to those of its provider. `path`: of `sign`. */
export function readSignRules(path: Path, input: SignInput, templates: Templates): SignRule[] {
  return input.map(({ calls, values, ...targets }, i): SignRule => {
    const at = [...path, i];
    const computed = values && readDerivedValues([...at, 'values'], values, templates);
    const written = TARGETS.flatMap((target) => {
      const texts = targets[target];
      if (texts === undefined) return [];
      const entries = Object.entries(texts);
      const read = entries.map(([name, text]) => [name, templates.signText([...at, target, name], text)]);
      return [[target, Object.fromEntries(read)] as const];
    });
    return {
      calls,
      ...(computed && { values: computed }),
      ...Object.fromEntries(written),
    };
  });
}

/** The rules of a provider that the credentials of a route switch on. */
export function activeRules(
  provider: Provider | undefined,
  values: ReadonlyMap<string, Secret>,
): readonly ProviderSignRule[] {
  const { sign = [], credentials = [] } = provider ?? {};
  const isOn = (name: string) => {
    const isFlag = credentials.some((field) => field.name === name && field.kind === 'flag');
    return isFlag ? values.get(name)?.reveal() === 'true' : values.has(name);
  };
  return sign.filter(({ when }) => when === undefined || isOn(when));
}

/** The names of the placeholders in the templates of a rule. */
export function namesIn(rule: SignRule): ReadonlySet<string> {
  const inValues = Object.values(rule.values ?? {}).flatMap((value) =>
    Object.entries(value).flatMap(([key, text]) => (TEMPLATE_KEYS.has(key) ? [String(text)] : [])),
  );
  const inTargets = TARGETS.flatMap((target) => Object.values(rule[target] ?? {}));
  return new Set([...inValues, ...inTargets].flatMap(placeholdersIn));
}
