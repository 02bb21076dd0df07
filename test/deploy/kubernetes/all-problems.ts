import { linkProblems } from './link-policy.ts';
import { type Manifest, nameOf, ofKind } from './manifests.ts';
import { podProblems } from './pod-policy.ts';
import { proxyProblems } from './proxy-policy.ts';
import { problemsOf } from './schemas.ts';

/** What is wrong with manifests that Wakala is among. The rules are only for what keeps to its schema. */
export function allProblems(manifests: readonly Manifest[]): string[] {
  const malformed = manifests.flatMap((one) => problemsOf(one).map((problem) => `${nameOf(one)}: ${problem}`));
  if (malformed.length > 0) return malformed;
  return [
    ...ofKind(manifests, 'Deployment').flatMap(podProblems),
    ...proxyProblems(manifests),
    ...linkProblems(manifests),
  ];
}
