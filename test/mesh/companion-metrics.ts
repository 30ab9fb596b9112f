import type { Mesh } from '../../box/mesh.ts';

/** A pod of a companion, in either role. */
export type CompanionPod = { spec: { nodeName: string }; status: { podIP: string } };

/** The metrics of a companion as text, read on its node; `more` are further arguments of curl. */
export function metricsOf(
  mesh: Mesh,
  { spec, status }: CompanionPod,
  more: string[] = [],
): Promise<string> {
  return mesh.onNode(spec.nodeName, [
    'curl',
    '-sS',
    ...more,
    `http://${status.podIP}:9472/metrics`,
  ]);
}

/** The sum of the samples of a metric whose labels contain a text; 0 if there are none. */
export function sumOf(text: string, name: string, labels = ''): number {
  return text
    .split('\n')
    .filter((line) => line.split(/[{ ]/)[0] === name && line.includes(labels))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}
