import type { Mesh } from '../box/mesh.ts';
import { type Histogram, readHistogram } from './histogram.ts';

type PodObject = { status: { podIP: string } };

/** How long questions took so far, as the filters of all nodes tell their companions. */
export async function questionsOf(mesh: Mesh): Promise<Histogram> {
  const node = mesh.state.nodes[0]?.name ?? '';
  const companions = ['-n', 'lazyscope-system', '-l', 'app.kubernetes.io/name=lazyscope-node'];
  const { items } = await mesh.get(['pods', ...companions]);
  const urls = (items as PodObject[]).map(({ status }) => `http://${status.podIP}:9472/metrics`);
  const text = await mesh.onNode(node, ['curl', '-sS', '--fail', '--max-time', '30', ...urls]);
  return readHistogram(text, 'lazyscope_node_question_seconds');
}
