import { type Check, type Diagnosis, pageOf, type Severity, severities } from './check.ts';

/** Findings in the forms that pipelines read. */

const levels: Record<Severity, string> = { critical: 'error', warning: 'warning', info: 'note' };

/** SARIF 2.1.0 (OASIS): one result for each finding, at the object as a logical location. */
export function sarifOf(checks: readonly Check[], found: readonly Diagnosis[]): string {
  const rules = checks.map(({ id, severity, title }) => ({
    id,
    shortDescription: { text: title },
    help: { text: `See ${pageOf(id)}.` },
    defaultConfiguration: { level: levels[severity] },
  }));
  const results = found.map(({ id, severity, subject, sentence, evidence, remedy }) => ({
    ruleId: id,
    ruleIndex: checks.findIndex((check) => check.id === id),
    level: levels[severity],
    message: { text: `${subject}: ${sentence}` },
    locations: [{ logicalLocations: [{ fullyQualifiedName: subject, kind: 'resource' }] }],
    properties: { evidence, remedy },
  }));
  const log = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [{ tool: { driver: { name: 'lazyscope doctor', rules } }, results }],
  };
  return `${JSON.stringify(log, null, 2)}\n`;
}

/** One test case for each check; it fails by findings as bad as `failOn`, and names the others. */
export function junitOf(
  checks: readonly Check[],
  found: readonly Diagnosis[],
  failOn: Severity,
): string {
  const isBad = ({ severity }: { severity: Severity }) =>
    severities.indexOf(severity) <= severities.indexOf(failOn);
  const cases = checks.map((check) => {
    const own = found.filter(({ id }) => id === check.id);
    const name = `<testcase classname="lazyscope.doctor" name="${escaped(check.id)}"`;
    if (own.length === 0) return `  ${name}/>`;
    const text = own.map((each) => `${each.subject}: ${each.sentence}\nremedy: ${each.remedy}`);
    const inner = escaped(text.join('\n'));
    if (!isBad(check)) return `  ${name}><system-out>${inner}</system-out></testcase>`;
    const message = escaped(`${check.title} (${own.length})`);
    return `  ${name}><failure message="${message}">${inner}</failure></testcase>`;
  });
  const failures = checks.filter(
    (check) => isBad(check) && found.some(({ id }) => id === check.id),
  ).length;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuite name="lazyscope doctor" tests="${checks.length}" failures="${failures}">`,
    ...cases,
    '</testsuite>\n',
  ].join('\n');
}

function escaped(text: string): string {
  const names: Record<string, string> = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot' };
  return text.replace(/[&<>"]/g, (each) => `&${names[each]};`);
}
