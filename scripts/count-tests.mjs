// Prints "<passed> <failed>" for a report of Vitest's JSON reporter. A file that cannot be loaded counts as one failed
// test. So does a report without tests.
import { readFileSync } from 'node:fs';

const [passed, failed] = count(process.argv[2]);
console.log(`${passed} ${failed}`);

function count(file) {
  let report;
  try {
    report = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return [0, 1];
  }
  const unloadable = report.testResults.filter(
    (suite) => suite.status === 'failed' && !suite.assertionResults.some((test) => test.status === 'failed'),
  );
  const failures = report.numFailedTests + unloadable.length;
  const hasTests = report.numPassedTests + failures > 0;
  // An error outside every test fails the run without failing a test.
  return [report.numPassedTests, report.success && hasTests ? failures : Math.max(1, failures)];
}
