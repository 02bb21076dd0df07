import { describeShellPages } from './pages.ts';
import { DEPLOYING, shellPages } from './runners.ts';

describeShellPages(shellPages().filter((file) => file.startsWith('docs/') && !DEPLOYING.test(file)));
