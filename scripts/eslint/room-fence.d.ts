import type { Rule } from 'eslint';

export declare const ROOMS: Readonly<Record<string, readonly string[]>>;
export declare function roomOf(file: string): string | undefined;
declare const rule: Rule.RuleModule;
export default rule;
