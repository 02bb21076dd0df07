// Prints the failed tests in a report of Vitest's JSON reporter as "<file> > <test>: <first line of the failure>". A file
// that cannot be loaded is printed without a test.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const MAX_LINES = 40;
const MAX_CHARACTERS = 300;

const lines = failures(process.argv[2]);
for (const line of lines.slice(0, MAX_LINES)) console.log(line.slice(0, MAX_CHARACTERS));
if (lines.length > MAX_LINES) console.log(`... and ${lines.length - MAX_LINES} more`);

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

/** The first line that is not blank, without colours. */
function firstLine(text = '') {
  const plain = text.replaceAll(/\u001B\[[\d;]*m/g, '');
  return plain.split('\n').find((line) => line.trim() !== '') ?? '';
}
