// Prints the failed tests of a report of vitest's JSON reporter, each as "<file> > <test>: <first line of its failure>".
// Files that could not be loaded are listed by their file alone.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const MOST_LINES = 40;
const MOST_CHARACTERS = 300;

const lines = failures(process.argv[2]);
for (const line of lines.slice(0, MOST_LINES)) console.log(line.slice(0, MOST_CHARACTERS));
if (lines.length > MOST_LINES) console.log(`... and ${lines.length - MOST_LINES} more`);

function failures(file) {
  let report;
  try {
    report = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    return [`There is no report of the tests: ${firstLine(error.message)}`];
  }
  const found = report.testResults.flatMap((suite) => {
    const name = relative(process.cwd(), suite.name);
    const failed = suite.assertionResults.filter((test) => test.status === 'failed');
    if (failed.length === 0 && suite.status === 'failed') return [`${name}: ${firstLine(suite.message)}`];
    return failed.map((test) => `${name} > ${test.fullName}: ${firstLine(test.failureMessages[0])}`);
  });
  const none =
    report.testResults.length === 0 ? 'No test ran' : 'No test failed, but an error was thrown outside every test';
  return found.length > 0 || (report.success && report.testResults.length > 0) ? found : [none];
}

/** The first line that says something, without colours. */
function firstLine(text = '') {
  const plain = text.replaceAll(/\u001B\[[\d;]*m/g, '');
  return plain.split('\n').find((line) => line.trim() !== '') ?? '';
}
