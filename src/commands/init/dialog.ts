import { createInterface } from 'node:readline/promises';

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
